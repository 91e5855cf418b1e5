/*
 * Step 0, in every process: sizes and times as people write and read them.
 *
 * A number is read in millionths, in integers, so that `0.1s` is 100 ms and
 * the static client needs no floating point.
 */

#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

#define MILLIONTHS 1000000u

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit byte_units[] = {
	{ "", 1 },
	{ "b", 1 },
	{ "k", 1u << 10 },
	{ "kb", 1u << 10 },
	{ "kib", 1u << 10 },
	{ "m", 1u << 20 },
	{ "mb", 1u << 20 },
	{ "mib", 1u << 20 },
	{ "g", 1u << 30 },
	{ "gb", 1u << 30 },
	{ "gib", 1u << 30 },
	{ "t", 1ULL << 40 },
	{ "tb", 1ULL << 40 },
	{ "tib", 1ULL << 40 },
};

static const struct unit ms_units[] = {
	{ "", 1000 },	      { "ms", 1 },
	{ "s", 1000 },	      { "sec", 1000 },
	{ "m", 60 * 1000 },   { "min", 60 * 1000 },
	{ "h", 3600 * 1000 }, { "d", 24 * 3600 * 1000 },
};

/* `12.34` as millionths; the rest of the text in @ret_end. */
static int number(const char *text, uint64_t *ret_millionths,
		  const char **ret_end)
{
	uint64_t value = 0, place = MILLIONTHS;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -EINVAL;
	if (p == text || __builtin_mul_overflow(value, MILLIONTHS, &value))
		return -EINVAL;
	if (*p == '.') {
		const char *start = ++p;

		for (; *p >= '0' && *p <= '9'; p++) {
			place /= 10;
			value += (uint64_t)(*p - '0') * place;
		}
		if (p == start)
			return -EINVAL;
	}
	*ret_millionths = value;
	*ret_end = p;
	return 0;
}

static int parse(const char *text, const struct unit *units, size_t n_units,
		 uint64_t *ret)
{
	uint64_t millionths, whole, value;
	const char *end;
	int r = number(text, &millionths, &end);

	if (r < 0)
		return r;
	if (*end == ' ' && end[1])
		end++;
	for (size_t i = 0; i < n_units; i++) {
		if (strcasecmp(end, units[i].name) != 0)
			continue;
		whole = millionths / MILLIONTHS;
		if (__builtin_mul_overflow(whole, units[i].scale, &value) ||
		    units[i].scale > UINT64_MAX / MILLIONTHS)
			return -EINVAL;
		value += millionths % MILLIONTHS * units[i].scale / MILLIONTHS;
		if (value == 0 || value > INT64_MAX)
			return -EINVAL;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

int units_parse_bytes(const char *text, uint64_t *ret_bytes)
{
	return parse(text, byte_units, ARRAY_SIZE(byte_units), ret_bytes);
}

int units_parse_ms(const char *text, uint64_t *ret_ms)
{
	return parse(text, ms_units, ARRAY_SIZE(ms_units), ret_ms);
}

void units_format_bytes(uint64_t bytes, char ret[UNITS_TEXT_BYTES])
{
	static const char letters[] = "KMGTPE";
	uint64_t tenths = bytes * 10;
	int i = -1;

	if (bytes < 1024) {
		snprintf(ret, UNITS_TEXT_BYTES, "%u", (unsigned)bytes);
		return;
	}
	if (bytes > UINT64_MAX / 10) /* then tenths matter to nobody */
		tenths = UINT64_MAX;
	for (; tenths >= 10240 && i < 5; i++)
		tenths = (tenths + 512) / 1024;
	if (tenths % 10 == 0 || tenths >= 1000)
		snprintf(ret, UNITS_TEXT_BYTES, "%u%c", (unsigned)tenths / 10,
			 letters[i]);
	else
		snprintf(ret, UNITS_TEXT_BYTES, "%u.%u%c",
			 (unsigned)tenths / 10, (unsigned)tenths % 10,
			 letters[i]);
}

void units_format_us(uint64_t us, char ret[UNITS_TEXT_BYTES])
{
	unsigned long long s = us / 1000000;

	if (us < 1000000)
		snprintf(ret, UNITS_TEXT_BYTES, "%llu.%llu ms",
			 (unsigned long long)us / 1000,
			 (unsigned long long)us / 100 % 10);
	else if (s < 60)
		snprintf(ret, UNITS_TEXT_BYTES, "%llu.%llu s", s,
			 (unsigned long long)us / 100000 % 10);
	else if (s < 3600)
		snprintf(ret, UNITS_TEXT_BYTES, "%llu min %llu s", s / 60,
			 s % 60);
	else if (s < 48 * 3600)
		snprintf(ret, UNITS_TEXT_BYTES, "%llu h %llu min", s / 3600,
			 s / 60 % 60);
	else
		snprintf(ret, UNITS_TEXT_BYTES, "%llu d %llu h", s / 86400,
			 s / 3600 % 24);
}
