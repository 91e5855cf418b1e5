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

struct storage_ops {
	/* None of these frees a caller before it returns. */

	/* @args is a whole array; unless @status is OK, of one message. */
	void (*answer)(void *user, uint32_t cid, int status,
		       struct mp_bytes args);
	/* It is taken in any case. False: no more now, until
	 * storage_writable() says otherwise. */
	bool (*push)(void *user, const char *name, struct mp_bytes args);
	/* Answer with a context that stands for @object, which is the front's
	 * until it gives it to storage_object_free(). */
	void (*hand)(void *user, uint32_t cid, struct storage_object *object);
	/* Answer with a descriptor of the program's stream. */
	void (*file)(void *user, uint32_t cid, const char *program, bool write,
		     uint64_t limit_bytes);
	/* Bring no more calls, or do again. */
	void (*pause)(void *user, bool on);
	/* May this caller have another program's storage? 0 or -EPERM. */
	int (*may_open)(void *user, const char *program);
};

struct storage_options {
	struct ev_loop *loop;
	const char *store_path; /* the root of the store */
	size_t cache_bytes;	/* 0: STORAGE_CACHE_BYTES */
	uint64_t limit_bytes;	/* of a program; 0: STORAGE_KEYS_BYTES */
	const struct storage_ops *ops;
	/* One line for the log of the daemon. */
	void (*report)(const char *text);
};

/* life: -EBUSY when another one serves this store */
int storage_open(const struct storage_options *options,
		 struct storage **ret_storage);
/* Commit everything and close. No caller is left. */
struct storage *storage_close(struct storage *s);

/* The directories that it reads and writes, for confinement: ends with NULL;
 * owned by the storage. */
const char *const *storage_paths(const struct storage *s);

/* callers: of program @program, NULL for one that has no storage */
int storage_caller_new(struct storage *s, const char *program, void *user,
		       struct storage_caller **ret_caller);
/* One whose link is to what @o stands for: another program's storage, or a
 * lock, which answers nothing. */
int storage_caller_on(struct storage *s, struct storage_object *o, void *user,
		      struct storage_caller **ret_caller);
/* Its link is closed: answers nobody any more. NULL allowed. */
struct storage_caller *storage_caller_free(struct storage_caller *c);

/* @args is a whole array. @deadline_ms: CLOCK_MONOTONIC, 0: none. */
void storage_call(struct storage_caller *c, uint32_t cid, struct mp_bytes name,
		  struct mp_bytes args, uint64_t deadline_ms);
void storage_cancel(struct storage_caller *c, uint32_t cid);
void storage_writable(struct storage_caller *c);

/* Nobody holds the context any more: a lock is free, for one. */
void storage_object_free(struct storage_object *o);
