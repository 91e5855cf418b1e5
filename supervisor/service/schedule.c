/*
 * Step 4, for services: what a schedule's text means.
 *
 * A calendar schedule is a set for each part of a date and a time, as bits;
 * a moment is meant when each of its parts is in its set.
 */

#include "service/schedule.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/units.h"
#include "base/util.h"

#define ALL_SECONDS  ((1ULL << 60) - 1)
#define ALL_HOURS    ((1U << 24) - 1)
#define ALL_DAYS     (0x7fffffffU << 1)
#define ALL_MONTHS   (0xfffU << 1)
#define ALL_WEEKDAYS 0x7fU

#define FIRST_YEAR 1970
#define LAST_YEAR  9999
#define WORDS_MAX  4

static const struct schedule any_day = {
	.kind = SCHEDULE_CALENDAR,
	.seconds = 1,
	.minutes = 1,
	.hours = 1,
	.days = ALL_DAYS,
	.months = ALL_MONTHS,
	.weekdays = ALL_WEEKDAYS,
	.first_year = FIRST_YEAR,
	.last_year = LAST_YEAR,
};

/* What a part may be, and how it is called when it is not. */
struct part {
	unsigned min, max;
	const char *rule;
};

static const struct part second = { 0, 59, "a second is 0 to 59" };
static const struct part minute = { 0, 59, "a minute is 0 to 59" };
static const struct part hour = { 0, 23, "an hour is 0 to 23" };
static const struct part day = { 1, 31, "a day is 1 to 31" };
static const struct part month = { 1, 12, "a month is 1 to 12" };
static const struct part year = { FIRST_YEAR, LAST_YEAR,
				  "a year is 1970 to 9999" };

static const char not_understood[] =
	"a schedule is `every 5m`, `hourly`, `daily 03:00`, "
	"`Mon..Fri 09:00`, `*-*-01 00:00` or the like";

/* --- sets of numbers ----------------------------------------------------- */

static bool take_number(const char **p, unsigned *ret)
{
	const char *start = *p;
	unsigned value = 0;

	for (; **p >= '0' && **p <= '9' && *p - start < 4; ++*p)
		value = value * 10 + (unsigned)(**p - '0');
	*ret = value;
	return *p > start;
}

static bool take_text(const char **p, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*p, text, n) != 0)
		return false;
	*p += n;
	return true;
}

/* `*`, `5`, `1..5`, each with `/2` behind it; `5/10` means from 5 on. */
static const char *take_item(const char **p, const struct part *part,
			     uint64_t *set)
{
	unsigned from = part->min, to = part->max, step = 1;

	if (!take_text(p, "*")) {
		if (!take_number(p, &from))
			return not_understood;
		to = **p == '/' ? part->max : from;
		if (take_text(p, "..") && !take_number(p, &to))
			return not_understood;
	}
	if (take_text(p, "/") && (!take_number(p, &step) || step == 0))
		return "after / comes a number that is not 0";
	if (from < part->min || to > part->max)
		return part->rule;
	if (from > to)
		return "a range goes from the smaller to the larger number";
	for (unsigned i = from; i <= to; i += step)
		*set |= 1ULL << i;
	return NULL;
}

static const char *take_set(const char **p, const struct part *part,
			    uint64_t *ret_set)
{
	const char *rule;

	*ret_set = 0;
	do {
		rule = take_item(p, part, ret_set);
	} while (!rule && take_text(p, ","));
	return rule;
}

/* --- days, dates, times -------------------------------------------------- */

static bool take_weekday(const char **p, unsigned *ret)
{
	static const char *const names[] = { "Sunday",	  "Monday",   "Tuesday",
					     "Wednesday", "Thursday", "Friday",
					     "Saturday" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i]);

		if (strncasecmp(*p, names[i], 3) != 0)
			continue;
		*p += strncasecmp(*p, names[i], n) == 0 ? n : 3;
		*ret = i;
		return true;
	}
	return false;
}

/* A range may go over the week's end: Sat..Mon. */
static const char *parse_weekdays(const char *p, struct schedule *s)
{
	unsigned from, to;

	s->weekdays = 0;
	do {
		if (!take_weekday(&p, &from))
			return "a weekday is Mon, Tue, Wed, Thu, Fri, Sat or "
			       "Sun";
		to = from;
		if (take_text(&p, "..") && !take_weekday(&p, &to))
			return "after .. comes a weekday";
		for (unsigned i = from;; i = (i + 1) % 7) {
			s->weekdays |= (uint8_t)(1U << i);
			if (i == to)
				break;
		}
	} while (take_text(&p, ","));
	if (*p == '-')
		return "a range of weekdays is written Mon..Fri";
	return *p ? "weekdays are written Mon,Thu or Mon..Fri" : NULL;
}

static const char *parse_year(const char **p, struct schedule *s)
{
	unsigned from = FIRST_YEAR, to = LAST_YEAR;

	if (!take_text(p, "*")) {
		if (!take_number(p, &from))
			return not_understood;
		to = from;
		if (take_text(p, "..") && !take_number(p, &to))
			return not_understood;
	}
	if (from < FIRST_YEAR || to < from)
		return year.rule;
	s->first_year = (uint16_t)from;
	s->last_year = (uint16_t)to;
	return NULL;
}

static const char *parse_date(const char *p, struct schedule *s)
{
	static const char form[] = "a date is written YEAR-MONTH-DAY or "
				   "MONTH-DAY";
	const char *dash = strchr(p, '-'), *rule = NULL;
	uint64_t set;

	if (strchr(dash + 1, '-')) {
		rule = parse_year(&p, s);
		if (!rule && !take_text(&p, "-"))
			rule = form;
	}
	if (!rule)
		rule = take_set(&p, &month, &set);
	if (rule)
		return rule;
	s->months = (uint16_t)set;
	if (!take_text(&p, "-"))
		return form;
	rule = take_set(&p, &day, &set);
	s->days = (uint32_t)set;
	return rule ? rule : *p ? form : NULL;
}

static const char *parse_time(const char *p, struct schedule *s)
{
	static const char form[] =
		"a time is written HOUR:MINUTE or HOUR:MINUTE:SECOND";
	const char *rule;
	uint64_t set;

	rule = take_set(&p, &hour, &set);
	if (rule)
		return rule;
	s->hours = (uint32_t)set;
	if (!take_text(&p, ":"))
		return form;
	rule = take_set(&p, &minute, &s->minutes);
	if (!rule && take_text(&p, ":"))
		rule = take_set(&p, &second, &s->seconds);
	return rule ? rule : *p ? form : NULL;
}

/* --- the whole ----------------------------------------------------------- */

/* What each word stands for; a time may follow but where it says all. */
static const struct {
	const char *name;
	bool time_follows;
	bool weekday_follows;
	struct schedule meaning;
} words[] = {
	{ "minutely",
	  false,
	  false,
	  { .minutes = ALL_SECONDS, .hours = ALL_HOURS } },
	{ "hourly", false, false, { .hours = ALL_HOURS } },
	{ "daily", true, false, { 0 } },
	{ "weekly", true, true, { .weekdays = 1U << 1 } },
	{ "monthly", true, false, { .days = 1U << 1 } },
	{ "yearly", true, false, { .days = 1U << 1, .months = 1U << 1 } },
	{ "annually", true, false, { .days = 1U << 1, .months = 1U << 1 } },
};

static void apply(struct schedule *s, const struct schedule *meaning)
{
	if (meaning->minutes)
		s->minutes = meaning->minutes;
	if (meaning->hours)
		s->hours = meaning->hours;
	if (meaning->days)
		s->days = meaning->days;
	if (meaning->months)
		s->months = meaning->months;
	if (meaning->weekdays)
		s->weekdays = meaning->weekdays;
}

/* `Mon` `*-*-01` `03:00`, any of them, in this order; a time is no date. */
static const char *parse_parts(char **word, unsigned n, struct schedule *s)
{
	const char *rule = NULL;
	unsigned i = 0;

	if (i < n && !strchr(word[i], ':') && (word[i][0] | 0x20) >= 'a' &&
	    (word[i][0] | 0x20) <= 'z')
		rule = parse_weekdays(word[i++], s);
	if (!rule && i < n && !strchr(word[i], ':') && strchr(word[i], '-'))
		rule = parse_date(word[i++], s);
	if (!rule && i < n && strchr(word[i], ':'))
		rule = parse_time(word[i++], s);
	return rule ? rule : i < n ? not_understood : NULL;
}

static const char *parse_calendar(char **word, unsigned n, struct schedule *s)
{
	*s = any_day;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(word[0], words[i].name) != 0)
			continue;
		apply(s, &words[i].meaning);
		if (n > 1 && !words[i].time_follows)
			return "no time follows minutely and hourly";
		if (n > 1 && !strchr(word[1], ':') && !words[i].weekday_follows)
			return "a time HOUR:MINUTE follows, or nothing";
		return parse_parts(word + 1, n - 1, s);
	}
	return parse_parts(word, n, s);
}

static const char *parse_every(const char *text, struct schedule *s)
{
	uint64_t ms;

	while (*text == ' ' || *text == '\t')
		text++;
	if (units_parse_ms(text, &ms) < 0)
		return "after `every` comes a time such as 30s, 5m or 1h";
	if (ms < 1000 || ms % 1000 != 0)
		return "`every` takes whole seconds";
	if (ms / 1000 > SCHEDULE_EVERY_MAX_S)
		return "`every` takes a year at most";
	*s = (struct schedule){ .kind = SCHEDULE_EVERY,
				.every_s = (uint32_t)(ms / 1000) };
	return NULL;
}

static const char *parse(const char *text, struct schedule *s)
{
	static const char every[] = "every";
	char copy[SCHEDULE_TEXT_BYTES], *word[WORDS_MAX], *rest = NULL;
	const char *rule;
	unsigned n = 0;

	if (strlen(text) >= sizeof(copy))
		return "a schedule is shorter than 128 bytes";
	strcpy(copy, text);
	for (char *p = strtok_r(copy, " \t", &rest); p;
	     p = strtok_r(NULL, " \t", &rest)) {
		if (n == WORDS_MAX)
			return not_understood;
		word[n++] = p;
	}
	if (n == 0)
		return not_understood;
	if (strcasecmp(word[0], every) == 0)
		return parse_every(text + (word[0] - copy) + strlen(every), s);
	rule = parse_calendar(word, n, s);
	if (!rule && !schedule_comes(s))
		return "there is no such day";
	return rule;
}

int schedule_parse(const char *text, struct schedule *ret_schedule,
		   const char **ret_rule)
{
	struct schedule s = { 0 };

	*ret_rule = parse(text, &s);
	if (*ret_rule)
		return -EINVAL;
	*ret_schedule = s;
	return 0;
}
