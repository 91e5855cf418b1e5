/*
 * Step 9, in thox-exec: the end of a run becomes an exit code, a line for
 * the user, and a record for scripts.
 */

#include "cli/outcome.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/utf8.h"
#include "base/util.h"
#include "cli/say.h"
#include "rpc/status.h"

#define JSON_BYTES 8192

/* What each reason means to the caller. */
static const struct {
	const char *name;
	int exit_code;	   /* -1: as the wait status says */
	const char *limit; /* for the record: the limit that was hit */
	const char *line;  /* to say when thoxd gave no detail; NULL: none */
} reasons[] = {
	{ "exit", -1, NULL, NULL },
	{ "error", -1, NULL, NULL }, /* the runner printed a traceback */
	{ "signal", -1, NULL, NULL },
	{ "interrupted", EXIT_INTERRUPTED, NULL, NULL },
	{ "terminated", EXIT_TERMINATED, NULL, "terminated" },
	{ "killed", EXIT_MEMORY, NULL, "killed" },
	{ "memory-limit", EXIT_MEMORY, "memory", "over its memory limit" },
	{ "cpu-limit", EXIT_LIMIT, "cpu", "over its CPU time limit" },
	{ "wall-limit", EXIT_LIMIT, "wall", "over its time limit" },
	{ "background", 0, NULL, NULL }, /* it goes on */
	{ "sandbox", EXIT_SANDBOX, NULL, "killed by the sandbox" },
};

static const struct {
	enum status status;
	int exit_code;
} refusals[] = {
	{ STATUS_NOT_FOUND, EXIT_NO_PROGRAM },
	{ STATUS_DENIED, EXIT_REFUSED },
	{ STATUS_INVALID, EXIT_REFUSED },
	{ STATUS_TOO_LARGE, EXIT_REFUSED },
};

/* As much as fits, up to a NUL inside. */
static void copy(struct mp_bytes b, char *ret, size_t size)
{
	size_t n = b.size < size ? b.size : size - 1;

	memcpy(ret, b.p, n);
	ret[n] = '\0';
}

static void parse_key(struct mp_reader *r, struct mp_bytes key,
		      struct outcome *o)
{
	const struct {
		const char *name;
		uint64_t *value;
	} numbers[] = {
		{ "pid", &o->pid },
		{ "version", &o->version },
		{ "user_us", &o->user_us },
		{ "system_us", &o->system_us },
		{ "wall_us", &o->wall_us },
		{ "memory_bytes", &o->memory_bytes },
	};
	const struct {
		const char *name;
		char *text;
		size_t size;
	} texts[] = {
		{ "reason", o->reason, sizeof(o->reason) },
		{ "detail", o->detail, sizeof(o->detail) },
		{ "name", o->name, sizeof(o->name) },
		{ "runtime", o->runtime, sizeof(o->runtime) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (mp_bytes_equal(key, numbers[i].name)) {
			*numbers[i].value = mp_read_uint(r);
			return;
		}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (mp_bytes_equal(key, texts[i].name)) {
			copy(mp_read_str(r), texts[i].text, texts[i].size);
			return;
		}
	if (mp_bytes_equal(key, "code")) {
		o->has_code = true;
		o->code = (int)mp_read_uint(r);
	} else if (mp_bytes_equal(key, "signal")) {
		o->has_signal = true;
		o->signal = (int)mp_read_uint(r);
	} else {
		mp_skip(r);
	}
}

int outcome_parse_result(struct mp_reader *r, struct outcome *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t n = mp_read_map(r); n > 0 && !r->bad; n--) {
		struct mp_bytes key = mp_read_str(r);

		parse_key(r, key, ret);
	}
	return mp_end(r);
}

int outcome_parse_refused(struct mp_reader *r, uint32_t items,
			  struct outcome *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->refused = true;
	ret->status = mp_read_uint(r);
	copy(mp_read_str(r), ret->detail, sizeof(ret->detail));
	if (items > 3)
		copy(mp_read_str(r), ret->hint, sizeof(ret->hint));
	return mp_end(r);
}

int outcome_parse_started(struct mp_reader *r, uint32_t items,
			  struct outcome *ret)
{
	memset(ret, 0, sizeof(*ret));
	strcpy(ret->reason, "background");
	ret->pid = mp_read_uint(r);
	copy(mp_read_str(r), ret->name, sizeof(ret->name));
	ret->version = mp_read_uint(r);
	copy(mp_read_str(r), ret->runtime, sizeof(ret->runtime));
	if (items > 5)
		copy(mp_read_str(r), ret->service, sizeof(ret->service));
	return mp_end(r);
}

void outcome_set_failure(struct outcome *o, const char *detail)
{
	memset(o, 0, sizeof(*o));
	o->refused = true;
	o->status = STATUS_ERROR;
	snprintf(o->detail, sizeof(o->detail), "%s", detail);
}

static size_t reason_of(const struct outcome *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (strcmp(reasons[i].name, o->reason) == 0)
			return i;
	return 0; /* a newer thoxd's: the wait status tells enough */
}

int outcome_exit_code(const struct outcome *o)
{
	int code;

	if (o->refused) {
		for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
			if (refusals[i].status == o->status)
				return refusals[i].exit_code;
		return EXIT_USAGE_EXEC;
	}
	code = reasons[reason_of(o)].exit_code;
	if (code >= 0)
		return code;
	if (o->has_signal)
		return 128 + o->signal;
	return o->has_code ? o->code : EXIT_USAGE_EXEC;
}

void outcome_say(const struct outcome *o, const char *name)
{
	const char *line = reasons[reason_of(o)].line;

	/* A reader that left is no news: shells are silent about it, too. */
	if (o->has_signal && o->signal == SIGPIPE &&
	    strcmp(o->reason, "signal") == 0)
		return;

	if (o->refused && o->hint[0])
		say("%s; did you mean '%s'?", o->detail, o->hint);
	else if (o->refused)
		say("%s", o->detail);
	else if (o->detail[0])
		say("%s: %s", o->name[0] ? o->name : name, o->detail);
	else if (line)
		say("%s: %s", o->name[0] ? o->name : name, line);
	else if (o->has_signal && strcmp(o->reason, "interrupted") != 0)
		say("%s: died of signal %d (%s)", o->name[0] ? o->name : name,
		    o->signal, strsignal(o->signal));
}

/* --- the record ------------------------------------------------------------
 */

struct json {
	char text[JSON_BYTES];
	size_t used;
};

static void add(struct json *j, const char *text)
{
	size_t n = strlen(text);

	if (n < sizeof(j->text) - j->used) {
		memcpy(j->text + j->used, text, n + 1);
		j->used += n;
	}
}

static void add_string(struct json *j, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	char piece[8];

	add(j, "\"");
	while (*p) {
		size_t n = utf8_printable(p);

		if (*p == '"' || *p == '\\')
			snprintf(piece, sizeof(piece), "\\%c", *p);
		else if (n == 0 && *p < 0x80)
			snprintf(piece, sizeof(piece), "\\u%04x", *p);
		else if (n == 0)
			snprintf(piece, sizeof(piece), "\\ufffd");
		else
			snprintf(piece, sizeof(piece), "%.*s", (int)n, p);
		add(j, piece);
		p += n ? n : 1;
	}
	add(j, "\"");
}

static void key_string(struct json *j, const char *key, const char *text)
{
	add(j, j->used > 1 ? ",\"" : "\"");
	add(j, key);
	add(j, "\":");
	if (text)
		add_string(j, text);
	else
		add(j, "null");
}

static void key_number(struct json *j, const char *key, uint64_t value)
{
	char piece[32];

	snprintf(piece, sizeof(piece), "%llu", (unsigned long long)value);
	add(j, j->used > 1 ? ",\"" : "\"");
	add(j, key);
	add(j, "\":");
	add(j, piece);
}

void outcome_say_json(const struct outcome *o, const char *name)
{
	struct json j = { .used = 0 };

	add(&j, "{");
	key_string(&j, "name", o->name[0] ? o->name : name);
	key_number(&j, "exit", (uint64_t)outcome_exit_code(o));
	if (o->has_signal)
		key_number(&j, "signal", (uint64_t)o->signal);
	else
		key_string(&j, "signal", NULL);
	key_string(&j, "reason", o->refused ? "refused" : o->reason);
	key_string(&j, "limit",
		   o->refused ? NULL : reasons[reason_of(o)].limit);
	key_string(&j, "detail", o->detail[0] ? o->detail : NULL);
	if (o->refused && o->hint[0])
		key_string(&j, "hint", o->hint);
	if (o->service[0])
		key_string(&j, "service", o->service);
	if (!o->refused) {
		key_number(&j, "version", o->version);
		key_string(&j, "runtime", o->runtime);
		key_number(&j, "pid", o->pid);
		key_number(&j, "user_us", o->user_us);
		key_number(&j, "system_us", o->system_us);
		key_number(&j, "wall_us", o->wall_us);
		key_number(&j, "memory_bytes", o->memory_bytes);
	}
	add(&j, "}");
	say_raw(STDERR_FILENO, j.text);
}
