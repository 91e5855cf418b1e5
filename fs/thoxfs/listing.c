/* The way of an ls: the names of a directory, in an order that stays. */

#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

#define POSITION_MIN  16
#define POSITION_MASK 0x3fffffffffffffffULL

/* 64-bit FNV-1a with a last mix. */
uint64_t name_hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3ULL;
	h = (h ^ h >> 31) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static off_t position_of(const char *name)
{
	uint64_t h = name_hash(name) & POSITION_MASK;

	return (off_t)(h < POSITION_MIN ? h + POSITION_MIN : h);
}

static void listing_clear(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].name);
	l->count = 0;
	l->valid = false;
}

static int add(struct listing *l, const char *name, uint64_t ino, mode_t mode)
{
	struct listing_item *items;
	size_t room = l->room ? l->room * 2 : 64;

	if (l->count == l->room) {
		items = reallocarray(l->items, room, sizeof(*items));
		if (!items)
			return -ENOMEM;
		l->items = items;
		l->room = room;
	}
	l->items[l->count].name = strdup(name);
	if (!l->items[l->count].name)
		return -ENOMEM;
	l->items[l->count].position = position_of(name);
	l->items[l->count].ino = ino;
	l->items[l->count].mode = mode;
	l->count++;
	return 0;
}

struct filling {
	struct listing *listing;
	enum store_dir dir;
};

static int on_name(const char *name, uint64_t id, bool builtin, bool symlink,
		   void *user)
{
	struct filling *f = user;

	(void)builtin;
	return add(f->listing, name,
		   node_number(node_make(NODE_LIVE, id), f->dir, name),
		   symlink ? S_IFLNK : S_IFREG);
}

static int on_file(const char *name, const struct stat *st, void *user)
{
	struct filling *f = user;

	return add(f->listing, name, node_make(NODE_PLAIN, st->st_ino),
		   S_IFREG);
}

static int by_position(const void *a, const void *b)
{
	const struct listing_item *x = a, *y = b;

	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int fill(struct thoxfs *fs, enum store_dir dir, struct listing *l)
{
	struct filling f = { .listing = l, .dir = dir };
	int r = 0;

	if (dir == DIR_DATA)
		r = store_file_list(fs->store, dir, false, on_file, &f);
	else
		r = store_names(fs->store, dir, on_name, &f);
	if (r == 0)
		r = store_file_list(fs->store, dir, true, on_file, &f);
	if (r < 0)
		return r;
	if (l->count)
		qsort(l->items, l->count, sizeof(*l->items), by_position);
	return 0;
}

int listing_get(struct thoxfs *fs, enum store_dir dir,
		struct listing **ret_listing)
{
	struct listing *l = &fs->listings.dirs[dir];
	int r;

	/* Streams are made by others too, and thoxfs is not told. */
	if (!l->valid || dir == DIR_DATA) {
		listing_clear(l);
		r = fill(fs, dir, l);
		if (r < 0) {
			listing_clear(l);
			return r;
		}
		l->valid = true;
	}
	*ret_listing = l;
	return 0;
}

size_t listing_seek(const struct listing *l, off_t position)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->items[middle].position <= position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct listing_item *listing_find(const struct listing *l,
					const char *name)
{
	off_t position = position_of(name);

	for (size_t i = listing_seek(l, position - 1);
	     i < l->count && l->items[i].position == position; i++)
		if (strcmp(l->items[i].name, name) == 0)
			return &l->items[i];
	return NULL;
}

void listing_changed(struct thoxfs *fs, enum store_dir dir)
{
	fs->listings.dirs[dir].valid = false;
}

void listings_deinit(struct thoxfs *fs)
{
	for (int i = 0; i < DIR_COUNT; i++) {
		listing_clear(&fs->listings.dirs[i]);
		free(fs->listings.dirs[i].items);
	}
}
