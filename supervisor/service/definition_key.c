/* Step 4, for services: the keys of a definition, in one table. */

#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "base/util.h"
#include "service/definition_private.h"

#define FIELD(field) .offset = offsetof(struct definition, field)
#define SECOND	     1000ULL
#define HOUR	     (3600 * SECOND)
#define YEAR	     (366 * 24 * HOUR)
#define MIB	     (1ULL << 20)
#define TIB	     (1ULL << 40)

const struct key definition_keys[] = {
	{ "service", "description", KEY_TEXT, FIELD(description) },
	{ "service", "program", KEY_PROGRAM, FIELD(program) },
	{ "service", "runtime", KEY_RUNTIME, FIELD(runtime) },
	{ "service", "args", KEY_ARGS, FIELD(args),
	  .max = DEFINITION_ARGS_MAX },
	{ "service", "env.", KEY_ENV, FIELD(env), .max = DEFINITION_ENV_MAX },
	{ "service", "secret.", KEY_SECRET, FIELD(secrets),
	  .max = DEFINITION_SECRETS_MAX },
	{ "service", "provides", KEY_CALL_NAMES, FIELD(provides),
	  .max = DEFINITION_PROVIDES_MAX },
	{ "service", "autostart", KEY_BOOL, FIELD(autostart) },
	{ "service", "activation", KEY_CHOICE, FIELD(activation),
	  .choices = "start call" },
	{ "service", "idle-timeout", KEY_MS, FIELD(idle_timeout_ms), .min = 10,
	  .max = YEAR, .none = true },
	{ "service", "instances", KEY_COUNT, FIELD(instances), .min = 1,
	  .max = DEFINITION_INSTANCES_MAX },
	{ "service", "type", KEY_CHOICE, FIELD(type),
	  .choices = "simple oneshot" },
	{ "service", "ready", KEY_CHOICE, FIELD(ready),
	  .choices = "start bind notify" },
	{ "service", "start-timeout", KEY_MS, FIELD(policy.start_timeout_ms),
	  .min = 10, .max = YEAR, .none = true },
	{ "service", "schedule", KEY_SCHEDULE, FIELD(schedule) },
	{ "service", "catch-up", KEY_BOOL, FIELD(catch_up) },
	{ "service", "reload", KEY_CHOICE, FIELD(policy.reload),
	  .choices = "none restart event" },

	{ "order", "requires", KEY_SERVICES, FIELD(requires),
	  .max = DEFINITION_SERVICES_MAX },
	{ "order", "wants", KEY_SERVICES, FIELD(wants),
	  .max = DEFINITION_SERVICES_MAX },
	{ "order", "after", KEY_SERVICES, FIELD(after),
	  .max = DEFINITION_SERVICES_MAX },
	{ "order", "before", KEY_SERVICES, FIELD(before),
	  .max = DEFINITION_SERVICES_MAX },
	{ "order", "part-of", KEY_SERVICES, FIELD(part_of),
	  .max = DEFINITION_SERVICES_MAX },

	{ "restart", "policy", KEY_CHOICE, FIELD(policy.restart.when),
	  .choices = "always on-failure never" },
	{ "restart", "delay", KEY_MS, FIELD(policy.restart.delay_ms), .min = 1,
	  .max = YEAR },
	{ "restart", "max-delay", KEY_MS, FIELD(policy.restart.max_delay_ms),
	  .min = 1, .max = YEAR },
	{ "restart", "factor", KEY_FACTOR, FIELD(policy.restart.factor) },
	{ "restart", "jitter", KEY_JITTER, FIELD(policy.restart.jitter) },
	{ "restart", "reset-after", KEY_MS,
	  FIELD(policy.restart.reset_after_ms), .min = 1, .max = YEAR },
	{ "restart", "limit", KEY_LIMIT, FIELD(policy.restart), .none = true },
	{ "restart", "success-codes", KEY_CODES, FIELD(success), .max = 256 },
	{ "restart", "on-limit", KEY_ON_LIMIT, FIELD(on_limit) },
	{ "restart", "policy-group", KEY_CHOICE, FIELD(policy_group),
	  .choices = "one rest all" },

	{ "stop", "timeout", KEY_MS, FIELD(policy.stop_timeout_ms), .min = 10,
	  .max = YEAR },
	{ "stop", "notify", KEY_BOOL, FIELD(policy.terminate_first) },

	{ "health", "watchdog", KEY_MS, FIELD(watchdog_ms), .min = 100,
	  .max = YEAR, .none = true },
	{ "health", "check", KEY_CALL_NAME, FIELD(check) },
	{ "health", "interval", KEY_MS, FIELD(interval_ms), .min = 100,
	  .max = YEAR },
	{ "health", "failures", KEY_COUNT, FIELD(failures), .min = 1,
	  .max = 1000 },

	{ "limits", "memory", KEY_BYTES, FIELD(memory_bytes), .min = MIB,
	  .max = TIB },
	{ "limits", "cpu-time", KEY_MS, FIELD(cpu_ms), .min = 10, .max = YEAR,
	  .none = true },
	{ "limits", "cpu-percent", KEY_COUNT, FIELD(cpu_percent), .min = 1,
	  .max = 100000, .none = true },
	{ "limits", "tasks", KEY_COUNT, FIELD(tasks), .min = 1,
	  .max = 1000000 },
	{ "limits", "descriptors", KEY_COUNT, FIELD(descriptors), .min = 8,
	  .max = 65536 },
	{ "limits", "messages", KEY_COUNT, FIELD(messages), .min = 1,
	  .max = 1000000 },
	{ "limits", "output-rate", KEY_RATE, FIELD(output_rate_bytes),
	  .min = 1024, .max = TIB, .none = true },
	{ "limits", "storage", KEY_BYTES, FIELD(storage_bytes), .min = 1,
	  .max = 1024 * TIB, .none = true },

	{ "allow", "call", KEY_PATTERNS, FIELD(call),
	  .max = DEFINITION_PATTERNS_MAX },
	{ "allow", "bind", KEY_PATTERNS, FIELD(bind),
	  .max = DEFINITION_PATTERNS_MAX },
	{ "allow", "run", KEY_PATTERNS, FIELD(run),
	  .max = DEFINITION_PATTERNS_MAX },
	{ "allow", "store", KEY_PATTERNS, FIELD(store),
	  .max = DEFINITION_PATTERNS_MAX },

	{ "log", "keep", KEY_COUNT, FIELD(log_keep), .min = 1, .max = 1000 },
	{ "log", "rotate-size", KEY_BYTES, FIELD(log_rotate_bytes), .min = 4096,
	  .max = TIB, .none = true },
	{ "log", "rotate-age", KEY_MS, FIELD(log_rotate_ms), .min = 60 * SECOND,
	  .max = YEAR, .none = true },
};
const size_t definition_n_keys = ARRAY_SIZE(definition_keys);

_Static_assert(ARRAY_SIZE(definition_keys) <= KEYS_MAX,
	       "struct reading has a line for each key");

static bool matches(const struct key *key, const char *name)
{
	size_t n = strlen(key->name);

	if (key->name[n - 1] == '.')
		return strncmp(name, key->name, n) == 0 && name[n];
	return strcmp(name, key->name) == 0;
}

const struct key *key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].section, section) == 0 &&
		    matches(&definition_keys[i], name))
			return &definition_keys[i];
	return NULL;
}

bool section_exists(const char *section)
{
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].section, section) == 0)
			return true;
	return false;
}

/* Edit distance knows the names themselves; the table gives one that lives. */
const char *section_near(const char *section)
{
	struct suggest s;

	suggest_init(&s, section);
	for (size_t i = 0; i < definition_n_keys; i++)
		suggest_offer(&s, definition_keys[i].section);
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].section, s.name) == 0)
			return definition_keys[i].section;
	return NULL;
}

const char *key_near(const char *section, const char *name)
{
	struct suggest s;

	suggest_init(&s, name);
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].section, section) == 0)
			suggest_offer(&s, definition_keys[i].name);
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].name, s.name) == 0)
			return definition_keys[i].name;
	return NULL;
}

const char *key_elsewhere(const char *section, const char *name)
{
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].section, section) != 0 &&
		    matches(&definition_keys[i], name))
			return definition_keys[i].section;
	return NULL;
}

unsigned line_of(const struct reading *rd, const char *section,
		 const char *name)
{
	for (size_t i = 0; i < definition_n_keys; i++)
		if (strcmp(definition_keys[i].section, section) == 0 &&
		    strcmp(definition_keys[i].name, name) == 0)
			return rd->lines[i];
	return 0;
}

bool key_is_list(const struct key *key)
{
	switch (key->type) {
	case KEY_ARGS:
	case KEY_CALL_NAMES:
	case KEY_SERVICES:
	case KEY_CODES:
	case KEY_PATTERNS:
		return true;
	default:
		return false;
	}
}

bool definition_key(size_t i, const char **ret_section, const char **ret_name)
{
	static char name[32];

	if (i >= definition_n_keys)
		return false;
	*ret_section = definition_keys[i].section;
	*ret_name = definition_keys[i].name;
	if ((*ret_name)[strlen(*ret_name) - 1] == '.') {
		snprintf(name, sizeof(name), "%sNAME", *ret_name);
		*ret_name = name;
	}
	return true;
}
