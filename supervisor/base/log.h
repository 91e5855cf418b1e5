#pragma once

/*
 * Log lines on standard error: one event per line, `PRIORITY process: text`.
 *
 * Only the file that handles an error logs it (main.c and the event
 * handlers). Every call preserves errno. log_warn() and log_fatal() add
 * strerror(errno); the `x` variants do not. Text that came from a user or a
 * runner is quoted by the caller with log_quote().
 */

#include <stdarg.h>
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_FATAL,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* @process names the lines' writer; must stay valid. */
void log_init(const char *process, enum log_level level);
void log_set_level(enum log_level level);
/* Begin each line with the time of day, UTC: for a file. */
void log_set_timestamps(bool on);

void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process with exit code 1: for main.c only. */
_Noreturn void log_fatal(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
_Noreturn void log_fatalx(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/*
 * Foreign text made safe to print: quotes around it, control bytes and
 * invalid UTF-8 as \xNN, cut at 200 bytes with `…`. The result lives in one
 * of four static buffers, used in turn.
 */
const char *log_quote(const char *text);
