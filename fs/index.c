/* The store's memory, step 3: the file of all events, followed and appended. */

#include "fs/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/stat.h"

/*
 * `.index` is a head of 64 bytes and then records. Appending is the only
 * change; compaction makes a new file in its place, which a follower notices
 * by the old one's link count. A record counts from the moment the file's
 * size covers it, so whatever must be true before it (the plain file in its
 * place) is done before it is appended.
 *
 * Offsets are kept in units of RECORD_ALIGN: 4 bytes reach over 32 GiB.
 */
#define INDEX_NAME    ".index"
#define INDEX_NEW     ".index.new"
#define INDEX_DAMAGED ".index.damaged"
#define HEAD_BYTES    64
#define READ_BYTES    (64U << 10)
#define RESERVE_BYTES (256U << 10)
/* A torn append is smaller than this; more than that is somebody's damage. */
#define TORN_BYTES (64U << 10)

static const char head[HEAD_BYTES] = "thoxidx1";

/* Give each complete record of the file from @from to @fn; where it stopped
 * in @ret_end. */
static int read_records(const struct index *ix, uint64_t from, uint64_t end,
			index_walk_fn fn, void *user, uint64_t *ret_end)
{
	_cleanup_(freep) char *buf = NULL;
	size_t capacity = end - from < READ_BYTES ? end - from : READ_BYTES;
	struct record rec;
	int r = 0;

	*ret_end = from;
	if (from >= end)
		return 0;
	if (capacity < RECORD_MAX_BYTES)
		capacity = RECORD_MAX_BYTES;
	buf = malloc(capacity);
	if (!buf)
		return -ENOMEM;

	while (from < end && r == 0) {
		ssize_t n = pread(ix->fd, buf, capacity, (off_t)from), size;
		size_t at = 0;

		if (n < 0)
			return -errno;
		for (; r == 0; at += (size_t)size) {
			size = record_read(&rec, buf + at, (size_t)n - at);
			if (size <= 0)
				break;
			r = fn(&rec, (uint32_t)((from + at) / RECORD_ALIGN),
			       user);
		}
		from += at;
		if (at == 0)
			break;
	}
	*ret_end = from;
	return r;
}

static void forget(struct index *ix)
{
	index_forget(ix);
	ix->tail = HEAD_BYTES;
	ix->reserved = 0;
	ix->damaged = false;
	ix->generation++;
}

static int on_followed(const struct record *rec, uint32_t at, void *user)
{
	return index_apply(user, rec, at);
}

static int open_file(struct index *ix)
{
	int flags = (ix->writable ? O_RDWR | O_CREAT : O_RDONLY) | O_NOFOLLOW |
		    O_CLOEXEC | O_NONBLOCK;
	struct stat st;

	ix->fd = fd_close(ix->fd);
	ix->fd = openat(ix->rootfd, INDEX_NAME, flags, 0600);
	if (ix->fd < 0)
		return -errno;
	if (fstat(ix->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	if (st.st_size == 0 && ix->writable) {
		ix->lost = true;
		if (pwrite(ix->fd, head, sizeof(head), 0) != sizeof(head))
			return -ENOSPC;
	}
	return 0;
}

static int reload(struct index *ix)
{
	char seen[HEAD_BYTES];
	int r;

	forget(ix);
	r = open_file(ix);
	if (r < 0)
		return r;
	if (pread(ix->fd, seen, sizeof(seen), 0) != sizeof(seen) ||
	    memcmp(seen, head, sizeof(head)) != 0)
		ix->damaged = ix->lost = true;
	return 0;
}

int index_follow(struct index *ix)
{
	uint64_t end;
	struct statx st;
	int r;

	r = stat_timeless(ix->fd, &st);
	if (r < 0)
		return r;
	if (st.stx_nlink == 0 || st.stx_size < ix->tail) {
		if (st.stx_nlink > 0)
			ix->lost = true;
		r = reload(ix);
		if (r == 0)
			r = stat_timeless(ix->fd, &st);
		if (r < 0)
			return r;
	}
	if (st.stx_size <= ix->tail || ix->damaged)
		return 0;

	r = read_records(ix, ix->tail, st.stx_size, on_followed, ix, &end);
	if (r < 0)
		return r;
	r = end > ix->tail;
	ix->tail = end;
	return r;
}

int index_open(struct index *ix, int rootfd, bool writable)
{
	int r;

	memset(ix, 0, sizeof(*ix));
	ix->rootfd = rootfd;
	ix->fd = -1;
	ix->writable = writable;
	r = reload(ix);
	if (r == 0)
		r = index_follow(ix);
	if (r < 0)
		index_close(ix);
	return r < 0 ? r : 0;
}

void index_close(struct index *ix)
{
	forget(ix);
	ix->fd = fd_close(ix->fd);
}

int index_record(const struct index *ix, uint32_t at, struct record *ret_rec)
{
	char buf[RECORD_MAX_BYTES];
	ssize_t n;

	n = pread(ix->fd, buf, sizeof(buf), (off_t)at * RECORD_ALIGN);
	if (n < 0)
		return -errno;
	return record_read(ret_rec, buf, (size_t)n) > 0 ? 0 : -EBADMSG;
}

int index_find_id(struct index *ix, uint64_t id, bool draft,
		  struct record *ret_rec)
{
	uint32_t at;
	int r;

	if (!ix->ids_wanted) {
		uint64_t generation = ix->generation;

		ix->ids_wanted = true;
		r = reload(ix);
		if (r == 0)
			r = index_follow(ix);
		ix->generation = generation; /* the same file */
		if (r < 0)
			return r;
	}
	at = index_at_id(ix, id, draft);
	return at ? index_record(ix, at, ret_rec) : -ENOENT;
}

int index_walk(const struct index *ix, const struct index_node *node,
	       index_walk_fn fn, void *user)
{
	uint64_t at = node->last;
	struct record rec = { 0 };
	int r = 0;

	while (at && r == 0) {
		r = index_record(ix, (uint32_t)at, &rec);
		if (r < 0)
			return r;
		/* A chain goes back only, and stays with its name. */
		if (rec.prev / RECORD_ALIGN >= at || rec.dir != node->dir ||
		    strcmp(rec.name, node->name) != 0)
			return -EBADMSG;
		rec.at = (uint32_t)at;
		r = fn(&rec, (uint32_t)at, user);
		at = rec.prev / RECORD_ALIGN;
	}
	return r;
}

int index_scan(const struct index *ix, uint64_t from, index_walk_fn fn,
	       void *user)
{
	uint64_t end;

	if (from < HEAD_BYTES)
		from = HEAD_BYTES;
	return read_records(ix, from, ix->tail, fn, user, &end);
}

int index_reserve(struct index *ix, size_t size)
{
	uint64_t want = ix->tail + size;

	if (want <= ix->reserved)
		return 0;
	if (fallocate(ix->fd, FALLOC_FL_KEEP_SIZE, (off_t)ix->tail,
		      (off_t)(size + RESERVE_BYTES)) < 0) {
		/* Not every file system can; ENOSPC then comes later. */
		if (errno == EOPNOTSUPP)
			return 0;
		if (errno != ENOSPC ||
		    fallocate(ix->fd, FALLOC_FL_KEEP_SIZE, (off_t)ix->tail,
			      (off_t)size) < 0)
			return -errno;
		ix->reserved = want;
		return 0;
	}
	ix->reserved = want + RESERVE_BYTES;
	return 0;
}

/* The chain's end for record @i: an earlier one of the batch, or the node. */
static uint64_t prev_of(struct index *ix, const struct record *recs, size_t i,
			const uint64_t *offsets)
{
	struct index_node *node;

	for (size_t j = i; j-- > 0;)
		if (recs[j].dir == recs[i].dir &&
		    strcmp(recs[j].name, recs[i].name) == 0)
			return recs[j].type == RECORD_PURGED ? 0 : offsets[j];
	node = index_find(ix, recs[i].dir, recs[i].name);
	return node ? (uint64_t)node->last * RECORD_ALIGN : 0;
}

int index_append(struct index *ix, struct record *recs, size_t count)
{
	_cleanup_(freep) char *buf = malloc(count * RECORD_MAX_BYTES);
	_cleanup_(freep) uint64_t *offsets =
		calloc(count + 1, sizeof(uint64_t));
	size_t used = 0;
	ssize_t n;
	int r = 0;

	if (!buf || !offsets)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		offsets[i] = ix->tail + used;
		recs[i].prev = prev_of(ix, recs, i, offsets);
		used += record_write(&recs[i], buf + used);
	}
	n = pwrite(ix->fd, buf, used, (off_t)ix->tail);
	if (n != (ssize_t)used) {
		r = n < 0 ? -errno : -ENOSPC;
		(void)!ftruncate(ix->fd, (off_t)ix->tail);
		return r;
	}
	for (size_t i = 0; i < count && r == 0; i++)
		r = index_apply(ix, &recs[i],
				(uint32_t)(offsets[i] / RECORD_ALIGN));
	ix->tail += used;
	return r;
}

static int keep_damaged(struct index *ix)
{
	_cleanup_(fd_closep) int fd = -1;
	off_t offset = 0;
	ssize_t n;

	fd = openat(ix->rootfd, INDEX_DAMAGED,
		    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	do {
		n = copy_file_range(ix->fd, &offset, fd, NULL, 1U << 30, 0);
	} while (n > 0);
	return n < 0 ? -errno : 0;
}

int index_settle(struct index *ix)
{
	struct statx st;
	int r;

	r = stat_timeless(ix->fd, &st);
	if (r < 0)
		return r;
	if (st.stx_size == ix->tail && !ix->damaged)
		return 0;
	ix->lost = true;
	if (ix->damaged || st.stx_size > ix->tail + TORN_BYTES) {
		r = keep_damaged(ix);
		if (r < 0)
			return r;
	}
	if (ix->damaged && pwrite(ix->fd, head, sizeof(head), 0) < 0)
		return -errno;
	if (ftruncate(ix->fd, (off_t)ix->tail) < 0)
		return -errno;
	ix->reserved = 0;
	ix->damaged = false;
	return 0;
}

struct compaction {
	struct index *from;
	struct index to; /* only to give each record its new prev */
	index_keep_fn keep;
	void *user;
};

static int on_compact(const struct record *rec, uint32_t at, void *user)
{
	struct compaction *c = user;
	struct record copy = *rec;

	if (!c->keep(rec, at, c->user))
		return 0;
	/* What it replaced or touched is not told any more. */
	copy.flags &= ~(unsigned)(RECORD_REPLACES | RECORD_TOUCHED);
	return index_append(&c->to, &copy, 1);
}

int index_compact(struct index *ix, index_keep_fn keep, void *user)
{
	struct compaction c = { .from = ix, .keep = keep, .user = user };
	int r;

	c.to.rootfd = ix->rootfd;
	c.to.fd = openat(ix->rootfd, INDEX_NEW,
			 O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	if (c.to.fd < 0)
		return -errno;
	forget(&c.to);
	r = pwrite(c.to.fd, head, sizeof(head), 0) < 0 ? -errno : 0;
	if (r == 0)
		r = index_scan(ix, 0, on_compact, &c);
	if (r == 0 && fdatasync(c.to.fd) < 0)
		r = -errno;
	if (r == 0 &&
	    renameat(ix->rootfd, INDEX_NEW, ix->rootfd, INDEX_NAME) < 0)
		r = -errno;
	index_close(&c.to);
	if (r < 0) {
		unlinkat(ix->rootfd, INDEX_NEW, 0);
		return r;
	}
	r = reload(ix);
	return r < 0 ? r : index_follow(ix) < 0 ? -EIO : 0;
}

int index_sync(struct index *ix)
{
	return fdatasync(ix->fd) < 0 ? -errno : 0;
}
