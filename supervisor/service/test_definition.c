/* Service definitions: what is read, refused and warned of. */

#include "service/definition.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/tap.h"
#include "base/util.h"

static struct definition *d;
static struct definition_notes notes;
static const struct definition_lookup *lookup;
static char reason[256];

static int parse_sized(const char *name, const char *instance, const char *text,
		       size_t size)
{
	/* Exactly as long: reading one byte further is found out. */
	char *copy = malloc(size ? size : 1);
	struct definition_source source = { .name = name,
					    .instance = instance,
					    .text = copy,
					    .size = size,
					    .lookup = lookup,
					    .now_s = 1800000000 };
	int r;

	if (!copy)
		abort();
	memcpy(copy, text, size);
	d = definition_free(d);
	r = definition_parse(&source, &d, &notes);
	definition_reason(&notes, name, reason, sizeof(reason));
	free(copy);
	return r;
}

static int parse_as(const char *name, const char *instance, const char *text)
{
	return parse_sized(name, instance, text, strlen(text));
}

static int parse(const char *text)
{
	return parse_as("greeter", NULL, text);
}

/* The same behind `program = hello` in [service], which is line 2. */
static int parse_more(const char *text)
{
	char whole[4096];

	snprintf(whole, sizeof(whole), "[service]\nprogram = hello\n%s", text);
	return parse(whole);
}

static const char *joined(const struct names *names)
{
	static char text[1024];

	text[0] = '\0';
	for (uint32_t i = 0; i < names->n; i++) {
		strcat(text, i ? "|" : "");
		strcat(text, names->items[i]);
	}
	return text;
}

/* Verify that little is enough, and what is meant without more. */
static void test_defaults(void)
{
	CHECK_EQ(parse("[service]\nprogram = hello\n"), 0);
	CHECK_EQ(notes.n, 0);
	CHECK_STR(d->name, "greeter");
	CHECK_STR(d->program, "hello");
	CHECK(!d->description);
	CHECK_STR(joined(&d->provides), "greeter");
	CHECK(!d->autostart && !d->is_template);
	CHECK_EQ(d->type, TYPE_SIMPLE);
	CHECK_EQ(d->ready, READY_START);
	CHECK_EQ(d->policy.reload, MACHINE_RELOAD_NONE);
	CHECK_EQ(d->policy.restart.when, RESTART_ON_FAILURE);
	CHECK_EQ(d->policy.restart.delay_ms, 100);
	CHECK_EQ(d->policy.restart.limit, 10);
	CHECK_EQ(d->policy.start_timeout_ms, 30000);
	CHECK_EQ(d->policy.stop_timeout_ms, 10000);
	CHECK(d->policy.terminate_first);
	CHECK_EQ(d->memory_bytes, 0);
	CHECK(definition_success(d, 0, 0));
	CHECK(!definition_success(d, 1, 0));
	CHECK(!definition_success(d, 0, SIGTERM));
}

/* Verify every key. */
static void test_every_key(void)
{
	static const char text[] =
		"\xef\xbb\xbf; everything\r\n"
		"[service]\r\n"
		"description = Greets, and more: Grüße\n"
		"program = cc#hello@3\n"
		"runtime = cc\n"
		"args = -v 'two words' \"a \\\"b\\\"\" c\\ d '' 100%%\n"
		"   and more ; a comment\n"
		"env.LANG = C.UTF-8\n"
		"env.EMPTY =\n"
		"secret.db-password = db/password\n"
		"provides = greeter, salut.fr\n"
		"\tolá-x\n"
		"autostart = yes\n"
		"activation = call\n"
		"idle-timeout = 5min\n"
		"instances = 4\n"
		"type = simple\n"
		"ready = bind\n"
		"start-timeout = 5s\n"
		"reload = restart\n"
		"[order]\n"
		"requires = db.service, worker:blue\n"
		"wants = mail\n"
		"after: net\n"
		"before = end\n"
		"part-of = all\n"
		"[restart]\n"
		"policy = on-failure\n"
		"delay = 1s\n"
		"max-delay = 1min\n"
		"factor = 1.5\n"
		"jitter = 25%\n"
		"reset-after = 30s\n"
		"limit = 7/10min\n"
		"success-codes = 3 SIGTERM KILL\n"
		"on-limit = start rescue.service\n"
		"policy-group = rest\n"
		"[stop]\n"
		"timeout = 3s\n"
		"notify = on\n"
		"[health]\n"
		"watchdog = 10s\n"
		"check = greeter.ping\n"
		"interval = 1.5s\n"
		"failures = 2\n"
		"[limits]\n"
		"memory = 64M\n"
		"cpu-time = 1h\n"
		"cpu-percent = 50\n"
		"tasks = 10\n"
		"descriptors = 20\n"
		"messages = 30\n"
		"output-rate = 1M/s\n"
		"storage = none\n"
		"[allow]\n"
		"call = db.** !db.drop *.ping\n"
		"bind = extra\n"
		"run = hello\n"
		"store = programs.*\n"
		"[log]\n"
		"keep = 2\n"
		"rotate-size = 64K\n"
		"rotate-age = 1d\n";

	CHECK_EQ(parse(text), -EINVAL);
	CHECK_STR(reason, "greeter:12: provides: 'olá-x': a name of calls is "
			  "made of A-Za-z0-9_- with dots between, at most 128 "
			  "bytes");
	{
		char copy[sizeof(text)];
		char *wrong;

		memcpy(copy, text, sizeof(text));
		wrong = strstr(copy, "ol\xc3\xa1");
		memcpy(wrong, "olaa", 4);
		CHECK_EQ(parse(copy), 0);
	}
	CHECK_EQ(notes.n, 0);
	CHECK_STR(d->description, "Greets, and more: Grüße");
	CHECK_STR(d->program, "hello");
	CHECK_EQ(d->program_version, 3);
	CHECK_STR(d->runtime, "cc");
	CHECK_STR(joined(&d->args), "-v|two words|a \"b\"|c d||100%|and|more");
	CHECK_STR(joined(&d->env), "LANG=C.UTF-8|EMPTY=");
	CHECK_STR(joined(&d->secrets), "db-password=db/password");
	CHECK_STR(joined(&d->provides), "greeter|salut.fr|olaa-x");
	CHECK(d->autostart);
	CHECK_EQ(d->activation, ACTIVATION_CALL);
	CHECK_EQ(d->idle_timeout_ms, 300000);
	CHECK_EQ(d->instances, 4);
	CHECK_EQ(d->ready, READY_BIND);
	CHECK_EQ(d->policy.start_timeout_ms, 5000);
	CHECK_EQ(d->policy.reload, MACHINE_RELOAD_RESTART);
	CHECK_STR(joined(&d->requires), "db|worker:blue");
	CHECK_STR(joined(&d->wants), "mail");
	CHECK_STR(joined(&d->after), "net");
	CHECK_STR(joined(&d->before), "end");
	CHECK_STR(joined(&d->part_of), "all");
	CHECK_EQ(d->policy.restart.delay_ms, 1000);
	CHECK_EQ(d->policy.restart.max_delay_ms, 60000);
	CHECK(d->policy.restart.factor == 1.5);
	CHECK(d->policy.restart.jitter == 0.25);
	CHECK_EQ(d->policy.restart.reset_after_ms, 30000);
	CHECK_EQ(d->policy.restart.limit, 7);
	CHECK_EQ(d->policy.restart.limit_ms, 600000);
	CHECK(definition_success(d, 3, 0) && definition_success(d, 0, 0));
	CHECK(definition_success(d, 0, SIGTERM));
	CHECK(definition_success(d, 0, SIGKILL));
	CHECK(!definition_success(d, 0, SIGSEGV));
	CHECK_STR(d->on_limit, "rescue");
	CHECK_EQ(d->policy_group, GROUP_REST);
	CHECK_EQ(d->policy.stop_timeout_ms, 3000);
	CHECK(d->policy.terminate_first);
	CHECK_EQ(d->watchdog_ms, 10000);
	CHECK_STR(d->check, "greeter.ping");
	CHECK_EQ(d->interval_ms, 1500);
	CHECK_EQ(d->failures, 2);
	CHECK_EQ(d->memory_bytes, 64 << 20);
	CHECK_EQ(d->cpu_ms, 3600000);
	CHECK_EQ(d->cpu_percent, 50);
	CHECK_EQ(d->tasks, 10);
	CHECK_EQ(d->descriptors, 20);
	CHECK_EQ(d->messages, 30);
	CHECK_EQ(d->output_rate_bytes, 1 << 20);
	CHECK(d->storage_bytes == DEFINITION_NONE);
	CHECK_STR(joined(&d->call), "db.**|!db.drop|*.ping");
	CHECK_STR(joined(&d->bind), "extra");
	CHECK_STR(joined(&d->run), "hello");
	CHECK_STR(joined(&d->store), "programs.*");
	CHECK_EQ(d->log_keep, 2);
	CHECK_EQ(d->log_rotate_bytes, 65536);
	CHECK_EQ(d->log_rotate_ms, 86400000);
}

/* Verify that each wrong line is refused with its number and the reason. */
static void test_wrong_lines(void)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "polcy = always", "no such key in [service]: 'polcy'" },
		{ "policy = always",
		  "no such key in [service]: 'policy' belongs in [restart]" },
		{ "[restart]\npolcy = always",
		  "'polcy'; did you mean 'policy'?" },
		{ "[restart]\nploicy = always",
		  "'ploicy'; did you mean 'policy'?" },
		{ "[restrat]\npolicy = always",
		  "no such section: [restrat]; did you mean [restart]?" },
		{ "[nonsense]", "no such section: [nonsense]" },
		{ "[]", "no such section: []" },
		{ "[unclosed\nx = y", "neither `[section]` nor `key = value`" },
		{ "just words", "neither `[section]` nor `key = value`" },
		{ "program = x", "program is given in line 2 already" },
		{ "env.A = 1\nenv.A = 2", "env.A is given twice" },
		{ "secret.a = x\nsecret.a = y", "secret.a is given twice" },
		{ "ready =", "ready has no value" },
		{ "runtime =", "runtime has no value" },
		{ "runtime = a/b", "'a/b' is no value for runtime" },
		{ "autostart = perhaps",
		  "'perhaps' is no value for autostart: yes or no" },
		{ "type = forking",
		  "'forking' is no value for type: one of simple oneshot" },
		{ "type = simpl", "one of simple oneshot" },
		{ "type = simple oneshot", "one of simple oneshot" },
		{ "instances = 0", "1 to 256" },
		{ "instances = 257", "1 to 256" },
		{ "instances = -1", "a number" },
		{ "instances = 1e3", "a number" },
		{ "instances = 99999999999999999999", "a number" },
		{ "start-timeout = 3 weeks", "a time such as" },
		{ "start-timeout = 0", "a time such as" },
		{ "start-timeout = 1ms", "10.0 ms to 366 d" },
		{ "env.1A = x", "begins with no digit" },
		{ "env.A-B = x", "a variable's name" },
		{ "env. = x", "no such key" },
		{ "secret.x = /etc/shadow", "a file below" },
		{ "secret.x = ../shadow", "a file below" },
		{ "secret.x = a/../b", "a file below" },
		{ "secret.x = a//b", "a file below" },
		{ "secret.x = a/", "a file below" },
		{ "secret..x = a", "does not start with a dot" },
		{ "provides = a..b", "a name of calls" },
		{ "provides = .a", "a name of calls" },
		{ "provides = a/b", "a name of calls" },
		{ "args = 'open", "a quote is not closed" },
		{ "args = \"open", "a quote is not closed" },
		{ "args = x\\", "nothing follows the backslash" },
		{ "args = 50%", "after % comes i" },
		{ "args = %n", "after % comes i" },
		{ "description = a\n b", "description takes one value" },
		{ "description = \x01", "control character" },
		{ "description = \x1b[31m", "control character" },
		{ "description = \xff\xfe", "no UTF-8" },
		{ "schedule = sometimes", "schedule: 'sometimes'" },
		{ "schedule = 02-30", "there is no such day" },
		{ "schedule = 2020-01-01", "never comes any more" },
		{ "[order]\nrequires = a:b:c", "a name is made of" },
		{ "[order]\nrequires = a:", "a name is not empty" },
		{ "[order]\nrequires = ../x", "does not start with a dot" },
		{ "[order]\nrequires = greeter", "would depend on itself" },
		{ "[order]\nafter = greeter.service", "depend on itself" },
		{ "[order]\nbefore = greeter", "depend on itself" },
		{ "[order]\npart-of = greeter", "depend on itself" },
		{ "[order]\nrequires = greeter:x", "depend on itself" },
		{ "[order]\nrequires = a\nbefore = a",
		  "a is to start before it (requires) and after it (before)" },
		{ "[order]\nafter = a\nbefore = b a",
		  "a is to start before it (after) and after it (before)" },
		{ "[restart]\nfactor = 0.5", "1 to 100" },
		{ "[restart]\nfactor = 1.005", "1 to 100" },
		{ "[restart]\nfactor = 101", "1 to 100" },
		{ "[restart]\njitter = 101%", "0 to 1" },
		{ "[restart]\njitter = 1.01", "0 to 1" },
		{ "[restart]\nlimit = 5", "such as 10/5min" },
		{ "[restart]\nlimit = 5/", "such as 10/5min" },
		{ "[restart]\nlimit = /5", "such as 10/5min" },
		{ "[restart]\nlimit = 0/5s", "such as 10/5min" },
		{ "[restart]\nlimit = 1001/5s", "such as 10/5min" },
		{ "[restart]\ndelay = 5s\nmax-delay = 1s",
		  "max-delay is less than delay" },
		{ "[restart]\nsuccess-codes = 256", "0 to 255" },
		{ "[restart]\nsuccess-codes = SIGNONE", "written SIGTERM" },
		{ "[restart]\non-limit = explode", "`fail`, or `start`" },
		{ "[restart]\non-limit = start", "a name is not empty" },
		{ "[restart]\non-limit = startx", "`fail`, or `start`" },
		{ "[restart]\non-limit = start greeter",
		  "would start the service itself" },
		{ "[health]\ncheck = a b", "a name of calls" },
		{ "[limits]\nmemory = 5Q", "a size such as" },
		{ "[limits]\nmemory = none", "a size such as" },
		{ "[limits]\nmemory = 64K", "1M to 1T" },
		{ "[limits]\noutput-rate = 1M/h", "a size such as" },
		{ "[allow]\ncall = a.**.b", "a pattern is" },
		{ "[allow]\ncall = !!a", "a pattern is" },
		{ "[allow]\ncall = !", "a pattern is" },
		{ "[allow]\ncall = a*", "a pattern is" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = parse_more(cases[i].text);

		if (r != -EINVAL || !strstr(reason, cases[i].reason))
			printf("# %s\n# %s\n", cases[i].text, reason);
		CHECK_EQ(r, -EINVAL);
		CHECK(!d);
		CHECK(strstr(reason, cases[i].reason));
		CHECK(strncmp(reason, "greeter:", 8) == 0);
		CHECK(reason[8] >= '3' && reason[8] <= '5');
	}
}

/* Verify the line of each of several errors, and that all are told, in their
 * order. */
static void test_all_errors_are_told(void)
{
	CHECK_EQ(parse("program = x\n"
		       "[service]\n"
		       "\n"
		       "program = hello\n"
		       "ready = soon\n"
		       "[order]\n"
		       "after = greeter\n"
		       "[stop]\n"
		       "timeout = never\n"),
		 -EINVAL);
	CHECK_EQ(notes.errors, 4);
	CHECK_EQ(notes.items[0].line, 1);
	CHECK_STR(notes.items[0].text,
		  "'program' stands before the first [section]");
	CHECK_EQ(notes.items[1].line, 5);
	CHECK_EQ(notes.items[2].line, 7);
	CHECK_EQ(notes.items[3].line, 9);
}

/* Verify that more errors than there is room for are counted. */
static void test_many_errors(void)
{
	char text[4096] = "[service]\n";

	for (int i = 0; i < 100; i++)
		strcat(text, "nonsense = 1\n");
	CHECK_EQ(parse(text), -EINVAL);
	CHECK_EQ(notes.n, DEFINITION_NOTES_MAX);
	CHECK_EQ(notes.errors, 100);
}

/* Verify what is refused as a whole. */
static void test_refused_texts(void)
{
	static char large[DEFINITION_BYTES + 1];

	CHECK_EQ(parse(""), -EINVAL);
	CHECK_STR(reason,
		  "greeter: no program is named: [service] program = NAME");
	CHECK_EQ(
		parse_sized("greeter", NULL, "[service]\nprogram = a\0b\n", 24),
		-EINVAL);
	CHECK_STR(reason, "greeter:2: the text contains a NUL byte");
	memset(large, '\n', sizeof(large));
	CHECK_EQ(parse_sized("greeter", NULL, large, sizeof(large)), -EINVAL);
	CHECK_STR(reason, "greeter: a service file is at most 64 KiB");
	CHECK_EQ(parse_as("a:b", NULL, ""), -EINVAL);
	CHECK_EQ(parse_as(".x", NULL, ""), -EINVAL);
	CHECK_EQ(parse_as("a", "b:c", ""), -EINVAL);
}

/* Verify that a line is taken whole or not at all, at each length about the
 * limit, with and without a line feed. */
static void test_long_lines(void)
{
	for (size_t n = DEFINITION_LINE_BYTES - 3;
	     n < DEFINITION_LINE_BYTES + 4; n++) {
		char text[1024] = "[service]\nprogram = hello\n";
		size_t start = strlen(text);

		strcpy(text + start, "description = ");
		memset(text + start + 14, 'x', n - 14);
		text[start + n] = '\0';
		CHECK_EQ(parse(text), n <= DEFINITION_LINE_BYTES ? 0 : -EINVAL);
		if (n <= DEFINITION_LINE_BYTES)
			CHECK_EQ(strlen(d->description), n - 14);
		else
			CHECK(strstr(reason, "greeter:3: a line is at most"));
		text[start + n] = '\n';
		text[start + n + 1] = '\0';
		CHECK_EQ(parse(text), n <= DEFINITION_LINE_BYTES ? 0 : -EINVAL);
	}
}

/* Verify that the counts have limits. */
static void test_counts(void)
{
	char text[65536] = "[service]\nprogram = hello\nargs = x\n";

	for (unsigned i = 1; i < DEFINITION_ARGS_MAX; i++)
		strcat(text, " x\n");
	CHECK_EQ(parse(text), 0);
	CHECK_EQ(d->args.n, DEFINITION_ARGS_MAX);
	strcat(text, " x\n");
	CHECK_EQ(parse(text), -EINVAL);
	CHECK(strstr(reason, "args: at most 256"));

	strcpy(text, "[service]\nprogram = hello\n");
	for (unsigned i = 0; i <= DEFINITION_ENV_MAX; i++)
		sprintf(text + strlen(text), "env.V%u = x\n", i);
	CHECK_EQ(parse(text), -EINVAL);
	CHECK(strstr(reason, "at most 128"));
}

/* Verify that an indented key does not go unnoticed. */
static void test_indented_keys(void)
{
	CHECK_EQ(parse_more("args = a\n  ready = bind\n"), 0);
	CHECK_EQ(notes.warnings, 1);
	CHECK_EQ(notes.items[0].line, 4);
	CHECK(strstr(notes.items[0].text, "begin it without a space"));
	CHECK_EQ(parse_more("  ready = bind\n"), -EINVAL);
	CHECK(strstr(reason, "program takes one value"));
	/* The first of a section may be indented, and a comment always. */
	CHECK_EQ(parse("[service]\n  program = hello\n  ; comment\n"), 0);
	CHECK_STR(d->program, "hello");
	/* What follows an unknown key is passed over with it. */
	CHECK_EQ(parse_more("argz = a\n  b\n  c\n"), -EINVAL);
	CHECK_EQ(notes.errors, 1);
}

/* Verify what is warned of, that it is no error, and the line. */
static void test_warnings(void)
{
	static const struct {
		const char *text, *warning;
	} cases[] = {
		{ "type = oneshot\nready = bind", "ready has no effect" },
		{ "schedule = daily\nautostart = 1\nready = bind",
		  "ready has no effect: a oneshot" },
		{ "schedule = daily", "only while the service is enabled" },
		{ "catch-up = yes", "catch-up has no effect: there is no" },
		{ "idle-timeout = 1min", "idle-timeout has no effect" },
		{ "start-timeout = 1min", "start-timeout has no effect" },
		{ "instances = 17", "a caller uses 16 of the instances" },
		{ "type = oneshot\nreload = restart", "reload has no effect" },
		{ "[restart]\npolicy = never\ndelay = 5s",
		  "delay has no effect: the policy is never" },
		{ "[restart]\npolicy = never\nmax-delay = 50s", "max-delay" },
		{ "[restart]\npolicy = never\nfactor = 3", "factor has no" },
		{ "[restart]\npolicy = never\njitter = 0", "jitter has no" },
		{ "[restart]\npolicy = never\nlimit = 1/1s", "limit has no" },
		{ "[restart]\npolicy = never\non-limit = fail", "on-limit" },
		{ "[restart]\npolicy = never\nreset-after = 1s", "reset" },
		{ "[restart]\nfactor = 1\nmax-delay = 1min",
		  "max-delay has no effect: the factor is 1" },
		{ "[restart]\nlimit = none\non-limit = start x",
		  "on-limit has no effect: there is no limit" },
		{ "[restart]\npolicy = always\nsuccess-codes = 3",
		  "success-codes has no effect" },
		{ "[restart]\nlimit = 100/1min", "limit is never reached" },
		{ "[stop]\nnotify = no\ntimeout = 5s", "timeout has no" },
		{ "[health]\ninterval = 5s", "interval has no effect" },
		{ "[health]\nfailures = 5", "failures has no effect" },
		{ "type = oneshot\n[health]\nwatchdog = 5s", "watchdog has" },
		{ "type = oneshot\n[health]\ncheck = x", "check has no" },
		{ "args = %i\nautostart = yes", "an instance of a template" },
		{ "[order]\nafter = a b a", "after has 'a' twice" },
		{ "[order]\nafter = a a.service", "twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = parse_more(cases[i].text);

		if (r != 0 || notes.warnings != 1 ||
		    !strstr(notes.items[0].text, cases[i].warning))
			printf("# %s\n# %s%s\n", cases[i].text, reason,
			       notes.n ? notes.items[0].text : "");
		CHECK_EQ(r, 0);
		CHECK_EQ(notes.warnings, 1);
		CHECK(notes.items[0].warning);
		CHECK(notes.items[0].line >= 3);
		CHECK(strstr(notes.items[0].text, cases[i].warning));
		CHECK_STR(reason, "");
	}
}

/* Verify that values that contradict each other are refused. */
static void test_contradictions(void)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "type = oneshot\n[restart]\npolicy = always",
		  "greeter:5: a oneshot cannot be restarted always" },
		{ "type = oneshot\nactivation = call",
		  "greeter:4: a oneshot answers no calls" },
		{ "type = simple\nschedule = daily\nactivation = call",
		  "greeter:5: it is started by its schedule or by calls" },
		{ "schedule = daily\nactivation = call",
		  "greeter:4: a oneshot answers no calls" },
		{ "ready = bind\nprovides =",
		  "greeter:3: ready = bind waits for names" },
		{ "activation = call\nprovides =",
		  "greeter:3: activation = call waits for calls" },
		{ "runtime = cc\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = parse_more(cases[i].text);

		CHECK_EQ(r, cases[i].reason ? -EINVAL : 0);
		if (cases[i].reason && !strstr(reason, cases[i].reason))
			printf("# %s\n", reason);
		CHECK(!cases[i].reason || strstr(reason, cases[i].reason));
	}
	CHECK_EQ(parse("[service]\nprogram = cc#x\nruntime = native\n"),
		 -EINVAL);
	CHECK(strstr(reason, "program names another runtime"));
	CHECK_EQ(parse("[service]\nruntime = native\nprogram = cc#x\n"),
		 -EINVAL);
	CHECK(strstr(reason, "runtime names another runtime"));
	CHECK_EQ(parse("[service]\nprogram = x@rejected\n"), -EINVAL);
	CHECK(strstr(reason, "was refused does not run"));
}

/* Verify that a name that no call can have is not provided by default. */
static void test_names_that_cannot_be_called(void)
{
	CHECK_EQ(parse_as("a+b", NULL, "[service]\nprogram = x\n"), 0);
	CHECK_EQ(d->provides.n, 0);
	CHECK_EQ(
		parse_as("a+b", NULL, "[service]\nprogram = x\nready = bind\n"),
		-EINVAL);
	CHECK_EQ(parse_as("ping.service", NULL, "[service]\nprogram = x\n"), 0);
	CHECK_STR(d->name, "ping");
	CHECK_STR(joined(&d->provides), "ping");
}

/* Verify that %i is the instance, wherever it may be, and cannot break out of
 * its word. */
static void test_templates(void)
{
	static const char text[] = "[service]\n"
				   "description = Worker %i (%%i)\n"
				   "program = work-%i\n"
				   "args = --name=%i 'x %i'\n"
				   "env.NAME = %i\n"
				   "secret.key = keys/%i\n"
				   "provides = worker.%i\n"
				   "[order]\n"
				   "requires = db:%i\n"
				   "[allow]\n"
				   "call = %i.**\n";

	CHECK_EQ(parse_as("worker", NULL, text), 0);
	CHECK(d->is_template && !d->instance);
	CHECK_STR(d->description, "Worker %i (%i)");
	CHECK_EQ(parse_as("worker", "blue", text), 0);
	CHECK(d->is_template);
	CHECK_STR(d->instance, "blue");
	CHECK_STR(d->description, "Worker blue (%i)");
	CHECK_STR(d->program, "work-blue");
	CHECK_STR(joined(&d->args), "--name=blue|x blue");
	CHECK_STR(joined(&d->env), "NAME=blue");
	CHECK_STR(joined(&d->secrets), "key=keys/blue");
	CHECK_STR(joined(&d->provides), "worker.blue");
	CHECK_STR(joined(&d->requires), "db:blue");
	CHECK_STR(joined(&d->call), "blue.**");
	/* An instance that fits a name of texts, but none of calls. */
	CHECK_EQ(parse_as("worker", "a+b", text), -EINVAL);
	CHECK(strstr(reason, "worker:7: provides: 'worker.%i'"));
	/* One that makes a name too long. */
	{
		char instance[NAME_MAX_BYTES + 1];

		memset(instance, 'x', sizeof(instance) - 1);
		instance[sizeof(instance) - 1] = '\0';
		CHECK_EQ(parse_as("worker", instance, text), -EINVAL);
		CHECK(strstr(reason, "at most 128 bytes"));
	}
}

/* Verify that instances may depend on each other, but not on themselves. */
static void test_instances_of_one_template(void)
{
	CHECK_EQ(parse_as("w", NULL,
			  "[service]\nprogram = x\nargs = %i\n"
			  "[order]\nafter = w:first\n"),
		 0);
	CHECK_EQ(parse_as("w", "first",
			  "[service]\nprogram = x\nargs = %i\n"
			  "[order]\nafter = w:first\n"),
		 -EINVAL);
	CHECK_EQ(parse_as("w", NULL,
			  "[service]\nprogram = x\n"
			  "[order]\nafter = w:%i\n"),
		 -EINVAL);
	CHECK_EQ(parse_as("w", NULL,
			  "[service]\nprogram = x\nargs = %i\n"
			  "[order]\nafter = w\n"),
		 -EINVAL);
}

static int has(void *user, const struct definition_need *need)
{
	(void)user;
	if (strcmp(need->name, "unknown") == 0)
		return -ENODATA;
	switch (need->dir) {
	case DIR_PROGRAMS:
		return strcmp(need->name, "hello") == 0 && need->version <= 3;
	case DIR_RUNTIMES:
		return strcmp(need->name, "cc") == 0;
	default:
		return strcmp(need->name, "db") == 0;
	}
}

/* Verify that what is named must be there, as far as anybody knows. */
static void test_references(void)
{
	static const struct definition_lookup l = { .has = has };

	lookup = &l;
	CHECK_EQ(parse("[service]\nprogram = hello@3\nruntime = cc\n"), 0);
	CHECK_EQ(parse("[service]\nprogram = unknown\nruntime = native\n"), 0);
	CHECK_EQ(parse("[service]\nprogram = hallo\n"), -EINVAL);
	CHECK_STR(reason, "greeter:2: there is no program hallo");
	CHECK_EQ(parse("[service]\nprogram = hello@4\n"), -EINVAL);
	CHECK_STR(reason, "greeter:2: there is no version 4 of hello");
	CHECK_EQ(parse_more("runtime = dd\n"), -EINVAL);
	CHECK_STR(reason, "greeter:3: there is no runtime dd");
	CHECK_EQ(parse_more("[order]\nrequires = db cache:x\n"
			    "after = whatever\n"),
		 0);
	CHECK_EQ(notes.warnings, 1);
	CHECK_STR(notes.items[0].text,
		  "requires: there is no service cache:x yet");
	/* The program of a template is not known before its instance. */
	CHECK_EQ(parse("[service]\nprogram = work-%i\n"), 0);
	CHECK_EQ(parse_as("w", "x", "[service]\nprogram = work-%i\n"), -EINVAL);
	CHECK_EQ(parse("[service]\nprogram = hallo\nargs = %i\n"), -EINVAL);
	lookup = NULL;
}

/* Verify that the same text always means the same: parsing is not confused by
 * any truncation, and takes no byte behind the end. */
static void test_truncations(void)
{
	static const char text[] =
		"[service]\nprogram = hello\nargs = 'a b' c\n"
		"env.X = 1\nschedule = daily 03:00\n"
		"[order]\nrequires = a, b\n[restart]\n"
		"limit = 5/1min\nsuccess-codes = 1 SIGHUP\n";

	for (size_t n = 0; n <= strlen(text); n++)
		CHECK(parse_sized("greeter", NULL, text, n) == 0 || reason[0]);
}

/* Verify that every odd byte in a name is refused. */
static void test_odd_bytes(void)
{
	for (int c = 1; c < 256; c++) {
		char text[64];
		bool good = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
				   "rstuvwxyz0123456789._+-#",
				   c);

		snprintf(text, sizeof(text), "[service]\nprogram = x%cy\n", c);
		/* x#y: program y under runtime x */
		CHECK_EQ(parse(text), good ? 0 : -EINVAL);
	}
}

/* Verify that the keys of the man page are the keys there are. */
static void test_the_man_page_has_every_key(void)
{
	const char *dir = getenv("THOX_SOURCE_DIR");
	const char *section, *name;
	static char page[256 << 10];
	char path[4096];
	size_t n;
	FILE *f;

	if (!dir)
		SKIP("run by make check: THOX_SOURCE_DIR says where it is");
	snprintf(path, sizeof(path), "%s/man/thox-service.5", dir);
	f = fopen(path, "r");
	CHECK(f);
	n = fread(page, 1, sizeof(page) - 1, f);
	fclose(f);
	page[n] = '\0';
	for (size_t i = 0; definition_key(i, &section, &name); i++) {
		char entry[64];
		size_t used = 0;

		used = (size_t)snprintf(entry, sizeof(entry), "\n.B ");
		for (const char *p = name; *p; p++) {
			if (*p == '-')
				entry[used++] = '\\';
			entry[used++] = *p;
		}
		entry[used] = '\0';
		/* env.NAME is set in two faces */
		if (strstr(name, ".NAME"))
			snprintf(entry, sizeof(entry), "\n.BI %.*s. NAME",
				 (int)(strlen(name) - 5), name);
		if (!strstr(page, entry))
			printf("# not there:%s\n", entry + 1);
		CHECK(strstr(page, entry));
		snprintf(entry, sizeof(entry), "\n.SS [%s]", section);
		CHECK(strstr(page, entry));
	}
}

/* Verify the policy that a machine is given. */
static void test_machine_policy(void)
{
	const struct machine_policy *p;

	CHECK_EQ(parse_more("type = oneshot\n[stop]\nnotify = no\n"), 0);
	p = &d->policy;
	CHECK(p->oneshot && !p->terminate_first);
	CHECK_EQ(p->start_timeout_ms, 0); /* a oneshot takes its time */
	CHECK_EQ(p->restart.when, RESTART_NEVER);
	CHECK_EQ(p->settle_ms, DEFINITION_SETTLE_MS);
	CHECK_EQ(parse_more("schedule = hourly\n"), 0);
	CHECK(d->policy.oneshot);
	CHECK_EQ(parse_more(""), 0);
	CHECK(!d->policy.oneshot);
}

int main(void)
{
	RUN(test_defaults);
	RUN(test_every_key);
	RUN(test_wrong_lines);
	RUN(test_all_errors_are_told);
	RUN(test_many_errors);
	RUN(test_refused_texts);
	RUN(test_long_lines);
	RUN(test_counts);
	RUN(test_indented_keys);
	RUN(test_warnings);
	RUN(test_contradictions);
	RUN(test_names_that_cannot_be_called);
	RUN(test_templates);
	RUN(test_instances_of_one_template);
	RUN(test_references);
	RUN(test_truncations);
	RUN(test_odd_bytes);
	RUN(test_the_man_page_has_every_key);
	RUN(test_machine_policy);
	definition_free(d);
	return tap_done();
}
