/* Looking after the store: renames, times, what may go, what is still right. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/* The index is rewritten when this many records are dead, and more of them
 * dead than alive. */
#define COMPACT_RECORDS 4096U
#define DRAFT_AGE_NS	(24 * 3600 * INT64_C(1000000000))

static int unlink_content(struct store *s, const struct record *rec)
{
	char id[ID_NAME_BYTES];

	id_name(rec->id, id);
	return unlinkat(rec->type == RECORD_REJECTED ? s->rejectedfd
						     : s->versionsfd,
			id, 0) < 0 &&
			       errno != ENOENT
		       ? -errno
		       : 0;
}

/* Memory is held. What @node has beyond what is kept; mostly nothing. */
static int find_excess(struct store *s, struct index_node *node,
		       struct history *ret)
{
	int r = 0;

	if (node->version > s->keep || node->flags & NODE_REJECTS)
		r = history_excess(s, node, ret);
	if (r == 0)
		node->flags &= (uint8_t)~NODE_CHECK;
	return r;
}

static int say_dropped(struct store *s, const struct history *h)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < h->count; i++) {
		struct record rec = h->recs[i];

		rec.type = RECORD_DROPPED;
		rec.flags = 0;
		rec.time_ns = time_now_ns();
		rec.target[0] = rec.reason[0] = '\0';
		rec.journal_epoch = rec.journal_seq = 0;
		r = index_append(&s->index, &rec, 1);
	}
	return r;
}

/* Unlinking takes a while: readers are let in between. */
static int drop_excess(struct store *s, struct index_node *node)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	int r;

	pthread_mutex_lock(&s->memory);
	r = find_excess(s, node, &h);
	pthread_mutex_unlock(&s->memory);
	for (size_t i = 0; r == 0 && i < h.count; i++)
		r = unlink_content(s, &h.recs[i]);
	if (r < 0 || h.count == 0)
		return r;
	pthread_mutex_lock(&s->memory);
	r = say_dropped(s, &h);
	pthread_mutex_unlock(&s->memory);
	return r;
}

/* The lock keeps other processes from adding names, the memory this one's
 * readers from seeing a table that grows; so it may be walked by number. */
static int drop_all_excess(struct store *s)
{
	struct index *ix = &s->index;
	uint64_t generation = ix->generation;
	int r = 0;

	for (size_t i = 0; i < ix->table_size && r == 0; i++) {
		struct index_node *node = ix->table[i];

		if (ix->generation != generation)
			break; /* somebody replaced the file: another time */
		if (node && node->flags & NODE_CHECK)
			r = drop_excess(s, node);
	}
	return r;
}

/* Dropping comes first: what is gone need not be written to the disk. */
int store_checkpoint(struct store *s, bool sync_cut)
{
	int r;

	r = drop_all_excess(s);
	if (r == 0 && !s->relaxed && syncfs(s->rootfd) < 0) {
		atomic_store(&s->failed, true);
		return -EIO;
	}
	if (r == 0)
		r = journal_cut(&s->journal, sync_cut && !s->relaxed);
	return r;
}

struct sum {
	uint64_t version; /* counted last: one record of each counts */
	int64_t bytes;
};

static int sum_size(const struct record *rec, uint32_t at, void *user)
{
	struct sum *sum = user;

	(void)at;
	if (rec->type == RECORD_PUBLISHED && rec->version != sum->version) {
		sum->version = rec->version;
		sum->bytes += (int64_t)rec->size_bytes;
	}
	if (rec->type == RECORD_REJECTED)
		sum->bytes += (int64_t)rec->size_bytes;
	if (rec->type == RECORD_DROPPED)
		sum->bytes -= (int64_t)rec->size_bytes;
	return rec->type == RECORD_PURGED;
}

static int forget_file(const struct record *rec, uint32_t at, void *user)
{
	(void)at;
	if (rec->type == RECORD_PUBLISHED || rec->type == RECORD_REJECTED)
		return unlink_content(user, rec);
	return rec->type == RECORD_PURGED;
}

/* The journal is cut durably before: else it would bring the name back. */
static int purge_node(struct store *s, struct index_node *node)
{
	struct record rec = { .type = RECORD_PURGED };
	struct sum sum = { 0 };
	int r;

	r = index_walk(&s->index, node, sum_size, &sum);
	if (r < 0)
		return r;
	rec.dir = (enum store_dir)node->dir;
	rec.time_ns = time_now_ns();
	rec.size_bytes = sum.bytes > 0 ? (uint64_t)sum.bytes : 0;
	strcpy(rec.name, node->name);
	if (unlinkat(s->dirfd[rec.dir], rec.name, 0) < 0 && errno != ENOENT)
		return -errno;
	r = index_walk(&s->index, node, forget_file, s);
	return r < 0 ? r : index_append(&s->index, &rec, 1);
}

int store_purge(struct store *s, enum store_dir dir, const char *name)
{
	struct index_node *node;
	int r;

	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	r = store_begin(s);
	if (r < 0)
		return r;
	node = index_find(&s->index, dir, name);
	r = node && node->last ? store_checkpoint(s, true) : -ENOENT;
	if (r == 0) {
		pthread_mutex_lock(&s->memory);
		node = index_find(&s->index, dir, name);
		r = purge_node(s, node);
		if (r == 0 && !s->relaxed)
			r = index_sync(&s->index);
		pthread_mutex_unlock(&s->memory);
	}
	store_end(s);
	if (r == -ENOENT && store_lookup(s, dir, name, NULL) == 0)
		return -EPERM; /* built-in */
	return r;
}

/* A name that lived once only to be renamed: an editor's temporary file. */
static bool is_moved(const struct index_node *node)
{
	return node->flags & NODE_MOVED && !node->live && node->version == 1;
}

static int purge_moved(struct store *s)
{
	struct index *ix = &s->index;
	int r = 0;

	for (size_t i = 0; i < ix->table_size && r == 0; i++) {
		struct index_node *node = ix->table[i];

		if (node && is_moved(node))
			r = purge_node(s, node);
	}
	return r;
}

struct kept {
	uint32_t *at;
	size_t count, capacity;
};

static int keep_history(struct store *s, const struct index_node *node,
			struct kept *kept)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	int r = history_read(s, node, &h);

	if (r < 0)
		return r;
	if (kept->count + h.count > kept->capacity) {
		size_t capacity = 2 * (kept->count + h.count);
		uint32_t *at = reallocarray(kept->at, capacity, sizeof(*at));

		if (!at)
			return -ENOMEM;
		kept->at = at;
		kept->capacity = capacity;
	}
	for (size_t i = 0; i < h.count; i++)
		kept->at[kept->count++] = h.recs[i].at;
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_kept(const struct record *rec, uint32_t at, void *user)
{
	const struct kept *kept = user;

	(void)rec;
	return kept->count > 0 &&
	       bsearch(&at, kept->at, kept->count, sizeof(at), by_offset);
}

static int compact(struct store *s)
{
	struct index *ix = &s->index;
	struct kept kept = { 0 };
	int r = 0;

	for (size_t i = 0; i < ix->table_size && r == 0; i++)
		if (ix->table[i] && ix->table[i]->last)
			r = keep_history(s, ix->table[i], &kept);
	if (r == 0 && kept.at)
		qsort(kept.at, kept.count, sizeof(*kept.at), by_offset);
	if (r == 0)
		r = index_compact(ix, is_kept, &kept);
	free(kept.at);
	return r;
}

/* A draft that nobody holds and nobody wrote for a day is of a process that
 * died long ago. */
static int drop_old_draft(const struct draft_found *f, void *user)
{
	_cleanup_(fd_closep) int fd = -1;
	struct store *s = user;
	struct stat st;

	if (fstatat(s->draftsfd, f->file, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    timespec_ns(&st.st_mtim) > time_now_ns() - DRAFT_AGE_NS)
		return 0;
	fd = openat(s->draftsfd, f->file,
		    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(s->draftsfd, f->file, 0);
	return 0;
}

static bool mostly_dead(const struct index *ix)
{
	return ix->dead >= COMPACT_RECORDS && ix->dead >= ix->records / 2;
}

/* What only an idle store does: a name was renamed away, or the index is
 * mostly dead. */
static bool deep_work(struct store *s)
{
	struct index *ix = &s->index;
	bool work;

	pthread_mutex_lock(&s->memory);
	work = mostly_dead(ix);
	for (size_t i = 0; i < ix->table_size && !work; i++)
		work = ix->table[i] && is_moved(ix->table[i]);
	pthread_mutex_unlock(&s->memory);
	return work;
}

int store_idle(struct store *s)
{
	int r;

	r = store_begin(s);
	if (r < 0)
		return r;
	r = drop_all_excess(s);
	if (r == 0 && (deep_work(s) || !journal_empty(&s->journal))) {
		r = store_checkpoint(s, true);
		if (r == 0)
			r = draft_scan(s, drop_old_draft, s);
		pthread_mutex_lock(&s->memory);
		if (r == 0)
			r = purge_moved(s);
		if (r == 0 && mostly_dead(&s->index))
			r = compact(s);
		pthread_mutex_unlock(&s->memory);
	}
	store_end(s);
	return r;
}
