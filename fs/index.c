/* The store's memory, step 2: where each name's newest record stands. */

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

#define ARENA_BYTES (16U << 10)
struct arena_block {
	struct arena_block *next;
	size_t used;
	_Alignas(8) char bytes[ARENA_BYTES - 16];
};

struct index_id {
	uint64_t key; /* id, top bit for a draft's; 0: empty */
	uint32_t at;
};
#define DRAFT_KEY (1ULL << 63)

static uint32_t hash_name(enum store_dir dir, const char *name)
{
	uint32_t h = 2166136261U ^ (uint32_t)dir;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619U;
	return h ^ h >> 15;
}

static void forget(struct index *ix)
{
	for (struct arena_block *b = ix->arena, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	for (size_t i = 0; i < DIR_COUNT; i++) {
		free(ix->sorted[i]);
		ix->sorted[i] = NULL;
		ix->live_count[i] = 0;
	}
	free(ix->table);
	free(ix->ids);
	ix->arena = NULL;
	ix->table = NULL;
	ix->ids = NULL;
	ix->table_size = ix->node_count = 0;
	ix->ids_size = ix->ids_count = 0;
	ix->used_bytes = ix->records = ix->dead = 0;
	ix->tail = HEAD_BYTES;
	ix->reserved = 0;
	ix->damaged = false;
	ix->generation++;
}

static struct index_node *new_node(struct index *ix, size_t name_size)
{
	size_t size = offsetof(struct index_node, name) + name_size + 1;
	struct arena_block *b = ix->arena;
	struct index_node *node;

	size = (size + 7) & ~(size_t)7;
	if (!b || b->used + size > sizeof(b->bytes)) {
		b = malloc(sizeof(*b));
		if (!b)
			return NULL;
		b->next = ix->arena;
		b->used = 0;
		ix->arena = b;
	}
	node = (struct index_node *)(void *)(b->bytes + b->used);
	b->used += size;
	memset(node, 0, size);
	return node;
}

static int grow_table(struct index *ix)
{
	size_t size = ix->table_size ? ix->table_size * 2 : 64;
	struct index_node **table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < ix->table_size; i++) {
		struct index_node *node = ix->table[i];
		size_t at;

		if (!node)
			continue;
		at = node->hash & (size - 1);
		while (table[at])
			at = (at + 1) & (size - 1);
		table[at] = node;
	}
	free(ix->table);
	ix->table = table;
	ix->table_size = size;
	return 0;
}

/* Where @name is, or the free slot where it would be. */
static struct index_node **slot_of(struct index *ix, enum store_dir dir,
				   const char *name, uint32_t hash)
{
	size_t mask = ix->table_size - 1, at = hash & mask;

	for (; ix->table[at]; at = (at + 1) & mask) {
		struct index_node *node = ix->table[at];

		if (node->hash == hash && node->dir == dir &&
		    strcmp(node->name, name) == 0)
			break;
	}
	return &ix->table[at];
}

struct index_node *index_find(struct index *ix, enum store_dir dir,
			      const char *name)
{
	if (!ix->table)
		return NULL;
	return *slot_of(ix, dir, name, hash_name(dir, name));
}

static int find_or_add(struct index *ix, enum store_dir dir, const char *name,
		       struct index_node **ret_node)
{
	uint32_t hash = hash_name(dir, name);
	struct index_node **slot;
	int r;

	if (ix->node_count + 1 > ix->table_size / 4 * 3) {
		r = grow_table(ix);
		if (r < 0)
			return r;
	}
	slot = slot_of(ix, dir, name, hash);
	if (!*slot) {
		struct index_node *node = new_node(ix, strlen(name));

		if (!node)
			return -ENOMEM;
		node->hash = hash;
		node->dir = (uint8_t)dir;
		strcpy(node->name, name);
		*slot = node;
		ix->node_count++;
	}
	*ret_node = *slot;
	return 0;
}

static struct index_id *id_slot(struct index_id *ids, size_t size, uint64_t key)
{
	size_t at = (key * 0x9e3779b97f4a7c15ULL >> 20) & (size - 1);

	while (ids[at].key && ids[at].key != key)
		at = (at + 1) & (size - 1);
	return &ids[at];
}

/* @at 0 says that the content is gone. */
static int set_id(struct index *ix, uint64_t key, uint32_t at)
{
	struct index_id *slot;

	if (ix->ids_count + 1 > ix->ids_size / 4 * 3) {
		size_t size = ix->ids_size ? ix->ids_size * 2 : 256;
		struct index_id *ids = calloc(size, sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		for (size_t i = 0; i < ix->ids_size; i++)
			if (ix->ids[i].key)
				*id_slot(ids, size, ix->ids[i].key) =
					ix->ids[i];
		free(ix->ids);
		ix->ids = ids;
		ix->ids_size = size;
	}
	slot = id_slot(ix->ids, ix->ids_size, key);
	if (!slot->key)
		ix->ids_count++;
	slot->key = key;
	slot->at = at;
	return 0;
}

static int note_ids(struct index *ix, const struct index_node *node,
		    const struct record *rec, uint32_t at)
{
	int r = 0;

	if (!ix->ids_wanted)
		return 0;
	if (rec->type == RECORD_DROPPED)
		return set_id(ix, rec->id, 0);
	if (rec->type != RECORD_PUBLISHED && rec->type != RECORD_REJECTED)
		return 0;
	if (rec->flags & RECORD_REPLACES && node->id && node->id != rec->id)
		r = set_id(ix, node->id, 0);
	if (r == 0)
		r = set_id(ix, rec->id, at);
	if (r == 0)
		r = set_id(ix, rec->draft_id | DRAFT_KEY, at);
	return r;
}

static void set_live(struct index *ix, struct index_node *node, uint32_t at,
		     uint64_t id)
{
	if (!node->live != !at) {
		free(ix->sorted[node->dir]);
		ix->sorted[node->dir] = NULL;
		ix->live_count[node->dir] += at ? 1 : (size_t)-1;
	}
	node->live = at;
	node->id = id;
}

static void subtract(struct index *ix, uint64_t bytes)
{
	ix->used_bytes -= bytes < ix->used_bytes ? bytes : ix->used_bytes;
}

static void apply_published(struct index *ix, struct index_node *node,
			    const struct record *rec, uint32_t at)
{
	struct record old;

	if (node->live)
		ix->dead +=
			(rec->flags & (RECORD_TOUCHED | RECORD_REPLACES)) > 0;
	if (rec->flags & RECORD_REPLACES && node->live &&
	    index_record(ix, node->live, &old) == 0)
		subtract(ix, old.size_bytes);
	if (!(rec->flags & RECORD_TOUCHED)) {
		ix->used_bytes += rec->size_bytes;
		node->flags = NODE_CHECK;
	}
	if (rec->target[0])
		node->flags |= NODE_SYMLINK;
	if (rec->version > node->version)
		node->version = (uint32_t)rec->version;
	set_live(ix, node, at, rec->id);
}

/* One record more: the only place where the memory changes. */
static int apply(struct index *ix, const struct record *rec, uint32_t at)
{
	struct index_node *node;
	int r;

	r = find_or_add(ix, rec->dir, rec->name, &node);
	if (r < 0)
		return r;
	r = note_ids(ix, node, rec, at);
	if (r < 0)
		return r;

	ix->records++;
	node->last = at;
	switch (rec->type) {
	case RECORD_PUBLISHED:
		apply_published(ix, node, rec, at);
		break;
	case RECORD_REJECTED:
		node->flags |= NODE_CHECK | NODE_REFUSED;
		ix->used_bytes += rec->size_bytes;
		break;
	case RECORD_REMOVED:
		set_live(ix, node, 0, 0);
		node->flags = NODE_CHECK;
		if (rec->flags & RECORD_MOVED)
			node->flags |= NODE_MOVED;
		break;
	case RECORD_DROPPED:
		subtract(ix, rec->size_bytes);
		ix->dead += 2;
		break;
	case RECORD_PURGED:
		subtract(ix, rec->size_bytes);
		ix->dead += 2;
		set_live(ix, node, 0, 0);
		node->last = node->version = 0;
		node->flags = 0;
		break;
	}
	if (rec->id > ix->max_id)
		ix->max_id = rec->id;
	if (rec->journal_epoch) {
		ix->journal_epoch = rec->journal_epoch;
		ix->journal_seq = rec->journal_seq;
	}
	return 0;
}

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

static int on_followed(const struct record *rec, uint32_t at, void *user)
{
	return apply(user, rec, at);
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
	struct stat st;
	int r;

	if (fstat(ix->fd, &st) < 0)
		return -errno;
	if (st.st_nlink == 0 || (uint64_t)st.st_size < ix->tail) {
		if (st.st_nlink > 0)
			ix->lost = true;
		r = reload(ix);
		if (r < 0)
			return r;
		if (fstat(ix->fd, &st) < 0)
			return -errno;
	}
	if ((uint64_t)st.st_size <= ix->tail || ix->damaged)
		return 0;

	r = read_records(ix, ix->tail, (uint64_t)st.st_size, on_followed, ix,
			 &end);
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

static int by_name(const void *a, const void *b)
{
	const struct index_node *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int index_sorted(struct index *ix, enum store_dir dir,
		 struct index_node ***ret_nodes, size_t *ret_count)
{
	size_t count = ix->live_count[dir], n = 0;
	struct index_node **list;

	if (!ix->sorted[dir]) {
		list = malloc((count + 1) * sizeof(struct index_node *));
		if (!list)
			return -ENOMEM;
		for (size_t i = 0; i < ix->table_size && n < count; i++) {
			struct index_node *node = ix->table[i];

			if (node && node->dir == dir && node->live)
				list[n++] = node;
		}
		qsort(list, n, sizeof(*list), by_name);
		ix->sorted[dir] = list;
	}
	*ret_nodes = ix->sorted[dir];
	*ret_count = count;
	return 0;
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
	uint64_t key = draft ? id | DRAFT_KEY : id;
	struct index_id *slot;
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
	if (id == 0 || id >> STORE_ID_BITS || ix->ids_count == 0)
		return -ENOENT;
	slot = id_slot(ix->ids, ix->ids_size, key);
	if (!slot->key || !slot->at)
		return -ENOENT;
	return index_record(ix, slot->at, ret_rec);
}

int index_walk(const struct index *ix, const struct index_node *node,
	       index_walk_fn fn, void *user)
{
	uint64_t at = node->last;
	struct record rec;
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
		r = apply(ix, &recs[i], (uint32_t)(offsets[i] / RECORD_ALIGN));
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
	struct stat st;
	int r;

	if (fstat(ix->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size == ix->tail && !ix->damaged)
		return 0;
	ix->lost = true;
	if (ix->damaged || (uint64_t)st.st_size > ix->tail + TORN_BYTES) {
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
