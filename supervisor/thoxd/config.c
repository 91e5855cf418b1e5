/*
 * Step 4, once: thoxd.conf becomes numbers.
 *
 * One table holds every key with its section, type and place; the same table
 * is what the test walks.
 */

#include "thoxd/config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "fs/store.h"
#include "rpc/storaged.h"

enum type {
	TYPE_BOOL,
	TYPE_COUNT,
	TYPE_POSITIVE, /* a count that is not 0 */
	TYPE_BYTES,
	TYPE_MS,
	TYPE_TEXT,
	TYPE_PATH,
	TYPE_UIDS,
	TYPE_PATTERNS,
};

#define KEY(s, n, t, field)                                                    \
	{                                                                      \
		s, n, t, offsetof(struct config, field)                        \
	}

static const struct key {
	const char *section;
	const char *name;
	enum type type;
	size_t offset;
} keys[] = {
	KEY("thoxd", "log-level", TYPE_TEXT, log_level),
	KEY("thoxd", "label", TYPE_TEXT, label),
	KEY("thoxd", "max-connections", TYPE_COUNT, max_connections),
	KEY("thoxd", "max-processes", TYPE_COUNT, max_processes),
	KEY("thoxd", "grace-time", TYPE_MS, grace_ms),
	KEY("thoxd", "mount", TYPE_BOOL, mount),
	KEY("mount", "enabled", TYPE_BOOL, mount),
	KEY("mount", "point", TYPE_PATH, mount_point),
	KEY("mount", "options", TYPE_TEXT, mount_options),
	KEY("mount", "allow-other", TYPE_BOOL, allow_other),
	KEY("store", "versions", TYPE_COUNT, keep_versions),
	KEY("store", "file-limit", TYPE_BYTES, file_limit_bytes),
	KEY("store", "quota", TYPE_BYTES, quota_bytes),
	KEY("store", "absence", TYPE_MS, absence_ms),
	KEY("limits", "memory", TYPE_BYTES, memory_bytes),
	KEY("limits", "cpu", TYPE_MS, cpu_ms),
	KEY("limits", "wall", TYPE_MS, wall_ms),
	KEY("limits", "tasks", TYPE_POSITIVE, tasks),
	KEY("limits", "descriptors", TYPE_POSITIVE, descriptors),
	KEY("limits", "processes", TYPE_POSITIVE, processes),
	KEY("exec", "allow-call", TYPE_PATTERNS, exec_allow[POLICY_CALL]),
	KEY("exec", "allow-bind", TYPE_PATTERNS, exec_allow[POLICY_BIND]),
	KEY("exec", "allow-run", TYPE_PATTERNS, exec_allow[POLICY_RUN]),
	KEY("exec", "allow-store", TYPE_PATTERNS, exec_allow[POLICY_STORE]),
	KEY("exec", "deny-call", TYPE_PATTERNS, exec_deny[POLICY_CALL]),
	KEY("exec", "deny-bind", TYPE_PATTERNS, exec_deny[POLICY_BIND]),
	KEY("exec", "deny-run", TYPE_PATTERNS, exec_deny[POLICY_RUN]),
	KEY("exec", "deny-store", TYPE_PATTERNS, exec_deny[POLICY_STORE]),
	KEY("zygote", "pool", TYPE_COUNT, pool),
	KEY("log", "journal", TYPE_BOOL, journal),
	KEY("zygote", "starts", TYPE_COUNT, zygote_starts),
	KEY("zygote", "age", TYPE_MS, zygote_age_ms),
	KEY("zygote", "answer-time", TYPE_MS, zygote_answer_ms),
	KEY("zygote", "idle-time", TYPE_MS, zygote_idle_ms),
	KEY("zygote", "memory", TYPE_BYTES, zygote_memory_bytes),
	KEY("zygote", "uid-range", TYPE_UIDS, uid_first),
};

void config_init(struct config *c, const struct instance *instance)
{
	*c = (struct config){
		.max_connections = 4096,
		.max_processes = 4096,
		.grace_ms = 5000,
		.mount = true,
		.allow_other = instance->mode == INSTANCE_SYSTEM,
		.absence_ms = STORE_ABSENCE_MS,
		.memory_bytes = 256ULL << 20,
		.cpu_ms = 3600ULL * 1000,
		.wall_ms = 24ULL * 3600 * 1000,
		.tasks = 1024,
		.descriptors = 2048,
		.processes = 1000,
		.pool = 4,
		.zygote_starts = 10000,
		.zygote_age_ms = 3600ULL * 1000,
		.zygote_answer_ms = 10000,
		.zygote_idle_ms = 600ULL * 1000,
		.zygote_memory_bytes = 256ULL << 20,
		.uid_first = 1879050000,
		.uid_last = 1879053999,
	};
}

void config_deinit(struct config *c)
{
	free(c->log_level);
	free(c->label);
	free(c->mount_point);
	free(c->mount_options);
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++) {
		free(c->exec_allow[kind]);
		free(c->exec_deny[kind]);
	}
}

struct unit {
	const char *name;
	double factor;
};

static int parse_with_unit(const char *text, const struct unit *units,
			   size_t n_units, uint64_t *ret)
{
	char *rest;
	double value = strtod(text, &rest);

	if (rest == text || !(value >= 0) || value > 1e15)
		return -EINVAL;
	while (*rest == ' ')
		rest++;
	for (size_t i = 0; i < n_units; i++) {
		if (strcasecmp(rest, units[i].name) != 0)
			continue;
		value *= units[i].factor;
		if (value > 9e18)
			return -EINVAL;
		*ret = (uint64_t)(value + 0.5);
		return 0;
	}
	return -EINVAL;
}

int config_parse_bytes(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 },	   { "B", 1 },	      { "K", 0x1p10 },
		{ "KiB", 0x1p10 }, { "M", 0x1p20 },   { "MiB", 0x1p20 },
		{ "G", 0x1p30 },   { "GiB", 0x1p30 },
	};

	return parse_with_unit(text, units, ARRAY_SIZE(units), ret);
}

int config_parse_ms(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1000 },	 { "ms", 1 },	   { "s", 1000 },
		{ "sec", 1000 }, { "m", 60e3 },	   { "min", 60e3 },
		{ "h", 3600e3 }, { "d", 86400e3 },
	};

	return parse_with_unit(text, units, ARRAY_SIZE(units), ret);
}

static int parse_bool(const char *text, bool *ret)
{
	static const char *const words[] = { "no",  "yes", "false", "true",
					     "off", "on",  "0",	    "1" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*ret = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_count(const char *text, uint64_t least, uint64_t *ret)
{
	char *rest;
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &rest, 10);
	if (errno || *rest || value < least || value > 1000000000)
		return -EINVAL;
	*ret = value;
	return 0;
}

static int parse_text(const char *text, bool path, char **ret)
{
	char *copy;

	if (path && text[0] != '/')
		return -EINVAL;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

static int parse_uids(const char *text, uid_t *ret)
{
	unsigned first, last;
	char end;

	if (sscanf(text, "%u-%u%c", &first, &last, &end) != 2 || first == 0 ||
	    last < first)
		return -EINVAL;
	ret[0] = first;
	ret[1] = last;
	return 0;
}

static int parse_patterns(const char *text, char **ret)
{
	_cleanup_(policy_unrefp) struct policy *trial = NULL;
	int r = policy_new(NULL, "", &trial);

	r = r ? r : policy_parse_list(trial, POLICY_CALL, true, text);
	return r ? r : parse_text(text, false, ret);
}

static int set(struct config *c, const struct key *k, const char *text)
{
	void *field = (char *)c + k->offset;

	switch (k->type) {
	case TYPE_BOOL:
		return parse_bool(text, field);
	case TYPE_COUNT:
		return parse_count(text, 0, field);
	case TYPE_POSITIVE:
		return parse_count(text, 1, field);
	case TYPE_BYTES:
		return config_parse_bytes(text, field);
	case TYPE_MS:
		return config_parse_ms(text, field);
	case TYPE_TEXT:
	case TYPE_PATH:
		return parse_text(text, k->type == TYPE_PATH, field);
	case TYPE_UIDS:
		return parse_uids(text, field);
	case TYPE_PATTERNS:
		return parse_patterns(text, field);
	}
	return -EINVAL;
}

struct reading {
	FILE *file;
	int line; /* that inih was given last: the one it is about */
	struct config *config;
	const char *path;
	config_warn_fn warn;
	void *user;
};

/* 1 goes on */
static int on_value(void *user, const char *section, const char *name,
		    const char *value)
{
	struct reading *reading = user;
	char message[256];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(section, keys[i].section) != 0 ||
		    strcmp(name, keys[i].name) != 0)
			continue;
		if (set(reading->config, &keys[i], value) == 0)
			return 1;
		snprintf(message, sizeof(message),
			 "'%.80s' is no value for %s, ignoring", value,
			 keys[i].name);
		reading->warn(reading->path, reading->line, message,
			      reading->user);
		return 1;
	}
	snprintf(message, sizeof(message),
		 "no such key: '%.80s' in [%.40s], ignoring", name, section);
	reading->warn(reading->path, reading->line, message, reading->user);
	return 1;
}

/* inih as Debian builds it does not tell the line, so its lines are counted
 * when it fetches them. */
static char *read_line(char *buf, int size, void *user)
{
	struct reading *reading = user;
	char *line = fgets(buf, size, reading->file);

	if (line)
		reading->line++;
	return line;
}

int config_read(struct config *c, const char *path, config_warn_fn warn,
		void *user)
{
	struct reading reading = {
		.config = c,
		.path = path,
		.warn = warn,
		.user = user,
	};
	int line;

	reading.file = fopen(path, "re");
	if (!reading.file)
		return errno == ENOENT ? 0 : -errno;
	line = ini_parse_stream(read_line, &reading, on_value, &reading);
	fclose(reading.file);
	if (line > 0)
		warn(path, line,
		     "neither a section nor `key = value`, ignoring", user);
	return line < 0 ? -ENOMEM : 0;
}

/* --- [exec] ---------------------------------------------------------------
 */

/* What is not said: any name may be called, a free one bound; nothing is
 * published, run or controlled, and nobody else's storage opened. */
static const struct {
	const char *allow, *deny;
} exec_default[POLICY_KIND_COUNT] = {
	[POLICY_CALL] = { "**", STORAGED_OPEN ".* " STORAGED_ADMIN ".**" },
	[POLICY_BIND] = { "**", "" },
	[POLICY_RUN] = { "", "" },
	[POLICY_STORE] = { "", "" },
};

static int parse_kind(const struct config *c, struct policy *p,
		      enum policy_kind kind)
{
	const char *allow = c->exec_allow[kind], *deny = c->exec_deny[kind];
	int r;

	r = policy_parse_list(p, kind, true,
			      allow ? allow : exec_default[kind].allow);
	if (r == 0 && !allow)
		r = policy_parse_list(p, kind, false, exec_default[kind].deny);
	if (r == 0 && deny)
		r = policy_parse_list(p, kind, false, deny);
	return r;
}

int config_exec_policy(const struct config *c, struct policy **ret_policy)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	int r = policy_new(NULL, "[exec] in thoxd.conf", &p);

	for (unsigned i = 0; r == 0 && i < POLICY_KIND_COUNT; i++)
		r = parse_kind(c, p, (enum policy_kind)i);
	if (r == 0)
		*ret_policy = steal(&p);
	return r;
}
