#pragma once

/*
 * The index: every event of every name, appended to `.index`, and in memory
 * just enough of it to find a record again.
 *
 * A name costs about 30 bytes and its own length; the rest is read from the
 * file when it is asked for. Records of one name form a chain from the newest
 * back. Readers follow the file by its size and need no lock; appending and
 * compacting happen under the store's lock, which is the caller's. One thread
 * at a time.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/name.h"
#include "fs/record.h"

enum index_node_flags {
	NODE_SYMLINK = 1 << 0, /* its live content is one */
	NODE_REFUSED = 1 << 1, /* a text newer than the live one was refused */
	NODE_CHECK = 1 << 2,   /* may have contents beyond the kept ones */
	NODE_REJECTS = 1 << 3, /* refused texts may be among them */
	NODE_MOVED = 1 << 4,   /* its last event was a rename to another name */
};

/* Owned by the index; valid until the next follow, append or compaction. */
struct index_node {
	uint64_t id; /* of the live content, 0 when there is none */
	uint32_t hash;
	uint32_t last;	  /* offset of the newest record / RECORD_ALIGN, or 0 */
	uint32_t live;	  /* of the live content's record, or 0 */
	uint32_t version; /* the highest so far */
	uint8_t dir;
	uint8_t flags;
	char name[];
};

struct index {
	int rootfd; /* borrowed */
	int fd;
	bool writable;
	bool ids_wanted;
	bool damaged;	   /* its head is none */
	bool lost;	   /* it began empty, or shrank: names may be missing */
	uint64_t tail;	   /* all before it is in memory */
	uint64_t reserved; /* disk space is set aside up to here */
	uint64_t generation; /* changes when offsets lose their meaning */
	atomic_uint_fast64_t max_id; /* read without a lock */
	uint64_t journal_epoch;	     /* of the last journaled record, and ... */
	uint64_t journal_seq;	     /* its number: all up to it are in here */
	uint64_t used_bytes;	     /* of all contents that were not dropped */
	uint64_t records;
	uint64_t dead; /* records that nobody can see any more */
	size_t live_count[DIR_COUNT];
	struct index_node **table; /* open addressing */
	size_t table_size, node_count;
	struct index_node **sorted[DIR_COUNT]; /* live ones, or NULL */
	struct arena_block *arena;
	struct index_id *ids;
	size_t ids_size, ids_count;
};

/* Opens `.index` below @rootfd; makes it where @writable. */
int index_open(struct index *ix, int rootfd, bool writable);
void index_close(struct index *ix);

/* Take in what was appended since; 1 when there was something, else 0. */
int index_follow(struct index *ix);

struct index_node *index_find(struct index *ix, enum store_dir dir,
			      const char *name);
/* The live ones in order; owned by the index. */
int index_sorted(struct index *ix, enum store_dir dir,
		 struct index_node ***ret_nodes, size_t *ret_count);

/* Read the record at @at (offset / RECORD_ALIGN); -EBADMSG if none is. */
int index_record(const struct index *ix, uint32_t at, struct record *ret_rec);
/* By content id, or with @draft the last one made from a draft. -ENOENT. The
 * first use reads the whole index. */
int index_find_id(struct index *ix, uint64_t id, bool draft,
		  struct record *ret_rec);

/* Walk a name's records from the newest back. A callback that returns
 * non-zero ends it with that value. */
typedef int (*index_walk_fn)(const struct record *rec, uint32_t at, void *user);
int index_walk(const struct index *ix, const struct index_node *node,
	       index_walk_fn fn, void *user);
/* Walk all records from offset @from on, in the order of their time. */
int index_scan(const struct index *ix, uint64_t from, index_walk_fn fn,
	       void *user);

/* Under the lock. Set space aside for @size more bytes: -ENOSPC now rather
 * than in the middle of a publication. */
int index_reserve(struct index *ix, size_t size);
/* Under the lock, after index_follow(). Appends, and fills in @prev. */
int index_append(struct index *ix, struct record *recs, size_t count);
/* Under the lock, after index_follow(): cut what is no record off the end.
 * A larger loss is first copied to `.index.damaged`. */
int index_settle(struct index *ix);
/* Under the lock, with an empty journal: rewrite the file with those records
 * only for which @keep says so. */
typedef bool (*index_keep_fn)(const struct record *rec, uint32_t at,
			      void *user);
int index_compact(struct index *ix, index_keep_fn keep, void *user);

int index_sync(struct index *ix);

/* index_memory.c, for index.c only: start again; take one record in, the only
 * thing that changes the memory; where an id's record is, or 0. */
void index_forget(struct index *ix);
int index_apply(struct index *ix, const struct record *rec, uint32_t at);
uint32_t index_at_id(const struct index *ix, uint64_t id, bool draft);
