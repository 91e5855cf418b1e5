/* Listing the store: names in order, a name's past, what is new. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/*
 * A listing is copied first and told afterwards, without a lock, so that a
 * callback may call the store and the memory is never held for long.
 */
struct item {
	uint64_t id;
	bool builtin, symlink;
	char *name; /* owned */
};

struct list {
	struct item *items;
	size_t count;
};

static void list_deinit(struct list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].name);
	free(l->items);
}

static int list_add(struct list *l, const char *name, uint64_t id, bool builtin,
		    bool symlink)
{
	struct item *item;

	if ((l->count & (l->count - 1)) == 0) {
		size_t capacity = l->count ? l->count * 2 : 1;
		struct item *items =
			reallocarray(l->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		l->items = items;
	}
	item = &l->items[l->count];
	item->name = strdup(name);
	if (!item->name)
		return -ENOMEM;
	item->id = id;
	item->builtin = builtin;
	item->symlink = symlink;
	l->count++;
	return 0;
}

static int list_here(struct store *s, enum store_dir dir, struct list *l)
{
	struct index_node **nodes;
	size_t count;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	if (r >= 0)
		r = index_sorted(&s->index, dir, &nodes, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = list_add(l, nodes[i]->name, nodes[i]->id, false,
			     nodes[i]->flags & NODE_SYMLINK);
	pthread_mutex_unlock(&s->memory);
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* What the layer below has and the store has not; the first @here items are
 * the store's, sorted. */
static int list_builtin(struct store *s, enum store_dir dir, struct list *l)
{
	size_t here = l->count;
	struct dirent *d;
	DIR *list;
	int fd, r = 0;

	if (s->builtinfd < 0)
		return 0;
	fd = openat(s->builtinfd, store_dir_name(dir),
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		fd_close(fd);
		return 0;
	}
	while (r == 0 && (d = readdir(list))) {
		struct item key = { .name = d->d_name };

		if (!name_valid(d->d_name) ||
		    (d->d_type != DT_REG && d->d_type != DT_LNK &&
		     d->d_type != DT_UNKNOWN) ||
		    (here &&
		     bsearch(&key, l->items, here, sizeof(key), by_name)))
			continue;
		r = list_add(l, d->d_name, d->d_ino, true, d->d_type == DT_LNK);
	}
	closedir(list);
	if (l->count > here)
		qsort(l->items, l->count, sizeof(*l->items), by_name);
	return r;
}

static int list_read(struct store *s, enum store_dir dir, struct list *l)
{
	int r;

	if ((unsigned)dir >= DIR_DATA)
		return -EINVAL;
	r = list_here(s, dir, l);
	return r < 0 ? r : list_builtin(s, dir, l);
}

int store_names(struct store *s, enum store_dir dir, store_names_fn fn,
		void *user)
{
	_cleanup_(list_deinit) struct list l = { 0 };
	int r;

	r = list_read(s, dir, &l);
	for (size_t i = 0; r == 0 && i < l.count; i++)
		r = fn(l.items[i].name, l.items[i].id, l.items[i].builtin,
		       l.items[i].symlink, user);
	return r;
}

int store_list(struct store *s, enum store_dir dir, store_list_fn fn,
	       void *user)
{
	_cleanup_(list_deinit) struct list l = { 0 };
	struct store_entry e;
	int r;

	r = list_read(s, dir, &l);
	for (size_t i = 0; r == 0 && i < l.count; i++) {
		r = store_lookup(s, dir, l.items[i].name, &e);
		if (r == -ENOENT) { /* removed meanwhile */
			r = 0;
			continue;
		}
		if (r == 0)
			r = fn(l.items[i].name, &e, user);
	}
	return r;
}

int store_log(struct store *s, enum store_dir dir, const char *name,
	      store_log_fn fn, void *user)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	struct index_node *node;
	struct store_entry e;
	uint64_t live = 0;
	int r;

	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	node = r < 0 ? NULL : index_find(&s->index, dir, name);
	if (r >= 0)
		r = node && node->last ? history_read(s, node, &h) : -ENOENT;
	if (r == 0)
		live = node->id;
	pthread_mutex_unlock(&s->memory);
	if (r == -ENOENT) { /* a built-in has no history but itself */
		r = store_lookup(s, dir, name, &e);
		return r < 0 ? r : fn(&e, user);
	}

	for (size_t i = h.count; r == 0 && i-- > 0;) {
		record_entry(&h.recs[i], &e);
		e.live = h.recs[i].type == RECORD_PUBLISHED && e.id == live;
		r = fn(&e, user);
	}
	return r;
}

static int on_event(const struct record *rec, uint32_t at, void *user)
{
	struct history *h = user;

	(void)at;
	if (rec->type == RECORD_DROPPED)
		return 0;
	if ((h->count & (h->count - 1)) == 0) {
		struct record *recs = reallocarray(
			h->recs, h->count ? h->count * 2 : 1, sizeof(*recs));

		if (!recs)
			return -ENOMEM;
		h->recs = recs;
	}
	h->recs[h->count++] = *rec;
	return 0;
}

int store_follow(struct store *s, store_follow_fn fn, void *user)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	struct store_entry e;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	/* A compacted index is told from its start: nothing is missed. */
	if (r >= 0 && s->followed_generation != s->index.generation)
		s->followed = 0;
	if (r >= 0)
		r = fn ? index_scan(&s->index, s->followed, on_event, &h) : 0;
	if (r == 0) {
		s->followed = s->index.tail;
		s->followed_generation = s->index.generation;
	}
	pthread_mutex_unlock(&s->memory);

	for (size_t i = 0; r == 0 && i < h.count; i++) {
		record_entry(&h.recs[i], &e);
		r = fn(h.recs[i].dir, &e, user);
	}
	return r;
}
