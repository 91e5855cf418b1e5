/* Budgets: whoever starts something is counted for it, and all above. */

#include "thoxd/budget.h"

#include <errno.h>

#include "base/tap.h"

/* Verify that all above count, and that the least of their limits holds. */
static void test_all_above_count(void)
{
	struct budget *top, *middle, *low;
	uint64_t limit = 0;

	CHECK_EQ(budget_new(NULL, 3, &top), 0);
	CHECK_EQ(budget_new(top, 2, &middle), 0);
	CHECK_EQ(budget_new(middle, 100, &low), 0);
	CHECK_EQ(budget_limit(low), 2);
	CHECK_EQ(budget_take(low, &limit), 0);
	CHECK_EQ(budget_take(middle, &limit), 0);
	CHECK_EQ(budget_take(low, &limit), -EDQUOT);
	CHECK_EQ(limit, 2);
	CHECK_EQ(budget_take(top, &limit), 0);
	CHECK_EQ(budget_take(top, &limit), -EDQUOT);
	CHECK_EQ(limit, 3);
	budget_give(low);
	CHECK_EQ(budget_take(low, &limit), 0);
	budget_give(low);
	budget_give(middle);
	budget_give(top);
	budget_unref(low);
	budget_unref(middle);
	budget_unref(top);
}

/* Verify that what runs on counts above whoever has ended between. */
static void test_the_dead_are_no_way_out(void)
{
	struct budget *top, *middle;
	uint64_t limit = 0;

	CHECK_EQ(budget_new(NULL, 2, &top), 0);
	CHECK_EQ(budget_new(top, 2, &middle), 0);
	CHECK_EQ(budget_take(middle, &limit), 0);
	CHECK_EQ(budget_take(middle, &limit), 0);
	budget_unref(middle);
	CHECK_EQ(budget_take(top, &limit), -EDQUOT);
	budget_give(middle);
	CHECK_EQ(budget_take(top, &limit), 0);
	budget_give(top);
	budget_give(middle);
	budget_unref(top);
}

/* Verify that children of children end somewhere. */
static void test_depth(void)
{
	struct budget *b[BUDGET_DEPTH_MAX] = { 0 }, *more;

	CHECK_EQ(budget_new(NULL, 9, &b[0]), 0);
	for (unsigned i = 1; i < BUDGET_DEPTH_MAX; i++)
		CHECK_EQ(budget_new(b[i - 1], 9, &b[i]), 0);
	CHECK_EQ(budget_new(b[BUDGET_DEPTH_MAX - 1], 9, &more), -EMLINK);
	for (unsigned i = 0; i < BUDGET_DEPTH_MAX; i++)
		budget_unref(b[i]);
}

/* Verify that nobody's child is counted nowhere. */
static void test_nobody(void)
{
	uint64_t limit = 0;

	CHECK_EQ(budget_take(NULL, &limit), 0);
	budget_give(NULL);
	CHECK(!budget_unref(NULL));
}

int main(void)
{
	RUN(test_all_above_count);
	RUN(test_the_dead_are_no_way_out);
	RUN(test_depth);
	RUN(test_nobody);
	return tap_done();
}
