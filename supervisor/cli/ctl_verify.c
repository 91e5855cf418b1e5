/*
 * Step 3, in thoxctl: is it a good service definition? Asked of a file, before
 * it is copied into the store.
 *
 * The same code checks it as behind the mount; what it needs is looked up in
 * the store, and it is put in its place in the order of the services that are
 * there already.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/value.h"
#include "service/load.h"

static void store_freep(struct store **s)
{
	store_free(*s);
}

static void definition_freep(struct definition **d)
{
	definition_free(*d);
}

static void order_freep(struct order **o)
{
	order_free(*o);
}

/* --- the file ------------------------------------------------------------ */

/* One byte over the limit is enough to see that it is too large. */
static int read_file(const char *path, char *text, size_t *ret_size)
{
	_cleanup_(fd_closep) int fd = -1;
	ssize_t n;

	fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = fd_read_full(fd, text, DEFINITION_BYTES + 1);
	if (n < 0)
		return (int)n;
	*ret_size = (size_t)n;
	return 0;
}

/* What it will be called: as the file, unless that is said. */
static int take_name(const struct ctl *ctl, char ret_name[NAME_MAX_BYTES + 1])
{
	const char *path = ctl->argv[0], *name = strrchr(path, '/');
	struct service_ref ref;
	const char *rule;

	name = ctl->argc > 1 ? ctl->argv[1] : name ? name + 1 : path;
	if (ctl->argc < 2 && strcmp(path, "-") == 0)
		name = "stdin";
	if (service_ref_parse(name, &ref, &rule) == 0 && ref.instance[0])
		rule = "an instance has no definition of its own";
	if (rule) {
		say("%s: not a name: %s", name, rule);
		return CTL_USAGE;
	}
	strcpy(ret_name, ref.name);
	return CTL_OK;
}

/* --- its place in the order ---------------------------------------------- */

struct placing {
	struct store *store;
	struct order *order;
	const char *name; /* that the file will have */
};

static int add(struct placing *p, const char *name, const struct definition *d)
{
	struct order_links links = load_links(d);

	return order_set(p->order, name, &links, NULL, NULL);
}

/* Those with errors of their own are as good as absent. */
static int add_stored(void *user, const char *name)
{
	_cleanup_(definition_freep) struct definition *d = NULL;
	struct definition_notes notes;
	struct placing *p = user;

	if (strcmp(name, p->name) == 0 ||
	    load_definition(p->store, name, NULL, &d, &notes, NULL) < 0)
		return 0;
	return add(p, name, d);
}

static int add_instance(void *user, const char *name)
{
	_cleanup_(definition_freep) struct definition *d = NULL;
	struct definition_notes notes;
	struct placing *p = user;
	struct service_ref ref;

	if (service_ref_parse(name, &ref, NULL) < 0 || !ref.instance[0] ||
	    load_definition(p->store, ref.name, ref.instance, &d, &notes,
			    NULL) < 0)
		return -ENOENT;
	return add(p, name, d);
}

/* 0 also when something that it requires is not there yet: that was warned
 * of. */
static int find_cycle(struct placing *p, const struct definition *d,
		      struct order_problem *ret_problem)
{
	struct order_plan plan = { 0 };
	uint32_t node;
	int r = load_names(p->store, add_stored, p);

	if (r == 0)
		r = add(p, p->name, d);
	if (r == 0)
		r = order_find(p->order, p->name, &node);
	if (r == 0)
		r = order_plan_start(p->order, &node, 1, add_instance, p, &plan,
				     ret_problem);
	order_plan_deinit(&plan);
	return r == -ENOENT ? 0 : r;
}

static int check_order(struct store *store, const char *name,
		       const struct definition *d,
		       struct definition_notes *notes)
{
	_cleanup_(order_freep) struct order *order = NULL;
	struct placing p = { .store = store, .name = name };
	struct order_problem problem;
	int r = order_new(&order);

	p.order = order;
	if (r == 0)
		r = find_cycle(&p, d, &problem);
	if (r != -ELOOP)
		return r;
	notes->errors++;
	if (notes->n == DEFINITION_NOTES_MAX)
		notes->n--; /* the warning in the last place can wait */
	notes->items[notes->n] = (struct definition_note){ 0 };
	snprintf(notes->items[notes->n++].text, DEFINITION_NOTE_BYTES,
		 "it would wait for itself: %.160s", problem.text);
	return 0;
}

/* --- the answer ---------------------------------------------------------- */

static void print(const char *path, const struct definition_note *n)
{
	if (n->line > 0)
		printf("%s:%u: %s: %s\n", path, n->line,
		       n->warning ? "warning" : "error", n->text);
	else
		printf("%s: %s: %s\n", path, n->warning ? "warning" : "error",
		       n->text);
}

static void print_json(const char *name, const struct definition_notes *notes)
{
	json_t *o = json_object(), *list = json_array();

	for (size_t i = 0; i < notes->n; i++) {
		const struct definition_note *n = &notes->items[i];
		json_t *item = json_object();

		json_object_set_new(item, "line",
				    n->line ? json_integer(n->line)
					    : json_null());
		json_object_set_new(
			item, "kind",
			json_string(n->warning ? "warning" : "error"));
		json_object_set_new(item, "text",
				    value_string(n->text, strlen(n->text)));
		json_array_append_new(list, item);
	}
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "valid", json_boolean(notes->errors == 0));
	json_object_set_new(o, "errors",
			    json_integer((json_int_t)notes->errors));
	json_object_set_new(o, "warnings",
			    json_integer((json_int_t)notes->warnings));
	json_object_set_new(o, "notes", list);
	value_dump(o);
	json_decref(o);
}

/* A store is looked into, but not made for this. */
static int open_store(const struct ctl *ctl, struct store **ret_store)
{
	struct stat st;

	if (stat(ctl->in.store, &st) < 0)
		return CTL_OK;
	return ctl_store_open(ctl, ret_store);
}

static int verify(const struct ctl *ctl, const char *name, const char *text,
		  size_t size)
{
	_cleanup_(definition_freep) struct definition *d = NULL;
	_cleanup_(store_freep) struct store *store = NULL;
	struct definition_source source = {
		.name = name, .text = text, .size = size, .now_s = time(NULL)
	};
	struct definition_notes notes;
	struct definition_lookup lookup;
	int r = open_store(ctl, &store);

	if (r != CTL_OK)
		return r;
	lookup = load_lookup(store);
	source.lookup = store ? &lookup : NULL;
	r = definition_parse(&source, &d, &notes);
	if (r == 0 && store)
		r = check_order(store, name, d, &notes);
	if (r < 0 && r != -EINVAL)
		return ctl_fail(ctl->argv[0], r);
	if (ctl->json)
		print_json(name, &notes);
	for (size_t i = 0; !ctl->json && i < notes.n; i++)
		print(ctl->argv[0], &notes.items[i]);
	return notes.errors > 0 ? CTL_REFUSED : CTL_OK;
}

int ctl_verify(struct ctl *ctl)
{
	_cleanup_(freep) char *text = malloc(DEFINITION_BYTES + 1);
	char name[NAME_MAX_BYTES + 1];
	size_t size = 0;
	int r = take_name(ctl, name);

	if (r != CTL_OK)
		return r;
	r = text ? read_file(ctl->argv[0], text, &size) : -ENOMEM;
	if (r < 0)
		return ctl_fail(ctl->argv[0], r);
	return verify(ctl, name, text, size);
}
