/* The graph of services: what starts and stops with what, in which order. */

#include "service/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/tap.h"
#include "base/util.h"

static struct order *o;
static struct order_problem problem;

/* `b` requires `a`: say("b", "requires a, after c d"). */
struct lists {
	struct names requires, wants, after, before, part_of;
};

static struct names *list_of(struct lists *l, const char *word)
{
	if (strcmp(word, "requires") == 0)
	return &l->requires;
	if (strcmp(word, "wants") == 0)
		return &l->wants;
	if (strcmp(word, "after") == 0)
		return &l->after;
	if (strcmp(word, "before") == 0)
		return &l->before;
	if (strcmp(word, "part-of") == 0)
		return &l->part_of;
	return NULL;
}

static int say(const char *name, const char *text)
{
	struct lists l = { 0 };
	const struct order_links links = { &l.requires, &l.wants, &l.after,
					   &l.before, &l.part_of };
	char copy[256], *rest = NULL;
	struct names *list = NULL;
	int r;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *p = strtok_r(copy, " ,", &rest); p;
	     p = strtok_r(NULL, " ,", &rest)) {
		if (list_of(&l, p))
			list = list_of(&l, p);
		else if (!list || names_add(list, p, strlen(p)) < 0)
			abort();
	}
	r = order_set(o, name, &links, NULL, NULL);
	names_deinit(&l.requires);
	names_deinit(&l.wants);
	names_deinit(&l.after);
	names_deinit(&l.before);
	names_deinit(&l.part_of);
	return r;
}

static void setup(void)
{
	order_free(o);
	if (order_new(&o) < 0)
		abort();
}

static uint32_t node(const char *name)
{
	uint32_t n;

	if (order_find(o, name, &n) < 0)
		abort();
	return n;
}

/* "a b | c": two waves. */
static const char *text_of(struct order_plan *plan)
{
	static char text[4096];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < plan->n; i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s",
			i == 0						? ""
			: plan->steps[i].wave > plan->steps[i - 1].wave ? " | "
									: " ",
			order_name(o, plan->steps[i].node));
	order_plan_deinit(plan);
	return text;
}

static const char *start_of(const char *name)
{
	uint32_t n = node(name);
	struct order_plan plan = { 0 };
	int r = order_plan_start(o, &n, 1, NULL, NULL, &plan, &problem);

	return r < 0 ? problem.text : text_of(&plan);
}

static const char *stop_of(const char *name)
{
	uint32_t n = node(name);
	struct order_plan plan = { 0 };

	return order_plan_stop(o, &n, 1, &plan) < 0 ? "?" : text_of(&plan);
}

/* Verify that what is required or wanted starts too, and before; what can go
 * side by side is in one wave. */
static void test_start(void)
{
	setup();
	say("app", "requires db cache, wants mail");
	say("db", "requires disk");
	say("cache", "");
	say("mail", "");
	say("disk", "");
	say("stranger", "after app");
	CHECK_STR(start_of("app"), "cache disk mail | db | app");
	CHECK_STR(start_of("db"), "disk | db");
	CHECK_STR(start_of("stranger"), "stranger"); /* pulls nothing in */
}

/* Verify that `after` and `before` order what starts together. */
static void test_ordering(void)
{
	setup();
	say("all", "requires a b c");
	say("a", "after b");
	say("b", "");
	say("c", "before b");
	CHECK_STR(start_of("all"), "c | b | a | all");
}

/* Verify that a stop takes along those that require it and its members, in
 * the order of a start turned round. */
static void test_stop(void)
{
	setup();
	say("app", "requires db");
	say("web", "requires app");
	say("db", "");
	say("log", "wants db");
	say("part", "part-of app");
	CHECK_STR(stop_of("db"), "part web | app | db");
	CHECK_STR(stop_of("app"), "part web | app");
	CHECK_STR(stop_of("web"), "web");
}

/* Verify that a cycle is refused with its path. */
static void test_cycles(void)
{
	setup();
	say("a", "requires b");
	say("b", "after c");
	say("c", "requires a");
	say("d", "requires c b");
	CHECK_STR(start_of("d"), "c -> a -> b -> c");
	CHECK_STR(start_of("a"), "b | a"); /* without c no cycle */
}

/* Verify the shortest cycle, through `before` as well. */
static void test_short_cycles(void)
{
	setup();
	say("a", "requires b");
	say("b", "requires a");
	CHECK_STR(start_of("a"), "a -> b -> a");
	setup();
	say("a", "requires b, before b");
	say("b", "");
	CHECK_STR(start_of("a"), "a -> b -> a");
	CHECK_EQ(say("c", "after c"), -ELOOP);
	CHECK_EQ(say("d", "part-of d"), -ELOOP);
}

/* Verify that a path longer than its text is shortened. */
static void test_long_cycle(void)
{
	setup();
	for (int i = 0; i < 1000; i++) {
		char name[32], links[64];

		snprintf(name, sizeof(name), "service%03d", i);
		snprintf(links, sizeof(links), "requires service%03d",
			 (i + 1) % 1000);
		CHECK_EQ(say(name, links), 0);
	}
	CHECK(strstr(start_of("service000"), "service000 -> service001 -> "));
	CHECK(strstr(problem.text, " -> ... -> service000"));
}

/* Verify that a cycle keeps nothing from stopping. */
static void test_stop_in_a_cycle(void)
{
	setup();
	say("a", "requires b");
	say("b", "requires a");
	say("c", "requires a");
	CHECK_STR(stop_of("a"), "c | a b");
}

/* Verify that what is required must be there, and what is wanted need not. */
static void test_missing(void)
{
	setup();
	say("a", "requires b");
	say("b", "requires c");
	CHECK_STR(start_of("a"), "b requires c, which is not there");
	say("a", "wants c, after d");
	CHECK_STR(start_of("a"), "a");
	say("c", "");
	CHECK_STR(start_of("a"), "c | a");
	order_remove(o, node("c"));
	CHECK_STR(start_of("a"), "a");
	uint32_t n;
	CHECK_EQ(order_find(o, "c", &n), -ENOENT);
	CHECK_EQ(order_find(o, "nobody", &n), -ENOENT);
}

static int load(void *user, const char *name)
{
	unsigned *calls = user;

	++*calls;
	/* worker:3 requires worker:2 and so on */
	if (strncmp(name, "worker:", 7) == 0 && name[7] > '0') {
		char links[64];

		snprintf(links, sizeof(links), "requires worker:%c",
			 name[7] - 1);
		return say(name, links);
	}
	return strcmp(name, "worker:0") == 0 ? say(name, "") : -ENOENT;
}

/* Verify that names are defined as they are needed. */
static void test_loading(void)
{
	struct order_plan plan = { 0 };
	unsigned calls = 0;
	uint32_t n;

	setup();
	say("a", "requires worker:9, wants nothing");
	n = node("a");
	CHECK_EQ(order_plan_start(o, &n, 1, load, &calls, &plan, &problem), 0);
	CHECK_STR(text_of(&plan),
		  "worker:0 | worker:1 | worker:2 | worker:3 | worker:4 | "
		  "worker:5 | worker:6 | worker:7 | worker:8 | worker:9 | a");
	CHECK_EQ(calls, 11);
}

/* Verify that a new definition takes the place of the old one. */
static void test_redefinition(void)
{
	setup();
	say("a", "requires b, before c");
	say("b", "");
	say("c", "");
	say("a", "requires c");
	CHECK_STR(start_of("a"), "c | a");
	CHECK_STR(stop_of("b"), "b");
	CHECK_STR(stop_of("c"), "a | c");
}

static int collect(void *user, uint32_t n)
{
	char *text = user;

	strcat(text, order_name(o, n));
	return 0;
}

/* Verify the neighbours on each side. */
static void test_sides(void)
{
	static const struct {
		enum order_side side;
		const char *of, *names;
	} cases[] = {
		{ ORDER_PREDECESSORS, "a", "bcdf" },
		{ ORDER_SUCCESSORS, "a", "e" },
		{ ORDER_SUCCESSORS, "f", "a" },
		{ ORDER_PREDECESSORS, "e", "a" },
		{ ORDER_REQUIRED, "a", "b" },
		{ ORDER_REQUIRED_BY, "b", "a" },
		{ ORDER_WANTED, "a", "c" },
		{ ORDER_GROUPS, "a", "g" },
		{ ORDER_MEMBERS, "g", "a" },
	};

	setup();
	say("a", "requires b, wants c, after d, before e, part-of g");
	say("b", "");
	say("e", "");
	say("f", "before a");
	say("g", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[64] = "";

		order_each(o, node(cases[i].of), cases[i].side, collect, text);
		CHECK_STR(text, cases[i].names);
	}
}

static const char *group_of(const char *name, bool rest)
{
	struct order_plan plan = { 0 };

	return order_plan_group(o, node(name), rest, &plan) < 0
		       ? "?"
		       : text_of(&plan);
}

/* Verify who restarts with a member. */
static void test_groups(void)
{
	setup();
	say("g", "");
	say("a", "part-of g");
	say("b", "part-of g, after a");
	say("c", "part-of g, after x");
	say("x", "after b"); /* no member, but between */
	say("d", "part-of g");
	say("e", "part-of other, after a");
	CHECK_STR(group_of("a", false), "b c d");
	CHECK_STR(group_of("a", true), "b c");
	CHECK_STR(group_of("b", true), "c");
	CHECK_STR(group_of("c", true), "");
	CHECK_STR(group_of("d", true), "");
	CHECK_STR(group_of("g", false), "");
	CHECK_STR(start_of("a"), "a"); /* nothing was left marked */
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A chain and a crowd of @n services. */
static double time_of(int n)
{
	struct order_plan plan = { 0 };
	double start;
	uint32_t last;

	setup();
	start = seconds();
	for (int i = 0; i < n; i++) {
		char name[32], links[64] = "";

		snprintf(name, sizeof(name), "s%d", i);
		if (i > 0)
			snprintf(links, sizeof(links), "requires s%d, after s0",
				 i % 2 ? i - 1 : i / 2);
		if (say(name, links) < 0)
			abort();
	}
	last = node("s0");
	if (order_plan_stop(o, &last, 1, &plan) < 0 || plan.n != (size_t)n)
		abort();
	order_plan_deinit(&plan);
	return seconds() - start;
}

/* Verify that ten times as many services take about ten times as long, not a
 * hundred: a bound that a slow machine keeps too. */
static void test_ten_thousand(void)
{
	double small = time_of(1000), large = time_of(10000);
	struct order_plan plan = { 0 };
	uint32_t *nodes = calloc(order_count(o), sizeof(*nodes));

	CHECK(nodes);
	printf("# 1000: %.1f ms, 10000: %.1f ms\n", small * 1e3, large * 1e3);
	CHECK(large < 50 * small + 0.05);
	for (uint32_t i = 0; i < order_count(o); i++)
		nodes[i] = i;
	CHECK_EQ(order_plan_exactly(o, nodes, order_count(o), &plan, &problem),
		 0);
	CHECK_EQ(plan.n, 10000);
	CHECK_STR(order_name(o, plan.steps[0].node), "s0");
	order_plan_deinit(&plan);
	free(nodes);
}

int main(void)
{
	RUN(test_start);
	RUN(test_ordering);
	RUN(test_stop);
	RUN(test_cycles);
	RUN(test_short_cycles);
	RUN(test_long_cycle);
	RUN(test_stop_in_a_cycle);
	RUN(test_missing);
	RUN(test_loading);
	RUN(test_redefinition);
	RUN(test_sides);
	RUN(test_groups);
	RUN(test_ten_thousand);
	order_free(o);
	return tap_done();
}
