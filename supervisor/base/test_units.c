/* Units: what people write as a size or a time, and what they read. */

#include "base/units.h"

#include <string.h>

#include "base/tap.h"
#include "base/util.h"

struct reading {
	const char *text;
	uint64_t value;
};

/* Verify that sizes are powers of 1024, in either case, with fractions. */
static void test_sizes_are_read(void)
{
	static const struct reading good[] = {
		{ "1", 1 },
		{ "65536", 65536 },
		{ "10B", 10 },
		{ "512K", 512 << 10 },
		{ "64m", 64 << 20 },
		{ "64MiB", 64 << 20 },
		{ "64 MiB", 64 << 20 },
		{ "1.5G", 3ULL << 29 },
		{ "0.5k", 512 },
		{ "2T", 2ULL << 40 },
	};
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK(units_parse_bytes(good[i].text, &value) == 0);
		CHECK_EQ(value, good[i].value);
	}
}

/* Verify that times are seconds unless they say otherwise. */
static void test_times_are_read(void)
{
	static const struct reading good[] = {
		{ "1", 1000 },	     { "1.5", 1500 },	{ "500ms", 500 },
		{ "2s", 2000 },	     { "0.1s", 100 },	{ "5m", 300000 },
		{ "1.5min", 90000 }, { "1h", 3600000 }, { "1d", 86400000 },
	};
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK(units_parse_ms(good[i].text, &value) == 0);
		CHECK_EQ(value, good[i].value);
	}
	CHECK(units_parse_ms(".5", &value) == -EINVAL);
}

/* Verify that nothing else is taken for a number, and none overflows. */
static void test_everything_else_is_refused(void)
{
	static const char *const bad[] = {
		"",
		"0",
		"-1",
		"+1",
		"1.",
		"1.x",
		"1e3",
		"0x10",
		"1 2",
		"M",
		"64Q",
		"64MBs",
		"1,5",
		"NaN",
		"inf",
		" 1",
		"1K1",
		"99999999999T",
		"18446744073709551616",
		"0.0001",
		"9223372036854775808",
	};
	uint64_t value = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK(units_parse_bytes(bad[i], &value) == -EINVAL);
		CHECK(units_parse_ms(bad[i], &value) == -EINVAL);
	}
	CHECK_EQ(value, 7);
}

/* Verify that sizes are short. */
static void test_sizes_are_written(void)
{
	static const struct reading shown[] = {
		{ "0", 0 },
		{ "512", 512 },
		{ "1K", 1024 },
		{ "1.5K", 1536 },
		{ "64M", 64 << 20 },
		{ "1023", 1023 },
		{ "1.2G", 1288490189 },
		{ "1M", (1 << 20) - 1 },
	};
	char text[UNITS_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		units_format_bytes(shown[i].value, text);
		CHECK_STR(text, shown[i].text);
	}
	units_format_bytes(UINT64_MAX, text);
	CHECK(strlen(text) < 8);
}

/* Verify that times have the two largest units. */
static void test_times_are_written(void)
{
	static const struct reading shown[] = {
		{ "0.0 ms", 0 },
		{ "0.4 ms", 400 },
		{ "12.3 ms", 12345 },
		{ "1.5 s", 1500000 },
		{ "1 min 5 s", 65000000 },
		{ "1 h 1 min", 3660000000 },
		{ "3 d 2 h", 266400000000 },
	};
	char text[UNITS_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		units_format_us(shown[i].value, text);
		CHECK_STR(text, shown[i].text);
	}
}

int main(void)
{
	RUN(test_sizes_are_read);
	RUN(test_times_are_read);
	RUN(test_everything_else_is_refused);
	RUN(test_sizes_are_written);
	RUN(test_times_are_written);
	return tap_done();
}
