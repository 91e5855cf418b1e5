#pragma once

/*
 * The command line of thox-exec, and of thox-repl, which gets the same.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/instance.h"

#include "cli/rules.h"

#define OPTIONS_ENV_MAX 64U /* --env given that often, at most */

enum options_action {
	OPTIONS_RUN,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

struct options {
	enum options_action action;
	enum instance_mode mode;
	bool interactive;
	bool json;
	const char *runtime; /* -r, or NULL */
	const char *text;    /* -e, or NULL */
	const char *name;    /* the program, a file, or `-`; NULL with text */
	char **args;	     /* what follows the name, NULL-terminated */
	uint64_t memory_bytes;
	uint64_t cpu_ms;
	uint64_t wall_ms;
	const char *env[OPTIONS_ENV_MAX]; /* `NAME` or `NAME=VALUE` */
	unsigned n_env;
	const char *allow[RULES_MAX]; /* rules_check() likes them */
	unsigned n_allow;
	const char *deny[RULES_MAX];
	unsigned n_deny;
	bool background;
	const char *service; /* --name, or NULL */
};

/*
 * 0, or -EINVAL when it was used wrongly, which has been said. The strings
 * point into @argv.
 */
int options_parse(int argc, char **argv, struct options *ret_options);

extern const char options_usage[];
