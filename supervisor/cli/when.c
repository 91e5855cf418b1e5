/* Step 9, in thoxctl: what a person means by a time. */

#include "cli/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"

#define PER_SECOND 1000000ULL

static struct tm local_time(uint64_t us)
{
	time_t seconds = (time_t)(us / PER_SECOND);
	struct tm tm;

	localtime_r(&seconds, &tm);
	return tm;
}

static int from_tm(struct tm tm, bool utc, uint64_t *ret_us)
{
	struct tm wanted = tm;
	time_t seconds;

	tm.tm_isdst = -1;
	seconds = utc ? timegm(&tm) : mktime(&tm);
	/* a day that the month has not is not the next month's */
	if (seconds < 0 || tm.tm_mday != wanted.tm_mday ||
	    tm.tm_mon != wanted.tm_mon)
		return -EINVAL;
	*ret_us = (uint64_t)seconds * PER_SECOND;
	return 0;
}

static int midnight(uint64_t now_us, int days, uint64_t *ret_us)
{
	struct tm tm = local_time(now_us);

	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_mday += days;
	tm.tm_isdst = -1;
	*ret_us = (uint64_t)mktime(&tm) * PER_SECOND;
	return 0;
}

/* @text, @size long, is a time span before now. */
static int before(const char *text, size_t size, uint64_t now_us,
		  uint64_t *ret_us)
{
	char span[32];
	uint64_t ms, day = 1;

	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	if (size == 0 || size >= sizeof(span))
		return -EINVAL;
	memcpy(span, text, size);
	span[size] = '\0';
	if (span[size - 1] == 'd') { /* days, which limits never have */
		span[size - 1] = 'h';
		day = 24;
	}
	if (units_parse_ms(span, &ms) < 0 || ms > now_us / 1000 / day)
		return -EINVAL;
	*ret_us = now_us - ms * day * 1000;
	return 0;
}

/* `09:30[:15[.5]]` from @text on; what is left over in @ret_rest. */
static int clock_time(const char *text, struct tm *tm, uint64_t *ret_us,
		      const char **ret_rest)
{
	unsigned hour, minute, second = 0;
	int used = 0, more = 0;

	*ret_us = 0;
	if (sscanf(text, "%2u:%2u%n", &hour, &minute, &used) < 2 || !used)
		return -EINVAL;
	text += used;
	if (sscanf(text, ":%2u%n", &second, &more) == 1)
		text += more;
	if (hour > 23 || minute > 59 || second > 60)
		return -EINVAL;
	if (more && *text == '.') {
		uint64_t unit = PER_SECOND / 10;

		for (text++; isdigit((unsigned char)*text); text++) {
			*ret_us += (uint64_t)(*text - '0') * unit;
			unit /= 10;
		}
	}
	tm->tm_hour = (int)hour;
	tm->tm_min = (int)minute;
	tm->tm_sec = (int)second;
	*ret_rest = text;
	return 0;
}

static int date_and_time(const char *text, uint64_t now_us, uint64_t *ret_us)
{
	struct tm tm = local_time(now_us);
	unsigned year, month, day;
	uint64_t us = 0;
	const char *rest = text;
	int used = 0, r = 0;
	bool utc = false;

	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (sscanf(text, "%4u-%2u-%2u%n", &year, &month, &day, &used) == 3 &&
	    used == 10) {
		tm.tm_year = (int)year - 1900;
		tm.tm_mon = (int)month - 1;
		tm.tm_mday = (int)day;
		rest = text + used;
		if (*rest == ' ' || *rest == 'T')
			r = clock_time(rest + 1, &tm, &us, &rest);
	} else {
		r = clock_time(text, &tm, &us, &rest);
	}
	if (r == 0 && *rest == 'Z') {
		utc = true;
		rest++;
	}
	if (r < 0 || *rest)
		return -EINVAL;
	r = from_tm(tm, utc, ret_us);
	if (r == 0)
		*ret_us += us;
	return r;
}

static int since_1970(const char *text, uint64_t *ret_us)
{
	unsigned long long seconds;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	seconds = strtoull(text, &end, 10);
	if (errno || *end || seconds > UINT64_MAX / PER_SECOND)
		return -EINVAL;
	*ret_us = seconds * PER_SECOND;
	return 0;
}

int when_parse(const char *text, uint64_t now_us, uint64_t *ret_us)
{
	size_t size = strlen(text);

	if (strcmp(text, "now") == 0) {
		*ret_us = now_us;
		return 0;
	}
	if (strcmp(text, "today") == 0)
		return midnight(now_us, 0, ret_us);
	if (strcmp(text, "yesterday") == 0)
		return midnight(now_us, -1, ret_us);
	if (text[0] == '@')
		return since_1970(text + 1, ret_us);
	if (text[0] == '-')
		return before(text + 1, size - 1, now_us, ret_us);
	if (size > 4 && strcmp(text + size - 4, " ago") == 0)
		return before(text, size - 4, now_us, ret_us);
	return date_and_time(text, now_us, ret_us);
}
