/*
 * Step 2, in thoxctl: who has started whom, and what they have of each other.
 *
 * What thoxd tells is a list of processes with their parents; a process whose
 * parent has ended, or is none of thox's, stands at the left.
 */

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/ctl.h"
#include "cli/table.h"
#include "cli/value.h"

#define DEPTH_MAX    64 /* deeper than thoxd lets them be */
#define INDENT_BYTES (DEPTH_MAX * 8)

/* What stands before a line, for those who have these characters or not. */
struct strokes {
	const char *branch;
	const char *last;
	const char *through;
	const char *nothing;
};

static const struct strokes drawn = { "├─ ", "└─ ", "│  ", "   " };
static const struct strokes typed = { "|- ", "`- ", "|  ", "   " };

struct tree {
	const json_t *processes;
	const struct strokes *strokes;
	char indent[INDENT_BYTES];
};

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_text(const json_t *o, const char *key, const char *before,
		       const char *after)
{
	const json_t *value = json_object_get(o, key);
	char text[VALUE_TEXT_BYTES];

	if (!value)
		return;
	value_text(key, value, text);
	printf("%s%s%s", before, text, after);
}

static void print_process(const json_t *process)
{
	printf("%s%lld%s", table_colour(COLOUR_BOLD),
	       (long long)number(process, "pid"), table_colour(COLOUR_NONE));
	print_text(process, "name", " ", "");
	print_text(process, "runtime", " under ", "");
	print_text(process, "service", " (service ", ")");
	putchar('\n');
}

/* `binds a, b`, or `context 1 of 4711, 4712` */
static void print_names(const json_t *names)
{
	char text[VALUE_TEXT_BYTES];
	const json_t *name;
	size_t i;

	json_array_foreach((json_t *)names, i, name)
	{
		value_text("", name, text);
		printf("%s%s", i > 0 ? ", " : "", text);
	}
	putchar('\n');
}

/* --- what hangs below a process -------------------------------------------
 */

static size_t count_children(const struct tree *t, json_int_t pid)
{
	const json_t *process;
	size_t i, n = 0;

	json_array_foreach((json_t *)t->processes, i, process) n +=
		number(process, "parent") == pid;
	return n;
}

/* A line's beginning; @left more come behind it. */
static void branch(const struct tree *t, size_t left)
{
	printf("%s%s", t->indent,
	       left > 0 ? t->strokes->branch : t->strokes->last);
}

static void print_node(struct tree *t, const json_t *process, int depth);

static void print_children(struct tree *t, json_int_t pid, size_t left,
			   int depth)
{
	size_t before = strlen(t->indent), i;
	const json_t *process;

	json_array_foreach((json_t *)t->processes, i, process)
	{
		if (number(process, "parent") != pid)
			continue;
		branch(t, --left);
		snprintf(t->indent + before, sizeof(t->indent) - before, "%s",
			 left > 0 ? t->strokes->through : t->strokes->nothing);
		print_node(t, process, depth + 1);
		t->indent[before] = '\0';
	}
}

static void print_node(struct tree *t, const json_t *process, int depth)
{
	const json_t *binds = json_object_get(process, "binds");
	const json_t *contexts = json_object_get(process, "contexts");
	json_int_t pid = number(process, "pid");
	size_t left = count_children(t, pid) + json_array_size(contexts) +
		      (json_array_size(binds) > 0);
	const json_t *context;
	size_t i;

	print_process(process);
	if (depth >= DEPTH_MAX)
		return;
	if (json_array_size(binds) > 0) {
		branch(t, --left);
		printf("binds ");
		print_names(binds);
	}
	json_array_foreach((json_t *)contexts, i, context)
	{
		branch(t, --left);
		printf("context %lld, held by ",
		       (long long)number(context, "context"));
		print_names(json_object_get(context, "holders"));
	}
	print_children(t, pid, left, depth);
}

/* Nobody's child, or that of somebody who is not told of. */
static bool is_root(const struct tree *t, const json_t *process)
{
	json_int_t parent = number(process, "parent");
	const json_t *other;
	size_t i;

	if (parent == 0)
		return true;
	json_array_foreach((json_t *)t->processes, i,
			   other) if (number(other, "pid") ==
				      parent) return false;
	return true;
}

static void print_tree(const json_t *processes)
{
	struct tree t = { .processes = processes };
	const json_t *process;
	size_t i;

	setlocale(LC_CTYPE, "");
	t.strokes =
		strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? &drawn : &typed;
	json_array_foreach((json_t *)processes, i,
			   process) if (is_root(&t, process))
		print_node(&t, process, 0);
}

int ctl_tree(struct ctl *ctl)
{
	json_t *value;
	int r;

	if (ctl->argc > 0 || ctl_option(ctl, "services"))
		return ctl_service_tree(ctl);
	r = ctl_request(ctl, "tree", json_object(), &value);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(value);
	else
		print_tree(value);
	json_decref(value);
	return CTL_OK;
}
