#pragma once

/*
 * What the files of storage share. Everyone else includes storage.h.
 */

#include "fs/name.h"
#include "storaged/keys.h"
#include "storaged/limits.h"
#include "storaged/lock.h"
#include "storaged/pin.h"
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
	struct list streams; /* objects */
	struct list callers;
	unsigned refs;
	struct list unused; /* in storage->unused, when there is no ref */
	unsigned damages;   /* how often its database was set aside */
	char aside[128];    /* the last time, as what */
	bool owner_known;
	uint64_t owner_ns;  /* whose it is: since when; 0: the first one's */
	struct list parked; /* calls that wait for room */
};

struct storage {
	struct keys_env env;
	struct streams streams;
	struct pins pins;
	const struct storage_ops *ops;
	void *front;
	struct list callers; /* all */
	void (*report)(const char *text);
	char root[PATH_MAX];
	char keys_path[PATH_MAX], tmp_path[PATH_MAX], data_path[PATH_MAX];
	char owners_path[PATH_MAX], orphans_path[PATH_MAX];
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
	struct list all;
	struct space *space; /* NULL: it has none */
	void *user;
	struct list list;    /* the space's */
	bool own;	     /* it is that of its process */
	struct list calls;   /* that are not answered */
	struct list objects; /* that were handed to it */
	unsigned n_objects;
	struct storage_object *on; /* what it holds; NULL: a storage */
	unsigned damages;	   /* that it knows of */
	uint64_t since_ns;	   /* 0: it is no other program's heir */
	bool other; /* has another program's storage, by policy */
};

enum object_type {
	OBJECT_SPACE,
	OBJECT_LOCK,
	OBJECT_WATCH,
	OBJECT_STREAM,
};

struct storage_object {
	enum object_type type;
	struct space *space;	      /* a reference; NULL: none yet */
	struct storage_caller *owner; /* whom it counts for; NULL: is gone */
	struct list mine;	      /* in its objects */
	void *front;
	bool other;	     /* a storage that is not the caller's own */
	struct late *late;   /* who waits for the lock, or for a change */
	struct claim claim;  /* of a lock */
	struct watch *watch; /* owned */
	struct list streams; /* of the space's open streams */
	uint64_t inode;	     /* of the stream */
};

/* space.c */
int space_get(struct storage *s, const char *program, struct space **ret_space);
void space_put(struct space *sp); /* NULL allowed */
struct space *space_find(struct storage *s, const char *program); /* or NULL */
/* Let those go that nobody uses, but for a few; all when @all. */
void spaces_trim(struct storage *s, bool all);

/* owner.c */
/*
 * Whoever is the program of that name since @since_ns comes to a storage: what
 * an older one left is set aside. -EBUSY: one of those still has it open;
 * -ESTALE: it is a newer one's already.
 */
int space_claim(struct space *sp, uint64_t since_ns);
/* Take back what was set aside as @number; 0: the last that was. -EEXIST when
 * something is there, -ENOENT. Nobody has it open. */
int space_adopt(struct space *sp, uint64_t number);

/* --- a call ------------------------------------------------------------- */

/* One that is being served. Methods read `args`, write answers to `out`. */
struct call {
	struct storage *storage;
	struct storage_caller *caller;
	struct space *space; /* the caller's, for methods that want one */
	struct keys *keys;
	void *request;
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
	struct storage *storage;
	void *request;
	struct keys_wait wait; /* for a batch */
	struct mp_writer args; /* the answer, or the call that is parked */
	struct mp_bytes name;  /* of a parked one; in `args` too */
	uint64_t deadline_ms;
	struct list parked;
	struct storage_object *object; /* a lock or a watch: for that */
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
	space_methods[], admin_methods[];
extern const struct method watch_methods[]; /* of one who holds a watch */

/* methods_space.c */
/* By others than this caller. */
bool space_in_use(const struct storage_caller *c);
/* What space_claim() said, for people. */
int owner_refuses(struct call *c, int r);

/* methods_lock.c */
/* Who waits for a lock is told @error; both are freed. */
void lock_give_up(struct late *l, int error);

/* methods_watch.c */
int keys_watch(struct call *c);
/* The watch has something to tell. */
void watch_tell(struct watch *w);

/* storage.c */
/* For the caller of @c, counted as its own. -EMFILE: it has enough. */
int object_new(struct call *c, enum object_type type,
	       struct storage_object **ret_object);

/* call.c */
struct late *late_new(struct call *c); /* NULL: no memory */
void late_free(struct late *l);
/* 0 as OK with @args; negative as a failure. Frees it. */
void late_answer(struct late *l, int r, struct mp_bytes args);
/* Calls that waited for room. */
void calls_resume(struct space *sp);
/* Nobody waits for their answers any more. */
void calls_forget(struct storage_caller *c);

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
