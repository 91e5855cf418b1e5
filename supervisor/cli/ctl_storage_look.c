/* Step 8, in thoxctl: whose storage there is, and what is done to a whole. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/ctl_storage.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"
#include "rpc/storaged.h"

static void store_freep(struct store **s)
{
	store_free(*s);
}

/* --- ls ---------------------------------------------------------------------
 */

/* By program: {keys_bytes, stream_bytes}. */
static void add(json_t *all, const char *program, const char *key,
		json_int_t bytes)
{
	json_t *row = json_object_get(all, program);

	if (!row) {
		row = json_object();
		json_object_set_new(all, program, row);
	}
	bytes += json_integer_value(json_object_get(row, key));
	json_object_set_new(row, key, json_integer(bytes));
}

static int on_stream(const char *name, const struct stat *st, void *user)
{
	add(user, name, "stream_bytes", (json_int_t)st->st_size);
	return 0;
}

static bool ends_with(const char *text, const char *end, size_t *ret_size)
{
	size_t n = strlen(text), k = strlen(end);

	if (n <= k || strcmp(text + n - k, end) != 0)
		return false;
	*ret_size = n - k;
	return true;
}

/* The database, and what is not in it yet. */
static void add_file(json_t *all, int dir_fd, const char *name)
{
	char program[NAME_MAX_BYTES + 1];
	struct stat st;
	size_t n;

	if (!ends_with(name, ".db", &n) && !ends_with(name, ".db-wal", &n))
		return;
	if (n >= sizeof(program) ||
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	memcpy(program, name, n);
	program[n] = '\0';
	if (name_valid(program) && S_ISREG(st.st_mode))
		add(all, program, "keys_bytes", (json_int_t)st.st_size);
}

static int list_keys(const struct ctl *ctl, json_t *all)
{
	char path[PATH_MAX + 32];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/.storage/keys", ctl->in.store);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir)))
		add_file(all, dirfd(dir), e->d_name);
	closedir(dir);
	return 0;
}

static int on_program(const char *name, const struct store_entry *e, void *user)
{
	(void)e;
	json_object_set_new(user, name, json_true());
	return 0;
}

static json_t *rows_of(json_t *all, const json_t *programs, bool human)
{
	json_t *rows = json_array(), *row;
	const char *name;

	json_object_foreach(all, name, row)
	{
		bool orphan = !json_object_get(programs, name);

		json_object_set_new(row, "program", json_string(name));
		if (!human)
			json_object_set_new(row, "orphan",
					    json_boolean(orphan));
		else if (orphan)
			json_object_set_new(row, "note", json_string("orphan"));
		json_array_append(rows, row);
	}
	return rows;
}

static int by_name(const void *a, const void *b)
{
	json_t *const *x = a, *const *y = b;

	return strcmp(json_string_value(json_object_get(*x, "program")),
		      json_string_value(json_object_get(*y, "program")));
}

static json_t *sorted(json_t *rows)
{
	size_t n = json_array_size(rows);
	json_t **all = calloc(n + 1, sizeof(*all)), *result = json_array();

	for (size_t i = 0; all && i < n; i++)
		all[i] = json_array_get(rows, i);
	if (all)
		qsort(all, n, sizeof(json_t *), by_name);
	for (size_t i = 0; all && i < n; i++)
		json_array_append(result, all[i]);
	free(all);
	json_decref(rows);
	return result;
}

static void print_rows(const struct ctl *ctl, const json_t *rows)
{
	static const struct column columns[] = {
		{ "PROGRAM", "program", false, true },
		{ "KEYS", "keys_bytes", true, false },
		{ "STREAM", "stream_bytes", true, false },
		{ "NOTE", "note", false, false },
		{ NULL, NULL, false, false },
	};

	if (ctl->json)
		value_dump(rows);
	else
		table_print(columns, rows);
}

int ctl_storage_ls(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	json_t *all, *programs, *rows;
	int r = ctl_store_open(ctl, &s);

	if (r != CTL_OK)
		return r;
	all = json_object();
	programs = json_object();
	r = store_file_list(s, DIR_DATA, false, on_stream, all);
	if (r >= 0)
		r = list_keys(ctl, all);
	if (r >= 0)
		r = store_list(s, DIR_PROGRAMS, on_program, programs);
	rows = sorted(rows_of(all, programs, !ctl->json));
	if (r >= 0)
		print_rows(ctl, rows);
	json_decref(rows);
	json_decref(programs);
	json_decref(all);
	return r < 0 ? ctl_fail("the storages", r) : CTL_OK;
}

/* --- stat, locks ------------------------------------------------------------
 */

int ctl_storage_stat(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct native_answer answer;
	struct mp_reader reader;
	json_t *value;
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r == CTL_OK)
		r = ctl_storage_ask(&s, "storage.stat", NULL, &answer);
	if (r != CTL_OK)
		return r;
	mp_reader_init(&reader, answer.args.p, answer.args.size);
	(void)mp_read_array(&reader);
	value = value_from_mp(&reader);
	native_answer_deinit(&answer);
	if (!value)
		return CTL_FAILED;
	if (ctl->json) {
		value_dump(value);
	} else { /* beside the keys' bytes */
		json_object_set(value, "number_of_keys",
				json_object_get(value, "keys"));
		json_object_del(value, "keys");
		table_print_object(value);
	}
	json_decref(value);
	return CTL_OK;
}

static void print_locks(json_t *rows)
{
	static const struct column columns[] = {
		{ "PROGRAM", "program", false, true },
		{ "LOCK", "name", false, true },
		{ "STATE", "state", false, false },
		{ "PID", "pid", true, false },
		{ "SECONDS", "age", true, false },
		{ NULL, NULL, false, false },
	};
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		bool held = json_is_true(json_object_get(row, "held"));
		bool shared = json_is_true(json_object_get(row, "shared"));
		char age[32];

		snprintf(age, sizeof(age), "%.1f",
			 json_number_value(json_object_get(row, "seconds")));
		json_object_set_new(row, "age", json_string(age));
		json_object_set_new(row, "state",
				    json_string(!held	 ? "waits"
						: shared ? "shared"
							 : "held"));
		if (json_is_null(json_object_get(row, "pid")))
			json_object_del(row, "pid");
	}
	table_print(columns, rows);
}

/* Those of one program, or all. */
static void choose(json_t *rows, const char *program)
{
	for (size_t i = json_array_size(rows); program && i > 0; i--) {
		const json_t *row = json_array_get(rows, i - 1);
		const char *of =
			json_string_value(json_object_get(row, "program"));

		if (!of || strcmp(of, program) != 0)
			json_array_remove(rows, i - 1);
	}
}

int ctl_locks(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct native_answer answer;
	struct mp_reader reader;
	json_t *rows;
	int r = ctl_storage_open(ctl, NULL, &s);

	if (r == CTL_OK)
		r = ctl_storage_ask(&s, STORAGED_ADMIN ".locks", NULL, &answer);
	if (r != CTL_OK)
		return r;
	mp_reader_init(&reader, answer.args.p, answer.args.size);
	rows = value_from_mp(&reader);
	native_answer_deinit(&answer);
	if (!rows)
		return CTL_FAILED;
	choose(rows, ctl->argc > 0 ? ctl->argv[0] : NULL);
	if (ctl->json)
		value_dump(rows);
	else
		print_locks(rows);
	json_decref(rows);
	return CTL_OK;
}

/* --- what is done to a whole --------------------------------------------------
 */

static int done(const struct ctl *ctl)
{
	if (ctl->json)
		printf("{\"program\": \"%s\"}\n", ctl->argv[0]);
	return CTL_OK;
}

int ctl_storage_rm(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r == CTL_OK)
		r = ctl_storage_do(&s, "storage.keys.flush", NULL);
	if (r == CTL_OK)
		r = ctl_storage_do(&s, "storage.remove", NULL);
	return r == CTL_OK ? done(ctl) : r;
}

int ctl_storage_compact(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r == CTL_OK)
		r = ctl_storage_do(&s, "storage.compact", NULL);
	return r == CTL_OK ? done(ctl) : r;
}

/* --- the stream: a file of the store --------------------------------------------
 */

static int with_data(struct ctl *ctl, int (*fn)(struct ctl *ctl))
{
	char name[NAME_MAX_BYTES + 16], *first = ctl->argv[0];
	int r;

	if (!name_valid(first)) {
		say("%s: no program can have that name", first);
		return CTL_USAGE;
	}
	snprintf(name, sizeof(name), "data/%s", first);
	ctl->argv[0] = name;
	r = fn(ctl);
	ctl->argv[0] = first;
	return r;
}

int ctl_data_cat(struct ctl *ctl)
{
	return with_data(ctl, ctl_store_cat);
}

int ctl_data_put(struct ctl *ctl)
{
	return with_data(ctl, ctl_store_put);
}
