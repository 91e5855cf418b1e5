#pragma once

/*
 * Named locks of one program: exclusive or shared, fair, with a time-out.
 *
 * Claims are served in the order in which they came: a shared one does not
 * pass an exclusive one that waits. Whoever waits or holds gives the claim up
 * by lock_release(), at any time and in any state; the next are granted
 * before it returns.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "storaged/hash.h"

#define LOCK_BUCKETS 64U

struct lock;

/* Of one program. */
struct locks {
	struct ev_loop *loop;
	const struct hash_seed *seed; /* borrowed */
	struct lock *buckets[LOCK_BUCKETS];
	unsigned count;
};

/* One who wants or has it; embedded in the caller's own struct. */
struct claim {
	struct list list; /* the lock's holders, or its waiters */
	struct lock *lock;
	bool shared, held;
	uint64_t since_ms; /* clock_boot_ms() of the last change of `held` */
	ev_timer timeout;
	/* It is held now. Not called from within lock_claim(). */
	void (*granted)(struct claim *c);
	/* It was waited for long enough; the claim is given up. */
	void (*timed_out)(struct claim *c);
};

void locks_init(struct locks *l, struct ev_loop *loop,
		const struct hash_seed *seed);
/* Nothing is claimed any more. */
void locks_deinit(struct locks *l);

/*
 * @c has its callbacks and `shared`. True: held at once. Else it waits, at
 * most @wait_ms; with 0 it does not: -EBUSY. -EINVAL for a bad name, -ENOMEM.
 */
int lock_claim(struct locks *l, struct mp_bytes name, uint64_t wait_ms,
	       struct claim *c);
#define LOCK_HELD  1
#define LOCK_WAITS 0
void lock_release(struct claim *c);

/* For people. */
struct mp_bytes lock_name(const struct lock *l);
/* Holders first, then who waits, in order. */
typedef int (*lock_each_fn)(const struct claim *c, void *user);
int locks_each(struct locks *l, lock_each_fn fn, void *user);
