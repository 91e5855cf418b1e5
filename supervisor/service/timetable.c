/* Step 4, for services: following a schedule, whatever the clock does. */

#include "service/schedule.h"

static void go_on(struct timetable *t, int64_t after_s)
{
	const struct schedule *s = t->schedule;

	if (s->kind == SCHEDULE_EVERY && t->next_s && after_s >= t->next_s) {
		/* The rhythm stays. */
		t->next_s +=
			((after_s - t->next_s) / s->every_s + 1) * s->every_s;
		return;
	}
	if (schedule_next(s, after_s, &t->next_s) < 0)
		t->next_s = 0;
}

bool timetable_start(struct timetable *t, const struct schedule *schedule,
		     bool catch_up, int64_t last_s, int64_t now_s)
{
	*t = (struct timetable){ .schedule = schedule, .catch_up = catch_up };
	if (last_s > 0 && last_s <= now_s) {
		t->last_s = last_s;
		go_on(t, last_s);
		if (t->next_s && t->next_s <= now_s)
			return timetable_due(t, now_s);
	}
	if (!t->next_s)
		go_on(t, now_s);
	return false;
}

bool timetable_due(struct timetable *t, int64_t now_s)
{
	int64_t late;

	if (!t->next_s || now_s < t->next_s)
		return false;
	late = now_s - t->next_s;
	/* All that was missed with it has come as well. */
	t->last_s = late > SCHEDULE_LATE_S ? now_s : t->next_s;
	go_on(t, now_s);
	if (t->schedule->kind == SCHEDULE_EVERY)
		t->last_s = t->next_s - t->schedule->every_s;
	return late <= SCHEDULE_LATE_S || t->catch_up;
}

bool timetable_clock_set(struct timetable *t, int64_t before_s, int64_t now_s)
{
	int64_t after = now_s;

	if (t->schedule->kind == SCHEDULE_EVERY) {
		if (t->next_s)
			t->next_s += now_s - before_s;
		if (t->last_s)
			t->last_s += now_s - before_s;
		return false;
	}
	if (now_s >= before_s)
		return timetable_due(t, now_s);
	if (before_s - now_s <= SCHEDULE_BACK_S && t->last_s > now_s)
		after = t->last_s;
	if (t->last_s > after)
		t->last_s = now_s;
	go_on(t, after);
	return false;
}
