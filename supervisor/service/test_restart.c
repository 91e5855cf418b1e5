/* Restarts: delays that grow, limits, and what makes them forget. */

#include "service/restart.h"

#include "base/tap.h"

static const struct restart_policy usual = {
	.when = RESTART_ON_FAILURE,
	.limit = 5,
	.limit_ms = 60000,
	.delay_ms = 100,
	.max_delay_ms = 1000,
	.reset_after_ms = 10000,
	.factor = 2,
};

static uint64_t delay;

/* A failure at @now after @ran; the chance is in the middle: no jitter. */
static int fail(struct restart *r, const struct restart_policy *p, uint64_t ran,
		uint64_t now)
{
	return restart_decide(r, p, true, ran, now, 0.5, &delay);
}

/* Verify that the first failure waits for nothing, and each further one
 * longer, up to the most. */
static void test_delays_grow(void)
{
	static const unsigned delays[] = { 0, 100, 200, 400, 800, 1000, 1000 };
	struct restart_policy p = usual;
	struct restart r = { 0 };

	p.limit = 0;
	for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		CHECK_EQ(fail(&r, &p, 5, 1000 * i), RESTART_YES);
		CHECK_EQ(delay, delays[i]);
	}
	CHECK_EQ(r.count, 7);
	restart_deinit(&r);
}

/* Verify that a healthy while makes the next failure the first again. */
static void test_health_resets(void)
{
	struct restart r = { 0 };

	CHECK_EQ(fail(&r, &usual, 0, 0), RESTART_YES);
	CHECK_EQ(fail(&r, &usual, 9999, 10000), RESTART_YES);
	CHECK_EQ(delay, 100);
	CHECK_EQ(fail(&r, &usual, 10000, 30000), RESTART_YES);
	CHECK_EQ(delay, 0);
	restart_deinit(&r);
}

/* Verify that jitter spreads a delay to both sides and no further. */
static void test_jitter(void)
{
	struct restart_policy p = usual;
	struct restart r = { 0 };

	p.jitter = 0.1;
	p.limit = 0;
	CHECK_EQ(restart_decide(&r, &p, true, 0, 0, 0.99, &delay), RESTART_YES);
	CHECK_EQ(delay, 0);
	CHECK_EQ(restart_decide(&r, &p, true, 0, 0, 0, &delay), RESTART_YES);
	CHECK_EQ(delay, 90);
	CHECK_EQ(restart_decide(&r, &p, true, 0, 0, 0.999999, &delay),
		 RESTART_YES);
	CHECK_EQ(delay, 219);
	restart_deinit(&r);
}

/* Verify the three policies. */
static void test_policies(void)
{
	struct restart_policy p = usual;
	struct restart r = { 0 };

	CHECK_EQ(restart_decide(&r, &p, false, 0, 0, 0, &delay), RESTART_NO);
	CHECK_EQ(restart_decide(&r, &p, true, 0, 0, 0, &delay), RESTART_YES);
	p.when = RESTART_ALWAYS;
	CHECK_EQ(restart_decide(&r, &p, false, 0, 0, 0.5, &delay), RESTART_YES);
	CHECK_EQ(delay, 100); /* so that it does not spin */
	p.when = RESTART_NEVER;
	CHECK_EQ(restart_decide(&r, &p, true, 0, 0, 0, &delay), RESTART_NO);
	restart_deinit(&r);
}

/* Verify that no more restarts are made than the limit says, delays counted,
 * and that its time passes. */
static void test_limit(void)
{
	struct restart r = { 0 };

	for (int i = 0; i < 5; i++)
		CHECK_EQ(fail(&r, &usual, 0, 1000), RESTART_YES);
	CHECK_EQ(fail(&r, &usual, 0, 1000), RESTART_OVER);
	CHECK_EQ(fail(&r, &usual, 0, 59000), RESTART_OVER);
	/* The first restart was at 1000; with its delay this one is far
	 * enough from it. */
	CHECK_EQ(fail(&r, &usual, 0, 60000), RESTART_YES);
	/* The second was at 1100. */
	CHECK_EQ(fail(&r, &usual, 0, 60000), RESTART_OVER);
	restart_reset(&r);
	CHECK_EQ(fail(&r, &usual, 0, 60000), RESTART_YES);
	CHECK_EQ(delay, 0);
	restart_deinit(&r);
}

/* Verify that a healthy while does not forget the limit: failing slowly is
 * failing. */
static void test_limit_of_slow_failures(void)
{
	struct restart r = { 0 };

	for (int i = 0; i < 5; i++)
		CHECK_EQ(fail(&r, &usual, 10000, 10000 * (uint64_t)i),
			 RESTART_YES);
	CHECK_EQ(fail(&r, &usual, 10000, 50000), RESTART_OVER);
	CHECK_EQ(fail(&r, &usual, 10000, 60000), RESTART_YES);
	restart_deinit(&r);
}

/* Verify that a limit that changes keeps what counts. */
static void test_limit_changes(void)
{
	struct restart_policy p = usual;
	struct restart r = { 0 };

	for (int i = 0; i < 4; i++)
		CHECK_EQ(fail(&r, &p, 0, 1000), RESTART_YES);
	p.limit = 2;
	CHECK_EQ(fail(&r, &p, 0, 1000), RESTART_OVER);
	p.limit = 8;
	for (int i = 0; i < 6; i++)
		CHECK_EQ(fail(&r, &p, 0, 1000), RESTART_YES);
	CHECK_EQ(fail(&r, &p, 0, 1000), RESTART_OVER);
	restart_deinit(&r);
}

/* Verify that absurd numbers overflow nothing. */
static void test_extremes(void)
{
	struct restart_policy p = {
		.when = RESTART_ALWAYS,
		.limit = RESTART_LIMIT_MAX,
		.limit_ms = UINT64_MAX,
		.delay_ms = UINT64_MAX / 2,
		.max_delay_ms = UINT64_MAX,
		.reset_after_ms = UINT64_MAX,
		.factor = 100,
		.jitter = 1,
	};
	struct restart r = { .failures = UINT32_MAX - 1 };

	for (int i = 0; i < 3; i++) {
		CHECK_EQ(restart_decide(&r, &p, true, 0, 5, 0.999, &delay),
			 RESTART_YES);
		CHECK(delay <= 2ULL * 366 * 24 * 3600 * 1000);
	}
	CHECK_EQ(r.failures, UINT32_MAX);
	CHECK_EQ(restart_delay_ms(&p, UINT32_MAX), 366ULL * 24 * 3600 * 1000);
	p.factor = 1;
	p.delay_ms = 7;
	CHECK_EQ(restart_delay_ms(&p, UINT32_MAX), 7);
	restart_deinit(&r);
}

/* Verify that a limit that delays keep away is known to be one. */
static void test_reachable(void)
{
	struct restart_policy p = usual;

	CHECK(restart_limit_reachable(&p));
	p.limit = 100; /* about 97 s of delays */
	CHECK(!restart_limit_reachable(&p));
	p.limit = 5; /* 2.5 s of delays */
	p.limit_ms = 2600;
	CHECK(restart_limit_reachable(&p));
	p.limit_ms = 2500;
	CHECK(!restart_limit_reachable(&p));
	p.limit = 0;
	CHECK(restart_limit_reachable(&p));
}

int main(void)
{
	RUN(test_delays_grow);
	RUN(test_health_resets);
	RUN(test_jitter);
	RUN(test_policies);
	RUN(test_limit);
	RUN(test_limit_of_slow_failures);
	RUN(test_limit_changes);
	RUN(test_extremes);
	RUN(test_reachable);
	return tap_done();
}
