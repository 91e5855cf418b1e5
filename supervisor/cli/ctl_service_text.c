/*
 * Step 3, in thoxctl: the texts of services: their definitions, and the
 * versions of their programs.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/value.h"
#include "rpc/pattern.h"
#include "rpc/wire.h"
#include "service/load.h"

static void store_freep(struct store **s)
{
	store_free(*s);
}

static void definition_freep(struct definition **d)
{
	definition_free(*d);
}

/* `worker:blue` means the definition of worker. */
static int take_name(const char *text, struct store_name *ret_name)
{
	struct service_ref ref;
	const char *rule;

	if (service_ref_parse(text, &ref, &rule) < 0) {
		say("%s: not a name of a service: %s", text, rule);
		return CTL_USAGE;
	}
	*ret_name = (struct store_name){ .dir = DIR_SERVICES,
					 .ref = { .kind = REF_LIVE },
					 .text = text };
	strcpy(ret_name->ref.name, ref.name);
	return CTL_OK;
}

static int copy(int fd)
{
	char buf[65536];
	ssize_t n;

	while ((n = fd_read_full(fd, buf, sizeof(buf))) > 0)
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return -EIO;
	return (int)n;
}

int ctl_service_cat(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	int r = ctl_store_open(ctl, &s);

	for (int i = 0; r == CTL_OK && i < ctl->argc; i++) {
		_cleanup_(fd_closep) int fd = -1;
		struct store_name name;
		struct store_entry entry;

		r = take_name(ctl->argv[i], &name);
		if (r == CTL_OK)
			r = ctl_store_read(s, &name, &entry, &fd);
		if (r == CTL_OK && copy(fd) < 0)
			r = ctl_fail(name.text, -EIO);
	}
	return r;
}

/* --- edit -----------------------------------------------------------------
 */

static const char template[] = "[service]\n"
			       "description = \n"
			       "program     = \n";

/* A copy of the definition, or a beginning of one. */
static int make_draft(struct store *s, const struct store_name *name,
		      char path[64], bool *ret_new)
{
	_cleanup_(fd_closep) int from = -1, to = -1;
	struct store_entry entry;
	char buf[65536];
	ssize_t n = 0;
	int r;

	strcpy(path, "/tmp/thox-service.XXXXXX");
	to = mkostemp(path, O_CLOEXEC);
	if (to < 0)
		return -errno;
	r = store_resolve(s, DIR_SERVICES, &name->ref, &entry, &from);
	*ret_new = r == -ENOENT;
	if (*ret_new)
		return fd_write_all(to, template, strlen(template));
	while (r == 0 && (n = fd_read_full(from, buf, sizeof(buf))) > 0)
		r = fd_write_all(to, buf, (size_t)n);
	return r < 0 ? r : (int)n;
}

/* As the shell would: $EDITOR may have arguments. */
static int run_editor(const char *path)
{
	const char *editor = getenv("VISUAL");
	char command[4096];
	int status;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if (!editor || !*editor)
		editor = "vi";
	snprintf(command, sizeof(command), "%s '%s'", editor, path);
	status = system(command);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECANCELED;
}

static bool is_same(const char *path, const struct stat *before)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_ino == before->st_ino &&
	       now.st_size == before->st_size &&
	       now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* What was refused can be mended: the text stays. */
static int publish(struct ctl *ctl, const struct store_name *name,
		   const char *path)
{
	char target[NAME_MAX_BYTES + 16];
	char *operands[] = { target, (char *)path };
	struct ctl put = *ctl;
	int r;

	snprintf(target, sizeof(target), "services/%s", name->ref.name);
	put.argc = 2;
	put.argv = operands;
	r = ctl_store_put(&put);
	if (r != CTL_OK)
		say("the text stays in %s", path);
	return r;
}

int ctl_service_edit(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	struct store_name name;
	struct stat before = { 0 };
	char path[64] = "";
	bool is_new = false;
	int r = take_name(ctl->argv[0], &name);

	if (r == CTL_OK)
		r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	r = make_draft(s, &name, path, &is_new);
	if (r == 0 && stat(path, &before) < 0)
		r = -errno;
	if (r < 0)
		return ctl_fail(path, r);
	r = run_editor(path);
	if (r < 0 || is_same(path, &before)) {
		say("%s: %s", name.text,
		    r < 0 ? "the editor failed; nothing is published"
			  : "not changed");
		(void)unlink(path);
		return r < 0 ? CTL_FAILED : CTL_OK;
	}
	store_free(steal(&s)); /* the publication opens it itself */
	r = publish(ctl, &name, path);
	if (r == CTL_OK)
		(void)unlink(path);
	return r;
}

/* --- rollback -------------------------------------------------------------
 */

int ctl_service_rollback(struct ctl *ctl)
{
	_cleanup_(definition_freep) struct definition *d = NULL;
	_cleanup_(store_freep) struct store *s = NULL;
	char program[NAME_MAX_BYTES + 16], *operand = program;
	struct definition_notes notes;
	struct service_ref ref;
	struct ctl back = *ctl;
	const char *rule;
	int r;

	if (service_ref_parse(ctl->argv[0], &ref, &rule) < 0) {
		say("%s: not a name of a service: %s", ctl->argv[0], rule);
		return CTL_USAGE;
	}
	r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	r = load_definition(s, ref.name, ref.instance[0] ? ref.instance : NULL,
			    &d, &notes, NULL);
	if (r == -ENOENT)
		say("%s: no such service", ctl->argv[0]);
	else if (r == -EINVAL)
		say("%s: its definition has errors; see 'thoxctl verify'",
		    ctl->argv[0]);
	if (r < 0)
		return r == -ENOENT ? CTL_NO_SUCH : CTL_FAILED;
	if (d->program_version) {
		say("%s: its definition wants version %llu of %s", ctl->argv[0],
		    (unsigned long long)d->program_version, d->program);
		return CTL_FAILED;
	}
	snprintf(program, sizeof(program), "programs/%s", d->program);
	store_free(steal(&s));
	back.argc = 1;
	back.argv = &operand;
	return ctl_store_rollback(&back);
}

/* --- who-can --------------------------------------------------------------
 */

struct asking {
	struct store *store;
	const char *name; /* of a call */
	json_t *rows;
};

static bool admits(const struct names *patterns, const char *name,
		   const char **ret_rule)
{
	bool yes = false;

	for (uint32_t i = 0; i < patterns->n; i++) {
		const char *p = patterns->items[i];
		bool denies = p[0] == '!';

		if (!pattern_match(p + denies, strlen(p + denies), name,
				   strlen(name)))
			continue;
		if (denies)
			return false;
		yes = true;
		*ret_rule = p;
	}
	return yes;
}

static int on_service(void *user, const char *name)
{
	_cleanup_(definition_freep) struct definition *d = NULL;
	struct definition_notes notes;
	struct asking *a = user;
	const char *rule = "";
	json_t *row;

	if (load_definition(a->store, name, NULL, &d, &notes, NULL) < 0 ||
	    !admits(&d->call, a->name, &rule))
		return 0;
	row = json_object();
	json_object_set_new(row, "service", json_string(name));
	json_object_set_new(row, "rule", json_string(rule));
	json_array_append_new(a->rows, row);
	return 0;
}

int ctl_who_can(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	struct asking a = { .name = ctl->argv[0] };
	json_t *row;
	size_t i;
	int r;

	if (!wire_check_name(a.name, strlen(a.name))) {
		say("%s: not a name that can be called", a.name);
		return CTL_USAGE;
	}
	r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	a.store = s;
	a.rows = json_array();
	r = load_names(s, on_service, &a);
	if (r == 0 && ctl->json)
		value_dump(a.rows);
	json_array_foreach(a.rows, i, row)
	{
		if (r < 0 || ctl->json)
			break;
		printf("%s\tcall = %s\n",
		       json_string_value(json_object_get(row, "service")),
		       json_string_value(json_object_get(row, "rule")));
	}
	json_decref(a.rows);
	return r < 0 ? ctl_fail(ctl->in.store, r) : CTL_OK;
}
