/* Storage, step 8: who has what to himself. */

#include "storaged/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/clock.h"
#include "storaged/limits.h"

/* Lives while somebody holds it or waits for it. */
struct lock {
	struct locks *locks;
	struct lock *next; /* of its bucket */
	struct list holders;
	struct list waiters; /* in the order of their coming */
	unsigned serving;    /* callbacks run: it must not go */
	uint32_t size;
	char name[];
};

void locks_init(struct locks *l, struct ev_loop *loop,
		const struct hash_seed *seed)
{
	memset(l, 0, sizeof(*l));
	l->loop = loop;
	l->seed = seed;
}

void locks_deinit(struct locks *l)
{
	(void)l; /* every claim took its lock along */
}

static struct lock **bucket_of(struct locks *l, const char *name, size_t size)
{
	return &l->buckets[hash_bytes(l->seed, name, size) % LOCK_BUCKETS];
}

static struct lock *find(struct locks *l, struct mp_bytes name)
{
	struct lock *k = *bucket_of(l, name.p, name.size);

	while (k && (k->size != name.size ||
		     memcmp(k->name, name.p, name.size) != 0))
		k = k->next;
	return k;
}

static struct lock *lock_new(struct locks *l, struct mp_bytes name)
{
	struct lock *k = calloc(1, sizeof(*k) + name.size);
	struct lock **bucket;

	if (!k)
		return NULL;
	k->locks = l;
	k->size = (uint32_t)name.size;
	memcpy(k->name, name.p, name.size);
	list_init(&k->holders);
	list_init(&k->waiters);
	bucket = bucket_of(l, name.p, name.size);
	k->next = *bucket;
	*bucket = k;
	l->count++;
	return k;
}

static void lock_free(struct lock *k)
{
	struct lock **at = bucket_of(k->locks, k->name, k->size);

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	k->locks->count--;
	free(k);
}

static bool compatible(const struct lock *k, bool shared)
{
	return list_empty(&k->holders) ||
	       (shared && list_first(&k->holders, struct claim, list)->shared);
}

static void hold(struct lock *k, struct claim *c)
{
	list_remove(&c->list);
	list_append(&k->holders, &c->list);
	c->held = true;
	c->since_ms = clock_boot_ms();
}

/* Let in whoever is first, and those behind who fit with him. */
static void serve(struct lock *k)
{
	k->serving++;
	while (!list_empty(&k->waiters)) {
		struct claim *c = list_first(&k->waiters, struct claim, list);

		if (!compatible(k, c->shared))
			break;
		ev_timer_stop(k->locks->loop, &c->timeout);
		hold(k, c);
		c->granted(c); /* may give up others, and call us again */
	}
	k->serving--;
}

static void leave(struct claim *c)
{
	struct lock *k = steal(&c->lock);

	ev_timer_stop(k->locks->loop, &c->timeout);
	list_remove(&c->list);
	c->held = false;
	serve(k);
	if (!k->serving && list_empty(&k->holders) && list_empty(&k->waiters))
		lock_free(k);
}

static void on_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct claim *c = watcher->data;

	(void)loop;
	(void)events;
	leave(c);
	c->timed_out(c);
}

int lock_claim(struct locks *l, struct mp_bytes name, uint64_t wait_ms,
	       struct claim *c)
{
	struct lock *k;

	if (name.size == 0 || name.size > STORAGE_LOCK_NAME_BYTES)
		return -EINVAL;
	k = find(l, name);
	if (!k)
		k = lock_new(l, name);
	if (!k)
		return -ENOMEM;
	list_init(&c->list);
	c->held = false;
	c->since_ms = clock_boot_ms();
	ev_timer_init(&c->timeout, on_timeout, (double)wait_ms / 1000, 0.);
	c->timeout.data = c;
	if (list_empty(&k->waiters) && compatible(k, c->shared)) {
		c->lock = k;
		hold(k, c);
		return LOCK_HELD;
	}
	if (wait_ms == 0)
		return -EBUSY;
	c->lock = k;
	list_append(&k->waiters, &c->list);
	ev_timer_start(l->loop, &c->timeout);
	return LOCK_WAITS;
}

void lock_release(struct claim *c)
{
	if (c->lock)
		leave(c);
}

struct mp_bytes lock_name(const struct lock *k)
{
	return (struct mp_bytes){ k->name, k->size };
}

static int each_in(struct list *list, lock_each_fn fn, void *user)
{
	struct claim *c, *after;
	int r = 0;

	list_each(c, after, list, list)
	{
		if (r == 0)
			r = fn(c, user);
	}
	return r;
}

int locks_each(struct locks *l, lock_each_fn fn, void *user)
{
	int r = 0;

	for (size_t i = 0; i < LOCK_BUCKETS; i++)
		for (struct lock *k = l->buckets[i]; k && r == 0; k = k->next) {
			r = each_in(&k->holders, fn, user);
			if (r == 0)
				r = each_in(&k->waiters, fn, user);
		}
	return r;
}
