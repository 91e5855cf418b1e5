/*
 * Step 3, in thoxctl: commands that read the store.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"

#define SHORT_HASH 12

static void store_freep(struct store **s)
{
	store_free(*s);
}

/* --- ls --------------------------------------------------------------------
 */

/* For the table: local time, and one word of what is special. */
static void add_human(json_t *row, const struct store_entry *e)
{
	char time[STORE_TIME_BYTES], note[NAME_MAX_BYTES + 16] = "";

	ctl_store_time(&e->time, time);
	json_object_set_new(row, "when", json_string(time));
	if (e->target[0])
		snprintf(note, sizeof(note), "-> %s", e->target);
	else if (e->rejected_id)
		snprintf(note, sizeof(note), "newer text refused");
	else if (e->builtin)
		snprintf(note, sizeof(note), "built in");
	json_object_set_new(row, "note", json_string(note));
}

struct listing {
	json_t *rows;
	bool human;
};

static int on_entry(const char *name, const struct store_entry *e, void *user)
{
	struct listing *l = user;
	json_t *row = ctl_store_json(e);

	json_object_set_new(row, "name", json_string(name));
	if (l->human)
		add_human(row, e);
	json_array_append_new(l->rows, row);
	return 0;
}

static int on_stream(const char *name, const struct stat *st, void *user)
{
	struct store_entry e = {
		.size_bytes = (uint64_t)st->st_size,
		.time = st->st_mtim,
		.live = true,
		.writer.uid = st->st_uid,
	};

	return on_entry(name, &e, user);
}

static int list(struct store *s, const char *what, struct listing *l)
{
	enum store_dir dir = DIR_PROGRAMS;
	struct store_name name;
	struct store_entry entry;
	char word[NAME_MAX_BYTES + 16];
	size_t n;
	int r;

	snprintf(word, sizeof(word), "%s", what ? what : "programs");
	n = strlen(word);
	if (n > 1 && word[n - 1] == '/')
		word[n - 1] = '\0';
	if (store_dir_parse(word, &dir) == 0) {
		r = dir == DIR_DATA
			    ? store_file_list(s, dir, false, on_stream, l)
			    : store_list(s, dir, on_entry, l);
		return r < 0 ? ctl_fail(word, r) : CTL_OK;
	}
	r = ctl_store_name(what, true, &name);
	if (r == CTL_OK)
		r = ctl_store_read(s, &name, &entry, NULL);
	if (r == CTL_OK)
		on_entry(entry.name, &entry, l);
	return r;
}

int ctl_store_ls(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "NAME", "name", false, true },
		{ "VERSION", "version", true, false },
		{ "SIZE", "size_bytes", true, false },
		{ "TIME", "when", false, false },
		{ "RUNTIME", "runtime", false, true },
		{ "NOTE", "note", false, true },
		{ NULL, NULL, false, false },
	};
	_cleanup_(store_freep) struct store *s = NULL;
	struct listing l = { .human = !ctl->json };
	int r = ctl_store_open(ctl, &s);

	if (r != CTL_OK)
		return r;
	l.rows = json_array();
	r = list(s, ctl->argc > 0 ? ctl->argv[0] : NULL, &l);
	if (r == CTL_OK && ctl->json)
		value_dump(l.rows);
	else if (r == CTL_OK)
		table_print(columns, l.rows);
	json_decref(l.rows);
	return r;
}

/* --- cat -------------------------------------------------------------------
 */

static int copy_out(int fd)
{
	char buf[65536];
	ssize_t n;

	while ((n = fd_read_full(fd, buf, sizeof(buf))) > 0)
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return -errno;
	return (int)n;
}

static int cat_json(const struct store_entry *e, int fd)
{
	char *text = malloc(e->size_bytes + 1);
	json_t *o = ctl_store_json(e);
	ssize_t n;

	if (!text) {
		json_decref(o);
		return -ENOMEM;
	}
	n = fd_read_full(fd, text, e->size_bytes);
	if (n >= 0) {
		json_object_set_new(o, "text", value_string(text, (size_t)n));
		value_dump(o);
	}
	json_decref(o);
	free(text);
	return n < 0 ? (int)n : 0;
}

int ctl_store_cat(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	_cleanup_(fd_closep) int fd = -1;
	struct store_entry entry;
	struct store_name name;
	int r = ctl_store_name(ctl->argv[0], true, &name);

	if (r == CTL_OK)
		r = ctl_store_open(ctl, &s);
	if (r == CTL_OK)
		r = ctl_store_read(s, &name, &entry, &fd);
	if (r != CTL_OK)
		return r;
	r = ctl->json ? cat_json(&entry, fd) : copy_out(fd);
	return r < 0 ? ctl_fail(name.text, r) : CTL_OK;
}

/* --- log -------------------------------------------------------------------
 */

static int on_log(const struct store_entry *e, void *user)
{
	struct listing *l = user;
	json_t *row = ctl_store_json(e);
	char text[STORE_REASON_BYTES + 16];

	if (l->human) {
		add_human(row, e);
		snprintf(text, sizeof(text), "%.*s",
			 e->event == STORE_REMOVED ? 0 : SHORT_HASH, e->sha256);
		json_object_set_new(row, "hash", json_string(text));
		if (e->event == STORE_REJECTED)
			snprintf(text, sizeof(text), "rejected: %s", e->reason);
		else if (e->event == STORE_REMOVED)
			snprintf(text, sizeof(text), "removed");
		else if (e->target[0])
			snprintf(text, sizeof(text), "-> %s", e->target);
		else
			snprintf(text, sizeof(text), "%s",
				 e->live ? "live" : "");
		json_object_set_new(row, "note",
				    value_string(text, strlen(text)));
	}
	json_array_append_new(l->rows, row);
	return 0;
}

int ctl_store_log(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "VERSION", "version", true, false },
		{ "TIME", "when", false, false },
		{ "SIZE", "size_bytes", true, false },
		{ "SHA-256", "hash", false, false },
		{ "UID", "uid", true, false },
		{ "PID", "pid", true, false },
		{ "COMMAND", "command", false, true },
		{ "NOTE", "note", false, true },
		{ NULL, NULL, false, false },
	};
	_cleanup_(store_freep) struct store *s = NULL;
	struct listing l = { .human = !ctl->json };
	struct store_entry entry;
	struct store_name name;
	int r = ctl_store_name(ctl->argv[0], false, &name);

	if (r == CTL_OK && name.dir == DIR_DATA) {
		say("%s: streams of data/ have no versions", name.text);
		r = CTL_USAGE;
	}
	if (r == CTL_OK)
		r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	l.rows = json_array();
	r = store_log(s, name.dir, name.ref.name, on_log, &l);
	if (r == -ENOENT && ctl_store_read(s, &name, &entry, NULL) == CTL_OK) {
		/* under the other spelling, or built in */
		r = store_log(s, name.dir, entry.name, on_log, &l);
		if (r == -ENOENT)
			r = on_log(&entry, &l);
	} else if (r == -ENOENT) {
		json_decref(l.rows);
		return CTL_NO_SUCH; /* said by ctl_store_read() */
	}
	if (r == 0 && ctl->json)
		value_dump(l.rows);
	else if (r == 0)
		table_print(columns, l.rows);
	json_decref(l.rows);
	return r < 0 ? ctl_fail(name.text, r) : CTL_OK;
}

/* --- verify ----------------------------------------------------------------
 */

struct verification {
	json_t *bad;
	bool only; /* one name */
	struct store_name name;
	unsigned long seen;
};

static int on_verify(enum store_dir dir, const char *name,
		     const struct store_entry *e, int result, void *user)
{
	struct verification *v = user;
	json_t *row;

	if (v->only &&
	    (dir != v->name.dir || strcmp(name, v->name.ref.name) != 0))
		return 0;
	v->seen++;
	if (result == 0)
		return 0;
	row = ctl_store_json(e);
	json_object_set_new(row, "name", json_string(name));
	json_object_set_new(row, "dir", json_string(store_dir_name(dir)));
	json_object_set_new(row, "problem",
			    json_string(result == -EBADMSG
						? "differs from its SHA-256"
						: strerror(-result)));
	json_array_append_new(v->bad, row);
	return 0;
}

static void print_verification(const struct verification *v)
{
	static const struct column columns[] = {
		{ "DIR", "dir", false, false },
		{ "NAME", "name", false, true },
		{ "VERSION", "version", true, false },
		{ "PROBLEM", "problem", false, true },
		{ NULL, NULL, false, false },
	};

	if (json_array_size(v->bad) > 0)
		table_print(columns, v->bad);
	else
		printf("%lu text%s as recorded\n", v->seen,
		       v->seen == 1 ? "" : "s");
}

static int verify(struct ctl *ctl, struct store *s, struct verification *v)
{
	int r = store_verify(s, on_verify, v);

	if (r < 0)
		return ctl_fail(ctl->in.store, r);
	if (v->only && v->seen == 0) {
		say("%s: no such name", v->name.text);
		return CTL_NO_SUCH;
	}
	if (ctl->json)
		value_dump(v->bad);
	else
		print_verification(v);
	if (json_array_size(v->bad) == 0)
		return CTL_OK;
	say("%zu of %lu texts cannot be trusted", json_array_size(v->bad),
	    v->seen);
	return CTL_FAILED;
}

int ctl_store_verify(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	struct verification v = { .only = ctl->argc > 0 };
	int r = CTL_OK;

	if (v.only)
		r = ctl_store_name(ctl->argv[0], false, &v.name);
	if (r == CTL_OK)
		r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	v.bad = json_array();
	r = verify(ctl, s, &v);
	json_decref(v.bad);
	return r;
}
