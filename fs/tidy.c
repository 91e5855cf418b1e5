/* Looking after the store: renames, times, what may go, what is still right. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/* The index is rewritten when this many records are dead, and more of them
 * dead than alive. */
#define COMPACT_RECORDS 4096U

void store_writer_self(struct store_writer *ret_writer)
{
	_cleanup_(fd_closep) int fd = -1;
	ssize_t n = 0;

	memset(ret_writer, 0, sizeof(*ret_writer));
	ret_writer->uid = getuid();
	ret_writer->pid = getpid();
	fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, ret_writer->command,
			 sizeof(ret_writer->command) - 1);
	if (n > 0 && ret_writer->command[n - 1] == '\n')
		ret_writer->command[n - 1] = '\0';
}

static void text_freep(struct store_text **t)
{
	*t = store_text_free(*t);
}

int store_rename(struct store *s, enum store_dir dir, const char *from,
		 const char *to, bool noreplace,
		 const struct store_writer *writer,
		 struct store_entry *ret_entry)
{
	_cleanup_(text_freep) struct store_text *text = NULL;
	_cleanup_(fd_closep) int fd = -1;
	struct store_change changes[2] = {
		{ .event = STORE_PUBLISHED,
		  .dir = dir,
		  .name = to,
		  .exclusive = noreplace,
		  .writer = *writer },
		{ .event = STORE_REMOVED,
		  .dir = dir,
		  .name = from,
		  .moved = true,
		  .writer = *writer },
	};
	struct store_entry e;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	int r;

	if (!name_valid(to))
		return -EINVAL;
	r = store_lookup(s, dir, from, &e);
	if (r < 0)
		return r;
	if (e.builtin)
		return -EPERM;
	if (strcmp(from, to) == 0)
		return 0;
	if (e.target[0]) {
		changes[0].target = e.target;
	} else {
		r = store_read_id(s, e.id, NULL, &e, &fd);
		if (r == 0)
			r = store_text_from_fd(s, dir, to, fd, &text);
		if (r < 0)
			return r;
		times[1] = e.mtime;
		(void)!futimens(text->fd, times);
		changes[0].text = text;
		changes[0].runtime = e.runtime;
	}
	r = commit_together(s, changes, ARRAY_SIZE(changes));
	if (r == 0 && ret_entry)
		*ret_entry = changes[0].ret_entry;
	return r;
}

int store_touch(struct store *s, enum store_dir dir, const char *name,
		const struct timespec *mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };
	struct index_node *node;
	struct record rec;
	struct stat st;
	int r;

	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	r = store_begin(s);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->memory);
	node = index_find(&s->index, dir, name);
	r = node && node->live ? index_record(&s->index, node->live, &rec)
			       : -ENOENT;
	if (r == 0 &&
	    utimensat(s->dirfd[dir], name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0 &&
	    fstatat(s->dirfd[dir], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0) {
		rec.mtime_ns = timespec_ns(&st.st_mtim);
		rec.flags |= RECORD_TOUCHED;
		rec.journal_epoch = rec.journal_seq = 0;
		r = index_append(&s->index, &rec, 1);
	}
	pthread_mutex_unlock(&s->memory);
	store_end(s);
	return r;
}

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

/* Contents of one name beyond what is kept. */
static int drop_excess(struct store *s, struct index_node *node)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	int r;

	r = history_excess(s, node, &h);
	for (size_t i = 0; r == 0 && i < h.count; i++) {
		struct record rec = h.recs[i];

		r = unlink_content(s, &rec);
		if (r < 0)
			break;
		rec.type = RECORD_DROPPED;
		rec.flags = 0;
		rec.time_ns = time_now_ns();
		rec.target[0] = rec.reason[0] = '\0';
		rec.journal_epoch = rec.journal_seq = 0;
		r = index_append(&s->index, &rec, 1);
	}
	if (r == 0)
		node->flags &= (uint8_t)~NODE_CHECK;
	return r;
}

/* Appending moves no node, so the table may be walked meanwhile. */
static int drop_all_excess(struct store *s)
{
	struct index *ix = &s->index;
	int r = 0;

	pthread_mutex_lock(&s->memory);
	for (size_t i = 0; i < ix->table_size && r == 0; i++)
		if (ix->table[i] && ix->table[i]->flags & NODE_CHECK)
			r = drop_excess(s, ix->table[i]);
	pthread_mutex_unlock(&s->memory);
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
	if (r == 0) {
		qsort(kept.at, kept.count, sizeof(*kept.at), by_offset);
		r = index_compact(ix, is_kept, &kept);
	}
	free(kept.at);
	return r;
}

/* What only an idle store does: a name was renamed away, or the index is
 * mostly dead. */
static bool deep_work(struct store *s)
{
	struct index *ix = &s->index;
	bool work = ix->dead >= COMPACT_RECORDS && ix->dead >= ix->records / 2;

	pthread_mutex_lock(&s->memory);
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
		pthread_mutex_lock(&s->memory);
		if (r == 0)
			r = purge_moved(s);
		if (r == 0 && s->index.dead >= COMPACT_RECORDS &&
		    s->index.dead >= s->index.records / 2)
			r = compact(s);
		pthread_mutex_unlock(&s->memory);
	}
	store_end(s);
	return r;
}

static int verify_content(struct store *s, const struct store_entry *e)
{
	_cleanup_(fd_closep) int fd = -1;
	uint8_t sha256[RECORD_SHA256_BYTES];
	char hex[STORE_SHA256_HEX + 1];
	int r;

	if (e->target[0])
		return 0;
	r = store_read_id(s, e->id, NULL, NULL, &fd);
	if (r == 0)
		r = content_hash(fd, e->size_bytes, sha256);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(sha256); i++)
		snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
	return strcmp(hex, e->sha256) == 0 ? 0 : -EBADMSG;
}

struct verify {
	struct store *s;
	enum store_dir dir;
	const char *name;
	store_verify_fn fn;
	void *user;
};

static int verify_entry(const struct store_entry *e, void *user)
{
	struct verify *v = user;

	if (e->builtin || e->event == STORE_REMOVED)
		return 0;
	/* Of refused texts only the newest is kept. */
	if (e->event == STORE_REJECTED)
		return 0;
	return v->fn(v->dir, v->name, e, verify_content(v->s, e), v->user);
}

/* Names with a past, live or not. */
static int past_names(struct store *s, enum store_dir dir, char ***ret_names,
		      size_t *ret_count)
{
	struct index *ix = &s->index;
	size_t n = 0;
	char **names;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(ix);
	names = r < 0 ? NULL : calloc(ix->node_count + 1, sizeof(char *));
	for (size_t i = 0; names && i < ix->table_size; i++)
		if (ix->table[i] && ix->table[i]->dir == dir &&
		    ix->table[i]->last) {
			names[n] = strdup(ix->table[i]->name);
			n += names[n] != NULL;
		}
	pthread_mutex_unlock(&s->memory);
	if (!names)
		return r < 0 ? r : -ENOMEM;
	*ret_names = names;
	*ret_count = n;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int store_verify(struct store *s, store_verify_fn fn, void *user)
{
	int r = 0;

	for (int i = 0; i < DIR_DATA && r == 0; i++) {
		struct verify v = {
			.s = s, .dir = (enum store_dir)i, .fn = fn, .user = user
		};
		char **names;
		size_t count;

		r = past_names(s, v.dir, &names, &count);
		if (r < 0)
			return r;
		qsort(names, count, sizeof(*names), by_text);
		for (size_t j = 0; j < count; j++) {
			v.name = names[j];
			if (r == 0)
				r = store_log(s, v.dir, v.name, verify_entry,
					      &v);
			if (r == -ENOENT) /* purged meanwhile */
				r = 0;
			free(names[j]);
		}
		free(names);
	}
	return r;
}
