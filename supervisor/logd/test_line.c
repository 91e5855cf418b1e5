/* Lines of logs: what is written is read, and nothing else is. */

#include "logd/line.h"

#include "base/tap.h"

/* Verify that a line comes back as it was. */
static void test_round_trip(void)
{
	struct line in = { .time_us = 1795759490123456ULL,
			   .level = LINE_WARNING,
			   .error = true,
			   .pid = 4711,
			   .instance = "blue" };
	char time[LINE_TIME_BYTES], data[LINE_HEAD_BYTES + 16];
	struct line out;
	size_t n;

	line_write_time(in.time_us, time);
	CHECK_STR(time, "2026-11-27T06:04:50.123456Z");
	n = line_write_head(&in, time, data);
	memcpy(data + n, "a  b \xff", 6);
	CHECK_EQ(line_parse(data, n + 6, &out), 0);
	CHECK_EQ(out.time_us, in.time_us);
	CHECK_EQ(out.level, LINE_WARNING);
	CHECK(out.error);
	CHECK_EQ(out.pid, 4711);
	CHECK_STR(out.instance, "blue");
	CHECK(out.size == 6 && memcmp(out.text, "a  b \xff", 6) == 0);
}

/* Verify that without an instance a dash stands there, and means none. */
static void test_no_instance(void)
{
	struct line in = { .time_us = 0, .level = LINE_INFO, .pid = 1 };
	char time[LINE_TIME_BYTES], data[LINE_HEAD_BYTES];
	struct line out;
	size_t n;

	line_write_time(0, time);
	n = line_write_head(&in, time, data);
	CHECK_STR(data, "1970-01-01T00:00:00.000000Z info out 1 - ");
	CHECK_EQ(line_parse(data, n, &out), 0);
	CHECK_STR(out.instance, "");
	CHECK_EQ(out.size, 0);
}

/* Verify that every truncation before the text is refused. */
static void test_truncations(void)
{
	static const char line[] = "2026-11-27T06:04:50.123456Z info out 1 - ";
	struct line out;

	for (size_t n = 0; n < sizeof(line) - 1; n++)
		CHECK_EQ(line_parse(line, n, &out), -EBADMSG);
	CHECK_EQ(line_parse(line, sizeof(line) - 1, &out), 0);
}

/* Verify that what is nearly a line is none. */
static void test_refused(void)
{
	static const char *const wrong[] = {
		"2026-13-27T06:04:50.123456Z info out 1 - x",
		"2026-11-27T06:04:50.12345Z info out 1 - x",
		"2026-11-27 06:04:50.123456Z info out 1 - x",
		"1969-11-27T06:04:50.123456Z info out 1 - x",
		"2026-11-27T06:04:50.123456Z loud out 1 - x",
		"2026-11-27T06:04:50.123456Z info in 1 - x",
		"2026-11-27T06:04:50.123456Z info out -1 - x",
		"2026-11-27T06:04:50.123456Z info out 12345678901 - x",
		"2026-11-27T06:04:50.123456Z info out 1  x",
		"",
	};
	struct line out;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_EQ(line_parse(wrong[i], strlen(wrong[i]), &out),
			 -EBADMSG);
}

/* Verify that a level before the text is taken off, and nothing else is. */
static void test_levels(void)
{
	const char *text = "<3>broken";
	size_t size = 9;

	CHECK_EQ(line_take_level(&text, &size, LINE_INFO), LINE_ERR);
	CHECK(size == 6 && memcmp(text, "broken", 6) == 0);
	CHECK_EQ(line_take_level(&text, &size, LINE_INFO), LINE_INFO);
	text = "<8>";
	size = 3;
	CHECK_EQ(line_take_level(&text, &size, LINE_DEBUG), LINE_DEBUG);
	CHECK_EQ(size, 3);
	size = 2;
	text = "<3>";
	CHECK_EQ(line_take_level(&text, &size, LINE_DEBUG), LINE_DEBUG);
}

int main(void)
{
	RUN(test_round_trip);
	RUN(test_no_instance);
	RUN(test_truncations);
	RUN(test_refused);
	RUN(test_levels);
	return tap_done();
}
