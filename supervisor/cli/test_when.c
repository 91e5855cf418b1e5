/* Moments as people write them. */

#include "cli/when.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/tap.h"
#include "base/util.h"

/* 2026-11-27 06:04:50.123456 UTC, 07:04:50 in the zone of this test */
#define NOW    1795759490123456ULL
#define SECOND 1000000ULL

static uint64_t when(const char *text)
{
	uint64_t us = 0;

	return when_parse(text, NOW, &us) == 0 ? us : 0;
}

/* Verify what is counted from now. */
static void test_relative(void)
{
	CHECK_EQ(when("now"), NOW);
	CHECK_EQ(when("10m ago"), NOW - 600 * SECOND);
	CHECK_EQ(when("-1.5h"), NOW - 5400 * SECOND);
	CHECK_EQ(when("2d ago"), NOW - 2 * 86400 * SECOND);
	CHECK_EQ(when("@1795759490"), 1795759490 * SECOND);
}

/* Verify days and clock times, which are local. */
static void test_local(void)
{
	CHECK_EQ(when("today"), 1795734000 * SECOND);
	CHECK_EQ(when("yesterday"), 1795647600 * SECOND);
	CHECK_EQ(when("07:04"), 1795759440 * SECOND);
	CHECK_EQ(when("07:04:50.5"), 1795759490 * SECOND + 500000);
	CHECK_EQ(when("2026-11-27"), 1795734000 * SECOND);
	CHECK_EQ(when("2026-11-27 07:04:50"), 1795759490 * SECOND);
}

/* Verify that the time of a log's line can be given back. */
static void test_utc(void)
{
	CHECK_EQ(when("2026-11-27T06:04:50.123456Z"), NOW);
}

/* Verify that what is no time is refused. */
static void test_refused(void)
{
	static const char *const wrong[] = { "",
					     "soon",
					     "25:00",
					     "07:60",
					     "7",
					     "2026-02-30",
					     "2026-13-01",
					     "2026-11-27x",
					     "@",
					     "@-1",
					     "@99999999999999999999",
					     "- ago",
					     " ago",
					     "-",
					     "07:04 nonsense",
					     "1y ago" };
	uint64_t us;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK_EQ(when_parse(wrong[i], NOW, &us), -EINVAL);
}

int main(void)
{
	setenv("TZ", "XXX-1", 1);
	tzset();
	RUN(test_relative);
	RUN(test_local);
	RUN(test_utc);
	RUN(test_refused);
	return tap_done();
}
