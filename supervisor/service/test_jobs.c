/* Jobs: each begins when it may, and what follows from its end. */

#include "service/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/tap.h"

static struct order *o;
static struct jobs *j;
static struct order_problem problem;
static char did[4096];
static bool at_once; /* starts and stops end within their callback */

static void write_down(const char *what, uint32_t node)
{
	size_t n = strlen(did);

	snprintf(did + n, sizeof(did) - n, "%s%s%s", n ? " " : "", what,
		 order_name(o, node));
}

static void on_start(void *user, uint32_t node)
{
	(void)user;
	write_down("+", node);
	if (at_once)
		jobs_done(j, node, true);
}

static void on_stop(void *user, uint32_t node)
{
	(void)user;
	write_down("-", node);
	if (at_once)
		jobs_done(j, node, true);
}

static void on_dropped(void *user, uint32_t node, uint32_t because)
{
	(void)user;
	write_down("!", node);
	write_down("<", because);
}

static const struct jobs_ops ops = {
	.start = on_start,
	.stop = on_stop,
	.dropped = on_dropped,
};

static void say(const char *name, const char *requires, const char *after)
{
	struct names r = { 0 }, a = { 0 };
	const struct order_links links = { .requires = &r, .after = &a };

	if ((requires && names_add(&r, requires, strlen(requires)) < 0) ||
	    (after && names_add(&a, after, strlen(after)) < 0) ||
	    order_set(o, name, &links, NULL, NULL) < 0)
		abort();
	names_deinit(&r);
	names_deinit(&a);
}

static void setup(void)
{
	jobs_free(j);
	order_free(o);
	did[0] = '\0';
	at_once = false;
	if (order_new(&o) < 0 || jobs_new(o, &ops, NULL, &j) < 0)
		abort();
	/* web -> app -> db; log stands alone, and comes after db */
	say("db", NULL, NULL);
	say("app", "db", NULL);
	say("web", "app", NULL);
	say("log", NULL, "db");
}

static uint32_t node(const char *name)
{
	uint32_t n;

	if (order_find(o, name, &n) < 0)
		abort();
	return n;
}

static int start(const char *name)
{
	uint32_t n = node(name);
	struct order_plan plan = { 0 };
	int r = order_plan_start(o, &n, 1, NULL, NULL, &plan, &problem);

	if (r == 0)
		r = jobs_add(j, &plan, JOB_START, &problem);
	order_plan_deinit(&plan);
	return r;
}

static int stop(const char *name, enum job_kind kind)
{
	uint32_t n = node(name);
	struct order_plan plan = { 0 };
	int r = order_plan_stop(o, &n, 1, &plan);

	if (r == 0)
		r = jobs_add(j, &plan, kind, &problem);
	order_plan_deinit(&plan);
	return r;
}

static const char *after(const char *name, bool ok)
{
	did[0] = '\0';
	jobs_done(j, node(name), ok);
	return did;
}

/* Verify that each start waits for what it requires. */
static void test_starts_in_order(void)
{
	setup();
	CHECK_EQ(start("web"), 0);
	CHECK_STR(did, "+db");
	CHECK_EQ(jobs_pending(j), 3);
	CHECK_STR(after("app", true), ""); /* has not begun */
	CHECK_STR(after("db", true), "+app");
	CHECK_STR(after("app", true), "+web");
	CHECK_STR(after("web", true), "");
	CHECK_EQ(jobs_pending(j), 0);
}

/* Verify that what is free to go goes side by side. */
static void test_side_by_side(void)
{
	setup();
	CHECK_EQ(start("app"), 0);
	CHECK_EQ(start("log"), 0);
	CHECK_STR(did, "+db"); /* log comes after it, wanted or not */
	CHECK_STR(after("db", true), "+app +log");
}

/* Verify that stops go the other way round. */
static void test_stops_in_order(void)
{
	setup();
	CHECK_EQ(stop("db", JOB_STOP), 0);
	CHECK_STR(did, "-web");
	CHECK_STR(after("web", true), "-app");
	CHECK_STR(after("app", true), "-db");
	CHECK_STR(after("db", true), "");
	CHECK_EQ(jobs_pending(j), 0);
}

/* Verify that a restart is all stops, then all starts. */
static void test_restart(void)
{
	setup();
	CHECK_EQ(stop("db", JOB_RESTART), 0);
	CHECK_STR(did, "-web");
	CHECK(jobs_restarts(j, node("db")));
	CHECK_STR(after("web", true), "-app");
	CHECK_STR(after("app", true), "-db");
	CHECK_STR(after("db", true), "+db");
	CHECK(!jobs_restarts(j, node("db")));
	CHECK_STR(after("db", true), "+app");
	CHECK_STR(after("app", true), "+web");
	after("web", true);
	CHECK_EQ(jobs_pending(j), 0);
}

/* Verify that a start that fails drops those that require it, and lets go on
 * those that only come after it. */
static void test_failed_start(void)
{
	setup();
	CHECK_EQ(start("web"), 0);
	CHECK_EQ(start("log"), 0);
	CHECK_STR(after("db", false), "!app <db !web <app +log");
	CHECK_EQ(jobs_pending(j), 1);
	CHECK_EQ(start("web"), 0);
	CHECK_EQ(jobs_pending(j), 4);
}

/* Verify that a stop that comes after a start wins, begun or not. */
static void test_stop_during_start(void)
{
	bool begun;

	setup();
	CHECK_EQ(start("web"), 0);
	did[0] = '\0';
	CHECK_EQ(stop("app", JOB_STOP), 0);
	CHECK_STR(did, "-web"); /* nothing to do, but that is not known here */
	CHECK_EQ(jobs_of(j, node("db"), &begun), JOB_START);
	CHECK(begun);
	CHECK_STR(after("web", true), "-app");
	CHECK_STR(after("app", true), "");
	CHECK_STR(after("db", true), "");
	CHECK_EQ(jobs_pending(j), 0);

	CHECK_EQ(start("db"), 0);
	did[0] = '\0';
	CHECK_EQ(stop("db", JOB_STOP), 0);
	after("web", true);
	CHECK_STR(after("app", true), "-db");
	CHECK_EQ(jobs_of(j, node("db"), NULL), JOB_STOP);
}

/* Verify that a start of what is stopping becomes a restart. */
static void test_start_during_stop(void)
{
	setup();
	CHECK_EQ(stop("web", JOB_STOP), 0);
	CHECK_STR(did, "-web");
	did[0] = '\0';
	CHECK_EQ(start("web"), 0);
	CHECK_STR(did, "+db");
	CHECK(jobs_restarts(j, node("web")));
	CHECK_STR(after("web", true), "");
	CHECK_STR(after("db", true), "+app");
	CHECK_STR(after("app", true), "+web");

	/* One that has not begun is forgotten. */
	setup();
	CHECK_EQ(stop("app", JOB_STOP), 0);
	did[0] = '\0';
	CHECK_EQ(start("app"), 0);
	CHECK_EQ(jobs_of(j, node("app"), NULL), JOB_START);
	CHECK_STR(did, "+db");
}

/* Verify that two starts at once are one. */
static void test_two_starts(void)
{
	setup();
	CHECK_EQ(start("web"), 0);
	CHECK_EQ(start("web"), 0);
	CHECK_EQ(start("app"), 0);
	CHECK_STR(did, "+db");
	CHECK_EQ(jobs_pending(j), 3);
}

/* Verify that jobs that would wait for each other are refused, whole. */
static void test_cycle_over_two_plans(void)
{
	setup();
	say("slow", NULL, NULL);
	say("a", "slow", "b");
	say("b", "slow", "a");
	CHECK_EQ(start("a"), 0);
	CHECK_EQ(start("b"), -ELOOP);
	CHECK(strstr(problem.text, " -> "));
	CHECK_EQ(jobs_pending(j), 2);
	CHECK_STR(after("slow", true), "+a");
}

/* Verify that what stands in a cycle by now can be stopped. */
static void test_stop_in_a_cycle(void)
{
	setup();
	say("a", "b", NULL);
	say("b", "a", NULL);
	CHECK_EQ(stop("a", JOB_STOP), 0);
	CHECK_STR(did, "-a -b");
	CHECK_EQ(stop("a", JOB_RESTART), -ELOOP);
	after("a", true);
	after("b", true);
	CHECK_EQ(jobs_pending(j), 0);
}

/* Verify that jobs that end within their callback do not nest: a chain of
 * 10,000 is gone through. */
static void test_ends_within(void)
{
	char last[32] = "";

	setup();
	at_once = true;
	for (int i = 0; i < 10000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%d", i);
		say(name, i > 0 ? last : NULL, NULL);
		strcpy(last, name);
	}
	CHECK_EQ(start(last), 0);
	CHECK_EQ(jobs_pending(j), 0);
	CHECK(strncmp(did, "+s0 +s1 +s2 ", 12) == 0);
	did[0] = '\0';
	CHECK_EQ(stop("s0", JOB_RESTART), 0);
	CHECK_EQ(jobs_pending(j), 0);
	CHECK(strncmp(did, "-s9999 -s9998 ", 14) == 0);
}

/* Verify that a long chain is dropped when its first fails. */
static void test_long_chain_fails(void)
{
	char last[32] = "db";

	setup();
	for (int i = 0; i < 10000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%d", i);
		say(name, last, NULL);
		strcpy(last, name);
	}
	CHECK_EQ(start(last), 0);
	CHECK_EQ(jobs_pending(j), 10001);
	after("db", false);
	CHECK_EQ(jobs_pending(j), 0);
}

int main(void)
{
	RUN(test_starts_in_order);
	RUN(test_side_by_side);
	RUN(test_stops_in_order);
	RUN(test_restart);
	RUN(test_failed_start);
	RUN(test_stop_during_start);
	RUN(test_start_during_stop);
	RUN(test_two_starts);
	RUN(test_cycle_over_two_plans);
	RUN(test_stop_in_a_cycle);
	RUN(test_ends_within);
	RUN(test_long_chain_fails);
	jobs_free(j);
	order_free(o);
	return tap_done();
}
