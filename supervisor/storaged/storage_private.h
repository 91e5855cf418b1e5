#pragma once

/*
 * What the files of storage share. Everyone else includes storage.h.
 */

#include "fs/name.h"
#include "storaged/keys.h"
#include "storaged/limits.h"
#include "storaged/lock.h"
#include "storaged/storage.h"
#include "storaged/stream.h"
#include "storaged/watch.h"

#define SPACE_BUCKETS 4096U

/* One program's storage. Lives while somebody uses it, and a while longer. */
struct space {
	struct space *next; /* of its bucket */
	struct storage *storage;
	char program[NAME_MAX_BYTES + 1];
	struct keys keys;
	struct locks locks;
	struct list watches;
	struct list callers;
	unsigned refs;
	struct list unused; /* in storage->unused, when there is no ref */
	unsigned damages;   /* how often its database was set aside */
	char aside[128];    /* the last time, as what */
	struct list parked; /* calls that wait for room */
};

struct storage {
	struct keys_env env;
	struct streams streams;
	const struct storage_ops *ops;
	void (*report)(const char *text);
	char root[PATH_MAX];
	char keys_path[PATH_MAX], tmp_path[PATH_MAX], data_path[PATH_MAX];
	const char *paths[4];
	int lock_fd;
	uint64_t limit_bytes;
	struct space *buckets[SPACE_BUCKETS];
	struct list unused;
	unsigned n_unused;
	struct mp_writer out; /* of the answer that is being written */
};

struct storage_caller {
	struct storage *storage;
	struct space *space; /* NULL: it has none */
	void *user;
	struct list list;    /* the space's */
	struct list calls;   /* that are not answered */
	struct list watches; /* that it made */
	struct list claims;  /* locks that it waits for or holds */
	struct list ready;   /* of them, those that have something to tell */
	unsigned n_watches, n_claims, n_calls;
	uint64_t last_watch;
	bool blocked; /* its link takes no push now */
	bool paused;
	unsigned damages; /* that it knows of */
	uint64_t inode;	  /* of the stream that it has open; 0: none */
};

enum object_type {
	OBJECT_SPACE,
	OBJECT_LOCK,
};

struct storage_object {
	enum object_type type;
	struct space *space;	      /* a reference */
	struct claim claim;	      /* of a lock */
	struct late *late;	      /* while the lock is waited for */
	struct storage_caller *owner; /* whose lock; NULL: it is gone */
	struct list mine;	      /* in its claims */
};

/* space.c */
int space_get(struct storage *s, const char *program, struct space **ret_space);
void space_put(struct space *sp); /* NULL allowed */
struct space *space_find(struct storage *s, const char *program); /* or NULL */
/* Let those go that nobody uses, but for a few; all when @all. */
void spaces_trim(struct storage *s, bool all);

/* --- a call ------------------------------------------------------------- */

/* One that is being served. Methods read `args`, write answers to `out`. */
struct call {
	struct storage *storage;
	struct storage_caller *caller;
	struct space *space; /* the caller's, for methods that want one */
	struct keys *keys;
	uint32_t cid;
	struct mp_reader args;
	uint32_t n_args; /* not read yet */
	struct mp_bytes raw_args;
	struct mp_bytes name;
	uint64_t deadline_ms;
	struct mp_writer *out;
	uint64_t wait;	/* the answer has to wait for this batch */
	char text[512]; /* of a failure, instead of the errno's */
};

/* A call that is answered later. */
struct late {
	struct list list;	       /* the caller's */
	struct storage_caller *caller; /* NULL: it is gone */
	uint32_t cid;
	struct keys_wait wait; /* for a batch */
	struct mp_writer args; /* the answer, or the call that is parked */
	struct mp_bytes name;  /* of a parked one; in `args` too */
	uint64_t deadline_ms;
	struct list parked;
	struct storage_object *claim; /* for a lock */
	bool stays; /* somebody else calls back: it outlives its caller */
};

/*
 * A method: 0 and its answer in `out`, CALL_LATER when it answers itself, or
 * an error: -EINVAL with `text` set for bad arguments, or what keys.h and its
 * like return.
 */
#define CALL_LATER 1
typedef int (*method_fn)(struct call *c);

struct method {
	const char *name;
	method_fn fn;
	bool keys; /* concerns the keys: is told of damage first */
	bool free; /* needs no storage of its own */
};
extern const struct method keys_methods[], lock_methods[], stream_methods[],
	space_methods[];

/* methods_lock.c */
/* Who waits for a lock is told @error; both are freed. */
void lock_give_up(struct late *l, int error);

/* call.c */
struct late *late_new(struct call *c); /* NULL: no memory */
void late_free(struct late *l);
/* 0 as OK with @args; negative as a failure of @keys' program. Frees it. */
void late_answer(struct late *l, int r, struct mp_bytes args);
void caller_answer(struct storage_caller *c, uint32_t cid, int status,
		   struct mp_bytes args);
void caller_fail(struct storage_caller *c, uint32_t cid, int error,
		 const char *text);
/* Calls that waited for room. */
void calls_resume(struct space *sp);
/* Give what watches have to the link, as far as it takes it. */
void caller_push(struct storage_caller *c);

/* Arguments: what is missing or of a wrong type sets `text`. */
int arg_bytes(struct call *c, const char *what, struct mp_bytes *ret);
int arg_value(struct call *c, struct mp_bytes *ret);
int arg_uint(struct call *c, const char *what, uint64_t *ret);
/* The last: nil, nothing, or a map, whose keys @fn takes. */
typedef int (*option_fn)(struct call *c, struct mp_bytes key,
			 struct mp_reader *value, void *user);
int arg_options(struct call *c, option_fn fn, void *user);
int option_seconds(struct call *c, const char *what, struct mp_reader *value,
		   uint64_t *ret_ms);
int option_bool(struct call *c, const char *what, struct mp_reader *value,
		bool *ret);
int option_uint(struct call *c, const char *what, struct mp_reader *value,
		uint64_t *ret);
int invalid(struct call *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
