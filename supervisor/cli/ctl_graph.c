/*
 * Steps 2 and 3, in thoxctl: who may call whom, and who does, as DOT.
 *
 * Who may is read from the definitions: a pattern of [allow] that reaches a
 * name that another service provides. Who does is what thoxd knows: it has
 * sent them to each other.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_service.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/value.h"
#include "fs/store.h"
#include "rpc/pattern.h"
#include "service/definition.h"
#include "service/load.h"

struct graph {
	struct store *store;
	json_t *may;	  /* {from, to, name, rule} */
	json_t *does;	  /* {from, to, name} */
	json_t *provided; /* {service, name} */
};

static void store_freep(struct store **s)
{
	store_free(*s);
}

static struct definition *load(const struct graph *g, const char *name)
{
	struct definition_notes notes;
	struct definition *d = NULL;

	return load_definition(g->store, name, NULL, &d, &notes, NULL) == 0
		       ? d
		       : NULL;
}

static void add_edge(json_t *edges, const char *from, const char *to,
		     const char *name, const char *rule)
{
	json_t *edge = json_object();

	json_object_set_new(edge, "from", json_string(from));
	json_object_set_new(edge, "to", json_string(to));
	json_object_set_new(edge, "name", json_string(name));
	if (rule)
		json_object_set_new(edge, "rule", json_string(rule));
	json_array_append_new(edges, edge);
}

/* --- who may -------------------------------------------------------------- */

static int on_provider(void *user, const char *name)
{
	struct graph *g = user;
	struct definition *d = load(g, name);

	for (uint32_t i = 0; d && i < d->provides.n; i++) {
		json_t *row = json_object();

		json_object_set_new(row, "service", json_string(name));
		json_object_set_new(row, "name",
				    json_string(d->provides.items[i]));
		json_array_append_new(g->provided, row);
	}
	definition_free(d);
	return 0;
}

/* The pattern that reaches @name or something below it; NULL: none does, or
 * all of it is denied. */
static const char *rule_for(const struct names *patterns, const char *name)
{
	const char *rule = NULL;

	for (uint32_t i = 0; i < patterns->n; i++) {
		const char *p = patterns->items[i];

		if (p[0] == '!' &&
		    pattern_covers(p + 1, strlen(p + 1), name, strlen(name)))
			return NULL;
		if (p[0] != '!' && !rule &&
		    pattern_reaches(p, strlen(p), name, strlen(name)))
			rule = p;
	}
	return rule;
}

static int on_caller(void *user, const char *name)
{
	struct graph *g = user;
	struct definition *d = load(g, name);
	json_t *row;
	size_t i;

	json_array_foreach(g->provided, i, row)
	{
		const char *provided = ctl_service_text(row, "name");
		const char *to = ctl_service_text(row, "service");
		const char *rule = d ? rule_for(&d->call, provided) : NULL;

		if (rule && strcmp(to, name) != 0)
			add_edge(g->may, name, to, provided, rule);
	}
	definition_free(d);
	return 0;
}

/* --- who does ------------------------------------------------------------- */

/* A service, whatever its instance, or a process by itself. */
static void node_of(const json_t *row, char ret[VALUE_TEXT_BYTES])
{
	const char *service = ctl_service_text(row, "service");
	char text[VALUE_TEXT_BYTES];

	if (*service) {
		snprintf(ret, VALUE_TEXT_BYTES, "%.*s",
			 (int)strcspn(service, ":"), service);
		return;
	}
	value_text("name", json_object_get(row, "name"), text);
	snprintf(ret, VALUE_TEXT_BYTES, "%.200s (%lld)", text,
		 (long long)json_integer_value(json_object_get(row, "pid")));
}

static const json_t *find_pid(const json_t *rows, json_int_t pid)
{
	json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i, row)
	{
		if (json_integer_value(json_object_get(row, "pid")) == pid)
			return row;
	}
	return NULL;
}

static bool is_known(const json_t *edges, const char *from, const char *to,
		     const char *name)
{
	json_t *edge;
	size_t i;

	json_array_foreach((json_t *)edges, i, edge)
	{
		if (strcmp(ctl_service_text(edge, "from"), from) == 0 &&
		    strcmp(ctl_service_text(edge, "to"), to) == 0 &&
		    strcmp(ctl_service_text(edge, "name"), name) == 0)
			return true;
	}
	return false;
}

static void add_callers(struct graph *g, const json_t *rows,
			const json_t *owner, const json_t *called)
{
	const char *name = ctl_service_text(called, "name");
	char from[VALUE_TEXT_BYTES], to[VALUE_TEXT_BYTES];
	json_t *pid;
	size_t i;

	node_of(owner, to);
	json_array_foreach(json_object_get(called, "holders"), i, pid)
	{
		const json_t *caller = find_pid(rows, json_integer_value(pid));

		if (!caller)
			continue;
		node_of(caller, from);
		if (!is_known(g->does, from, to, name))
			add_edge(g->does, from, to, name, NULL);
	}
}

static void add_doings(struct graph *g, const json_t *rows)
{
	json_t *owner, *called;
	size_t i, k;

	json_array_foreach((json_t *)rows, i, owner)
		json_array_foreach(json_object_get(owner, "callers"), k, called)
			add_callers(g, rows, owner, called);
}

/* --- printing ------------------------------------------------------------- */

/* In quotes: names have no others in them, texts of programs may. */
static void print_quoted(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('"');
}

static void print_edge(const json_t *edge, bool dashed)
{
	putchar('\t');
	print_quoted(ctl_service_text(edge, "from"));
	printf(" -> ");
	print_quoted(ctl_service_text(edge, "to"));
	printf(" [label=");
	print_quoted(ctl_service_text(edge, "name"));
	puts(dashed ? ", style=dashed];" : "];");
}

static void print_dot(const struct graph *g)
{
	json_t *row;
	size_t i;

	puts("digraph thox {");
	json_array_foreach(g->provided, i, row)
	{
		putchar('\t');
		print_quoted(ctl_service_text(row, "service"));
		puts(";");
	}
	json_array_foreach(g->does, i, row) print_edge(row, false);
	json_array_foreach(g->may, i, row)
	{
		if (!is_known(g->does, ctl_service_text(row, "from"),
			      ctl_service_text(row, "to"),
			      ctl_service_text(row, "name")))
			print_edge(row, true);
	}
	puts("}");
}

static void print(const struct ctl *ctl, const struct graph *g)
{
	json_t *all;

	if (!ctl->json) {
		print_dot(g);
		return;
	}
	all = json_object();
	json_object_set(all, "may", g->may);
	json_object_set(all, "does", g->does);
	value_dump(all);
	json_decref(all);
}

int ctl_graph(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	json_t *rows = NULL;
	struct graph g;
	int r = ctl_request(ctl, "tree", json_object(), &rows);

	if (r != CTL_OK)
		return r;
	r = ctl_store_open(ctl, &s);
	if (r != CTL_OK) {
		json_decref(rows);
		return r;
	}
	g = (struct graph){ .store = s,
			    .may = json_array(),
			    .does = json_array(),
			    .provided = json_array() };
	r = load_names(s, on_provider, &g);
	r = r < 0 ? r : load_names(s, on_caller, &g);
	add_doings(&g, rows);
	if (r == 0)
		print(ctl, &g);
	json_decref(g.may);
	json_decref(g.does);
	json_decref(g.provided);
	json_decref(rows);
	return r < 0 ? ctl_fail(ctl->in.store, r) : CTL_OK;
}
