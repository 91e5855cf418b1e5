/*
 * Fuzz: whatever a schedule says, it comes after the moment that is asked
 * about, and again after that.
 *
 * Eight bytes are the moment, one the zone; the rest is the text.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_BYTES 9
#define MOMENTS_S  (400LL * 366 * 24 * 3600)

static const char *const zones[] = {
	"UTC0",
	"CET-1CEST,M3.5.0,M10.5.0/3",
	"LHST-10:30LHDT-11,M10.1.0,M4.1.0",
	"EST5EDT,M3.2.0,M11.1.0",
	"<+14>-14",
};

static void follow(const struct schedule *s, int64_t now)
{
	struct timetable t;
	int64_t last = now, at;

	for (int i = 0; i < 3; i++) {
		if (schedule_next(s, last, &at) < 0)
			break;
		assert(at > last);
		last = at;
	}
	timetable_start(&t, s, true, now / 2, now);
	assert(t.next_s == 0 || t.next_s > now);
	timetable_due(&t, now + 1000000);
	assert(t.next_s == 0 || t.next_s > now + 1000000);
	timetable_clock_set(&t, now + 1000000, now + 2000000);
	timetable_clock_set(&t, now + 2000000, now);
	timetable_due(&t, now);
	assert(t.next_s == 0 || t.next_s > now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schedule s;
	const char *rule = NULL;
	uint64_t moment;
	char *text;

	if (size < HEAD_BYTES)
		return 0;
	memcpy(&moment, data, sizeof(moment));
	setenv("TZ", zones[data[8] % (sizeof(zones) / sizeof(zones[0]))], 1);
	tzset();
	text = malloc(size - HEAD_BYTES + 1);
	if (!text)
		return 0;
	memcpy(text, data + HEAD_BYTES, size - HEAD_BYTES);
	text[size - HEAD_BYTES] = '\0';
	if (schedule_parse(text, &s, &rule) == 0) {
		assert(!rule && s.kind != SCHEDULE_NONE);
		assert(schedule_comes(&s));
		follow(&s, (int64_t)(moment % MOMENTS_S));
	} else {
		assert(rule && rule[0]);
	}
	free(text);
	return 0;
}
