#pragma once

/*
 * Storage without a socket: callers, their calls, and what answers them.
 *
 * A caller is whoever is at the other end of one link: its calls concern one
 * program's keys, locks and stream. The front (main.c) brings the calls and
 * takes the answers; storage_ops is what it does for this. Everything happens
 * in the loop's thread, and no call waits: what takes time is answered later.
 *
 * man/thox-storage.7 lists the calls with their arguments and answers.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

struct storage;
struct storage_caller;
struct storage_object; /* what a context stands for that was handed out */

/* A descriptor that goes with a context: of a program's stream. */
struct storage_file {
	const char *program;
	uint64_t inode; /* which file that is */
	bool write;
	uint64_t limit_bytes; /* the file must not grow over it */
};

/*
 * A call is known by what the front calls its request. Each is answered once,
 * by answer() or hand(), also when its caller is gone. None of these frees a
 * caller or an object before it returns, but for close(), which may free its
 * object.
 */
struct storage_ops {
	/* @args is a whole array; unless @status is OK, of one message. */
	void (*answer)(void *request, int status, struct mp_bytes args);
	/* Answer with a context that stands for @object, which is the front's
	 * until it gives it to storage_object_free(); and, unless @file is
	 * NULL, with that. */
	void (*hand)(void *front, void *request, struct storage_object *object,
		     const struct storage_file *file);
	/* What @object stands for is over: its holders lose it. */
	void (*close)(struct storage_object *object);
	/* May this caller have another program's storage? 0 or -EPERM. */
	int (*may_open)(void *front, void *user, const char *program);
	/* May he do @name, which is about all? 0 or -EPERM. NULL: nobody. */
	int (*may_admin)(void *front, void *user, const char *name);
	/* His process; NULL, or 0: not known. */
	int64_t (*pid)(void *user);
};

struct storage_options {
	struct ev_loop *loop;
	const char *store_path; /* the root of the store */
	size_t cache_bytes;	/* 0: STORAGE_CACHE_BYTES */
	uint64_t limit_bytes;	/* of a program; 0: STORAGE_KEYS_BYTES */
	const struct storage_ops *ops;
	void *front; /* what ops get */
	/* One line for the log of the daemon. */
	void (*report)(const char *text);
};

/* life: -EBUSY when another one serves this store */
int storage_open(const struct storage_options *options,
		 struct storage **ret_storage);
/* The end is near: every caller is freed. */
void storage_leave(struct storage *s);
/* Commit everything and close. Neither a caller nor an object is left. */
struct storage *storage_close(struct storage *s);

/* The directories that it reads and writes, for confinement: ends with NULL;
 * owned by the storage. */
const char *const *storage_paths(const struct storage *s);

/* callers: of program @program, NULL for one that has no storage */
int storage_caller_new(struct storage *s, const char *program, void *user,
		       struct storage_caller **ret_caller);
/* From now on his program keeps at most so much; 0: not said. */
void storage_caller_limit(struct storage_caller *c, uint64_t limit_bytes);
/* His program took the name of another one at @since_ns; 0: of none. What that
 * one kept is set aside before his first call is served. */
void storage_caller_since(struct storage_caller *c, uint64_t since_ns);
/* One who holds a context that stands for @o, which has calls. */
int storage_caller_on(struct storage *s, struct storage_object *o, void *user,
		      struct storage_caller **ret_caller);
/* Its link is closed. NULL allowed. */
struct storage_caller *storage_caller_free(struct storage_caller *c);

/* @args is a whole array. @deadline_ms: CLOCK_MONOTONIC, 0: none. Who wants
 * bounds on calls that are not answered sets them himself. */
void storage_call(struct storage_caller *c, void *request, struct mp_bytes name,
		  struct mp_bytes args, uint64_t deadline_ms);
/* Nobody waits for it any more: it is answered soon, if it only waits. */
void storage_cancel(struct storage_caller *c, void *request);

/* Nobody holds the context any more: a lock is free, for one. No caller is on
 * it. */
void storage_object_free(struct storage_object *o);
/* Is it over for whoever had it when it is freed, without a word to anybody? */
bool storage_object_is_lock(const struct storage_object *o);
/* Another program's storage and a watch have calls, a lock and a stream do
 * not. */
bool storage_object_has_calls(const struct storage_object *o);
/* The front's own. */
void storage_object_set(struct storage_object *o, void *front);
void *storage_object_get(const struct storage_object *o);
