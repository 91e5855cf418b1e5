/*
 * Step 1, thoxctl: the command line chooses a row of the table.
 */

#include "cli/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/say.h"

static const char signal_help[] =
	"PID is a process of `thoxctl ps`; NAME means every process of that\n"
	"program.";

#define REFERENCE                                                              \
	"The name is one of programs/ unless libraries/, runtimes/,\n"         \
	"services/ or data/ stands before it."

const struct command ctl_commands[] = {
	{ "ps", "", "list the processes",
	  "Starts the instance when it does not run.", 0, 0, START_IF_DOWN,
	  ctl_ps },
	{ "status", "[PID]", "show the instance, or one process",
	  "What is shown of a process's sandbox is read back from the kernel.\n"
	  "Starts the instance when it does not run.",
	  0, 1, START_IF_DOWN, ctl_status },
	{ "kill", "PID|NAME", "end processes at once", signal_help, 1, 1,
	  START_NEVER, ctl_signal },
	{ "terminate", "PID|NAME",
	  "ask processes to end, and kill those that do not", signal_help, 1, 1,
	  START_NEVER, ctl_signal },
	{ "pause", "PID|NAME", "stop processes until they are resumed",
	  signal_help, 1, 1, START_NEVER, ctl_signal },
	{ "resume", "PID|NAME", "let paused processes go on", signal_help, 1, 1,
	  START_NEVER, ctl_signal },
	{ "mount", "[DIR]", "mount the store",
	  "Without DIR: where thoxd.conf says, by default ~/thox, /thox or\n"
	  "$THOX_DIR/mnt. Starts the instance when it does not run.",
	  0, 1, START_IF_DOWN, ctl_mount },
	{ "unmount", "[DIR]", "unmount the store",
	  "Programs go on; the store stays readable by `thoxctl store`.", 0, 1,
	  START_NEVER, ctl_mount },
	{ "label", "[NAME]", "show this machine's label, or set it",
	  "The label is how other machines call this one, and what os.label()\n"
	  "answers. One that is set here is kept, and comes before that of\n"
	  "thoxd.conf. Starts the instance when it does not run.",
	  0, 1, START_IF_DOWN, ctl_label },
	{ "shutdown", "", "end the instance and all its processes",
	  "Returns when nothing is left of it.", 0, 0, START_NEVER,
	  ctl_shutdown },
	{ "store ls", "[DIR|NAME]", "list programs, or another directory",
	  "DIR is programs, libraries, runtimes, services or data.", 0, 1,
	  START_UNNEEDED, ctl_store_ls },
	{ "store cat", "NAME[@VERSION|@rejected]", "print a text",
	  REFERENCE "\nNAME@rejected is the newest text that was refused.", 1,
	  1, START_UNNEEDED, ctl_store_cat },
	{ "store put", "NAME FILE|-", "publish a text, from a file or stdin",
	  "The text is checked first; one that is refused is kept as\n"
	  "NAME@rejected, and the exit code is 5.\n" REFERENCE,
	  2, 2, START_UNNEEDED, ctl_store_put },
	{ "store log", "NAME", "show the versions of a name, oldest first",
	  REFERENCE "\nRefused texts are shown with their reason.", 1, 1,
	  START_UNNEEDED, ctl_store_log },
	{ "store diff", "NAME[@VERSION] [NAME[@VERSION]]",
	  "compare two versions",
	  "With one name without a version, the one before the newest is\n"
	  "compared with it; with one version, that one with the newest.\n"
	  "NAME@rejected works, too.\n" REFERENCE,
	  1, 2, START_UNNEEDED, ctl_store_diff },
	{ "store rollback", "NAME[@VERSION]", "publish an older version again",
	  "Without a version, the one before the newest. It becomes a new\n"
	  "version; nothing is lost.\n" REFERENCE,
	  1, 1, START_UNNEEDED, ctl_store_rollback },
	{ "store verify", "[NAME]",
	  "read every text again and compare its SHA-256",
	  "Names what differs; the exit code is 1 when something does.", 0, 1,
	  START_UNNEEDED, ctl_store_verify },
	{ "store rm", "NAME", "remove a name",
	  "Its versions stay: `store log`, `store rollback NAME@VERSION`. A\n"
	  "built-in of that name shows again.\n" REFERENCE,
	  1, 1, START_UNNEEDED, ctl_store_rm },
};
const size_t ctl_n_commands = ARRAY_SIZE(ctl_commands);

static const char options_help[] =
	"Options:\n"
	"      --json             the answer as JSON\n"
	"      --user, --system   the user's instance (default) or the "
	"system's\n"
	"  -h, --help             this, or a command's own help\n"
	"  -V, --version\n";

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "system", no_argument, NULL, 's' },
	{ "user", no_argument, NULL, 'u' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void print_help(void)
{
	puts("Usage: thoxctl [OPTION...] COMMAND [OPERAND...]\n\n"
	     "Look after a thox instance and its store.\n\nCommands:");
	for (size_t i = 0; i < ctl_n_commands; i++) {
		const struct command *c = &ctl_commands[i];
		char head[128];

		snprintf(head, sizeof(head), "%s %s", c->name, c->operands);
		if (strlen(head) > 24)
			printf("  %s\n  %-24s %s\n", head, "", c->summary);
		else
			printf("  %-24s %s\n", head, c->summary);
	}
	printf("\n%s\n"
	       "Exit codes: 0 done, 1 failed, 2 wrong use, 3 not running, 4 no "
	       "such process\nor name, 5 refused. See thoxctl(1).\n",
	       options_help);
}

static void print_command_help(const struct command *c)
{
	printf("Usage: thoxctl [OPTION...] %s%s%s\n\n%c%s.\n%s\n\n%s", c->name,
	       *c->operands ? " " : "", c->operands, c->summary[0] - 'a' + 'A',
	       c->summary + 1, c->help, options_help);
}

/* The row that @argv begins with: one word, or two for the store's. */
static const struct command *find(int argc, char **argv, int *ret_words)
{
	char two[64];

	if (argc < 1)
		return NULL;
	snprintf(two, sizeof(two), "%.20s %.20s", argv[0],
		 argc > 1 ? argv[1] : "");
	for (size_t i = 0; i < ctl_n_commands; i++) {
		const struct command *c = &ctl_commands[i];

		if (strcmp(c->name, argv[0]) == 0) {
			*ret_words = 1;
			return c;
		}
		if (strcmp(c->name, two) == 0) {
			*ret_words = 2;
			return c;
		}
	}
	return NULL;
}

static int wrong_use(const struct command *c)
{
	if (c)
		say("usage: thoxctl %s %s; try 'thoxctl %s --help'", c->name,
		    c->operands, c->name);
	else
		say("try 'thoxctl --help'");
	return CTL_USAGE;
}

static int no_command(int argc, char **argv)
{
	if (argc < 1)
		say("no command given");
	else if (strcmp(argv[0], "store") == 0 && argc < 2)
		say("store: no command given");
	else if (strcmp(argv[0], "store") == 0)
		say("store %s: no such command", argv[1]);
	else
		say("%s: no such command", argv[0]);
	return wrong_use(NULL);
}

struct wishes {
	bool help;
	bool version;
	bool bad;
	enum instance_mode mode;
};

/* Options may stand anywhere, since no command passes words on; `-` is an
 * operand and `--` ends them. */
static void parse_options(int argc, char **argv, struct ctl *ctl,
			  struct wishes *w)
{
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) !=
	       -1)
		switch (option) {
		case 'j':
			ctl->json = true;
			break;
		case 's':
			w->mode = INSTANCE_SYSTEM;
			break;
		case 'u':
			w->mode = INSTANCE_USER;
			break;
		case 'h':
			w->help = true;
			break;
		case 'V':
			w->version = true;
			break;
		default:
			say("%s: no such option", argv[optind - 1]);
			w->bad = true;
		}
}

static int locate(struct ctl *ctl, enum instance_mode mode)
{
	int r = instance_locate(mode, &ctl->in);

	if (r == 0)
		return CTL_OK;
	say(r == -ENOENT ? "HOME is not set, nor THOX_DIR"
			 : "the instance's path is too long");
	return CTL_FAILED;
}

static int run(struct ctl *ctl, const struct wishes *w)
{
	const struct command *c = ctl->command;
	int r;

	if (ctl->argc < c->min_operands || ctl->argc > c->max_operands)
		return wrong_use(c);
	for (int i = 0; i < ctl->argc; i++)
		if (!*ctl->argv[i])
			return wrong_use(c);
	r = locate(ctl, w->mode);
	if (r != CTL_OK)
		return r;
	r = c->fn(ctl);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		say("standard output: %s", strerror(errno));
		return CTL_FAILED;
	}
	return r;
}

int ctl_fail(const char *what, int r)
{
	say("%s: %s", what, strerror(-r));
	switch (r) {
	case -ENOENT:
		return CTL_NO_SUCH;
	case -EPERM:
	case -EACCES:
	case -EROFS:
		return CTL_REFUSED;
	case -EINVAL:
		return CTL_USAGE;
	}
	return CTL_FAILED;
}

int main(int argc, char **argv)
{
	static struct ctl ctl;
	struct wishes w = { .mode = INSTANCE_USER };
	int words = 0;

	say_init("thoxctl");
	parse_options(argc, argv, &ctl, &w);
	if (w.bad)
		return wrong_use(NULL);
	if (w.version) {
		puts("thoxctl " PACKAGE_VERSION);
		return CTL_OK;
	}
	argc -= optind;
	argv += optind;
	ctl.command = find(argc, argv, &words);
	if (w.help && (ctl.command || argc == 0)) {
		if (ctl.command)
			print_command_help(ctl.command);
		else
			print_help();
		return CTL_OK;
	}
	if (!ctl.command)
		return no_command(argc, argv);
	ctl.argc = argc - words;
	ctl.argv = argv + words;
	return run(&ctl, &w);
}
