#pragma once

/*
 * A line of a log as it stands in the file, put together and taken apart:
 *
 *	2026-11-27T05:54:50.123456Z info out 1234 blue the text as it came
 *
 * time (UTC), level, stream (out or err), PID, instance (or `-`), and the
 * text: any bytes but a line feed. Whatever is in it was said by a program
 * that nobody trusts: show it as such.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LINE_TEXT_BYTES	    65536U /* longer ones are cut */
#define LINE_HEAD_BYTES	    256U   /* all before the text, at most */
#define LINE_INSTANCE_BYTES 128U

/* As in syslog(3). */
enum line_level {
	LINE_EMERG,
	LINE_ALERT,
	LINE_CRIT,
	LINE_ERR,
	LINE_WARNING,
	LINE_NOTICE,
	LINE_INFO,
	LINE_DEBUG,
	LINE_LEVELS,
};
extern const char *const line_level_name[LINE_LEVELS];

struct line {
	uint64_t time_us; /* since 1970, UTC */
	enum line_level level;
	bool error; /* stderr */
	pid_t pid;
	char instance[LINE_INSTANCE_BYTES + 1]; /* "": none */
	const char *text; /* points into what was parsed */
	size_t size;
};

/* A text's level by a leading `<3>`, which is taken off. */
enum line_level line_take_level(const char **text, size_t *size,
				enum line_level without);

/* `2026-11-27T05:54:50.123456Z`, 27 bytes and a NUL. */
#define LINE_TIME_BYTES 28
void line_write_time(uint64_t time_us, char ret[LINE_TIME_BYTES]);
/* -EINVAL: no such time. Takes exactly its 27 bytes. */
int line_read_time(const char *text, size_t size, uint64_t *ret_us);

/* All before the text, with the space: the count of bytes. @time is
 * line_write_time()'s. */
size_t line_write_head(const struct line *line, const char *time,
		       char ret[LINE_HEAD_BYTES]);

/* @data without its line feed: 0, or -EBADMSG for what is no such line. */
int line_parse(const char *data, size_t size, struct line *ret);
