#pragma once

/*
 * One program's keys: memory in front, a database behind.
 *
 * Every call acts on memory at once. What it changed goes to the database in
 * batches, in the order of the calls, each one transaction and one sync:
 * STORAGE_GROUP_MS after the first change, or at the end of the loop's turn
 * when a change was asked to be synced. A batch is committed whole or not.
 *
 * Nobody is told of a synced change before it is safe: a call that made, or
 * saw, one that is not in the database yet says in `wait` which batch its
 * answer has to wait for (keys_wait()). A change without sync may be lost when
 * storaged is killed, or the disk fails, before its batch is committed.
 *
 * Versions count a program's changes. One that was told is never given to
 * another change, not even after a crash.
 *
 * When a commit fails, memory forgets what the database does not have: those
 * who wait are told, and watchers are told to look again.
 *
 * Errors: -ENAMETOOLONG over STORAGE_KEY_BYTES, -EDQUOT over the program's
 * limit, -ENOSPC disk (nearly) full, -EAGAIN too much is on its way to the
 * disk (nothing was done: again when hooks->room() was called), -EDOM, -ERANGE
 * as value_add(), -EBADMSG the database was damaged and set aside
 * (hooks->damaged() was called), -EPROTONOSUPPORT, -EBUSY, -EIO, -ENOMEM.
 */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>

#include "fs/name.h"
#include "storaged/cache.h"
#include "storaged/database.h"
#include "storaged/worker.h"

/* What the keys of all programs share; one in a process. */
struct keys_env {
	struct ev_loop *loop;
	struct cache cache;
	struct workers workers;
	struct list open; /* those with a database open, the oldest use first */
	unsigned n_open;
	unsigned open_max; /* STORAGE_OPEN_MAX */
	struct list due;   /* to be committed at the end of this turn */
	ev_prepare turn;
	ev_idle impatient;     /* keeps the loop turning while some hesitate */
	const void *served;    /* whoever called last */
	double company;	       /* loop time: another one than before did */
	unsigned n_calls;      /* since a batch took off */
	double strangers;      /* loop time: not all of them waited for it */
	const char *directory; /* whose disk it is */
	double room_checked;
	bool full;
};

struct keys_hooks {
	/* A key changed, and may be told of; @value NULL: it is gone. */
	void (*changed)(void *user, struct mp_bytes key, uint64_t version,
			struct blob *value);
	/* What was told before may be wrong. */
	void (*lost)(void *user);
	/* The database was set aside as @path; it starts empty. */
	void (*damaged)(void *user, const char *path, const char *why);
	/* Calls that met -EAGAIN may be tried again. */
	void (*room)(void *user);
};

struct keys_wait {
	struct list list;
	uint64_t serial;
	/* @error 0, or why the batch was not committed. */
	void (*fn)(struct keys_wait *w, int error);
};

struct keys {
	struct keys_env *env;
	const struct keys_hooks *hooks;
	void *user;
	char program[NAME_MAX_BYTES + 1];
	char path[PATH_MAX]; /* of the database */
	uint64_t limit_bytes;

	bool loaded; /* the fields below are true */
	bool absent; /* there is no database yet */
	uint64_t version, bytes, count;
	uint64_t reserved; /* the database knows that versions reach so far */
	int64_t skew_ms;   /* what its `expires` are meant by */

	struct database *reader; /* the loop's */
	struct database *writer; /* the worker's while `busy` */
	struct list opened;	 /* in env->open */

	struct list entries;   /* in memory */
	struct batch *filling; /* NULL: nothing changed */
	struct batch *flying;  /* a worker commits it */
	uint64_t serial;       /* of the batch that is or will be filling */
	uint64_t durable;      /* of the last that was committed */
	struct list waiting;   /* struct keys_wait, in order of serial */
	bool pressed;	       /* somebody met -EAGAIN */
	bool urgent;	       /* the filling one is not to wait */
	unsigned n_urgent;     /* how many want that */
	unsigned expected;     /* how many wanted it the last time */
	uint64_t urgent_ns;    /* since when */
	uint64_t took_ns;      /* the last transaction */
	struct list due;       /* in env->due */
	ev_timer group;
	uint64_t next_due_ms; /* clock_boot_ms() of the next expiry; 0: none */
	ev_timer expiry;

	/* The job of a worker, which owns these while it is `busy`. */
	struct job job;
	bool busy;
	bool closing, compacting; /* what it does besides */
	struct database *retired; /* a reader to be closed */
	int result;		  /* of the transaction */
	int tidied;		  /* of what came after it */
	char job_why[256];

	int damage; /* found; set aside as soon as nobody is in the way */
	char why[256];
	struct keys_wait *compacted; /* who waits for that */
};

int keys_env_init(struct keys_env *env, struct ev_loop *loop,
		  const char *directory, size_t cache_bytes);
/* All keys were closed and deinitialised. */
void keys_env_deinit(struct keys_env *env);

/* A call of @who is served: is he alone? */
static inline void keys_serve(struct keys_env *env, const void *who)
{
	env->n_calls++;
	if (env->served == who)
		return;
	env->served = who;
	env->company = ev_now(env->loop);
}

/* life: touches no file before the first call */
int keys_init(struct keys *k, struct keys_env *env, const char *program,
	      const char *path, const struct keys_hooks *hooks, void *user);
/* Nothing is on its way: may be deinitialised without a loss. */
bool keys_idle(const struct keys *k);
/* Commit what there is and close the database; idle when that is done. */
void keys_close(struct keys *k);
/* No job of it is with a worker. What was not committed is lost. */
void keys_deinit(struct keys *k);

struct keys_value {
	struct blob *value; /* borrowed until the next call; NULL: none */
	uint64_t version;   /* 0 without a value */
	uint64_t ttl_ms;    /* 0: never expires */
	uint64_t wait;	    /* 0: nothing to wait for */
};
int keys_get(struct keys *k, struct mp_bytes key, struct keys_value *ret_value);

/* What must still be so: the key has this version; 0: is not there. */
struct keys_read {
	struct mp_bytes key;
	uint64_t version;
};
struct keys_write {
	struct mp_bytes key;
	struct mp_bytes value; /* value_check()ed; no bytes: remove the key */
	uint64_t ttl_ms;       /* 0: never expires */
};
struct keys_result {
	uint64_t version; /* of the last write; of a conflict: the key's */
	uint64_t wait;
	size_t conflict; /* which of the reads */
	bool existed;	 /* the last write's key, before */
};
#define KEYS_CONFLICT 1
/* All writes, or KEYS_CONFLICT when one of the reads is not so any more. */
int keys_transact(struct keys *k, const struct keys_read *reads, size_t n_reads,
		  const struct keys_write *writes, size_t n_writes, bool sync,
		  struct keys_result *ret_result);
/* Add a number; keeps the time to live. */
int keys_increment(struct keys *k, struct mp_bytes key, struct mp_bytes by,
		   bool sync, struct keys_value *ret_value);

struct keys_row {
	struct mp_bytes key;
	struct mp_bytes value;
	uint64_t version;
	uint64_t ttl_ms;
};
/* The keys that begin with @prefix and are not below @from, in order; those
 * callbacks that return non-zero end it with that value. */
typedef int (*keys_row_fn)(const struct keys_row *row, void *user);
int keys_list(struct keys *k, struct mp_bytes prefix, struct mp_bytes from,
	      keys_row_fn fn, void *user, uint64_t *ret_wait);

/* Call @w->fn when batch @w->serial is committed, or failed. */
void keys_wait(struct keys *k, struct keys_wait *w);
void keys_unwait(struct keys_wait *w);
/* The batch that has everything up to now; 0: all is committed. Commits it
 * at the end of this turn. */
uint64_t keys_flush(struct keys *k);
/* Give free space back; @w->fn when that is done. -EBUSY: under way. */
int keys_compact(struct keys *k, struct keys_wait *w);
/* Forget what the database is and has: it was replaced. Must be idle. */
void keys_forget(struct keys *k);
/* What is stored, for people. */
int keys_stat(struct keys *k, uint64_t *ret_count, uint64_t *ret_bytes);
