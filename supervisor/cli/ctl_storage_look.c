/* Step 8, in thoxctl: whose storage there is, and what is done to a whole. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* An end of file names, and of what its bytes are. */
struct ending {
	const char *end, *key;
};

/* What a program's files are called. */
static const struct ending endings[] = {
	{ ".db", "keys_bytes" },
	{ ".db-wal", "keys_bytes" }, /* what is not in the database yet */
	{ ".stream", "stream_bytes" },
};

/* NAME, or NAME@NUMBER of what was set aside. */
static bool program_good(const char *text)
{
	struct name_ref ref;

	return name_parse(text, false, &ref, NULL) == 0 &&
	       ref.kind != REF_REJECTED;
}

static void add_file(json_t *all, int dir_fd, const char *name)
{
	char program[NAME_MAX_BYTES + 32];
	struct stat st;
	size_t n = 0, i = 0;

	while (i < ARRAY_SIZE(endings) && !ends_with(name, endings[i].end, &n))
		i++;
	if (i == ARRAY_SIZE(endings) || n >= sizeof(program) ||
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	memcpy(program, name, n);
	program[n] = '\0';
	if (program_good(program) && S_ISREG(st.st_mode))
		add(all, program, endings[i].key, (json_int_t)st.st_size);
}

static int list_files(const struct ctl *ctl, const char *below, json_t *all)
{
	char path[PATH_MAX + 32];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/.storage/%s", ctl->in.store, below);
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

/* The program that has it began before the one that is there now? */
static bool is_former(const struct ctl *ctl, struct store *s, const char *name)
{
	char path[PATH_MAX + NAME_MAX_BYTES + 32], text[32] = "";
	uint64_t since = 0;
	FILE *f;

	if (ctl_store_since(ctl, s, name, &since) < 0 || since == 0)
		return false;
	snprintf(path, sizeof(path), "%s/.storage/owners/%s", ctl->in.store,
		 name);
	f = fopen(path, "re");
	if (f) {
		(void)!fgets(text, sizeof(text), f);
		fclose(f);
	}
	return strtoull(text, NULL, 10) != since;
}

struct listing {
	const struct ctl *ctl;
	struct store *store;
	json_t *all, *programs;
};

static json_t *rows_of(const struct listing *l)
{
	json_t *rows = json_array(), *row;
	const char *name;

	json_object_foreach(l->all, name, row)
	{
		bool orphan = !json_object_get(l->programs, name) ||
			      is_former(l->ctl, l->store, name);

		json_object_set_new(row, "program", json_string(name));
		if (l->ctl->json)
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
		r = list_files(ctl, "keys", all);
	if (r >= 0)
		r = list_files(ctl, "orphans", all);
	if (r >= 0)
		r = store_list(s, DIR_PROGRAMS, on_program, programs);
	rows = sorted(rows_of(&(struct listing){ ctl, s, all, programs }));
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

/* NAME@NUMBER; false, and a number of 0, for a NAME alone. */
static bool is_orphan(char *text, uint64_t *ret_number)
{
	char *at = strchr(text, '@');
	struct name_ref ref;

	*ret_number = 0;
	if (!at || name_parse(text, false, &ref, NULL) < 0 ||
	    ref.kind != REF_VERSION)
		return false;
	*ret_number = ref.version;
	return true;
}

/* What was set aside is nobody's: no need to ask. */
static int remove_orphan(const struct ctl *ctl)
{
	char path[PATH_MAX + NAME_MAX_BYTES + 64];
	unsigned removed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		snprintf(path, sizeof(path), "%s/.storage/orphans/%s%s",
			 ctl->in.store, ctl->argv[0], endings[i].end);
		if (unlink(path) == 0)
			removed++;
		else if (errno != ENOENT)
			return ctl_fail(path, -errno);
	}
	return removed ? done(ctl) : ctl_fail(ctl->argv[0], -ENOENT);
}

int ctl_storage_rm(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	uint64_t number;
	int r;

	if (is_orphan(ctl->argv[0], &number))
		return remove_orphan(ctl);
	r = ctl_storage_open(ctl, ctl->argv[0], &s);
	if (r == CTL_OK)
		r = ctl_storage_do(&s, "storage.keys.flush", NULL);
	if (r == CTL_OK)
		r = ctl_storage_do(&s, "storage.remove", NULL);
	return r == CTL_OK ? done(ctl) : r;
}

int ctl_storage_adopt(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct native_values v;
	uint64_t number;
	int r;

	if (is_orphan(ctl->argv[0], &number))
		*strchr(ctl->argv[0], '@') = '\0';
	/* Opening it sets aside what an older one left. */
	r = ctl_storage_open(ctl, ctl->argv[0], &s);
	if (r != CTL_OK)
		return r;
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_uint(&v.w, number);
	r = ctl_storage_do(&s, "storage.adopt", &v);
	native_values_deinit(&v);
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
