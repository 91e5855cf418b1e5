#pragma once

/*
 * Watches: who wants to know of changes to the keys below a prefix.
 *
 * What changed waits here until its watcher takes it, each key once with its
 * newest state. A watcher that is slow therefore misses what a key was in
 * between, never that it changed. Memory is bounded: values over
 * STORAGE_WATCH_BYTES are left out (the watcher gets them itself), and when
 * the keys are more than STORAGE_WATCH_KEYS or their bytes over that limit,
 * all are dropped and the watcher is told to look at everything again.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "storaged/hash.h"
#include "storaged/value.h"

struct pending;

struct watch {
	struct list list; /* of the watches of one program's keys */
	void *user;	  /* the watcher */
	struct blob *prefix;
	bool lost; /* tell that everything may have changed */
	struct list queue;
	struct pending **buckets;
	size_t n_buckets, count;
	size_t key_bytes, value_bytes;
	const struct hash_seed *seed; /* borrowed */
};

enum watch_state {
	WATCH_SET,   /* the value follows */
	WATCH_GONE,  /* removed, or expired */
	WATCH_LARGE, /* set; the value is to be got */
};

/* The list is the caller's to join. */
int watch_new(struct mp_bytes prefix, const struct hash_seed *seed, void *user,
	      struct watch **ret_watch);
struct watch *watch_free(struct watch *w); /* leaves its list; NULL allowed */

/* A key changed: true when the watch has something to tell now, and had
 * nothing before. */
bool watch_changed(struct watch *w, struct mp_bytes key, uint64_t version,
		   struct blob *value);
/* Everything may have: likewise. */
bool watch_lose(struct watch *w);

bool watch_has(const struct watch *w);
/*
 * Write what there is to tell, and forget it: an array of lost (bool), and for
 * each key four items: key, version, state (WATCH_…), value (nil unless
 * WATCH_SET). Stops after about @limit_bytes, or STORAGE_LIST_MAX keys.
 */
void watch_take(struct watch *w, size_t limit_bytes, struct mp_writer *to);
