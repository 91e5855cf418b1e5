/*
 * Step 0, in every process: log lines.
 *
 * A line is put together in one buffer and written with one write(), so that
 * lines of several processes on one pipe do not mix. Under systemd the
 * `<N>` prefix is what the journal reads as the priority.
 */

#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

#define LINE_BYTES  2048
#define QUOTE_BYTES 200

static const char *process_name = "thox";
static enum log_level max_level = LOG_LEVEL_INFO;
static bool timestamps;

static const struct {
	const char *name;
	char syslog;
} levels[] = {
	[LOG_LEVEL_FATAL] = { "fatal", '2' },
	[LOG_LEVEL_WARN] = { "warning", '4' },
	[LOG_LEVEL_INFO] = { "info", '6' },
	[LOG_LEVEL_DEBUG] = { "debug", '7' },
};

void log_init(const char *process, enum log_level level)
{
	process_name = process;
	max_level = level;
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_set_timestamps(bool on)
{
	timestamps = on;
}

static size_t clamp(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

static size_t stamp(char *buf, size_t size)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	return clamp(snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ",
			      tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			      tm.tm_hour, tm.tm_min, tm.tm_sec,
			      (int)(now.tv_nsec / 1000000)),
		     size);
}

static void line(enum log_level level, int err, const char *format, va_list ap)
{
	char buf[LINE_BYTES];
	int saved_errno = errno;
	size_t n = 0;

	if (level > max_level)
		return;

	if (getenv("JOURNAL_STREAM"))
		n += clamp(snprintf(buf, sizeof(buf), "<%c>",
				    levels[level].syslog),
			   sizeof(buf));
	if (timestamps)
		n += stamp(buf, sizeof(buf));
	n += clamp(snprintf(buf + n, sizeof(buf) - n, "%s[%d]: %s: ",
			    process_name, (int)getpid(), levels[level].name),
		   sizeof(buf) - n);
	n += clamp(vsnprintf(buf + n, sizeof(buf) - n, format, ap),
		   sizeof(buf) - n);
	if (err)
		n += clamp(snprintf(buf + n, sizeof(buf) - n, ": %s",
				    strerror(err)),
			   sizeof(buf) - n);
	buf[n++] = '\n';
	(void)!write(STDERR_FILENO, buf, n);
	errno = saved_errno;
}

void log_debug(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(LOG_LEVEL_DEBUG, 0, format, ap);
	va_end(ap);
}

void log_info(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(LOG_LEVEL_INFO, 0, format, ap);
	va_end(ap);
}

void log_warn(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(LOG_LEVEL_WARN, errno, format, ap);
	va_end(ap);
}

void log_warnx(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(LOG_LEVEL_WARN, 0, format, ap);
	va_end(ap);
}

_Noreturn void log_fatal(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(LOG_LEVEL_FATAL, errno, format, ap);
	va_end(ap);
	exit(1);
}

_Noreturn void log_fatalx(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(LOG_LEVEL_FATAL, 0, format, ap);
	va_end(ap);
	exit(1);
}

const char *log_quote(const char *text)
{
	static char buffers[4][QUOTE_BYTES * 4 + 8];
	static unsigned turn;
	char *buf = buffers[turn++ % 4];
	const unsigned char *p = (const unsigned char *)text;
	size_t n = 0;

	buf[n++] = '\'';
	while (*p) {
		size_t length = utf8_printable(p);

		if (p - (const unsigned char *)text >= QUOTE_BYTES) {
			n += (size_t)sprintf(buf + n, "…");
			break;
		}
		if (length == 0) {
			n += (size_t)sprintf(buf + n, "\\x%02x", *p++);
			continue;
		}
		memcpy(buf + n, p, length);
		n += length;
		p += length;
	}
	buf[n++] = '\'';
	buf[n] = '\0';
	return buf;
}
