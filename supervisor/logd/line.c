/* Step 8, in thox-logd and whoever reads logs: the form of a line. */

#include "logd/line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

const char *const line_level_name[LINE_LEVELS] = {
	[LINE_EMERG] = "emerg",	    [LINE_ALERT] = "alert",
	[LINE_CRIT] = "crit",	    [LINE_ERR] = "err",
	[LINE_WARNING] = "warning", [LINE_NOTICE] = "notice",
	[LINE_INFO] = "info",	    [LINE_DEBUG] = "debug",
};

#define PER_SECOND 1000000ULL

enum line_level line_take_level(const char **text, size_t *size,
				enum line_level without)
{
	const char *p = *text;

	if (*size < 3 || p[0] != '<' || p[1] < '0' || p[1] > '7' || p[2] != '>')
		return without;
	*text += 3;
	*size -= 3;
	return (enum line_level)(p[1] - '0');
}

void line_write_time(uint64_t time_us, char ret[LINE_TIME_BYTES])
{
	time_t seconds = (time_t)(time_us / PER_SECOND);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(ret, LINE_TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
		 (unsigned)(tm.tm_year + 1900) % 10000U,
		 (unsigned)(tm.tm_mon + 1) % 100U, (unsigned)tm.tm_mday % 100U,
		 (unsigned)tm.tm_hour % 100U, (unsigned)tm.tm_min % 100U,
		 (unsigned)tm.tm_sec % 100U, (unsigned)(time_us % PER_SECOND));
}

/* @n digits at @text, -1 when one is none. */
static int digits(const char *text, unsigned n)
{
	int value = 0;

	for (unsigned i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = 10 * value + (text[i] - '0');
	}
	return value;
}

int line_read_time(const char *text, size_t size, uint64_t *ret_us)
{
	static const char form[] = "    -  -  T  :  :  .      Z";
	struct tm tm = { 0 };
	time_t seconds;
	int us;

	if (size != sizeof(form) - 1)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if (form[i] != ' ' && form[i] != text[i])
			return -EINVAL;
	tm.tm_year = digits(text, 4) - 1900;
	tm.tm_mon = digits(text + 5, 2) - 1;
	tm.tm_mday = digits(text + 8, 2);
	tm.tm_hour = digits(text + 11, 2);
	tm.tm_min = digits(text + 14, 2);
	tm.tm_sec = digits(text + 17, 2);
	us = digits(text + 20, 6);
	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 ||
	    tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
	    tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 ||
	    tm.tm_sec < 0 || tm.tm_sec > 60 || us < 0)
		return -EINVAL;
	seconds = timegm(&tm);
	if (seconds < 0)
		return -EINVAL;
	*ret_us = (uint64_t)seconds * PER_SECOND + (uint64_t)us;
	return 0;
}

size_t line_write_head(const struct line *line, const char *time,
		       char ret[LINE_HEAD_BYTES])
{
	int n = snprintf(ret, LINE_HEAD_BYTES, "%s %s %s %d %.*s ", time,
			 line_level_name[line->level],
			 line->error ? "err" : "out", (int)line->pid,
			 (int)LINE_INSTANCE_BYTES,
			 line->instance[0] ? line->instance : "-");

	return (size_t)n;
}

/* --- reading ----------------------------------------------------------------
 */

struct word {
	const char *p;
	size_t size;
};

/* Up to the next space, which is passed over; false: there is none. */
static bool take_word(const char **p, const char *end, struct word *ret)
{
	const char *space = memchr(*p, ' ', (size_t)(end - *p));

	if (!space)
		return false;
	*ret = (struct word){ *p, (size_t)(space - *p) };
	*p = space + 1;
	return true;
}

static bool is(const struct word *w, const char *text)
{
	return w->size == strlen(text) && memcmp(w->p, text, w->size) == 0;
}

static bool read_level(const struct word *w, enum line_level *ret)
{
	for (size_t i = 0; i < LINE_LEVELS; i++)
		if (is(w, line_level_name[i])) {
			*ret = (enum line_level)i;
			return true;
		}
	return false;
}

static bool read_pid(const struct word *w, pid_t *ret)
{
	int pid = w->size > 0 && w->size < 10 ? digits(w->p, (unsigned)w->size)
					      : -1;

	*ret = pid;
	return pid >= 0;
}

static bool read_instance(const struct word *w, char *ret)
{
	if (w->size == 0 || w->size > LINE_INSTANCE_BYTES)
		return false;
	memcpy(ret, w->p, w->size);
	ret[w->size] = '\0';
	if (strcmp(ret, "-") == 0)
		ret[0] = '\0';
	return true;
}

int line_parse(const char *data, size_t size, struct line *ret)
{
	struct word time, level, stream, pid, instance;
	const char *p = data, *end = data + size;
	struct line line = { 0 };

	if (!take_word(&p, end, &time) || !take_word(&p, end, &level) ||
	    !take_word(&p, end, &stream) || !take_word(&p, end, &pid) ||
	    !take_word(&p, end, &instance))
		return -EBADMSG;
	if (line_read_time(time.p, time.size, &line.time_us) < 0 ||
	    !read_level(&level, &line.level) || !read_pid(&pid, &line.pid) ||
	    !read_instance(&instance, line.instance))
		return -EBADMSG;
	if (!is(&stream, "out") && !is(&stream, "err"))
		return -EBADMSG;
	line.error = is(&stream, "err");
	line.text = p;
	line.size = (size_t)(end - p);
	*ret = line;
	return 0;
}
