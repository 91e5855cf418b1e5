/*
 * Step 1: thox-exec. A program's name becomes a request to thoxd, and the
 * end of the program the end of this process.
 *
 * Small and static because its own exec is a third of a start: no malloc on
 * the usual way, no file read, and the descriptors themselves are handed
 * over, so no byte of the program's input and output passes through here
 * (but what is typed on a terminal, see terminal.h).
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/instance.h"
#include "cli/options.h"
#include "cli/outcome.h"
#include "cli/say.h"
#include "cli/session.h"

/* The prompt needs line editing, which a static program is better without. */
static int exec_repl(char **argv)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/thox-repl", instance_libexec_dir());
	execv(path, argv);
	say("%s: %s", path, strerror(errno));
	return EXIT_USAGE_EXEC;
}

static int run(const struct options *o)
{
	static struct session s;
	static struct outcome outcome;
	int r = session_open(&s, o, NULL, NULL);

	if (r != 0)
		return r;
	session_let_go(&s);
	while (session_wait(&s, &outcome) != SESSION_ENDED)
		;
	if (outcome.service[0])
		say_raw(STDOUT_FILENO, outcome.service);
	outcome_say(&outcome, s.name);
	if (o->json)
		outcome_say_json(&outcome, s.name);
	return outcome_exit_code(&outcome);
}

int main(int argc, char **argv)
{
	static struct options o;

	say_init("thox-exec");
	if (options_parse(argc, argv, &o) < 0)
		return EXIT_USAGE_EXEC;
	switch (o.action) {
	case OPTIONS_HELP:
		say_raw(STDOUT_FILENO, options_usage);
		return 0;
	case OPTIONS_VERSION:
		say_raw(STDOUT_FILENO, "thox-exec " PACKAGE_VERSION);
		return 0;
	case OPTIONS_RUN:
		break;
	}
	if (o.interactive)
		return exec_repl(argv);
	return run(&o);
}
