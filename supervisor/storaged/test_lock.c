/* Tests of locks: who is let in, and when. */

#include "storaged/lock.h"

#include "base/tap.h"
#include "base/util.h"
#include "storaged/limits.h"

static struct ev_loop *loop;
static struct hash_seed seed;
static struct locks locks;

struct one {
	struct claim claim;
	unsigned granted, timed_out;
	struct one *gives_up; /* when it is granted */
};

static void on_granted(struct claim *c)
{
	struct one *o = container_of(c, struct one, claim);

	o->granted++;
	if (o->gives_up)
		lock_release(&o->gives_up->claim);
}

static void on_timed_out(struct claim *c)
{
	container_of(c, struct one, claim)->timed_out++;
}

static int want(struct one *o, const char *name, bool shared, uint64_t wait_ms)
{
	memset(o, 0, sizeof(*o));
	o->claim.shared = shared;
	o->claim.granted = on_granted;
	o->claim.timed_out = on_timed_out;
	return lock_claim(&locks, (struct mp_bytes){ name, strlen(name) },
			  wait_ms, &o->claim);
}

static void fresh(void)
{
	if (!loop) {
		loop = ev_loop_new(0);
		if (!loop || hash_seed_init(&seed) < 0)
			abort();
	}
	locks_init(&locks, loop, &seed);
}

/* Verify that one has it alone, and that others come in their order. */
static void test_exclusive_in_order(void)
{
	struct one a, b, c;

	fresh();
	CHECK_EQ(want(&a, "l", false, 1000), LOCK_HELD);
	CHECK_EQ(a.granted, 0);
	CHECK_EQ(want(&b, "l", false, 1000), LOCK_WAITS);
	CHECK_EQ(want(&c, "l", false, 1000), LOCK_WAITS);
	CHECK(a.claim.held && !b.claim.held);
	lock_release(&a.claim);
	CHECK(b.claim.held && !c.claim.held);
	CHECK_EQ(b.granted, 1);
	lock_release(&b.claim);
	CHECK(c.claim.held);
	lock_release(&c.claim);
	CHECK_EQ(locks.count, 0);
}

/* Verify that names are apart, and that a name is any bytes within limits. */
static void test_names(void)
{
	char name[STORAGE_LOCK_NAME_BYTES + 2];
	struct one a, b, c;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	fresh();
	CHECK_EQ(want(&a, "l", false, 0), LOCK_HELD);
	CHECK_EQ(want(&b, "m", false, 0), LOCK_HELD);
	CHECK_EQ(want(&c, "", false, 0), -EINVAL);
	CHECK_EQ(want(&c, name, false, 0), -EINVAL);
	CHECK_EQ(want(&c, name + 1, false, 0), LOCK_HELD);
	CHECK_EQ(locks.count, 3);
	lock_release(&a.claim);
	lock_release(&b.claim);
	lock_release(&c.claim);
	CHECK_EQ(locks.count, 0);
}

/* Verify that shared ones share, and that one who waits for it alone is not
 * passed by those who come later. */
static void test_shared_is_fair(void)
{
	struct one a, b, alone, late, later;

	fresh();
	CHECK_EQ(want(&a, "l", true, 1000), LOCK_HELD);
	CHECK_EQ(want(&b, "l", true, 1000), LOCK_HELD);
	CHECK_EQ(want(&alone, "l", false, 1000), LOCK_WAITS);
	CHECK_EQ(want(&late, "l", true, 1000), LOCK_WAITS);
	CHECK_EQ(want(&later, "l", true, 1000), LOCK_WAITS);
	lock_release(&a.claim);
	CHECK(!alone.claim.held && !late.claim.held);
	lock_release(&b.claim);
	CHECK(alone.claim.held && !late.claim.held);
	lock_release(&alone.claim);
	CHECK(late.claim.held && later.claim.held);
	lock_release(&late.claim);
	lock_release(&later.claim);
	CHECK_EQ(locks.count, 0);
}

/* Verify that one in the middle who gives up lets those behind move on. */
static void test_gives_up_waiting(void)
{
	struct one a, alone, b;

	fresh();
	CHECK_EQ(want(&a, "l", true, 1000), LOCK_HELD);
	CHECK_EQ(want(&alone, "l", false, 1000), LOCK_WAITS);
	CHECK_EQ(want(&b, "l", true, 1000), LOCK_WAITS);
	lock_release(&alone.claim);
	CHECK(b.claim.held);
	CHECK_EQ(alone.granted, 0);
	lock_release(&a.claim);
	lock_release(&b.claim);
	lock_release(&b.claim); /* no more than nothing */
	CHECK_EQ(locks.count, 0);
}

/* Verify that a wait ends with its time, and that the lock goes on. */
static void test_times_out(void)
{
	struct one a, b, c;

	fresh();
	CHECK_EQ(want(&a, "l", false, 0), LOCK_HELD);
	CHECK_EQ(want(&c, "l", false, 0), -EBUSY);
	CHECK_EQ(want(&b, "l", false, 1), LOCK_WAITS);
	ev_now_update(loop);
	while (!b.timed_out)
		ev_run(loop, EVRUN_ONCE);
	CHECK_EQ(b.granted, 0);
	CHECK(b.claim.lock == NULL);
	lock_release(&a.claim);
	CHECK_EQ(locks.count, 0);
}

/* Verify that the next to hold may give others up at once. */
static void test_granted_gives_others_up(void)
{
	struct one a, b, c, d;

	fresh();
	CHECK_EQ(want(&a, "l", false, 1000), LOCK_HELD);
	CHECK_EQ(want(&b, "l", false, 1000), LOCK_WAITS);
	CHECK_EQ(want(&c, "l", false, 1000), LOCK_WAITS);
	CHECK_EQ(want(&d, "l", false, 1000), LOCK_WAITS);
	b.gives_up = &b; /* also itself */
	c.gives_up = &d;
	lock_release(&a.claim);
	CHECK_EQ(b.granted, 1);
	CHECK(c.claim.held);
	CHECK_EQ(d.granted, 0);
	lock_release(&c.claim);
	CHECK_EQ(locks.count, 0);
}

int main(void)
{
	RUN(test_exclusive_in_order);
	RUN(test_names);
	RUN(test_shared_is_fair);
	RUN(test_gives_up_waiting);
	RUN(test_times_out);
	RUN(test_granted_gives_others_up);
	if (loop)
		ev_loop_destroy(loop);
	return tap_done();
}
