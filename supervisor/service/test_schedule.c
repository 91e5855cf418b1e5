/* Schedules: what they say, when they come, and what clocks do to them. */

#include "service/schedule.h"

#include <stdlib.h>
#include <time.h>

#include "base/tap.h"
#include "base/util.h"

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static void zone(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

/* `2027-03-28 01:59:59` in UTC, whatever the zone is. */
static int64_t utc(const char *text)
{
	struct tm tm = { 0 };

	if (!strptime(text, "%Y-%m-%d %H:%M:%S", &tm))
		abort();
	return (int64_t)timegm(&tm);
}

static const char *text_of(int64_t t)
{
	static char text[64];
	time_t time = (time_t)t;
	struct tm tm;

	gmtime_r(&time, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	return text;
}

static struct schedule parsed(const char *text)
{
	struct schedule s = { 0 };
	const char *rule;

	if (schedule_parse(text, &s, &rule) < 0) {
		printf("# '%s': %s\n", text, rule);
		s.kind = SCHEDULE_NONE;
	}
	return s;
}

/* When @schedule comes after @from, both in UTC. */
static const char *next(const char *schedule, const char *from)
{
	struct schedule s = parsed(schedule);
	int64_t t;

	if (schedule_next(&s, utc(from), &t) < 0)
		return "never";
	return text_of(t);
}

/* Verify each form, in a zone without daylight saving. */
static void test_forms(void)
{
	static const struct {
		const char *schedule, *from, *next;
	} cases[] = {
		{ "every 5m", "2027-01-01 00:00:07", "2027-01-01 00:05:07" },
		{ "every  1h", "2027-01-01 00:00:07", "2027-01-01 01:00:07" },
		{ "EVERY 90s", "2027-01-01 00:00:00", "2027-01-01 00:01:30" },
		{ "minutely", "2027-01-01 00:00:00", "2027-01-01 00:01:00" },
		{ "hourly", "2027-01-01 00:00:00", "2027-01-01 01:00:00" },
		{ "hourly", "2026-12-31 23:30:00", "2027-01-01 00:00:00" },
		{ "daily", "2027-01-01 00:00:00", "2027-01-02 00:00:00" },
		{ "daily 03:00", "2027-01-01 02:59:59", "2027-01-01 03:00:00" },
		{ "daily 03:00", "2027-01-01 03:00:00", "2027-01-02 03:00:00" },
		{ "daily 3:00:30", "2027-01-01 03:00:00",
		  "2027-01-01 03:00:30" },
		/* a Friday */
		{ "weekly", "2027-01-01 00:00:00", "2027-01-04 00:00:00" },
		{ "weekly Sun 04:30", "2027-01-01 00:00:00",
		  "2027-01-03 04:30:00" },
		{ "monthly", "2027-01-01 00:00:00", "2027-02-01 00:00:00" },
		{ "monthly 12:00", "2027-01-01 00:00:00",
		  "2027-01-01 12:00:00" },
		{ "yearly", "2027-01-01 00:00:00", "2028-01-01 00:00:00" },
		{ "Annually 06:00", "2027-02-01 00:00:00",
		  "2028-01-01 06:00:00" },
		{ "Mon..Fri 09:00", "2027-01-01 09:00:00",
		  "2027-01-04 09:00:00" },
		{ "mon,thu 09:00", "2027-01-04 09:00:00",
		  "2027-01-07 09:00:00" },
		{ "Sat..Mon 09:00", "2027-01-01 00:00:00",
		  "2027-01-02 09:00:00" },
		{ "Monday", "2027-01-01 00:00:00", "2027-01-04 00:00:00" },
		{ "*:0/15", "2027-01-01 00:00:00", "2027-01-01 00:15:00" },
		{ "*:0/15", "2027-01-01 23:45:00", "2027-01-02 00:00:00" },
		{ "*:*:0/10", "2027-01-01 23:59:50", "2027-01-02 00:00:00" },
		{ "8..18/2:30", "2027-01-01 08:30:00", "2027-01-01 10:30:00" },
		{ "8,20:15", "2027-01-01 08:15:00", "2027-01-01 20:15:00" },
		{ "*-*-01 00:00", "2027-01-01 00:00:00",
		  "2027-02-01 00:00:00" },
		{ "*-*-31", "2027-01-31 00:00:00", "2027-03-31 00:00:00" },
		{ "12-24", "2027-01-01 00:00:00", "2027-12-24 00:00:00" },
		{ "02-29", "2027-01-01 00:00:00", "2028-02-29 00:00:00" },
		{ "*/2-1", "2027-01-01 00:00:00", "2027-03-01 00:00:00" },
		{ "Mon 02-29", "2027-01-01 00:00:00", "2044-02-29 00:00:00" },
		/* 2100 is no leap year: 40 years between two of them */
		{ "Mon 02-29", "2072-02-29 00:00:00", "2112-02-29 00:00:00" },
		{ "2030-05-06 07:08:09", "2027-01-01 00:00:00",
		  "2030-05-06 07:08:09" },
		{ "2030-05-06 07:08:09", "2030-05-06 07:08:09", "never" },
		{ "2028..2030-1-1", "2030-01-01 00:00:00", "never" },
		{ "2500-01-01", "2027-01-01 00:00:00", "2500-01-01 00:00:00" },
		{ "Fri *-*-13 12:00", "2027-01-01 00:00:00",
		  "2027-08-13 12:00:00" },
	};

	zone("UTC0");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *is = next(cases[i].schedule, cases[i].from);

		if (strcmp(is, cases[i].next) != 0)
			printf("# %s\n", cases[i].schedule);
		CHECK_STR(is, cases[i].next);
	}
}

/* Verify that what means nothing is refused, with the rule. */
static void test_refused(void)
{
	static const struct {
		const char *schedule, *rule;
	} cases[] = {
		{ "", "a schedule is" },
		{ "   ", "a schedule is" },
		{ "sometimes", "a weekday is" },
		{ "every", "after `every` comes" },
		{ "every day", "after `every` comes" },
		{ "every 0", "after `every` comes" },
		{ "every 500ms", "whole seconds" },
		{ "every 1.5s", "whole seconds" },
		{ "every 400d", "a year at most" },
		{ "every 5m 03:00", "after `every` comes" },
		{ "hourly 03:00", "no time follows" },
		{ "daily 3", "a time HOUR:MINUTE follows" },
		{ "daily Mon 03:00", "a time HOUR:MINUTE follows" },
		{ "daily 24:00", "an hour is 0 to 23" },
		{ "daily 23:60", "a minute is 0 to 59" },
		{ "daily 23:59:60", "a second is 0 to 59" },
		{ "daily 03:00x", "a time is written" },
		{ "daily 3:", "a schedule is" },
		{ "Mon-Fri 09:00", "written Mon..Fri" },
		{ "Mon.Fri", "weekdays are written" },
		{ "Mon..", "after .. comes a weekday" },
		{ "Mon,Feb 09:00", "a weekday is" },
		{ "13-01", "a month is 1 to 12" },
		{ "01-32", "a day is 1 to 31" },
		{ "0-1", "a month is 1 to 12" },
		{ "1969-01-01", "a year is" },
		{ "2030..2028-01-01", "a year is" },
		{ "1970-2-3-4", "a date is written" },
		{ "*:5..1", "from the smaller" },
		{ "*:0/0", "after / comes" },
		{ "*:99999999999", "a minute is" },
		{ "02-30", "no such day" },
		{ "04-31 12:00", "no such day" },
		{ "2027-02-29", "no such day" },
		{ "Mon 2027-01-01", "no such day" },
		{ "Mon 01-01 03:00 x", "a schedule is" },
		{ "1 2 3 4 5 6", "a schedule is" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct schedule s = { .every_s = 77 };
		const char *rule = "";

		CHECK_EQ(schedule_parse(cases[i].schedule, &s, &rule), -EINVAL);
		if (!strstr(rule, cases[i].rule))
			printf("# '%s': %s\n", cases[i].schedule, rule);
		CHECK(strstr(rule, cases[i].rule));
		CHECK_EQ(s.every_s, 77);
	}
}

/* Verify that a text as long as it likes is refused. */
static void test_long_text(void)
{
	char text[SCHEDULE_TEXT_BYTES + 1];
	struct schedule s;
	const char *rule;

	memset(text, '1', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK_EQ(schedule_parse(text, &s, &rule), -EINVAL);
	CHECK(strstr(rule, "shorter"));
}

/* Verify that a date in the past is known to be one. */
static void test_past(void)
{
	struct schedule s = parsed("2020-01-01 00:00");

	CHECK(schedule_comes(&s));
	CHECK(!schedule_comes_after(&s, utc("2027-01-01 00:00:00")));
	CHECK(schedule_comes_after(&s, utc("2019-12-31 00:00:00")));
	s = parsed("2020..2027-06-01");
	CHECK(schedule_comes_after(&s, utc("2027-01-01 00:00:00")));
	CHECK(!schedule_comes_after(&s, utc("2027-07-01 00:00:00")));
}

/* Verify that times are local. In Berlin it is an hour later than in UTC, in
 * summer two. */
static void test_local_time(void)
{
	zone(BERLIN);
	CHECK_STR(next("daily 03:00", "2027-01-01 00:00:00"),
		  "2027-01-01 02:00:00");
	CHECK_STR(next("daily 03:00", "2027-07-01 00:00:00"),
		  "2027-07-01 01:00:00");
	zone("IST-5:30");
	CHECK_STR(next("daily 00:00", "2027-01-01 00:00:00"),
		  "2027-01-01 18:30:00");
	zone("HST10");
	CHECK_STR(next("daily 00:00", "2027-01-01 00:00:00"),
		  "2027-01-01 10:00:00");
}

/* Verify that a time that the clock skips comes when it has: on 28 March
 * 2027 it goes from 02:00 to 03:00 at 01:00 UTC. */
static void test_skipped_hour(void)
{
	zone(BERLIN);
	CHECK_STR(next("daily 02:30", "2027-03-27 12:00:00"),
		  "2027-03-28 01:00:00");
	CHECK_STR(next("daily 02:30", "2027-03-28 01:00:00"),
		  "2027-03-29 00:30:00");
	CHECK_STR(next("daily 01:30", "2027-03-27 12:00:00"),
		  "2027-03-28 00:30:00");
	CHECK_STR(next("daily 03:30", "2027-03-27 12:00:00"),
		  "2027-03-28 01:30:00");
	/* All that is skipped comes once. */
	CHECK_STR(next("*:0/15", "2027-03-28 00:45:00"), "2027-03-28 01:00:00");
	CHECK_STR(next("*:0/15", "2027-03-28 01:00:00"), "2027-03-28 01:15:00");
	CHECK_STR(next("hourly", "2027-03-28 00:00:00"), "2027-03-28 01:00:00");
	CHECK_STR(next("hourly", "2027-03-28 01:00:00"), "2027-03-28 02:00:00");
}

/* Verify that a time that comes twice is meant once, and every hour twice: on
 * 31 October 2027 it goes from 03:00 back to 02:00 at 01:00 UTC. */
static void test_doubled_hour(void)
{
	zone(BERLIN);
	CHECK_STR(next("daily 02:30", "2027-10-30 12:00:00"),
		  "2027-10-31 00:30:00");
	CHECK_STR(next("daily 02:30", "2027-10-31 00:30:00"),
		  "2027-11-01 01:30:00");
	CHECK_STR(next("hourly", "2027-10-31 00:00:00"), "2027-10-31 01:00:00");
	CHECK_STR(next("hourly", "2027-10-31 01:00:00"), "2027-10-31 02:00:00");
	CHECK_STR(next("*:30", "2027-10-31 00:30:00"), "2027-10-31 01:30:00");
	CHECK_STR(next("daily 03:00", "2027-10-31 00:30:00"),
		  "2027-10-31 02:00:00");
}

/* Verify that a clock that changes by half an hour is followed too. */
static void test_half_an_hour(void)
{
	zone("LHST-10:30LHDT-11,M10.1.0,M4.1.0");
	/* 3 October 2027, 02:00 becomes 02:30: 15:30 UTC the day before */
	CHECK_STR(next("daily 02:15", "2027-10-02 00:00:00"),
		  "2027-10-02 15:30:00");
	CHECK_STR(next("daily 02:30", "2027-10-02 00:00:00"),
		  "2027-10-02 15:30:00");
	CHECK_STR(next("daily 03:00", "2027-10-02 00:00:00"),
		  "2027-10-02 16:00:00");
}

/* Verify for a year, hour by hour, that `next` is the next: nothing between
 * is, and it never stands still. */
static void test_order(void)
{
	static const char *const schedules[] = { "daily 02:30", "*:0/20",
						 "Sun 02:00..03", "hourly",
						 "*-*-28..31 0/6:10" };

	zone(BERLIN);
	for (size_t i = 0; i < ARRAY_SIZE(schedules); i++) {
		struct schedule s;
		const char *rule;
		int64_t t = utc("2027-01-01 00:00:00"), last = 0;

		if (schedule_parse(schedules[i], &s, &rule) < 0)
			continue;
		for (int h = 0; h < 366 * 24; h++, t += 3600) {
			int64_t at, again;

			CHECK_EQ(schedule_next(&s, t, &at), 0);
			CHECK(at > t && at >= last);
			CHECK_EQ(schedule_next(&s, at - 1, &again), 0);
			CHECK_EQ(again, at);
			last = at;
		}
	}
}

static struct timetable table;
static struct schedule schedule;

static int64_t at(const char *clock)
{
	char text[32];

	snprintf(text, sizeof(text), "2027-01-01 %s", clock);
	return utc(text);
}

static void follow(const char *text, bool catch_up, const char *now)
{
	zone("UTC0");
	schedule = parsed(text);
	timetable_start(&table, &schedule, catch_up, 0, at(now));
}

/* Verify that a schedule comes at its times and goes on. */
static void test_following(void)
{
	follow("daily 03:00", false, "02:00:00");
	CHECK(!timetable_due(&table, at("02:59:59")));
	CHECK(timetable_due(&table, at("03:00:00")));
	CHECK(!timetable_due(&table, at("03:00:01")));
	CHECK_EQ(table.next_s, utc("2027-01-02 03:00:00"));
	CHECK_EQ(table.last_s, at("03:00:00"));

	follow("every 5m", false, "02:00:07");
	CHECK_EQ(table.next_s, at("02:05:07"));
	CHECK(timetable_due(&table, at("02:05:09")));
	CHECK_EQ(table.next_s, at("02:10:07"));

	follow("2027-01-01 03:00", false, "02:00:00");
	CHECK(timetable_due(&table, at("03:00:00")));
	CHECK_EQ(table.next_s, 0);
	CHECK(!timetable_due(&table, at("04:00:00")));
}

/* Verify that what is late is skipped, or made up for once. */
static void test_missed(void)
{
	follow("*:0/15", false, "02:00:00");
	CHECK(!timetable_due(&table, at("03:20:00")));
	CHECK_EQ(table.next_s, at("03:30:00"));
	follow("*:0/15", true, "02:00:00");
	CHECK(timetable_due(&table, at("03:20:00")));
	CHECK_EQ(table.next_s, at("03:30:00"));
	follow("every 5m", true, "02:00:00");
	CHECK(timetable_due(&table, at("03:01:00")));
	CHECK_EQ(table.next_s, at("03:05:00"));
}

/* Verify the same of a supervisor that comes back. */
static void test_missed_while_away(void)
{
	zone("UTC0");
	schedule = parsed("daily 03:00");
	CHECK(!timetable_start(&table, &schedule, false,
			       utc("2026-12-30 03:00:00"), at("05:00:00")));
	CHECK_EQ(table.next_s, utc("2027-01-02 03:00:00"));
	CHECK(timetable_start(&table, &schedule, true,
			      utc("2026-12-30 03:00:00"), at("05:00:00")));
	CHECK_EQ(table.next_s, utc("2027-01-02 03:00:00"));
	CHECK(!timetable_start(&table, &schedule, true, table.last_s,
			       at("05:10:00")));
	CHECK(!timetable_start(&table, &schedule, true, at("03:00:00"),
			       at("05:00:00")));
	/* It was never there before: nothing was missed. */
	CHECK(!timetable_start(&table, &schedule, true, 0, at("05:00:00")));
	/* What another clock said is not believed. */
	CHECK(!timetable_start(&table, &schedule, true, at("09:00:00"),
			       at("05:00:00")));
	CHECK_EQ(table.next_s, utc("2027-01-02 03:00:00"));
	/* The rhythm of `every` goes on. */
	schedule = parsed("every 1h");
	timetable_start(&table, &schedule, false, at("03:10:00"),
			at("05:00:00"));
	CHECK_EQ(table.next_s, at("05:10:00"));
}

/* Verify that a clock set back an hour repeats nothing, and one set back by
 * days begins anew. */
static void test_clock_set_back(void)
{
	follow("daily 03:00", false, "02:00:00");
	CHECK(timetable_due(&table, at("03:00:00")));
	CHECK(!timetable_clock_set(&table, at("03:10:00"), at("02:10:00")));
	CHECK_EQ(table.next_s, utc("2027-01-02 03:00:00"));
	/* what did not come yet comes */
	follow("daily 03:00", false, "02:00:00");
	CHECK(!timetable_clock_set(&table, at("02:30:00"), at("01:30:00")));
	CHECK_EQ(table.next_s, at("03:00:00"));

	follow("daily 03:00", false, "02:00:00");
	CHECK(timetable_due(&table, at("03:00:00")));
	CHECK(!timetable_clock_set(&table, at("04:00:00"),
				   utc("2026-12-20 00:00:00")));
	CHECK_EQ(table.next_s, utc("2026-12-20 03:00:00"));
	CHECK(timetable_due(&table, utc("2026-12-20 03:00:00")));
}

/* Verify that a clock set forward misses what it jumps over. */
static void test_clock_set_forward(void)
{
	follow("daily 03:00", false, "02:00:00");
	CHECK(!timetable_clock_set(&table, at("02:10:00"), at("05:00:00")));
	CHECK_EQ(table.next_s, utc("2027-01-02 03:00:00"));
	follow("daily 03:00", true, "02:00:00");
	CHECK(timetable_clock_set(&table, at("02:10:00"), at("05:00:00")));
	follow("daily 03:00", false, "02:00:00");
	CHECK(timetable_clock_set(&table, at("02:59:00"), at("03:00:30")));
}

/* Verify that `every` counts time that passes, not what the clock says. */
static void test_every_ignores_the_clock(void)
{
	follow("every 1h", true, "02:00:00");
	CHECK(!timetable_clock_set(&table, at("02:30:00"), at("08:30:00")));
	CHECK_EQ(table.next_s, at("09:00:00"));
	CHECK(!timetable_clock_set(&table, at("08:30:00"), at("01:30:00")));
	CHECK_EQ(table.next_s, at("02:00:00"));
}

int main(void)
{
	RUN(test_forms);
	RUN(test_refused);
	RUN(test_long_text);
	RUN(test_past);
	RUN(test_local_time);
	RUN(test_skipped_hour);
	RUN(test_doubled_hour);
	RUN(test_half_an_hour);
	RUN(test_order);
	RUN(test_following);
	RUN(test_missed);
	RUN(test_missed_while_away);
	RUN(test_clock_set_back);
	RUN(test_clock_set_forward);
	RUN(test_every_ignores_the_clock);
	return tap_done();
}
