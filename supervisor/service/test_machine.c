/*
 * The life of a service: the table is walked cell by cell, then whole stories
 * are told.
 *
 * The machine under test belongs to no service: what it asks for is written
 * down, a word each.
 */

#include "service/machine.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/tap.h"
#include "base/util.h"

#define MS_START  30000
#define MS_STOP	  10000
#define MS_SETTLE 3000

static struct machine m;
static char did[512];
static uint64_t now;
static bool spawn_fails;

static void write_down(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

static void write_down(const char *format, ...)
{
	size_t n = strlen(did);
	va_list args;

	if (n > 0 && n + 1 < sizeof(did))
		did[n++] = ' ';
	va_start(args, format);
	vsnprintf(did + n, sizeof(did) - n, format, args);
	va_end(args);
}

static const char *slot_name(enum machine_slot slot)
{
	return slot == SLOT_MAIN ? "main" : "other";
}

static int on_spawn(struct machine *machine, enum machine_slot slot)
{
	(void)machine;
	write_down("spawn-%s", slot_name(slot));
	return spawn_fails ? -EAGAIN : 0;
}

static void on_terminate(struct machine *machine, enum machine_slot slot)
{
	(void)machine;
	write_down("terminate-%s", slot_name(slot));
}

static void on_kill(struct machine *machine, enum machine_slot slot)
{
	(void)machine;
	write_down("kill-%s", slot_name(slot));
}

static void on_tell_reload(struct machine *machine)
{
	(void)machine;
	write_down("tell-reload");
}

static void on_swap(struct machine *machine)
{
	(void)machine;
	write_down("swap");
}

static void on_reject(struct machine *machine, enum machine_reason why)
{
	(void)machine;
	(void)why;
	write_down("reject");
}

static void on_accept(struct machine *machine)
{
	(void)machine;
	write_down("accept");
}

/* Only that a timer runs matters here, not that one was cleared. */
static uint64_t timers[SLOT_COUNT];

static void on_set_timer(struct machine *machine, enum machine_slot slot,
			 uint64_t ms)
{
	(void)machine;
	timers[slot] = ms + 1;
}

static void on_clear_timer(struct machine *machine, enum machine_slot slot)
{
	(void)machine;
	timers[slot] = 0;
}

static uint64_t on_now(struct machine *machine)
{
	(void)machine;
	return now;
}

static double on_chance(struct machine *machine)
{
	(void)machine;
	return 0.5;
}

static unsigned announced;

static void on_announce(struct machine *machine, enum machine_state from)
{
	(void)machine;
	(void)from;
	announced++;
}

static void on_over_limit(struct machine *machine)
{
	(void)machine;
	write_down("over-limit");
}

static const struct machine_ops ops = {
	.spawn = on_spawn,
	.terminate = on_terminate,
	.kill = on_kill,
	.tell_reload = on_tell_reload,
	.swap = on_swap,
	.reject = on_reject,
	.accept = on_accept,
	.set_timer = on_set_timer,
	.clear_timer = on_clear_timer,
	.now_ms = on_now,
	.chance = on_chance,
	.announce = on_announce,
	.over_limit = on_over_limit,
};

static const struct machine_policy usual = {
	.reload = MACHINE_RELOAD_RESTART,
	.terminate_first = true,
	.start_timeout_ms = MS_START,
	.stop_timeout_ms = MS_STOP,
	.settle_ms = MS_SETTLE,
	.restart = { .when = RESTART_ON_FAILURE,
		     .limit = 3,
		     .limit_ms = 60000,
		     .delay_ms = 100,
		     .max_delay_ms = 1000,
		     .reset_after_ms = 10000,
		     .factor = 2 },
};
static struct machine_policy policy;

static void setup(void)
{
	machine_deinit(&m);
	machine_init(&m, &ops);
	policy = usual;
	m.policy = &policy;
	did[0] = '\0';
	timers[0] = timers[1] = 0;
	now = 1000;
	spawn_fails = false;
	announced = 0;
}

static void send(enum machine_event event)
{
	did[0] = '\0';
	if (event == MACHINE_EV_TIMEOUT)
		timers[SLOT_MAIN] = 0;
	if (event == MACHINE_EV_OTHER_TIMEOUT)
		timers[SLOT_OTHER] = 0;
	machine_handle(&m, event);
}

/* Bring a fresh machine into a state, as its events do. */
static void bring_into(enum machine_state state)
{
	static const struct {
		unsigned n;
		enum machine_event events[5];
	} ways[MACHINE_N_STATES] = {
		[MACHINE_INACTIVE] = { 0, { 0 } },
		[MACHINE_STARTING] = { 1, { MACHINE_EV_START } },
		[MACHINE_RUNNING] = { 2,
				      { MACHINE_EV_START, MACHINE_EV_READY } },
		[MACHINE_RELOADING] = { 3,
					{ MACHINE_EV_START, MACHINE_EV_READY,
					  MACHINE_EV_RELOAD } },
		[MACHINE_SETTLING] = { 4,
				       { MACHINE_EV_START, MACHINE_EV_READY,
					 MACHINE_EV_RELOAD,
					 MACHINE_EV_OTHER_READY } },
		[MACHINE_STOPPING] = { 3,
				       { MACHINE_EV_START, MACHINE_EV_READY,
					 MACHINE_EV_STOP } },
		[MACHINE_BACK_OFF] = { 4,
				       { MACHINE_EV_START, MACHINE_EV_READY,
					 MACHINE_EV_EXIT_FAILED,
					 MACHINE_EV_EXIT_FAILED } },
		/* and a limit of 0 restarts for that */
		[MACHINE_FAILED] = { 3,
				     { MACHINE_EV_START, MACHINE_EV_READY,
				       MACHINE_EV_EXIT_FAILED } },
		[MACHINE_DONE] = { 3,
				   { MACHINE_EV_START, MACHINE_EV_READY,
				     MACHINE_EV_EXIT_OK } },
	};

	setup();
	if (state == MACHINE_FAILED)
		policy.restart.when = RESTART_NEVER;
	for (unsigned i = 0; i < ways[state].n; i++)
		machine_handle(&m, ways[state].events[i]);
	did[0] = '\0';
}

struct cell {
	enum machine_state to;
	const char *does;
};

#define SAME(state)                                                            \
	{                                                                      \
		MACHINE_##state, ""                                            \
	}
#define TO(state, does)                                                        \
	{                                                                      \
		MACHINE_##state, does                                          \
	}

/* What each event does in each state, in full: two tables, written apart, say
 * the same. */
static const struct cell cells[MACHINE_N_STATES][MACHINE_N_EVENTS] = {
	[MACHINE_INACTIVE] = {
		[MACHINE_EV_START] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_STOP] = SAME(INACTIVE),
		[MACHINE_EV_RELOAD] = SAME(INACTIVE),
		[MACHINE_EV_RESET] = SAME(INACTIVE),
		[MACHINE_EV_READY] = SAME(INACTIVE),
		[MACHINE_EV_EXIT_OK] = SAME(INACTIVE),
		[MACHINE_EV_EXIT_FAILED] = SAME(INACTIVE),
		[MACHINE_EV_TIMEOUT] = SAME(INACTIVE),
		[MACHINE_EV_UNHEALTHY] = SAME(INACTIVE),
		[MACHINE_EV_OTHER_READY] = SAME(INACTIVE),
		[MACHINE_EV_OTHER_EXIT] = SAME(INACTIVE),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(INACTIVE),
	},
	[MACHINE_STARTING] = {
		[MACHINE_EV_START] = SAME(STARTING),
		[MACHINE_EV_STOP] = TO(STOPPING, "terminate-main"),
		[MACHINE_EV_RELOAD] = SAME(STARTING), /* and later */
		[MACHINE_EV_RESET] = SAME(STARTING),
		[MACHINE_EV_READY] = SAME(RUNNING),
		[MACHINE_EV_EXIT_OK] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_EXIT_FAILED] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_TIMEOUT] = TO(STOPPING, "terminate-main"),
		[MACHINE_EV_UNHEALTHY] = SAME(STARTING),
		[MACHINE_EV_OTHER_READY] = SAME(STARTING),
		[MACHINE_EV_OTHER_EXIT] = SAME(STARTING),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(STARTING),
	},
	[MACHINE_RUNNING] = {
		[MACHINE_EV_START] = SAME(RUNNING),
		[MACHINE_EV_STOP] = TO(STOPPING, "terminate-main"),
		[MACHINE_EV_RELOAD] = TO(RELOADING, "spawn-other"),
		[MACHINE_EV_RESET] = SAME(RUNNING),
		[MACHINE_EV_READY] = SAME(RUNNING),
		[MACHINE_EV_EXIT_OK] = SAME(DONE),
		[MACHINE_EV_EXIT_FAILED] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_TIMEOUT] = SAME(RUNNING),
		[MACHINE_EV_UNHEALTHY] = TO(STOPPING,
					    "terminate-main kill-main"),
		[MACHINE_EV_OTHER_READY] = SAME(RUNNING),
		[MACHINE_EV_OTHER_EXIT] = SAME(RUNNING),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(RUNNING),
	},
	[MACHINE_RELOADING] = {
		[MACHINE_EV_START] = SAME(RELOADING),
		[MACHINE_EV_STOP] = TO(STOPPING,
				       "terminate-main terminate-other"),
		[MACHINE_EV_RELOAD] = SAME(RELOADING), /* and again */
		[MACHINE_EV_RESET] = SAME(RELOADING),
		[MACHINE_EV_READY] = SAME(RELOADING),
		[MACHINE_EV_EXIT_OK] = TO(STARTING, "swap"),
		[MACHINE_EV_EXIT_FAILED] = TO(STARTING, "swap"),
		[MACHINE_EV_TIMEOUT] = SAME(RELOADING),
		[MACHINE_EV_UNHEALTHY] = TO(RELOADING, "kill-main"),
		[MACHINE_EV_OTHER_READY] = TO(SETTLING, "swap"),
		[MACHINE_EV_OTHER_EXIT] = TO(RUNNING, "reject"),
		[MACHINE_EV_OTHER_TIMEOUT] = TO(RUNNING, "kill-other reject"),
	},
	[MACHINE_SETTLING] = {
		[MACHINE_EV_START] = SAME(SETTLING),
		[MACHINE_EV_STOP] = TO(STOPPING,
				       "terminate-main terminate-other"),
		[MACHINE_EV_RELOAD] = SAME(SETTLING), /* and later */
		[MACHINE_EV_RESET] = SAME(SETTLING),
		[MACHINE_EV_READY] = SAME(SETTLING),
		[MACHINE_EV_EXIT_OK] = TO(RUNNING, "swap reject"),
		[MACHINE_EV_EXIT_FAILED] = TO(RUNNING, "swap reject"),
		[MACHINE_EV_TIMEOUT] = TO(RUNNING, "accept terminate-other"),
		[MACHINE_EV_UNHEALTHY] = TO(SETTLING, "kill-main"),
		[MACHINE_EV_OTHER_READY] = SAME(SETTLING),
		[MACHINE_EV_OTHER_EXIT] = SAME(SETTLING),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(SETTLING),
	},
	[MACHINE_STOPPING] = {
		[MACHINE_EV_START] = SAME(STOPPING), /* and again */
		[MACHINE_EV_STOP] = SAME(STOPPING),
		[MACHINE_EV_RELOAD] = SAME(STOPPING),
		[MACHINE_EV_RESET] = SAME(STOPPING),
		[MACHINE_EV_READY] = SAME(STOPPING),
		[MACHINE_EV_EXIT_OK] = SAME(INACTIVE),
		[MACHINE_EV_EXIT_FAILED] = SAME(INACTIVE),
		[MACHINE_EV_TIMEOUT] = TO(STOPPING, "kill-main"),
		[MACHINE_EV_UNHEALTHY] = SAME(STOPPING),
		[MACHINE_EV_OTHER_READY] = SAME(STOPPING),
		[MACHINE_EV_OTHER_EXIT] = SAME(STOPPING),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(STOPPING),
	},
	[MACHINE_BACK_OFF] = {
		[MACHINE_EV_START] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_STOP] = SAME(INACTIVE),
		[MACHINE_EV_RELOAD] = SAME(BACK_OFF),
		[MACHINE_EV_RESET] = SAME(BACK_OFF),
		[MACHINE_EV_READY] = SAME(BACK_OFF),
		[MACHINE_EV_EXIT_OK] = SAME(BACK_OFF),
		[MACHINE_EV_EXIT_FAILED] = SAME(BACK_OFF),
		[MACHINE_EV_TIMEOUT] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_UNHEALTHY] = SAME(BACK_OFF),
		[MACHINE_EV_OTHER_READY] = SAME(BACK_OFF),
		[MACHINE_EV_OTHER_EXIT] = SAME(BACK_OFF),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(BACK_OFF),
	},
	[MACHINE_FAILED] = {
		[MACHINE_EV_START] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_STOP] = SAME(FAILED),
		[MACHINE_EV_RELOAD] = SAME(FAILED),
		[MACHINE_EV_RESET] = SAME(INACTIVE),
		[MACHINE_EV_READY] = SAME(FAILED),
		[MACHINE_EV_EXIT_OK] = SAME(FAILED),
		[MACHINE_EV_EXIT_FAILED] = SAME(FAILED),
		[MACHINE_EV_TIMEOUT] = SAME(FAILED),
		[MACHINE_EV_UNHEALTHY] = SAME(FAILED),
		[MACHINE_EV_OTHER_READY] = SAME(FAILED),
		[MACHINE_EV_OTHER_EXIT] = SAME(FAILED),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(FAILED),
	},
	[MACHINE_DONE] = {
		[MACHINE_EV_START] = TO(STARTING, "spawn-main"),
		[MACHINE_EV_STOP] = SAME(INACTIVE),
		[MACHINE_EV_RELOAD] = SAME(DONE),
		[MACHINE_EV_RESET] = SAME(DONE),
		[MACHINE_EV_READY] = SAME(DONE),
		[MACHINE_EV_EXIT_OK] = SAME(DONE),
		[MACHINE_EV_EXIT_FAILED] = SAME(DONE),
		[MACHINE_EV_TIMEOUT] = SAME(DONE),
		[MACHINE_EV_UNHEALTHY] = SAME(DONE),
		[MACHINE_EV_OTHER_READY] = SAME(DONE),
		[MACHINE_EV_OTHER_EXIT] = SAME(DONE),
		[MACHINE_EV_OTHER_TIMEOUT] = SAME(DONE),
	},
};

/* Verify that the tables have every cell, and every name. */
static void test_tables_are_total(void)
{
	for (int s = 0; s < MACHINE_N_STATES; s++) {
		CHECK(machine_state_name((enum machine_state)s));
		for (int e = 0; e < MACHINE_N_EVENTS; e++) {
			CHECK(machine_handles((enum machine_state)s,
					      (enum machine_event)e));
			CHECK(cells[s][e].does);
		}
	}
	for (int e = 0; e < MACHINE_N_EVENTS; e++)
		CHECK(machine_event_name((enum machine_event)e));
	for (int r = 0; r < MACHINE_N_REASONS; r++)
		CHECK(machine_reason_text((enum machine_reason)r));
}

/* A process that ends, and one that is to end, has a timer that sees to it;
 * a state that only waits has none. */
static bool timers_fit(void)
{
	switch (m.state) {
	case MACHINE_STARTING:
	case MACHINE_SETTLING:
	case MACHINE_STOPPING:
	case MACHINE_BACK_OFF:
		return timers[SLOT_MAIN];
	default:
		return !timers[SLOT_MAIN];
	}
}

/* Verify each cell: the state that follows, and what was done. */
static void test_each_cell(void)
{
	for (int s = 0; s < MACHINE_N_STATES; s++) {
		for (int e = 0; e < MACHINE_N_EVENTS; e++) {
			const struct cell *c = &cells[s][e];
			unsigned before;

			bring_into((enum machine_state)s);
			CHECK_EQ(m.state, s);
			before = announced;
			send((enum machine_event)e);
			if (m.state != c->to || strcmp(did, c->does) != 0)
				printf("# %s in %s\n",
				       machine_event_name(
					       (enum machine_event)e),
				       machine_state_name(
					       (enum machine_state)s));
			CHECK_EQ(m.state, c->to);
			CHECK_STR(did, c->does);
			CHECK(timers_fit());
			/* Whoever listens hears of every change. */
			CHECK(m.state == (enum machine_state)s ||
			      announced > before);
		}
	}
}

/* Verify that from every state, whatever comes, a stop leads to rest once the
 * processes have ended, and a start out of it again. */
static void test_nothing_is_stuck(void)
{
	for (int s = 0; s < MACHINE_N_STATES; s++) {
		for (int e = 0; e < MACHINE_N_EVENTS; e++) {
			bring_into((enum machine_state)s);
			send((enum machine_event)e);
			send(MACHINE_EV_STOP);
			if (m.present[SLOT_MAIN])
				send(MACHINE_EV_EXIT_FAILED);
			if (m.present[SLOT_OTHER])
				send(MACHINE_EV_OTHER_EXIT);
			CHECK(machine_idle(&m));
			CHECK(!timers[SLOT_MAIN] && !timers[SLOT_OTHER]);
			send(MACHINE_EV_START);
			CHECK_EQ(m.state, MACHINE_STARTING);
		}
	}
}

/* --- stories ------------------------------------------------------------- */

/* Verify that a oneshot is done when it ends well, and nothing before that. */
static void test_oneshot(void)
{
	setup();
	policy.oneshot = true;
	policy.restart.when = RESTART_NEVER;
	send(MACHINE_EV_START);
	send(MACHINE_EV_READY);
	CHECK_EQ(m.state, MACHINE_STARTING);
	send(MACHINE_EV_EXIT_OK);
	CHECK_EQ(m.state, MACHINE_DONE);
	CHECK_EQ(m.reason, REASON_EXITED);
	send(MACHINE_EV_START);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_FAILED);
}

/* Verify that a service that exits at once for ever is restarted with growing
 * delays, then fails, and can be started again. */
static void test_exits_for_ever(void)
{
	static const uint64_t delays[] = { 0, 100, 200 };

	setup();
	send(MACHINE_EV_START);
	for (int i = 0; i < 3; i++) {
		send(MACHINE_EV_EXIT_FAILED);
		CHECK_EQ(m.reason, REASON_NOT_READY);
		if (delays[i] > 0) {
			CHECK_EQ(m.state, MACHINE_BACK_OFF);
			CHECK_EQ(timers[SLOT_MAIN], delays[i] + 1);
			now += delays[i];
			send(MACHINE_EV_TIMEOUT);
		}
		CHECK_EQ(m.state, MACHINE_STARTING);
	}
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_FAILED);
	CHECK_EQ(m.reason, REASON_LIMIT);
	CHECK_STR(did, "over-limit");
	CHECK_EQ(timers[SLOT_MAIN], 0);

	send(MACHINE_EV_START);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING); /* counted from the start again */
}

/* Verify that a process that cannot be made is tried again later, never in a
 * loop. */
static void test_spawn_fails(void)
{
	setup();
	policy.restart.limit = 10;
	spawn_fails = true;
	send(MACHINE_EV_START);
	CHECK_EQ(m.state, MACHINE_BACK_OFF);
	CHECK_EQ(m.reason, REASON_START_FAILED);
	CHECK_STR(did, "spawn-main");
	CHECK_EQ(timers[SLOT_MAIN], 1); /* at once, but not within the call */
	send(MACHINE_EV_TIMEOUT);
	CHECK_STR(did, "spawn-main");
	CHECK_EQ(timers[SLOT_MAIN], 101);
	spawn_fails = false;
	send(MACHINE_EV_TIMEOUT);
	CHECK_EQ(m.state, MACHINE_STARTING);
	send(MACHINE_EV_READY);
	/* One that dies while there can be no other. */
	spawn_fails = true;
	now += 20000;
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_BACK_OFF);
	CHECK_STR(did, "spawn-main");
}

/* Verify that one that is not ready in time is stopped, killed when it does
 * not go, and restarted as a failure. */
static void test_start_timeout(void)
{
	setup();
	send(MACHINE_EV_START);
	CHECK_EQ(timers[SLOT_MAIN], MS_START + 1);
	send(MACHINE_EV_TIMEOUT);
	CHECK_EQ(m.state, MACHINE_STOPPING);
	CHECK_EQ(m.reason, REASON_START_TIMEOUT);
	CHECK_EQ(timers[SLOT_MAIN], MS_STOP + 1);
	send(MACHINE_EV_TIMEOUT);
	CHECK_STR(did, "kill-main");
	CHECK_EQ(timers[SLOT_MAIN], MS_STOP + 1);
	send(MACHINE_EV_READY); /* too late */
	CHECK_EQ(m.state, MACHINE_STOPPING);
	send(MACHINE_EV_EXIT_OK);
	CHECK_EQ(m.state, MACHINE_STARTING);
	CHECK_STR(did, "spawn-main");
}

/* Verify that a stop that is asked for while it fails is a stop. */
static void test_stop_during_failure(void)
{
	setup();
	send(MACHINE_EV_START);
	send(MACHINE_EV_TIMEOUT);
	send(MACHINE_EV_STOP);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_INACTIVE);
	CHECK_EQ(m.reason, REASON_STOPPED);
}

/* Verify that a service that gives no sign of life is killed and restarted. */
static void test_unhealthy(void)
{
	bring_into(MACHINE_RUNNING);
	send(MACHINE_EV_UNHEALTHY);
	CHECK_EQ(m.reason, REASON_UNHEALTHY);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING);
}

/* Verify that a healthy while makes the next failure the first. */
static void test_healthy_while(void)
{
	bring_into(MACHINE_RUNNING);
	send(MACHINE_EV_EXIT_FAILED);
	send(MACHINE_EV_READY);
	now += 10000;
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING); /* no delay */
	send(MACHINE_EV_READY);
	now += 9999;
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_BACK_OFF);
}

/* Verify that a start while it stops is done after it, and that the last of
 * several wishes counts. */
static void test_start_during_stop(void)
{
	bring_into(MACHINE_STOPPING);
	send(MACHINE_EV_START);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING);
	bring_into(MACHINE_STOPPING);
	send(MACHINE_EV_START);
	send(MACHINE_EV_STOP);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_INACTIVE);
}

/* Verify the whole of a reload: the new one is ready, takes over, is accepted
 * after a while, and the old one leaves. */
static void test_reload(void)
{
	bring_into(MACHINE_RELOADING);
	CHECK_EQ(timers[SLOT_OTHER], MS_START + 1);
	CHECK(m.present[SLOT_MAIN] && m.present[SLOT_OTHER]);
	send(MACHINE_EV_OTHER_READY);
	CHECK_EQ(timers[SLOT_OTHER], 0);
	CHECK_EQ(timers[SLOT_MAIN], MS_SETTLE + 1);
	CHECK_STR(machine_state_name(m.state), "reloading");
	send(MACHINE_EV_TIMEOUT);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_EQ(m.reason, REASON_RELOADED);
	CHECK_EQ(timers[SLOT_OTHER], MS_STOP + 1);
	send(MACHINE_EV_OTHER_TIMEOUT); /* it does not leave */
	CHECK_STR(did, "kill-other");
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_EQ(timers[SLOT_OTHER], 0);
	CHECK(m.present[SLOT_MAIN] && !m.present[SLOT_OTHER]);
}

/* Verify that a new one that is not ready in time leaves the old one be. */
static void test_reload_times_out(void)
{
	bring_into(MACHINE_RELOADING);
	send(MACHINE_EV_OTHER_TIMEOUT);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_EQ(m.reason, REASON_REJECTED);
	CHECK(timers[SLOT_OTHER]); /* until it is really dead */
	send(MACHINE_EV_OTHER_READY);
	CHECK_STR(did, "");
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_EQ(timers[SLOT_OTHER], 0);
}

/* Verify that a new one that cannot be made at all is rejected. */
static void test_reload_cannot_spawn(void)
{
	bring_into(MACHINE_RUNNING);
	spawn_fails = true;
	send(MACHINE_EV_RELOAD);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_STR(did, "spawn-other reject");
}

/* Verify that one that dies in its first seconds gives the names back. */
static void test_dies_in_trial(void)
{
	bring_into(MACHINE_SETTLING);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_STR(did, "swap reject");
	CHECK(m.present[SLOT_MAIN] && !m.present[SLOT_OTHER]);
	CHECK_EQ(m.reason, REASON_REJECTED);
	/* The old one goes on as if nothing had been. */
	send(MACHINE_EV_RELOAD);
	CHECK_EQ(m.state, MACHINE_RELOADING);
}

/* Verify that when both are dead the old version is started. */
static void test_both_die_in_trial(void)
{
	bring_into(MACHINE_SETTLING);
	send(MACHINE_EV_OTHER_EXIT);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING);
	CHECK_STR(did, "reject spawn-main");
	CHECK(!m.trial);
}

/* Verify that when the old one dies while the new one starts, the new one is
 * waited for, and is on trial still. */
static void test_old_dies_during_reload(void)
{
	bring_into(MACHINE_RELOADING);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING);
	CHECK_EQ(timers[SLOT_MAIN], MS_START + 1);
	CHECK_EQ(timers[SLOT_OTHER], 0);
	send(MACHINE_EV_READY);
	CHECK_EQ(m.state, MACHINE_SETTLING);
	send(MACHINE_EV_TIMEOUT);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_STR(did, "accept");

	bring_into(MACHINE_RELOADING);
	send(MACHINE_EV_EXIT_FAILED);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_STR(did, "reject spawn-main");
	bring_into(MACHINE_RELOADING);
	send(MACHINE_EV_EXIT_FAILED);
	send(MACHINE_EV_TIMEOUT);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_STR(did, "reject spawn-main");
}

/* Verify that a newer version that comes meanwhile is gone over to next. */
static void test_reload_during_reload(void)
{
	bring_into(MACHINE_RELOADING);
	send(MACHINE_EV_RELOAD);
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_RELOADING);
	CHECK_STR(did, "reject spawn-other");

	bring_into(MACHINE_SETTLING);
	send(MACHINE_EV_RELOAD);
	send(MACHINE_EV_TIMEOUT);
	CHECK_EQ(m.state, MACHINE_RUNNING); /* the old one has to leave first */
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_RELOADING);

	bring_into(MACHINE_STARTING);
	send(MACHINE_EV_RELOAD);
	send(MACHINE_EV_READY);
	CHECK_EQ(m.state, MACHINE_RELOADING);
}

/* Verify that a stop during a start during a reload ends all there is. */
static void test_stop_during_start_during_reload(void)
{
	bring_into(MACHINE_RELOADING);
	send(MACHINE_EV_STOP);
	CHECK_EQ(m.state, MACHINE_STOPPING);
	CHECK(timers[SLOT_MAIN] && timers[SLOT_OTHER]);
	send(MACHINE_EV_OTHER_READY); /* it was too late */
	send(MACHINE_EV_OTHER_TIMEOUT);
	CHECK_STR(did, "kill-other");
	send(MACHINE_EV_EXIT_OK);
	CHECK_EQ(m.state, MACHINE_STOPPING);
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_INACTIVE);
	CHECK(machine_idle(&m));
	/* Nobody is to blame for that: no version was rejected. */
	CHECK_STR(did, "");
}

/* Verify that an old process that still leaves is waited for at a stop, and
 * does not hinder a restart. */
static void test_leaving_process(void)
{
	bring_into(MACHINE_SETTLING);
	send(MACHINE_EV_TIMEOUT);
	send(MACHINE_EV_EXIT_OK);
	CHECK_EQ(m.state, MACHINE_DONE);
	CHECK(m.present[SLOT_OTHER]);
	CHECK(!machine_idle(&m));
	send(MACHINE_EV_STOP);
	CHECK_EQ(m.state, MACHINE_STOPPING);
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_INACTIVE);

	bring_into(MACHINE_SETTLING);
	send(MACHINE_EV_TIMEOUT);
	send(MACHINE_EV_EXIT_FAILED);
	CHECK_EQ(m.state, MACHINE_STARTING);
	send(MACHINE_EV_OTHER_TIMEOUT);
	CHECK_STR(did, "kill-other");
	send(MACHINE_EV_OTHER_EXIT);
	CHECK_EQ(m.state, MACHINE_STARTING);
}

/* Verify the other kinds of reload. */
static void test_other_reloads(void)
{
	bring_into(MACHINE_RUNNING);
	policy.reload = MACHINE_RELOAD_EVENT;
	send(MACHINE_EV_RELOAD);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_STR(did, "tell-reload");
	policy.reload = MACHINE_RELOAD_NONE;
	send(MACHINE_EV_RELOAD);
	CHECK_EQ(m.state, MACHINE_RUNNING);
	CHECK_STR(did, "");
}

/* Verify that without notice it is killed at once. */
static void test_without_notice(void)
{
	bring_into(MACHINE_RUNNING);
	policy.terminate_first = false;
	send(MACHINE_EV_STOP);
	CHECK_STR(did, "kill-main");
	CHECK_EQ(timers[SLOT_MAIN], MS_STOP + 1);
}

/* Verify that a start without a time-out has no timer. */
static void test_without_start_timeout(void)
{
	setup();
	policy.start_timeout_ms = 0;
	send(MACHINE_EV_START);
	CHECK_EQ(timers[SLOT_MAIN], 0);
}

/* Verify that one that always restarts does so after a good end, with pauses
 * when it does so at once. */
static void test_always(void)
{
	bring_into(MACHINE_RUNNING);
	policy.restart.when = RESTART_ALWAYS;
	send(MACHINE_EV_EXIT_OK);
	CHECK_EQ(m.state, MACHINE_STARTING);
	send(MACHINE_EV_READY);
	send(MACHINE_EV_EXIT_OK);
	CHECK_EQ(m.state, MACHINE_BACK_OFF);
}

/* Verify that a machine goes on where another one was. */
static void test_adoption(void)
{
	for (int s = 0; s < MACHINE_N_STATES; s++) {
		bring_into((enum machine_state)s);
		{
			struct machine was = m;

			timers[0] = timers[1] = 0;
			machine_init(&m, &ops);
			m.policy = was.policy;
			machine_adopt(&m, was.state, was.present[0],
				      was.present[1]);
			CHECK_STR(did, "");
			CHECK_EQ(m.state, was.state);
			CHECK_EQ(m.trial, was.trial);
			CHECK(timers_fit());
			restart_deinit(&was.restart);
		}
	}
}

int main(void)
{
	RUN(test_tables_are_total);
	RUN(test_each_cell);
	RUN(test_nothing_is_stuck);
	RUN(test_oneshot);
	RUN(test_exits_for_ever);
	RUN(test_spawn_fails);
	RUN(test_start_timeout);
	RUN(test_stop_during_failure);
	RUN(test_unhealthy);
	RUN(test_healthy_while);
	RUN(test_start_during_stop);
	RUN(test_reload);
	RUN(test_reload_times_out);
	RUN(test_reload_cannot_spawn);
	RUN(test_dies_in_trial);
	RUN(test_both_die_in_trial);
	RUN(test_old_dies_during_reload);
	RUN(test_reload_during_reload);
	RUN(test_stop_during_start_during_reload);
	RUN(test_leaving_process);
	RUN(test_other_reloads);
	RUN(test_without_notice);
	RUN(test_without_start_timeout);
	RUN(test_always);
	RUN(test_adoption);
	setup();
	machine_deinit(&m);
	return tap_done();
}
