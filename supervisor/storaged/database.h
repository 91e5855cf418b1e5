#pragma once

/*
 * The record: one program's keys in one SQLite file, in WAL mode.
 *
 * A struct database is one connection: the main thread reads through one, a
 * worker writes through another, each used by one thread at a time. Readable
 * with sqlite3(1) while both are open; man/thox-storaged.8 documents the schema:
 *
 *	keys (key BLOB PRIMARY KEY, value ANY, version INTEGER, expires INTEGER)
 *	storage (program, version, bytes, count, skew_ms, boot)	-- one row
 *
 * Values lie as SQLite's own integers, reals and texts where they are such,
 * all others as MessagePack in a BLOB.
 *
 * Errors: -ENOENT no such file (or one that was never finished), -EBADMSG the
 * file is damaged, -EPROTONOSUPPORT it is a newer thox's, -ENOSPC disk full,
 * -EBUSY somebody else holds its lock, -ENOMEM, -EROFS, -EIO the rest.
 * database_reason() then has SQLite's words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"
#include "storaged/clock.h"
#include "storaged/value.h"

#define DATABASE_VERSION 1

struct database;

/* The one row of `storage`. */
struct database_meta {
	uint64_t version; /* no version above it was ever told to anybody */
	uint64_t bytes;	  /* keys, values and STORAGE_KEY_OVERHEAD for each */
	uint64_t count;
	int64_t skew_ms; /* the wall clock that `expires` is meant by: ... */
	char boot[CLOCK_BOOT_ID_BYTES]; /* ... clock_skew_ms() of this boot */
};

struct database_row {
	struct mp_bytes key;   /* both valid until the next call, or, in a */
	struct mp_bytes value; /* callback, until it returns */
	uint64_t version;
	int64_t expires_ms; /* wall clock; 0: never */
};

/* One key's change. The key's bytes belong to whoever made the batch. */
struct change {
	struct mp_bytes key;
	struct blob *value; /* NULL: removed */
	uint64_t version;
	int64_t expires_ms;
	void *user;
	bool sync;
	bool replaces; /* it is probably there; only faster when it is so */
};

/* What one transaction writes; immutable while a worker has it. */
struct batch {
	struct change *changes;
	size_t count, capacity;
	size_t bytes;
	size_t written; /* of the changes, so many, by database_begin() */
	uint64_t serial;
	int64_t shift_ms; /* move all older `expires` by this first */
	struct database_meta meta;
};

/* life; a writer makes the file where there is none */
int database_open(const char *path, const char *program, bool writer,
		  struct database **ret_db);
struct database *database_close(struct database *db); /* NULL allowed */
/* Of the calling thread's last failure in here. */
const char *database_reason(void);

/* reading */
int database_meta(struct database *db, struct database_meta *ret_meta);
/* 1 and the row, or 0. */
int database_get(struct database *db, struct mp_bytes key,
		 struct database_row *ret_row);
/* In order of keys: not below @from, below @prefix. A callback that returns
 * non-zero ends it with that value. */
typedef int (*database_row_fn)(const struct database_row *row, void *user);
int database_list(struct database *db, struct mp_bytes from,
		  struct mp_bytes prefix, database_row_fn fn, void *user);
/* What expired at @wall_ms, the oldest first. */
int database_due(struct database *db, int64_t wall_ms, unsigned limit,
		 database_row_fn fn, void *user);
/* When the next one after @wall_ms does; 0: none. */
int database_next_due(struct database *db, int64_t wall_ms,
		      int64_t *ret_wall_ms);

/* writing: all of it, synced, or nothing */
int database_commit(struct database *db, const struct batch *b);
/* Write what @b has so far ahead of its commit, which is to be the next thing
 * that is done with @db; or @db is closed, and nothing of it was there. When it
 * fails, nothing was written, and database_commit() may be tried. */
int database_begin(struct database *db, struct batch *b);
/* Move what was committed from the WAL into the file, if it is worth it;
 * @all: also when it is not, and the last one to close then leaves one file
 * alone. What readers are in the way of is left. */
int database_checkpoint(struct database *db, bool all);
bool database_checkpoint_due(const struct database *db);
/* Give free pages back. Takes its time. */
int database_compact(struct database *db);
/* 0, or -EBADMSG. Reads all of it. */
int database_verify(struct database *db);
/* A consistent copy of @db as it is now, into a new file at @path. */
int database_copy(struct database *db, const char *path);

/* Once in a process, before the first open. */
int database_init(void);
