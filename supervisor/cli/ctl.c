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
#include "base/suggest.h"
#include "base/util.h"
#include "cli/say.h"

static const char signal_help[] =
	"PID is a process of `thoxctl ps`; NAME means every process of that\n"
	"program or service.";

#define OPERANDS_MAX 1000

#define REFERENCE                                                              \
	"The name is one of programs/ unless libraries/, runtimes/,\n"         \
	"services/ or data/ stands before it."

static const struct ctl_option logs_options[] = {
	{ "follow", 'f', NULL, "go on with what is written from now on" },
	{ "lines", 'n', "COUNT|all", "only the last ones (with -f: 10)" },
	{ "since", 0, "TIME", "not before; like '09:30', '10m ago', today" },
	{ "until", 0, "TIME", "not after" },
	{ "grep", 'g', "REGEX", "whose text matches (POSIX extended)" },
	{ "priority", 'p', "LEVEL", "of this level (err, …) or more urgent" },
	{ "output", 'o', "FORM", "short (default), json or cat" },
	{ "unit", 'u', "SERVICE", "of this one: the same as an operand" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option call_options[] = {
	{ "timeout", 't', "TIME", "wait no longer for the answer" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option listen_options[] = {
	{ "count", 'n', "COUNT", "end after that many messages" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option order_options[] = {
	{ "timeout", 't', "TIME", "wait no longer than this" },
	{ "no-wait", 0, NULL, "do not wait at all" },
	{ "dry-run", 'n', NULL,
	  "only say what would start and stop, in order" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option start_options[] = {
	{ "timeout", 't', "TIME", "wait no longer than this" },
	{ "no-wait", 0, NULL, "do not wait at all" },
	{ "wait", 0, NULL, "wait until they have ended, too" },
	{ "dry-run", 'n', NULL,
	  "only say what would start and stop, in order" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option tree_options[] = {
	{ "services", 0, NULL, "services, not processes" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option top_options[] = {
	{ "delay", 'd', "TIME", "look again after this (2s)" },
	{ "sort", 's', "COLUMN",
	  "name, state, cpu (default), memory, calls, …" },
	{ "reverse", 'r', NULL, "turn the order round" },
	{ "batch", 'b', NULL, "print lines, for who is no terminal" },
	{ "count", 'n', "COUNT", "so many reports (with --json: 1)" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option wait_options[] = {
	{ "timeout", 't', "TIME", "wait no longer than this" },
	{ "no-wait", 0, NULL, "do not wait at all" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option enable_options[] = {
	{ "now", 0, NULL, "and start or stop them now" },
	{ NULL, 0, NULL, NULL },
};

#define SERVICES                                                               \
	"A name may be an instance (worker:blue) or a pattern ('web-*')."

static const struct ctl_option set_options[] = {
	{ "ttl", 0, "TIME", "remove it after this" },
	{ "if-version", 0, "VERSION", "only if that is its version; 0: none" },
	{ "sync", 0, NULL, "return when it is on the disk" },
	{ NULL, 0, NULL, NULL },
};

static const struct ctl_option del_options[] = {
	{ "if-version", 0, "VERSION", "only if that is its version" },
	{ "sync", 0, NULL, "return when it is on the disk" },
	{ NULL, 0, NULL, NULL },
};

#define STORAGE                                                                \
	"NAME is a program, which need not be there. Starts the instance\n"    \
	"when it does not run."

#define ARGUMENTS                                                              \
	"An argument that parses as JSON is that value, any other a string;\n" \
	"options stand before NAME."

const struct command ctl_commands[] = {
	{ "ps", "", "list the processes",
	  "Starts the instance when it does not run.", 0, 0, START_IF_DOWN,
	  ctl_ps, NULL, false },
	{ "status", "[PID|SERVICE...]",
	  "show the instance, a process, or services",
	  "What is shown of a process's sandbox is read back from the kernel.\n"
	  "Of services the exit code is 3 unless all are active. Starts the\n"
	  "instance when it does not run.\n" SERVICES,
	  0, OPERANDS_MAX, START_IF_DOWN, ctl_status, NULL, false },
	{ "kill", "PID|NAME", "end processes at once", signal_help, 1, 1,
	  START_NEVER, ctl_signal, NULL, false },
	{ "terminate", "PID|NAME",
	  "ask processes to end, and kill those that do not", signal_help, 1, 1,
	  START_NEVER, ctl_signal, NULL, false },
	{ "pause", "PID|NAME", "stop processes until they are resumed",
	  signal_help, 1, 1, START_NEVER, ctl_signal, NULL, false },
	{ "resume", "PID|NAME", "let paused processes go on", signal_help, 1, 1,
	  START_NEVER, ctl_signal, NULL, false },
	{ "call", "[--timeout TIME] NAME [ARG...]", "call a name of the bus",
	  "Prints the values of the answer, a line each.\n" ARGUMENTS
	  "\nStarts the instance when it does not run.",
	  1, OPERANDS_MAX, START_IF_DOWN, ctl_call, call_options, true },
	{ "push", "NAME [ARG...]", "send a message to who listens to a name",
	  ARGUMENTS, 1, OPERANDS_MAX, START_NEVER, ctl_push, NULL, true },
	{ "listen", "[--count COUNT] NAME", "print what is pushed to a name",
	  "And to names below it, a line for each message, until Ctrl-C.\n"
	  "Starts the instance when it does not run.",
	  1, 1, START_IF_DOWN, ctl_listen, listen_options, false },
	{ "bus", "", "list the names that are bound",
	  "Starts the instance when it does not run.", 0, 0, START_IF_DOWN,
	  ctl_bus, NULL, false },
	{ "trace", "PID|NAME", "print calls and answers as they happen",
	  "PID is a process, NAME one of the bus. Until Ctrl-C, or the end of\n"
	  "the process.",
	  1, 1, START_NEVER, ctl_trace, NULL, false },
	{ "events", "", "follow what happens",
	  "First the services and their states, then a line for each change:\n"
	  "of services, of processes, and of the store. With --json an object\n"
	  "a line.",
	  0, 0, START_IF_DOWN, ctl_events, NULL, false },
	{ "graph", "", "print who may call whom, and who does, as DOT",
	  "For graphviz: dashed is what [allow] sections let services call of\n"
	  "what others provide, solid what somebody has called already.",
	  0, 0, START_IF_DOWN, ctl_graph, NULL, false },
	{ "logs", "[SERVICE[:INSTANCE]…]", "show what services have printed",
	  "Several services come as one, by time; names may be patterns. "
	  "Needs\n"
	  "no running instance.",
	  0, 1000, START_UNNEEDED, ctl_logs, logs_options, false },
	{ "mount", "[DIR]", "mount the store",
	  "Without DIR: where thoxd.conf says, by default ~/thox, /thox or\n"
	  "$THOX_DIR/mnt. Starts the instance when it does not run.",
	  0, 1, START_IF_DOWN, ctl_mount, NULL, false },
	{ "unmount", "[DIR]", "unmount the store",
	  "Programs go on; the store stays readable by `thoxctl store`.", 0, 1,
	  START_NEVER, ctl_mount, NULL, false },
	{ "tree", "[--services] [SERVICE...]",
	  "show who started whom, or what services require",
	  "Each process stands below its parent, with the names that it has\n"
	  "bound and the processes that hold contexts of it. Or each service\n"
	  "above those that it requires and wants, with their states. Starts\n"
	  "the instance when it does not run.",
	  0, OPERANDS_MAX, START_IF_DOWN, ctl_tree, tree_options, false },
	{ "top", "[SERVICE...]", "watch what services use, and act on them",
	  "State, processor, memory, calls a second, calls that wait and\n"
	  "restarts, on the terminal; h shows the keys. With --batch or "
	  "--json\n"
	  "report after report. Starts the instance when it does not "
	  "run.\n" SERVICES,
	  0, OPERANDS_MAX, START_IF_DOWN, ctl_top, top_options, false },
	{ "label", "[NAME]", "show this machine's label, or set it",
	  "The label is how other machines call this one, and what os.label()\n"
	  "answers. One that is set here is kept, and comes before that of\n"
	  "thoxd.conf. Starts the instance when it does not run.",
	  0, 1, START_IF_DOWN, ctl_label, NULL, false },
	{ "daemon-reexec", "", "replace thoxd by the one that is installed",
	  "Services go on, with their names, links and logs; programs that\n"
	  "thox-exec runs end. Returns when the new one serves.",
	  0, 0, START_NEVER, ctl_daemon_reexec, NULL, false },
	{ "shutdown", "", "end the instance and all its processes",
	  "Returns when nothing is left of it.", 0, 0, START_NEVER,
	  ctl_shutdown, NULL, false },
	{ "start", "SERVICE...", "start services, and what they require",
	  "Returns when they are ready, or one has failed. Starts the "
	  "instance\n"
	  "when it does not run.\n" SERVICES,
	  1, OPERANDS_MAX, START_IF_DOWN, ctl_service_order, start_options,
	  false },
	{ "stop", "SERVICE...", "stop services, and what requires them",
	  "Returns when nothing of them is left.\n" SERVICES, 1, OPERANDS_MAX,
	  START_NEVER, ctl_service_order, order_options, false },
	{ "restart", "SERVICE...", "stop services and start them again",
	  "With what requires them and runs; what does not run is "
	  "started.\n" SERVICES,
	  1, OPERANDS_MAX, START_IF_DOWN, ctl_service_order, start_options,
	  false },
	{ "try-restart", "SERVICE...", "restart those services that run",
	  SERVICES, 1, OPERANDS_MAX, START_NEVER, ctl_service_order,
	  order_options, false },
	{ "reload", "SERVICE...", "have services go over to new versions",
	  "As their definitions say: reload = restart or event.\n" SERVICES, 1,
	  OPERANDS_MAX, START_NEVER, ctl_service_order, wait_options, false },
	{ "reset", "SERVICE...", "forget failures of services",
	  "Also known as reset-failed.\n" SERVICES, 1, OPERANDS_MAX,
	  START_NEVER, ctl_service_order, wait_options, false },
	{ "enable", "SERVICE...", "start services with the instance",
	  "This is remembered, and comes before what their definitions "
	  "say.\n" SERVICES,
	  1, OPERANDS_MAX, START_IF_DOWN, ctl_service_enable, enable_options,
	  false },
	{ "disable", "SERVICE...", "do not start them with the instance",
	  "This is remembered, and comes before what their definitions "
	  "say.\n" SERVICES,
	  1, OPERANDS_MAX, START_IF_DOWN, ctl_service_enable, enable_options,
	  false },
	{ "list", "[SERVICE...]", "list services",
	  "Also known as list-units. Starts the instance when it does not "
	  "run.\n" SERVICES,
	  0, OPERANDS_MAX, START_IF_DOWN, ctl_service_list, NULL, false },
	{ "show", "SERVICE...", "show all that is known of services",
	  "A line for each key.\n" SERVICES, 1, OPERANDS_MAX, START_IF_DOWN,
	  ctl_service_show, NULL, false },
	{ "is-active", "SERVICE...", "do services run?",
	  "Prints their states; the exit code is 0 when one runs, else 3.", 1,
	  OPERANDS_MAX, START_IF_DOWN, ctl_service_question, NULL, false },
	{ "is-enabled", "SERVICE...", "do they start with the instance?",
	  "The exit code is 0 when one does, else 1.", 1, OPERANDS_MAX,
	  START_IF_DOWN, ctl_service_question, NULL, false },
	{ "is-failed", "SERVICE...", "have services failed?",
	  "Prints their states; the exit code is 0 when one has, else 1.", 1,
	  OPERANDS_MAX, START_IF_DOWN, ctl_service_question, NULL, false },
	{ "cat", "SERVICE...", "print definitions of services",
	  "Needs no running instance.", 1, OPERANDS_MAX, START_UNNEEDED,
	  ctl_service_cat, NULL, false },
	{ "edit", "SERVICE", "edit a definition and publish it",
	  "In $VISUAL, else $EDITOR, else vi. A text that is refused is not\n"
	  "lost. Needs no running instance.",
	  1, 1, START_UNNEEDED, ctl_service_edit, NULL, false },
	{ "rollback", "SERVICE", "go back to the program's version before",
	  "It is published again as a new version, and the service goes over\n"
	  "to it when its definition says reload = restart.",
	  1, 1, START_UNNEEDED, ctl_service_rollback, NULL, false },
	{ "who-can", "NAME", "which services may call a name",
	  "By the [allow] sections of their definitions. Needs no running\n"
	  "instance.",
	  1, 1, START_UNNEEDED, ctl_who_can, NULL, false },
	{ "daemon-reload", "", "not needed: says so",
	  "Definitions hold as soon as they are copied.", 0, 0, START_UNNEEDED,
	  ctl_daemon_reload, NULL, false },
	{ "verify", "FILE|- [NAME]", "check a service definition",
	  "Says what a copy into services/ would be refused for, and what has "
	  "no\neffect, without installing anything. NAME is what the service "
	  "will be\ncalled, by default as its file. The exit code is 5 when it "
	  "has errors.",
	  1, 2, START_UNNEEDED, ctl_verify, NULL, false },
	{ "store ls", "[DIR|NAME]", "list programs, or another directory",
	  "DIR is programs, libraries, runtimes, services or data.", 0, 1,
	  START_UNNEEDED, ctl_store_ls, NULL, false },
	{ "store cat", "NAME[@VERSION|@rejected]", "print a text",
	  REFERENCE "\nNAME@rejected is the newest text that was refused.", 1,
	  1, START_UNNEEDED, ctl_store_cat, NULL, false },
	{ "store put", "NAME FILE|-", "publish a text, from a file or stdin",
	  "The text is checked first; one that is refused is kept as\n"
	  "NAME@rejected, and the exit code is 5.\n" REFERENCE,
	  2, 2, START_UNNEEDED, ctl_store_put, NULL, false },
	{ "store log", "NAME", "show the versions of a name, oldest first",
	  REFERENCE "\nRefused texts are shown with their reason.", 1, 1,
	  START_UNNEEDED, ctl_store_log, NULL, false },
	{ "store diff", "NAME[@VERSION] [NAME[@VERSION]]",
	  "compare two versions",
	  "With one name without a version, the one before the newest is\n"
	  "compared with it; with one version, that one with the newest.\n"
	  "NAME@rejected works, too.\n" REFERENCE,
	  1, 2, START_UNNEEDED, ctl_store_diff, NULL, false },
	{ "store rollback", "NAME[@VERSION]", "publish an older version again",
	  "Without a version, the one before the newest. It becomes a new\n"
	  "version; nothing is lost.\n" REFERENCE,
	  1, 1, START_UNNEEDED, ctl_store_rollback, NULL, false },
	{ "store verify", "[NAME]",
	  "read every text again and compare its SHA-256",
	  "Names what differs; the exit code is 1 when something does.", 0, 1,
	  START_UNNEEDED, ctl_store_verify, NULL, false },
	{ "store rm", "NAME", "remove a name",
	  "Its versions stay: `store log`, `store rollback NAME@VERSION`. A\n"
	  "built-in of that name shows again.\n" REFERENCE,
	  1, 1, START_UNNEEDED, ctl_store_rm, NULL, false },
	{ "kv get", "NAME KEY", "print the value of a program's key",
	  "The exit code is 4 when it has none.\n" STORAGE, 2, 2, START_IF_DOWN,
	  ctl_kv_get, NULL, false },
	{ "kv set", "NAME KEY VALUE", "give a program's key a value",
	  "What parses as JSON is that value, any other VALUE a string.\n"
	  "The exit code is 5 when it has another version.\n" STORAGE,
	  3, 3, START_IF_DOWN, ctl_kv_set, set_options, false },
	{ "kv del", "NAME KEY", "remove a program's key",
	  "The exit code is 4 when it has none, 5 when it has another\n"
	  "version.\n" STORAGE,
	  2, 2, START_IF_DOWN, ctl_kv_del, del_options, false },
	{ "kv list", "NAME [PREFIX]", "list a program's keys", STORAGE, 1, 2,
	  START_IF_DOWN, ctl_kv_list, NULL, false },
	{ "kv dump", "NAME [PREFIX]", "print a program's keys and values",
	  "A line of JSON for each.\n" STORAGE, 1, 2, START_IF_DOWN,
	  ctl_kv_dump, NULL, false },
	{ "kv watch", "NAME [PREFIX]", "print what changes in a program's keys",
	  "Until Ctrl-C.\n" STORAGE, 1, 2, START_IF_DOWN, ctl_kv_watch, NULL,
	  false },
	{ "data cat", "NAME", "print a program's stream",
	  "Needs no running instance.", 1, 1, START_UNNEEDED, ctl_data_cat,
	  NULL, false },
	{ "data put", "NAME FILE|-", "replace a program's stream",
	  "From a file or stdin, at once. Needs no running instance.", 2, 2,
	  START_UNNEEDED, ctl_data_put, NULL, false },
	{ "locks", "[NAME]", "show who holds locks and who waits for them",
	  "Of all programs or one. Starts the instance when it does not run.",
	  0, 1, START_IF_DOWN, ctl_locks, NULL, false },
	{ "backup", "FILE|-", "write the whole instance into an archive",
	  "A tar of the store with all versions, what programs keep, which\n"
	  "services are enabled, and thoxd.conf; secrets and logs are not in\n"
	  "it. The instance may run, and goes on.",
	  1, 1, START_UNNEEDED, ctl_backup, NULL, false },
	{ "restore", "FILE|-", "make an instance of such an archive",
	  "Where there is none, or an empty one that does not run. All of it\n"
	  "is restored, or nothing.",
	  1, 1, START_UNNEEDED, ctl_restore, NULL, false },
	{ "storage ls", "", "list what programs keep",
	  "With the sizes of the files. An orphan is what a program left that\n"
	  "is not in the store any more. Needs no running instance.",
	  0, 0, START_UNNEEDED, ctl_storage_ls, NULL, false },
	{ "storage stat", "NAME", "show how much a program keeps", STORAGE, 1,
	  1, START_IF_DOWN, ctl_storage_stat, NULL, false },
	{ "storage export", "NAME FILE|-",
	  "write what a program keeps into an archive",
	  "A tar of its keys and its stream.\n" STORAGE, 2, 2, START_IF_DOWN,
	  ctl_storage_export, NULL, false },
	{ "storage import", "FILE|- [NAME]", "take such an archive back",
	  "In place of what the program keeps, or another one. Refused while "
	  "a\n"
	  "process uses it. Starts the instance when it does not run.",
	  1, 2, START_IF_DOWN, ctl_storage_import, NULL, false },
	{ "storage compact", "NAME", "give free space back to the disk",
	  STORAGE, 1, 1, START_IF_DOWN, ctl_storage_compact, NULL, false },
	{ "storage adopt", "NAME[@NUMBER]",
	  "give a program what one of its name left",
	  "What a removed program kept is set aside as NAME@NUMBER when "
	  "another\n"
	  "one of its name comes; without NUMBER, the last of these. The "
	  "program\n"
	  "must keep nothing itself.\n" STORAGE,
	  1, 1, START_IF_DOWN, ctl_storage_adopt, NULL, false },
	{ "storage rm", "NAME[@NUMBER]", "remove all that a program keeps",
	  "Refused while a process uses it.\n" STORAGE, 1, 1, START_IF_DOWN,
	  ctl_storage_rm, NULL, false },
};
const size_t ctl_n_commands = ARRAY_SIZE(ctl_commands);

static const char options_help[] =
	"Options:\n"
	"      --json             the answer as JSON\n"
	"      --user, --system   the user's instance (default) or the "
	"system's\n"
	"  -h, --help             this, or a command's own help\n"
	"  -V, --version\n";

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
	       "such process\nor name, 5 refused, 6 no answer in time. See "
	       "thoxctl(1).\n",
	       options_help);
}

static void print_option(const struct ctl_option *o)
{
	char letter[8] = "    ", head[64];

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(head, sizeof(head), "--%s%s%s", o->name,
		 o->argument ? " " : "", o->argument ? o->argument : "");
	printf("  %s%-18s %s\n", letter, head, o->help);
}

static void print_command_help(const struct command *c)
{
	printf("Usage: thoxctl [OPTION...] %s%s%s\n\n%c%s.\n%s\n\n", c->name,
	       *c->operands ? " " : "", c->operands, c->summary[0] - 'a' + 'A',
	       c->summary + 1, c->help);
	if (c->options) {
		puts("Options of this command:");
		for (const struct ctl_option *o = c->options; o->name; o++)
			print_option(o);
		putchar('\n');
	}
	fputs(options_help, stdout);
}

/* Other words for the same, as systemctl has them. */
static const struct {
	const char *word, *name;
} aliases[] = {
	{ "reset-failed", "reset" },
	{ "list-units", "list" },
};

static const char *without_alias(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (strcmp(aliases[i].word, word) == 0)
			return aliases[i].name;
	return word;
}

/* Words that another one follows. */
static const char *const groups[] = { "store", "storage", "kv", "data" };

static bool is_group(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (strcmp(groups[i], word) == 0)
			return true;
	return false;
}

/* The row that @argv begins with: one word, or two for those of a group. */
static const struct command *find(int argc, char **argv, int *ret_words)
{
	char two[64];

	if (argc < 1)
		return NULL;
	snprintf(two, sizeof(two), "%.20s %.20s", argv[0],
		 argc > 1 ? argv[1] : "");
	for (size_t i = 0; i < ctl_n_commands; i++) {
		const struct command *c = &ctl_commands[i];

		if (strcmp(c->name, without_alias(argv[0])) == 0) {
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
		say("usage: thoxctl %s%s%s; try 'thoxctl %s --help'", c->name,
		    c->operands[0] ? " " : "", c->operands, c->name);
	else
		say("try 'thoxctl --help'");
	return CTL_USAGE;
}

/* Nor is it one; one of the table may have been meant. */
static void say_unknown(const char *command)
{
	struct suggest s;

	suggest_init(&s, command);
	for (size_t i = 0; i < ctl_n_commands; i++)
		suggest_offer(&s, ctl_commands[i].name);
	if (s.name[0])
		say("%s: no such command; did you mean '%s'?", command, s.name);
	else
		say("%s: no such command", command);
}

static int no_command(int argc, char **argv)
{
	char two[64];

	if (argc < 1) {
		say("no command given");
	} else if (!is_group(argv[0])) {
		say_unknown(argv[0]);
	} else if (argc < 2) {
		say("%s: no command given", argv[0]);
	} else {
		snprintf(two, sizeof(two), "%.10s %.50s", argv[0], argv[1]);
		say_unknown(two);
	}
	return wrong_use(NULL);
}

struct wishes {
	bool help;
	bool version;
	bool bad;
	enum instance_mode mode;
};

/* --- options ----------------------------------------------------------------
 */

/* They have no letters: these are the commands'. */
enum {
	LONG_JSON = 1,
	LONG_SYSTEM,
	LONG_USER,
};

static const struct option common_options[] = {
	{ "json", no_argument, NULL, LONG_JSON },
	{ "system", no_argument, NULL, LONG_SYSTEM },
	{ "user", no_argument, NULL, LONG_USER },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
};

#define OWN 256 /* and its place in the command's options */

struct option_table {
	struct option longs[ARRAY_SIZE(common_options) + CTL_OPTIONS_MAX + 1];
	char letters[8 + 2 * CTL_OPTIONS_MAX];
};

static void build_options(const struct command *c, struct option_table *t)
{
	size_t n = ARRAY_SIZE(common_options), used;

	memset(t, 0, sizeof(*t));
	memcpy(t->longs, common_options, sizeof(common_options));
	/* With a plus the first word that is no option ends them. */
	strcpy(t->letters, c && c->passes_on ? "+hV" : "hV");
	used = strlen(t->letters);
	for (int i = 0; c && c->options && c->options[i].name; i++) {
		const struct ctl_option *o = &c->options[i];

		t->longs[n++] = (struct option){
			.name = o->name,
			.has_arg =
				o->argument ? required_argument : no_argument,
			.val = OWN + i,
		};
		if (!o->letter)
			continue;
		t->letters[used++] = o->letter;
		if (o->argument)
			t->letters[used++] = ':';
	}
}

/* The place of a letter among the command's options, -1: none. */
static int find_letter(const struct command *c, int letter)
{
	for (int i = 0; c && c->options && c->options[i].name; i++)
		if (letter && c->options[i].letter == letter)
			return i;
	return -1;
}

static void take_own(struct ctl *ctl, int i)
{
	ctl->values[i] = optarg ? optarg : "";
}

static void take_option(struct ctl *ctl, struct wishes *w, int option)
{
	int own = option >= OWN ? option - OWN
				: find_letter(ctl->command, option);

	if (own >= 0) {
		take_own(ctl, own);
		return;
	}
	switch (option) {
	case LONG_JSON:
		ctl->json = true;
		break;
	case LONG_SYSTEM:
		w->mode = INSTANCE_SYSTEM;
		break;
	case LONG_USER:
		w->mode = INSTANCE_USER;
		break;
	case 'h':
		w->help = true;
		break;
	case 'V':
		w->version = true;
		break;
	}
}

static void parse_some(int argc, char **argv, struct ctl *ctl, struct wishes *w)
{
	struct option_table table;
	int option;

	build_options(ctl->command, &table);
	opterr = 0;
	while ((option = getopt_long(argc, argv, table.letters, table.longs,
				     NULL)) != -1) {
		if (option != '?') {
			take_option(ctl, w, option);
			continue;
		}
		say(optopt >= OWN || find_letter(ctl->command, optopt) >= 0
			    ? "%s: wants an argument"
			    : "%s: no such option",
		    argv[optind - 1]);
		w->bad = true;
	}
}

/*
 * Options may stand anywhere, those of a command behind its name; `-` is an
 * operand and `--` ends them. Where the operands are for somebody else, they
 * end at the first one, and the command's @words are passed over in between.
 * How many of these are left before the operands.
 */
static int parse_options(int argc, char **argv, struct ctl *ctl,
			 struct wishes *w, int words)
{
	parse_some(argc, argv, ctl, w);
	if (!ctl->command || !ctl->command->passes_on)
		return words;
	optind += words;
	parse_some(argc, argv, ctl, w);
	return 0;
}

const char *ctl_option(const struct ctl *ctl, const char *name)
{
	for (int i = 0; ctl->command->options[i].name; i++)
		if (strcmp(ctl->command->options[i].name, name) == 0)
			return ctl->values[i];
	return NULL;
}

/* The command is the first word; only options without an argument may stand
 * before it. */
static const struct command *find_in(int argc, char **argv, int *ret_words)
{
	char *words[2];
	int n = 0;

	for (int i = 1; i < argc && n < 2; i++)
		if (argv[i][0] != '-')
			words[n++] = argv[i];
	return find(n, words, ret_words);
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
		if (!*ctl->argv[i] && (i == 0 || !c->passes_on))
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
	ctl.command = find_in(argc, argv, &words);
	words = parse_options(argc, argv, &ctl, &w, words);
	if (w.bad)
		return wrong_use(ctl.command);
	if (w.version) {
		puts("thoxctl " PACKAGE_VERSION);
		return CTL_OK;
	}
	argc -= optind;
	argv += optind;
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
