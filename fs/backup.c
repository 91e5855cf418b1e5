/* Looking after the store: all of it as of one moment, to be copied. */

#include "fs/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/*
 * Records are copied into memory, since their offsets mean nothing any more
 * once somebody compacts the index.
 */
struct item {
	uint32_t at; /* in the index, to bring them in order; ... */
	uint8_t place;
	bool left_out;
	size_t offset; /* ... and in `bytes` */
};

struct backup {
	struct store *s;
	struct item *items;
	size_t count, capacity;
	uint8_t *bytes;
	size_t used, size;
};

/* A stream is as of one moment when its times say so: this much longer than
 * the kernel's clock for them ticks. */
#define STREAM_CALM_NS (20 * INT64_C(1000000))
#define STREAM_TRIES   5

void backup_path(const struct record *rec, enum backup_place place,
		 char ret_path[BACKUP_PATH_BYTES])
{
	char id[ID_NAME_BYTES];

	id_name(rec->id, id);
	ret_path[0] = '\0';
	if (place == BACKUP_LIVE)
		snprintf(ret_path, BACKUP_PATH_BYTES, "%s/%s",
			 store_dir_name(rec->dir), rec->name);
	else if (place != BACKUP_NOWHERE)
		snprintf(ret_path, BACKUP_PATH_BYTES, "%s/%s",
			 place == BACKUP_VERSION ? ".versions" : ".rejected",
			 id);
}

/* --- the list -------------------------------------------------------------- */

static enum backup_place place_of(const struct record *rec,
				  const struct index_node *node, bool refused)
{
	if (rec->type == RECORD_PUBLISHED && !rec->target[0])
		return rec->at == node->live ? BACKUP_LIVE : BACKUP_VERSION;
	/* Only the newest refused text is kept. */
	if (rec->type == RECORD_REJECTED && !refused)
		return BACKUP_REJECTED;
	return BACKUP_NOWHERE;
}

static int add_item(struct backup *b, uint32_t at, enum backup_place place)
{
	if (b->count == b->capacity) {
		size_t capacity = b->capacity ? 2 * b->capacity : 64;
		struct item *items =
			reallocarray(b->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		b->items = items;
		b->capacity = capacity;
	}
	b->items[b->count++] =
		(struct item){ .at = at, .place = (uint8_t)place };
	return 0;
}

static int add_name(struct backup *b, const struct index_node *node)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	bool refused = false;
	int r = history_read(b->s, node, &h);

	for (size_t i = 0; r == 0 && i < h.count; i++) {
		const struct record *rec = &h.recs[i];

		r = add_item(b, rec->at, place_of(rec, node, refused));
		refused |= rec->type == RECORD_REJECTED;
	}
	return r;
}

static int by_offset(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static int copy_record(struct backup *b, struct item *item)
{
	struct record rec;
	int r;

	if (b->size - b->used < RECORD_MAX_BYTES) {
		size_t size = 2 * b->size + RECORD_MAX_BYTES;
		uint8_t *bytes = realloc(b->bytes, size);

		if (!bytes)
			return -ENOMEM;
		b->bytes = bytes;
		b->size = size;
	}
	r = index_record(&b->s->index, item->at, &rec);
	if (r < 0)
		return r;
	rec.flags &= RECORD_MOVED;
	rec.ino = rec.prev = 0;
	rec.journal_epoch = rec.journal_seq = 0;
	item->offset = b->used;
	b->used += record_write(&rec, b->bytes + b->used);
	return 0;
}

/* Memory is held. */
static int collect(struct backup *b)
{
	const struct index *ix = &b->s->index;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ix->table_size; i++)
		if (ix->table[i] && ix->table[i]->last)
			r = add_name(b, ix->table[i]);
	if (r == 0 && b->count > 0)
		qsort(b->items, b->count, sizeof(*b->items), by_offset);
	for (size_t i = 0; r == 0 && i < b->count; i++)
		r = copy_record(b, &b->items[i]);
	return r;
}

static void backup_freep(struct backup **b)
{
	*b = backup_free(*b);
}

int backup_begin(struct store *s, struct backup **ret_backup)
{
	_cleanup_(backup_freep) struct backup *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->s = s;
	/* What a writer that died left in the journal is finished first. */
	r = store_begin(s);
	if (r == 0)
		store_end(s);
	if (r < 0 && r != -EROFS)
		return r;
	pthread_mutex_lock(&s->memory);
	r = r < 0 ? index_follow(&s->index) : 0;
	if (r >= 0)
		r = collect(b);
	pthread_mutex_unlock(&s->memory);
	if (r < 0)
		return r;
	*ret_backup = steal(&b);
	return 0;
}

struct backup *backup_free(struct backup *b)
{
	if (!b)
		return NULL;
	free(b->items);
	free(b->bytes);
	free(b);
	return NULL;
}

size_t backup_count(const struct backup *b)
{
	return b->count;
}

enum backup_place backup_record(const struct backup *b, size_t i,
				struct record *ret_rec)
{
	size_t offset = b->items[i].offset;

	/* written a moment ago: it is one */
	(void)record_read(ret_rec, b->bytes + offset, b->used - offset);
	return (enum backup_place)b->items[i].place;
}

void backup_leave_out(struct backup *b, size_t i)
{
	b->items[i].left_out = true;
}

bool backup_left_out(const struct backup *b, size_t i)
{
	return b->items[i].left_out;
}

/* --- bytes ----------------------------------------------------------------- */

int backup_open(struct backup *b, size_t i, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	struct store_entry e;
	struct record rec;
	int r;

	backup_record(b, i, &rec);
	r = store_read_id(b->s, rec.id, NULL, &e, &fd);
	if (r < 0)
		return r;
	/* A draft has the same number as the first text made from it. */
	if (e.id != rec.id || fd < 0)
		return -ESTALE;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool same_times(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size &&
	       timespec_ns(&a->st_mtim) == timespec_ns(&b->st_mtim);
}

/* Written so recently that another write may not show in its times? */
static bool is_fresh(const struct stat *st)
{
	int64_t age = time_now_ns() - timespec_ns(&st->st_mtim);

	return age >= 0 && age < STREAM_CALM_NS;
}

static int copy_once(int from, int to, struct stat *ret_stat)
{
	const struct timespec calm = { .tv_nsec = STREAM_CALM_NS };
	struct stat after;
	int r;

	if (fstat(from, ret_stat) < 0)
		return -errno;
	if (is_fresh(ret_stat)) {
		nanosleep(&calm, NULL);
		if (fstat(from, ret_stat) < 0)
			return -errno;
	}
	if (ftruncate(to, 0) < 0)
		return -errno;
	r = content_copy(from, to);
	if (r < 0)
		return r;
	if (fstat(from, &after) < 0)
		return -errno;
	return !same_times(ret_stat, &after) || is_fresh(ret_stat);
}

int backup_stream(struct store *s, const char *name, int to,
		  struct stat *ret_stat)
{
	_cleanup_(fd_closep) int fd = -1;
	int r = store_file_open(s, DIR_DATA, name, O_RDONLY, &fd);

	if (r < 0)
		return r;
	r = 1;
	for (int i = 0; r == 1 && i < STREAM_TRIES; i++)
		r = copy_once(fd, to, ret_stat);
	return r;
}
