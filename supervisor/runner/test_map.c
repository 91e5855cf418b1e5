/*
 * Numbers found without a search: of links and contexts, and of calls.
 */

#include "runner/map.h"

#include <stdlib.h>

#include "base/tap.h"
#include "runner/cid.h"
#include "runner/limits.h"

#define NUMBERS 2000
#define ROUNDS	200000

/* Verify that a map has what was put and not removed, whatever the order. */
static void test_a_map_is_what_was_done_to_it(void)
{
	static char values[NUMBERS];
	static bool there[NUMBERS];
	struct map m = { 0 };
	size_t n = 0;

	srandom(1);
	CHECK(!map_get(&m, 1));
	for (int i = 0; i < ROUNDS; i++) {
		size_t k = (size_t)random() % NUMBERS;
		uint64_t number = 1 + k * 0x100000001ULL; /* which collide */

		CHECK(map_get(&m, number) == (there[k] ? &values[k] : NULL));
		if (there[k]) {
			map_remove(&m, number);
			n--;
		} else {
			CHECK_EQ(map_put(&m, number, &values[k]), 0);
			n++;
		}
		there[k] = !there[k];
		CHECK_EQ(m.used, n);
	}
	for (size_t k = 0; k < NUMBERS; k++)
		CHECK(map_get(&m, 1 + k * 0x100000001ULL) ==
		      (there[k] ? &values[k] : NULL));
	map_remove(&m, 77); /* which is not there */
	CHECK_EQ(m.used, n);
	free(m.slots);
}

/* Verify that names have numbers of their own, and no name has 0. */
static void test_hashes(void)
{
	CHECK(map_hash("a", 1) != map_hash("b", 1));
	CHECK(map_hash("a.b", 3) != map_hash("a.b.c", 5));
	CHECK(map_hash("", 0) != 0);
}

/* Verify that a call's number finds it, of its own kind only, and that an old
 * number does not find what has its place now. */
static void test_numbers_of_calls(void)
{
	int made, served, other;
	uint32_t a = cid_new(&made, false), b = cid_new(&served, true), c;

	CHECK(a && b && a != b);
	CHECK(cid_find(a, false) == &made);
	CHECK(!cid_find(a, true));
	CHECK(cid_find(b, true) == &served);
	CHECK(!cid_find(b, false));
	CHECK(!cid_find(0, false));
	CHECK(!cid_find(UINT64_MAX, false));
	CHECK(!cid_find((uint64_t)a + (1ULL << 32), false));
	cid_free(a);
	CHECK(!cid_find(a, false));
	c = cid_new(&other, false); /* in the same place */
	CHECK(c != a);
	CHECK(!cid_find(a, false));
	CHECK(cid_find(c, false) == &other);
	cid_free(b);
	cid_free(c);
}

/* Verify that there are as many as the limit says, and then none. */
static void test_all_numbers(void)
{
	static uint32_t cids[LIMIT_CALLS];
	int object;

	for (size_t i = 0; i < LIMIT_CALLS; i++) {
		cids[i] = cid_new(&object, false);
		CHECK(cids[i] != 0);
	}
	CHECK_EQ(cid_new(&object, false), 0);
	for (size_t i = 0; i < LIMIT_CALLS; i++)
		CHECK(cid_find(cids[i], false) == &object);
	cid_free(cids[7]);
	CHECK(cid_new(&object, true) != 0);
	CHECK_EQ(cid_new(&object, false), 0);
}

int main(void)
{
	RUN(test_a_map_is_what_was_done_to_it);
	RUN(test_hashes);
	RUN(test_numbers_of_calls);
	RUN(test_all_numbers);
	return tap_done();
}
