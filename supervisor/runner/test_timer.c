/*
 * The heap of timers.
 */

#include "runner/timer.h"

#include <stdlib.h>

#include "base/tap.h"

#define N 500

static struct timer timers[N];
static uint64_t last_ns;
static unsigned n_due;
static bool in_order;

static void on_due(struct timer *t)
{
	in_order = in_order && t->due_ns >= last_ns && !t->active;
	last_ns = t->due_ns;
	n_due++;
}

static void reset(void)
{
	for (int i = 0; i < N; i++)
		timer_init(&timers[i], on_due);
	last_ns = n_due = 0;
	in_order = true;
}

/* Verify that timers are due in the order of their times, up to now. */
static void test_order(void)
{
	reset();
	CHECK_EQ(timer_earliest(), TIMER_NEVER);
	for (int i = 0; i < N; i++)
		timer_start(&timers[i], (uint64_t)(i * 7919 % N) + 10);
	CHECK_EQ(timer_earliest(), 10);
	timer_run(9);
	CHECK_EQ(n_due, 0);
	timer_run(10 + N / 2);
	CHECK_EQ(n_due, N / 2 + 1);
	timer_run(UINT64_MAX - 1);
	CHECK_EQ(n_due, N);
	CHECK(in_order);
	CHECK_EQ(timer_earliest(), TIMER_NEVER);
}

/* Verify that any can be stopped and started again, wherever it is in the
 * heap: each is due once, at its last time. */
static void test_stop_and_restart(void)
{
	unsigned expected = 0;

	srand(7);
	reset();
	for (int i = 0; i < 20 * N; i++) {
		struct timer *t = &timers[rand() % N];

		if (rand() % 3 == 0)
			timer_stop(t);
		else
			timer_start(t, last_ns + 1 + (uint64_t)rand() % 1000);
		if (i % 50 == 0)
			timer_run(timer_earliest() - 1);
		if (i % 70 == 0)
			timer_run(last_ns + 20);
		CHECK(in_order);
	}
	n_due = 0;
	for (int i = 0; i < N; i++)
		expected += timers[i].active;
	timer_run(UINT64_MAX - 1);
	CHECK_EQ(n_due, expected);
	CHECK(in_order);
}

static struct timer *other;

static void on_due_stop(struct timer *t)
{
	n_due++;
	timer_stop(other);
	timer_start(t, t->due_ns + 100);
}

/* Verify that a callback may stop others that are due, and start itself. */
static void test_callbacks_change_timers(void)
{
	reset();
	timers[0].on_due = on_due_stop;
	other = &timers[1];
	timer_start(&timers[0], 5);
	timer_start(&timers[1], 6);
	timer_run(50);
	CHECK_EQ(n_due, 1);
	CHECK_EQ(timer_earliest(), 105);
	timer_start(&timers[0], TIMER_NEVER);
	CHECK_EQ(timer_earliest(), TIMER_NEVER);
	timer_stop(&timers[0]);
}

int main(void)
{
	RUN(test_order);
	RUN(test_stop_and_restart);
	RUN(test_callbacks_change_timers);
	return tap_done();
}
