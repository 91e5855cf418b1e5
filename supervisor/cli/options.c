/*
 * Step 1, in thox-exec: the command line.
 *
 * Options end at the first word that is none, since what follows belongs to
 * the program.
 */

#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "base/units.h"
#include "base/util.h"
#include "cli/say.h"

enum {
	OPT_MEMORY = 256,
	OPT_CPU,
	OPT_TIMEOUT,
	OPT_ENV,
	OPT_ALLOW,
	OPT_DENY,
	OPT_NO_CALLS,
	OPT_NAME,
	OPT_JSON,
	OPT_SYSTEM,
	OPT_USER,
};

static const struct option long_options[] = {
	{ "runtime", required_argument, NULL, 'r' },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "allow", required_argument, NULL, OPT_ALLOW },
	{ "deny", required_argument, NULL, OPT_DENY },
	{ "no-calls", no_argument, NULL, OPT_NO_CALLS },
	{ "background", no_argument, NULL, 'd' },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "user", no_argument, NULL, OPT_USER },
	{ "interactive", no_argument, NULL, 'i' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

const char options_usage[] =
	"Usage: thox-exec [OPTION...] [RUNTIME#]NAME[@VERSION] [ARG...]\n"
	"       thox-exec [OPTION...] FILE [ARG...]      a path with a slash\n"
	"       thox-exec [OPTION...] -e TEXT [ARG...]\n"
	"       thox-exec [OPTION...] - [ARG...]         the text comes on "
	"stdin\n"
	"       thox-exec [OPTION...] -i\n"
	"\n"
	"Run a Lua program in the sandbox.\n"
	"\n"
	"  -r, --runtime NAME     run it under this runtime\n"
	"  -e TEXT                run this text; print the values that it "
	"returns\n"
	"  -i, --interactive      a prompt\n"
	"  -d, --background       leave it running when it serves, and print "
	"its name\n"
	"      --name NAME        with -d: what it is called, instead of the "
	"program's name\n"
	"      --memory SIZE      at most this much memory, such as 64M\n"
	"      --cpu TIME         at most this much CPU time, such as 500ms "
	"or 2s\n"
	"      --timeout TIME     end it after this time, such as 10s or 5m\n"
	"      --env NAME[=VALUE] give it this variable; without =VALUE, the "
	"caller's\n"
	"      --allow [KIND=]PATTERN[,PATTERN...]\n"
	"                         may call these names only; KIND is call, "
	"bind, run or store\n"
	"      --deny [KIND=]PATTERN[,PATTERN...]\n"
	"                         may not call these names\n"
	"      --no-calls         may call, bind, run and publish nothing\n"
	"      --json             the result as JSON, the last line on stderr\n"
	"      --user, --system   the user's instance (default) or the "
	"system's\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"Exit codes: the program's own; 1 Lua error, 124 wall or CPU limit, "
	"125 wrong\n"
	"use or thox failed, 126 refused, 127 no such program, 128+n died of "
	"signal n,\n"
	"130 interrupted, 137 memory limit or killed, 143 terminated, 159 "
	"sandbox.\n"
	"See thox-exec(1).";

static int bad(const char *option, const char *value, const char *wanted)
{
	say("%s %s: %s", option, value, wanted);
	return -EINVAL;
}

static int add_env(struct options *o, const char *value)
{
	if (!*value || *value == '=')
		return bad("--env", value, "needs NAME or NAME=VALUE");
	if (o->n_env == OPTIONS_ENV_MAX)
		return bad("--env", value, "too many variables");
	o->env[o->n_env++] = value;
	return 0;
}

static int add_rule(const char **rules, unsigned *n, const char *option,
		    const char *rule)
{
	const char *wrong = rules_check(rule);

	if (wrong)
		return bad(option, *rule ? rule : "''", wrong);
	if (*n == RULES_MAX)
		return bad(option, rule, "too many rules");
	rules[(*n)++] = rule;
	return 0;
}

static int deny_all(struct options *o)
{
	static const char *const all[] = { "call=**", "bind=**", "run=**",
					   "store=**" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
		r = add_rule(o->deny, &o->n_deny, "--no-calls", all[i]);
	return r;
}

static int handle(struct options *o, int option, const char *value)
{
	static const char times[] = "not a time: write 500ms, 2s, 1.5m, 1h";

	switch (option) {
	case 'r':
		o->runtime = value;
		return *value ? 0 : bad("-r", "''", "needs a runtime's name");
	case 'e':
		if (o->text)
			return bad("-e", value, "may be given once");
		o->text = value;
		return 0;
	case 'i':
		o->interactive = true;
		return 0;
	case 'h':
		o->action = OPTIONS_HELP;
		return 0;
	case 'V':
		o->action = OPTIONS_VERSION;
		return 0;
	case OPT_MEMORY:
		if (units_parse_bytes(value, &o->memory_bytes) < 0)
			return bad("--memory", value,
				   "not a size: write 65536, 512K, 64M, 1.5G");
		return 0;
	case OPT_CPU:
		return units_parse_ms(value, &o->cpu_ms) < 0
			       ? bad("--cpu", value, times)
			       : 0;
	case OPT_TIMEOUT:
		return units_parse_ms(value, &o->wall_ms) < 0
			       ? bad("--timeout", value, times)
			       : 0;
	case OPT_ENV:
		return add_env(o, value);
	case OPT_ALLOW:
		return add_rule(o->allow, &o->n_allow, "--allow", value);
	case OPT_DENY:
		return add_rule(o->deny, &o->n_deny, "--deny", value);
	case OPT_NO_CALLS:
		return deny_all(o);
	case 'd':
		o->background = true;
		return 0;
	case OPT_NAME:
		o->service = value;
		return *value ? 0 : bad("--name", "''", "needs a name");
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_SYSTEM:
		o->mode = INSTANCE_SYSTEM;
		return 0;
	case OPT_USER:
		o->mode = INSTANCE_USER;
		return 0;
	}
	return -EINVAL;
}

/* getopt's own words would name argv[0], which may be any path. */
static int unknown(int result, int argc, char **argv)
{
	char letter[3] = { '-', (char)optopt, '\0' };
	const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	/* Of a long option the whole word; of a short one its letter. */
	if (optopt > 0 && optopt < 256 && strncmp(word, "--", 2) != 0)
		word = letter;
	if (result == ':')
		say("%s: needs a value", word);
	else
		say("%s: no such option", word);
	return -EINVAL;
}

static int check(struct options *o)
{
	if (o->action != OPTIONS_RUN)
		return 0;
	if (o->interactive && (o->text || o->name)) {
		say("-i: takes no program");
		return -EINVAL;
	}
	if (!o->interactive && !o->text && !o->name) {
		say("no program given");
		return -EINVAL;
	}
	if (o->interactive && o->background) {
		say("-d: a prompt is not for the background");
		return -EINVAL;
	}
	if (o->service && !o->background) {
		say("--name: needs -d");
		return -EINVAL;
	}
	if (o->name && !*o->name) {
		say("'': not a program's name");
		return -EINVAL;
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options *o = ret_options;
	int option, r;

	memset(o, 0, sizeof(*o));
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:r:e:idhV", long_options,
				     NULL)) != -1) {
		r = option == '?' || option == ':' ? unknown(option, argc, argv)
						   : handle(o, option, optarg);
		if (r < 0) {
			say("try 'thox-exec --help'");
			return r;
		}
		if (o->action != OPTIONS_RUN)
			return 0;
	}
	if (!o->text && optind < argc)
		o->name = argv[optind++];
	o->args = argv + optind;
	r = check(o);
	if (r < 0)
		say("try 'thox-exec --help'");
	return r;
}
