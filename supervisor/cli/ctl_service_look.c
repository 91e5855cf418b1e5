/*
 * Step 3, in thoxctl: what services are like.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/ctl_logs.h"
#include "cli/ctl_service.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"
#include "service/definition.h"

#define CRASH_LINES 20
#define LOG_LINES   10

/* --- list -----------------------------------------------------------------
 */

static void add_human(json_t *row)
{
	bool on = json_is_true(json_object_get(row, "enabled"));
	const char *state = ctl_service_text(row, "state");
	json_int_t wanted =
		json_integer_value(json_object_get(row, "instances_wanted"));
	char text[64];

	if (json_is_true(json_object_get(row, "template")))
		snprintf(text, sizeof(text), "template");
	else if (wanted > 1)
		snprintf(text, sizeof(text), "%s %lld/%lld", state,
			 (long long)json_integer_value(
				 json_object_get(row, "instances_running")),
			 (long long)wanted);
	else
		snprintf(text, sizeof(text), "%s", state);
	json_object_set_new(row, "state_text", json_string(text));
	json_object_set_new(row, "on", json_string(on ? "enabled" : ""));
	if (json_integer_value(json_object_get(row, "pid")) == 0)
		json_object_set_new(row, "pid", json_null());
	if (json_integer_value(json_object_get(row, "restarts")) == 0)
		json_object_set_new(row, "restarts", json_null());
	if (json_integer_value(json_object_get(row, "next_ms")) == 0)
		json_object_set_new(row, "next_ms", json_null());
}

int ctl_service_list(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "SERVICE", "name", false, true },
		{ "STATE", "state_text", false, false },
		{ "SINCE", "since_ms", true, false },
		{ "PID", "pid", true, false },
		{ "RESTARTS", "restarts", true, false },
		{ "BOOT", "on", false, false },
		{ "NEXT", "next_ms", false, false },
		{ "PROGRAM", "program", false, true },
		{ "DESCRIPTION", "description", false, true },
		{ NULL, NULL, false, false },
	};
	json_t *rows, *row;
	size_t i;
	int r = ctl_service_ask(ctl, "service.list", &rows);

	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		value_dump(rows);
	} else {
		json_array_foreach(rows, i, row) add_human(row);
		table_print(columns, rows);
	}
	json_decref(rows);
	return CTL_OK;
}

/* --- status ---------------------------------------------------------------
 */

static const char *colour_of(const json_t *row)
{
	if (ctl_service_is(row, "failed"))
		return table_colour(COLOUR_RED);
	if (ctl_service_is(row, "back-off") || ctl_service_is(row, "starting"))
		return table_colour(COLOUR_YELLOW);
	return table_colour(COLOUR_BOLD);
}

static void put(const char *label, const char *value)
{
	if (*value)
		printf("%12s: %s\n", label, value);
}

static void put_value(const char *label, const json_t *row, const char *key)
{
	char text[VALUE_TEXT_BYTES];

	value_text(key, json_object_get(row, key), text);
	put(label, text);
}

static void put_list(const char *label, const json_t *list)
{
	char text[VALUE_TEXT_BYTES] = "";
	size_t i, used = 0;
	json_t *item;

	json_array_foreach((json_t *)list, i, item)
	{
		const char *name = json_string_value(item);
		size_t n = name ? strlen(name) : 0;

		if (used + n + 2 >= sizeof(text))
			break;
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s%s", i ? " " : "",
					 name ? name : "");
	}
	put(label, text);
}

static void put_end(const json_t *end)
{
	char text[VALUE_TEXT_BYTES + 64], ago[VALUE_TEXT_BYTES];
	const char *detail = ctl_service_text(end, "detail");
	const json_t *signal = json_object_get(end, "signal");

	if (!json_is_object(end))
		return;
	value_text("ended_ms", json_object_get(end, "ended_ms"), ago);
	if (*detail)
		snprintf(text, sizeof(text), "%.400s, %.60s ago", detail, ago);
	else
		snprintf(
			text, sizeof(text), "%s %lld, %.60s ago",
			signal ? "signal" : "exit code",
			(long long)json_integer_value(
				signal ? signal : json_object_get(end, "code")),
			ago);
	put("last end", text);
}

static void put_process(const json_t *in)
{
	char text[128];
	json_int_t pid = json_integer_value(json_object_get(in, "pid"));
	json_int_t other = json_integer_value(json_object_get(in, "other_pid"));

	if (pid == 0)
		return;
	if (other > 0)
		snprintf(text, sizeof(text), "%lld (version %lld), and %lld",
			 (long long)pid,
			 (long long)json_integer_value(
				 json_object_get(in, "version")),
			 (long long)other);
	else
		snprintf(text, sizeof(text), "%lld (version %lld)",
			 (long long)pid,
			 (long long)json_integer_value(
				 json_object_get(in, "version")));
	put("process", text);
}

/* What the kernel enforces on it, with what it uses of that. */
static void put_limits(const json_t *in)
{
	const json_t *process = json_object_get(in, "process");
	const json_t *limits = json_object_get(process, "limits");
	char used[VALUE_TEXT_BYTES], most[VALUE_TEXT_BYTES];
	char text[VALUE_TEXT_BYTES * 2 + 64];

	if (!json_is_object(process))
		return;
	value_text("memory_bytes", json_object_get(process, "memory_bytes"),
		   used);
	value_text("memory_bytes", json_object_get(limits, "memory_bytes"),
		   most);
	snprintf(text, sizeof(text), "%s (limit %s)", used, most);
	put("memory", text);
	value_text("cpu_us", json_object_get(process, "cpu_us"), used);
	value_text("cpu_ms", json_object_get(limits, "cpu_ms"), most);
	if (json_integer_value(json_object_get(limits, "cpu_ms")) == 0)
		strcpy(most, "none");
	snprintf(text, sizeof(text), "%s (limit %s)", used, most);
	put("CPU", text);
	snprintf(text, sizeof(text),
		 "files %.40s, processes %.40s, address space %.40s",
		 ctl_service_text(limits, "kernel_open_files"),
		 ctl_service_text(limits, "kernel_processes"),
		 ctl_service_text(limits, "kernel_address_space_bytes"));
	put("kernel", text);
	snprintf(text, sizeof(text),
		 "seccomp %.20s, no_new_privs %.20s, network %.40s",
		 ctl_service_text(json_object_get(process, "sandbox"),
				  "seccomp"),
		 ctl_service_text(json_object_get(process, "sandbox"),
				  "no_new_privs"),
		 ctl_service_text(json_object_get(process, "sandbox"),
				  "namespace_net"));
	put("sandbox", text);
}

static void put_use(const json_t *in)
{
	json_int_t calls = json_integer_value(json_object_get(in, "calls"));
	json_int_t held = json_integer_value(json_object_get(in, "contexts"));
	char text[128];

	if (calls > 0) {
		snprintf(text, sizeof(text), "%lld, of which %lld wait",
			 (long long)calls,
			 (long long)json_integer_value(
				 json_object_get(in, "waiting")));
		put("calls", text);
	}
	if (held > 0) {
		snprintf(text, sizeof(text), "%lld held", (long long)held);
		put("contexts", text);
	}
}

static void print_instance(const json_t *in, bool several)
{
	char text[VALUE_TEXT_BYTES + 64], since[VALUE_TEXT_BYTES];
	const char *why = ctl_service_text(in, "why");

	value_text("since_ms", json_object_get(in, "since_ms"), since);
	snprintf(text, sizeof(text), "%s%s%s for %.60s%s%.400s%s",
		 colour_of(in), ctl_service_text(in, "state"),
		 table_colour(COLOUR_NONE), since, *why ? " (" : "", why,
		 *why ? ")" : "");
	put(several ? ctl_service_text(in, "name") : "state", text);
	put_process(in);
	if (json_integer_value(json_object_get(in, "restarts")) > 0)
		put_value("restarts", in, "restarts");
	put_list("names", json_object_get(in, "names"));
	put_use(in);
	put_limits(in);
	put_end(json_object_get(in, "last_end"));
}

static void print_enabled(const json_t *row)
{
	bool on = json_is_true(json_object_get(row, "enabled"));
	bool by_default = json_is_true(json_object_get(row, "autostart"));
	char text[128];

	if (json_is_true(json_object_get(row, "transient")))
		return;
	snprintf(text, sizeof(text), "%s (by its definition: %s)",
		 on ? "enabled" : "disabled",
		 by_default ? "enabled" : "disabled");
	put("boot", text);
}

/* It is followed while the service is enabled. */
static void print_schedule(const json_t *row)
{
	const json_t *next = json_object_get(row, "next_ms");
	const char *schedule = ctl_service_text(row, "schedule");
	char when[VALUE_TEXT_BYTES], text[VALUE_TEXT_BYTES + 64];

	if (!*schedule)
		return;
	value_text("next_ms", next, when);
	snprintf(text, sizeof(text), "%.200s (%s%.100s)", schedule,
		 json_integer_value(next) > 0 ? "next " : "",
		 json_integer_value(next) > 0 ? when : "not followed");
	put("schedule", text);
}

/* The instance of `many:1` or `worker:blue`: what stands behind the colon. */
static void print_crash(const struct ctl *ctl, const char *base,
			const json_t *in)
{
	const json_t *end = json_object_get(in, "last_end");
	const char *colon = strchr(ctl_service_text(in, "name"), ':');
	struct logs_tail tail = {
		.state_dir = ctl->in.state,
		.service = base,
		.instance = colon ? colon + 1 : "",
		.pid = (pid_t)json_integer_value(json_object_get(end, "pid")),
		.head = "last crash",
		.lines = CRASH_LINES,
	};

	if (tail.pid > 0 &&
	    json_is_true(json_object_get(in, "last_end_failed")))
		(void)logs_tail(&tail);
}

static void print_logs(const struct ctl *ctl, const json_t *row)
{
	const char *name = ctl_service_text(row, "name");
	const char *colon = strchr(name, ':');
	char base[SERVICE_NAME_BYTES];
	struct logs_tail tail = {
		.state_dir = ctl->in.state,
		.service = base,
		.instance = colon ? colon + 1 : "",
		.head = "log",
		.lines = LOG_LINES,
	};
	json_t *in;
	size_t i;

	logs_settle(&ctl->in);
	snprintf(base, sizeof(base), "%.*s", (int)strcspn(name, ":"), name);
	json_array_foreach(json_object_get(row, "instances"), i, in)
		print_crash(ctl, base, in);
	(void)logs_tail(&tail);
}

static void print_service(const json_t *row)
{
	const json_t *instances = json_object_get(row, "instances");
	const char *description = ctl_service_text(row, "description");
	json_t *in;
	size_t i;

	printf("%s%s%s%s%s\n", table_colour(COLOUR_BOLD),
	       ctl_service_text(row, "name"), table_colour(COLOUR_NONE),
	       *description ? " - " : "", description);
	if (json_is_true(json_object_get(row, "removed")))
		put("definition", "removed; what runs goes on until its stop");
	else if (json_is_true(json_object_get(row, "changed")))
		put("definition", "changed since its start: the new one holds "
				  "from the next start on");
	put("problem", ctl_service_text(row, "problem"));
	print_enabled(row);
	print_schedule(row);
	put("program", ctl_service_text(row, "program"));
	put_list("provides", json_object_get(row, "provides"));
	put_list("requires", json_object_get(row, "requires"));
	put_list("wants", json_object_get(row, "wants"));
	put_list("part of", json_object_get(row, "part_of"));
	json_array_foreach((json_t *)instances, i, in)
		print_instance(in, json_array_size(instances) > 1);
}

/* As systemctl: 0 when all are active, else 3. */
static int code_of(const json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(
		(json_t *)rows, i,
		row) if (!ctl_service_active(row)) return CTL_NOT_RUNNING;
	return CTL_OK;
}

int ctl_service_status(struct ctl *ctl)
{
	json_t *rows, *row;
	size_t i;
	int r = ctl_service_ask(ctl, "service.status", &rows);

	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(rows);
	json_array_foreach(rows, i, row)
	{
		if (ctl->json)
			break;
		if (i > 0)
			putchar('\n');
		print_service(row);
		print_logs(ctl, row);
	}
	r = code_of(rows);
	json_decref(rows);
	return r;
}

int ctl_service_show(struct ctl *ctl)
{
	json_t *rows, *row;
	size_t i;
	int r = ctl_service_ask(ctl, "service.status", &rows);

	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(rows);
	json_array_foreach(rows, i, row)
	{
		if (!ctl->json)
			table_print_object(row);
	}
	json_decref(rows);
	return CTL_OK;
}

/* --- questions ------------------------------------------------------------
 */

/* A word for each, and the exit code for a script. */
int ctl_service_question(struct ctl *ctl)
{
	const char *question = ctl->command->name;
	json_t *rows, *row;
	bool yes = false;
	size_t i;
	int r = ctl_service_ask(ctl, "service.list", &rows);

	if (r != CTL_OK)
		return r;
	json_array_foreach(rows, i, row)
	{
		bool on = json_is_true(json_object_get(row, "enabled"));

		if (strcmp(question, "is-enabled") == 0) {
			if (!ctl->json)
				puts(on ? "enabled" : "disabled");
			yes = yes || on;
			continue;
		}
		if (!ctl->json)
			puts(ctl_service_text(row, "state"));
		yes = yes || (strcmp(question, "is-failed") == 0
				      ? ctl_service_is(row, "failed")
				      : ctl_service_active(row));
	}
	if (ctl->json)
		value_dump(rows);
	json_decref(rows);
	if (yes)
		return CTL_OK;
	return strcmp(question, "is-active") == 0 ? CTL_NOT_RUNNING
						  : CTL_FAILED;
}

/* --- tree -----------------------------------------------------------------
 */

#define DEPTH_MAX 64

struct tree {
	const json_t *rows;
	bool more[DEPTH_MAX]; /* at each depth: others follow */
	const char *path[DEPTH_MAX];
};

static const json_t *find(const json_t *rows, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i,
			   row) if (strcmp(ctl_service_text(row, "name"),
					   name) == 0) return row;
	return NULL;
}

static void print_line(const struct tree *t, int depth, const char *name,
		       const json_t *row)
{
	for (int i = 1; i < depth; i++)
		printf("%s", t->more[i] ? "│  " : "   ");
	if (depth > 0)
		printf("%s", t->more[depth] ? "├─ " : "└─ ");
	if (!row) {
		printf("%s (not there)\n", name);
		return;
	}
	printf("%s %s%s%s\n", name, colour_of(row),
	       ctl_service_text(row, "state"), table_colour(COLOUR_NONE));
}

static void print_tree(struct tree *t, const char *name, int depth)
{
	static const char *const keys[] = { "requires", "wants" };
	const json_t *row = find(t->rows, name);
	size_t left = 0, i;
	json_t *item;

	print_line(t, depth, name, row);
	if (!row || depth + 1 >= DEPTH_MAX)
		return;
	for (int d = 0; d < depth; d++)
		if (strcmp(t->path[d], name) == 0)
			return; /* a cycle */
	t->path[depth] = name;
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		left += json_array_size(json_object_get(row, keys[k]));
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_array_foreach(json_object_get(row, keys[k]), i, item)
		{
			t->more[depth + 1] = --left > 0;
			print_tree(t, json_string_value(item), depth + 1);
		}
}

static bool is_wanted_by(const json_t *rows, const char *name)
{
	static const char *const keys[] = { "requires", "wants" };
	json_t *row, *item;
	size_t i, k;

	json_array_foreach((json_t *)rows, i, row)
	{
		for (size_t key = 0; key < ARRAY_SIZE(keys); key++)
			json_array_foreach(json_object_get(row, keys[key]), k,
					   item)
			{
				const char *text = json_string_value(item);

				if (text && strcmp(text, name) == 0)
					return true;
			}
	}
	return false;
}

/* The trees of the services that are named. */
static int print_named(struct tree *t, const struct ctl *ctl)
{
	int status = CTL_OK;

	for (int i = 0; i < ctl->argc; i++) {
		if (find(t->rows, ctl->argv[i])) {
			print_tree(t, ctl->argv[i], 0);
			continue;
		}
		say("no such service: %s", ctl->argv[i]);
		status = CTL_NO_SUCH;
	}
	return status;
}

/* Without names: those that nobody requires or wants are the roots. */
int ctl_service_tree(struct ctl *ctl)
{
	struct ctl all = *ctl;
	struct tree t = { 0 };
	json_t *rows, *row;
	size_t i;
	int r;

	all.argc = 0;
	r = ctl_service_ask(&all, "service.list", &rows);
	if (r != CTL_OK)
		return r;
	t.rows = rows;
	if (ctl->json) {
		value_dump(rows);
	} else if (ctl->argc > 0) {
		r = print_named(&t, ctl);
	} else {
		json_array_foreach(rows, i, row)
		{
			const char *name = ctl_service_text(row, "name");

			if (!is_wanted_by(rows, name))
				print_tree(&t, name, 0);
		}
	}
	json_decref(rows);
	return r;
}
