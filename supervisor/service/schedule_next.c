/*
 * Step 4, for services: when a schedule comes next.
 *
 * First the day, by the calendar alone; then the time in it, as seconds since
 * local midnight; then the moment, by the zone. Nearly all days have one
 * offset from UTC and there the time is found in the bits. Around a change of
 * the clock each time of the day is looked at: it has one moment, two, or
 * none.
 */

#include "service/schedule.h"

#include <errno.h>
#include <time.h>

#define DAY_S 86400
/* Zones are up to 14 hours from UTC, and change by less. */
#define NEAR_S (26 * 3600)
/* A 29th of February on a Monday may be 40 years away. */
#define SEARCH_YEARS 41
#define ALL_HOURS    ((1U << 24) - 1)

/* --- the calendar -------------------------------------------------------- */

struct date {
	int64_t year;
	unsigned month, day;
};

/* Days since 1970-01-01; years from March on, so that leap days are last. */
static int64_t days_of(const struct date *d)
{
	int64_t y = d->month <= 2 ? d->year - 1 : d->year;
	unsigned m = d->month > 2 ? d->month - 3 : d->month + 9;

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 +
	       d->day - 1 - 719468;
}

/* Nothing before year 0 is asked for. */
static struct date date_of(int64_t days)
{
	int64_t n = days + 719468, era = n / 146097, rest = n % 146097;
	int64_t y = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
	unsigned of_year = (unsigned)(rest - (365 * y + y / 4 - y / 100));
	unsigned m = (5 * of_year + 2) / 153;
	struct date d = { .month = m < 10 ? m + 3 : m - 9,
			  .day = of_year - (153 * m + 2) / 5 + 1 };

	d.year = y + era * 400 + (d.month <= 2);
	return d;
}

static unsigned weekday_of(int64_t days)
{
	return (unsigned)((days + 4) % 7); /* 1970 began on a Thursday */
}

static unsigned month_days(const struct date *d)
{
	bool leap =
		d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);

	if (d->month == 2)
		return leap ? 29 : 28;
	return d->month == 4 || d->month == 6 || d->month == 9 || d->month == 11
		       ? 30
		       : 31;
}

static void next_month(struct date *d)
{
	d->day = 1;
	if (++d->month > 12) {
		d->month = 1;
		d->year++;
	}
}

/* The first day from @from on that is meant, -1 for none. */
static int64_t next_day(const struct schedule *s, int64_t from)
{
	struct date d = date_of(from < 0 ? 0 : from);
	int64_t end;

	if (d.year < s->first_year)
		d = (struct date){ s->first_year, 1, 1 };
	end = d.year + SEARCH_YEARS;
	while (d.year <= s->last_year && d.year < end) {
		int64_t days;

		if (!(s->months & 1U << d.month) || d.day > month_days(&d)) {
			next_month(&d);
			continue;
		}
		days = days_of(&d);
		if ((s->days & 1U << d.day) &&
		    (s->weekdays & 1U << weekday_of(days)))
			return days;
		d.day++;
	}
	return -1;
}

bool schedule_comes(const struct schedule *s)
{
	return s->kind == SCHEDULE_EVERY ||
	       (s->kind == SCHEDULE_CALENDAR && next_day(s, 0) >= 0);
}

bool schedule_comes_after(const struct schedule *s, int64_t now_s)
{
	return s->kind == SCHEDULE_EVERY ||
	       (s->kind == SCHEDULE_CALENDAR &&
		next_day(s, now_s / DAY_S - 1) >= 0);
}

/* --- the time of the day ------------------------------------------------- */

/* The first bit of @set from @from on, -1 for none. */
static int next_bit(uint64_t set, int from)
{
	if (from > 63)
		return -1;
	set &= ~0ULL << from;
	return set ? __builtin_ctzll(set) : -1;
}

/* Seconds since midnight of the first time from @from on, -1 for none. */
static int next_time(const struct schedule *s, int from)
{
	int h = from / 3600, m = from / 60 % 60, sec = from % 60;

	sec = next_bit(s->seconds, sec);
	if (sec < 0)
		m++;
	if (!(m < 60 && (s->minutes & 1ULL << m)))
		sec = -1;
	m = next_bit(s->minutes, m);
	if (m < 0)
		h++;
	if (!(h < 24 && (s->hours & 1U << h)))
		m = sec = -1;
	h = next_bit(s->hours, h);
	if (h < 0)
		return -1;
	if (m < 0)
		m = next_bit(s->minutes, 0);
	if (sec < 0)
		sec = next_bit(s->seconds, 0);
	return h * 3600 + m * 60 + sec;
}

/* --- the zone ------------------------------------------------------------ */

static int64_t offset_at(int64_t t)
{
	time_t time = (time_t)t;
	struct tm tm;

	return localtime_r(&time, &tm) ? tm.tm_gmtoff : 0;
}

/* The first moment of (@from, @to] with the offset that holds at @to. */
static int64_t change_between(int64_t from, int64_t to)
{
	int64_t offset = offset_at(to);

	while (to - from > 1) {
		int64_t middle = from + (to - from) / 2;

		if (offset_at(middle) == offset)
			to = middle;
		else
			from = middle;
	}
	return to;
}

/* A day around which the clock changes, once: at @at, from @before to
 * @after. */
struct change {
	int64_t at, before, after;
};

/* The first moment of local time @local that is not before @from. */
static bool moment(const struct schedule *s, const struct change *c,
		   int64_t local, int64_t from, int64_t *ret)
{
	int64_t first = local - c->before, second = local - c->after;
	bool has_first = first < c->at, has_second = second >= c->at;

	if (!has_first && !has_second) /* skipped by the clock */
		first = c->at;
	if ((has_first || !has_second) && first >= from) {
		*ret = first;
		return true;
	}
	if (has_second && second >= from &&
	    (!has_first || s->hours == ALL_HOURS)) {
		*ret = second;
		return true;
	}
	return false;
}

static bool next_in_odd_day(const struct schedule *s, const struct change *c,
			    int64_t midnight, int64_t from, int64_t *ret)
{
	bool found = false;
	int64_t t;

	for (int tod = next_time(s, 0); tod >= 0;
	     tod = tod + 1 < DAY_S ? next_time(s, tod + 1) : -1) {
		if (!moment(s, c, midnight + tod, from, &t))
			continue;
		if (!found || t < *ret)
			*ret = t;
		found = true;
	}
	return found;
}

static bool next_in_day(const struct schedule *s, int64_t days, int64_t from,
			int64_t *ret)
{
	int64_t midnight = days * DAY_S, tod;
	struct change c = { .before = offset_at(midnight - NEAR_S),
			    .after = offset_at(midnight + DAY_S + NEAR_S) };

	if (c.before != c.after) {
		c.at = change_between(midnight - NEAR_S,
				      midnight + DAY_S + NEAR_S);
		return next_in_odd_day(s, &c, midnight, from, ret);
	}
	tod = from + c.before - midnight;
	if (tod >= DAY_S)
		return false;
	tod = next_time(s, tod < 0 ? 0 : (int)tod);
	if (tod < 0)
		return false;
	*ret = midnight + tod - c.before;
	return true;
}

int schedule_next(const struct schedule *s, int64_t after_s, int64_t *ret_s)
{
	int64_t from = after_s + 1, days;

	if (s->kind == SCHEDULE_NONE || after_s < 0)
		return -ENOENT;
	if (s->kind == SCHEDULE_EVERY) {
		*ret_s = after_s + s->every_s;
		return 0;
	}
	/* A day that a zone leaves out comes with the change: so from the
	 * day before. */
	days = (from + offset_at(from)) / DAY_S - 1;
	while ((days = next_day(s, days)) >= 0) {
		if (next_in_day(s, days, from, ret_s))
			return 0;
		days++;
	}
	return -ENOENT;
}
