#pragma once

/*
 * Schedules: when the clock starts a service.
 *
 *	every 5m                           counted from the last time
 *	minutely, hourly, daily, weekly, monthly, yearly
 *	daily 03:00, weekly Sun 03:00, monthly 04:30
 *	[WEEKDAYS] [DATE] [TIME]:          Mon..Fri 09:00, *-*-01 00:00,
 *	                                   *:0/15, 12-24, Mon,Thu 8..18:30
 *
 * WEEKDAYS are names, lists and ranges of them. A DATE is [YEAR-]MONTH-DAY, a
 * TIME is HOUR:MINUTE[:SECOND]; each part of them is `*`, a number, a range
 * `1..5`, a step `0/15`, or a list of these; a year is `*`, a number or a
 * range. What is left out: any day, midnight, second 0.
 *
 * Times are local, in seconds since 1970. A time that daylight saving time
 * skips comes at the moment of the change; one that happens twice comes the
 * first time only, unless every hour is meant (`hourly`, `*:0/15`).
 *
 * Pure. Parsing asks neither for the time nor for the zone, so a confined
 * process may do it.
 */

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_TEXT_BYTES  128U
#define SCHEDULE_EVERY_MAX_S (366U * 24 * 3600)

enum schedule_kind {
	SCHEDULE_NONE,
	SCHEDULE_EVERY,
	SCHEDULE_CALENDAR,
};

struct schedule {
	enum schedule_kind kind;
	uint32_t every_s;
	/* A bit for each value that is meant. */
	uint64_t seconds, minutes;
	uint32_t hours, days; /* days from bit 1 on */
	uint16_t months;      /* from bit 1 on */
	uint8_t weekdays;     /* Sunday is bit 0 */
	uint16_t first_year, last_year;
};

/* -EINVAL with the rule that was broken, a static string. */
int schedule_parse(const char *text, struct schedule *ret_schedule,
		   const char **ret_rule);

/* Does it come at all, ever, or after about @now_s? */
bool schedule_comes(const struct schedule *s);
bool schedule_comes_after(const struct schedule *s, int64_t now_s);

/* The first time after @after_s; -ENOENT when there is none. Asks the C
 * library for the zone: tzset() is the caller's. */
int schedule_next(const struct schedule *s, int64_t after_s, int64_t *ret_s);

/*
 * A schedule being followed. @schedule is the caller's and stays valid.
 *
 * What comes due more than SCHEDULE_LATE_S late (the machine slept, thoxd was
 * down, the clock jumped over it) was missed: skipped, or made up for once,
 * however many they were, when @catch_up.
 */
#define SCHEDULE_LATE_S 60

/* Set back by no more than this, the clock repeats no time that came. */
#define SCHEDULE_BACK_S (3 * 3600)

struct timetable {
	const struct schedule *schedule;
	bool catch_up;
	int64_t last_s; /* all up to here came or was missed; 0: none */
	int64_t next_s; /* 0: never again */
};

/* Begin, where @last_s is what a timetable before this one said, or 0. True
 * when something missed is to be made up for now. */
bool timetable_start(struct timetable *t, const struct schedule *schedule,
		     bool catch_up, int64_t last_s, int64_t now_s);
/* True when it is time; goes on to the next. */
bool timetable_due(struct timetable *t, int64_t now_s);
/* The clock was set: it would have shown @before_s and shows @now_s. True as
 * for timetable_due(). */
bool timetable_clock_set(struct timetable *t, int64_t before_s, int64_t now_s);
