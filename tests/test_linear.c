/* Tests of the checker of histories: it must find what is wrong. */

#include "tests/linear.h"

#include "base/tap.h"
#include "base/util.h"

/* A register: a write, or a read that saw a value. */
struct what {
	bool write;
	int64_t value;
};

static bool step(const void *what, struct linear_state *s)
{
	const struct what *w = what;

	if (w->write)
		s->v[0] = w->value;
	return s->v[0] == w->value;
}

#define W(n) (&(const struct what){ true, (n) })
#define R(n) (&(const struct what){ false, (n) })

static size_t check(const struct linear_op *ops, size_t count)
{
	struct linear_states s = { .count = 1 };

	if (linear_check(ops, count, step, &s) < 0)
		return 99;
	return s.count;
}

/* Verify that operations one after another mean what they say. */
static void test_one_after_another(void)
{
	const struct linear_op right[] = { { 1, 2, false, W(5) },
					   { 3, 4, false, R(5) },
					   { 5, 6, false, W(6) },
					   { 7, 8, false, R(6) } };
	const struct linear_op stale[] = { { 1, 2, false, W(5) },
					   { 3, 4, false, W(6) },
					   { 5, 6, false, R(5) } };

	CHECK_EQ(check(right, 4), 1);
	CHECK_EQ(check(stale, 3), 0);
}

/* Verify that what overlaps may be seen early or late, but not both ways. */
static void test_overlap(void)
{
	const struct linear_op early[] = { { 1, 10, false, W(5) },
					   { 2, 3, false, R(5) },
					   { 4, 5, false, R(5) } };
	const struct linear_op late[] = { { 1, 10, false, W(5) },
					  { 2, 3, false, R(0) },
					  { 4, 5, false, R(5) } };
	const struct linear_op back[] = { { 1, 10, false, W(5) },
					  { 2, 3, false, R(5) },
					  { 4, 5, false, R(0) } };

	CHECK_EQ(check(early, 3), 1);
	CHECK_EQ(check(late, 3), 1);
	CHECK_EQ(check(back, 3), 0);
}

/* Verify that what was never answered may have been done, or not. */
static void test_unanswered(void)
{
	const struct linear_op alone[] = { { 1, 10, true, W(5) } };
	const struct linear_op seen[] = { { 1, 10, true, W(5) },
					  { 2, 3, false, R(5) } };
	const struct linear_op lost[] = { { 1, 10, true, W(5) },
					  { 2, 3, false, R(5) },
					  { 4, 5, false, R(0) } };

	CHECK_EQ(check(alone, 1), 2);
	CHECK_EQ(check(seen, 2), 1);
	CHECK_EQ(check(lost, 3), 0);
}

/* Verify that all that may be so is carried into the next piece. */
static void test_pieces(void)
{
	const struct linear_op first[] = { { 1, 10, true, W(5) },
					   { 1, 10, true, W(6) } };
	const struct linear_op second[] = { { 11, 12, false, R(6) } };
	struct linear_states s = { .count = 1 };

	CHECK_EQ(linear_check(first, 2, step, &s), 0);
	CHECK_EQ(s.count, 3);
	CHECK_EQ(linear_check(second, 1, step, &s), 0);
	CHECK_EQ(s.count, 1);
	CHECK_EQ(s.states[0].v[0], 6);
}

/* Verify that many at once do not take for ever. */
static void test_many_at_once(void)
{
	static struct what what[60];
	struct linear_op ops[60];

	for (int i = 0; i < 60; i++) {
		what[i] = (struct what){ i < 12, i < 12 ? i + 1 : 12 };
		ops[i] = (struct linear_op){ 1, 100, false, &what[i] };
	}
	CHECK(check(ops, 60) >= 1);
}

int main(void)
{
	RUN(test_one_after_another);
	RUN(test_overlap);
	RUN(test_unanswered);
	RUN(test_pieces);
	RUN(test_many_at_once);
	return tap_done();
}
