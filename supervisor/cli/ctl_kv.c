/* Step 9, in thoxctl: keys of a program, one or many. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/units.h"
#include "base/util.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_attach.h"
#include "cli/ctl_storage.h"
#include "cli/luajson.h"
#include "cli/say.h"

static void print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(value);
}

/* --- get ----------------------------------------------------------------------
 */

/* A value as `thoxctl call` prints it. */
static void print_value(struct mp_bytes value)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 1);
	mp_write_raw(&w, value.p, value.size);
	luajson_print_lines(stdout, (struct mp_bytes){ (char *)w.data, w.used },
			    isatty(STDOUT_FILENO));
	mp_writer_deinit(&w);
}

static int read_key(const struct native_answer *a, struct ctl_key *key)
{
	struct mp_reader r;

	mp_reader_init(&r, a->args.p, a->args.size);
	(void)mp_read_array(&r);
	key->value = mp_read_raw(&r);
	key->version = mp_read_uint(&r);
	if (mp_peek(&r) != MP_NIL)
		key->ttl = mp_read_double(&r);
	return r.bad ? -EBADMSG : 0;
}

int ctl_kv_get(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct ctl_key key = { .key = { ctl->argv[1], strlen(ctl->argv[1]) } };
	struct native_answer answer;
	struct native_values v;
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r != CTL_OK)
		return r;
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, ctl->argv[1]);
	r = ctl_storage_ask(&s, "storage.keys.get", &v, &answer);
	native_values_deinit(&v);
	if (r != CTL_OK)
		return r;
	if (read_key(&answer, &key) < 0 || key.version == 0) {
		say("%s has no key %s", ctl->argv[0], ctl->argv[1]);
		r = CTL_NO_SUCH;
	} else if (ctl->json) {
		print_json(ctl_key_json(&key, true));
	} else {
		print_value(key.value);
	}
	native_answer_deinit(&answer);
	return r;
}

/* --- set, del -------------------------------------------------------------------
 */

struct wishes {
	uint64_t ttl_ms;
	uint64_t version;
	bool has_version;
	bool sync;
};

static int read_version(const char *text, uint64_t *ret)
{
	char *rest;

	errno = 0;
	*ret = strtoull(text, &rest, 10);
	if (*text >= '0' && *text <= '9' && !*rest && errno == 0)
		return CTL_OK;
	say("--if-version %s: not a version", text);
	return CTL_USAGE;
}

static int read_wishes(const struct ctl *ctl, bool with_ttl, struct wishes *w)
{
	const char *ttl = with_ttl ? ctl_option(ctl, "ttl") : NULL;
	const char *version = ctl_option(ctl, "if-version");

	*w = (struct wishes){ .sync = ctl_option(ctl, "sync") };
	if (ttl && (units_parse_ms(ttl, &w->ttl_ms) < 0 || w->ttl_ms == 0)) {
		say("--ttl %s: not a time, such as 2s, 500ms, 1h", ttl);
		return CTL_USAGE;
	}
	w->has_version = version != NULL;
	return version ? read_version(version, &w->version) : CTL_OK;
}

static void write_wishes(struct native_values *v, const struct wishes *w)
{
	mp_write_map(&v->w, 1u + (w->ttl_ms > 0) + w->has_version);
	mp_write_str(&v->w, "sync");
	mp_write_bool(&v->w, w->sync);
	if (w->ttl_ms > 0) {
		mp_write_str(&v->w, "ttl");
		mp_write_double(&v->w, (double)w->ttl_ms / 1000);
	}
	if (w->has_version) {
		mp_write_str(&v->w, "if_version");
		mp_write_uint(&v->w, w->version);
	}
}

/* `false | nil, version`: it has another. */
static int check_conflict(const struct ctl *ctl, const struct native_answer *a,
			  uint64_t *ret_version)
{
	struct mp_reader r;
	uint32_t n;

	mp_reader_init(&r, a->args.p, a->args.size);
	n = mp_read_array(&r);
	if (n == 2)
		mp_skip(&r);
	if (mp_peek(&r) == MP_INT)
		*ret_version = mp_read_uint(&r);
	if (n != 2)
		return CTL_OK;
	say("%s: the version of %s is %llu", ctl->argv[0], ctl->argv[1],
	    (unsigned long long)*ret_version);
	return CTL_REFUSED;
}

static int set(struct ctl *ctl, const struct native_values *v)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct native_answer answer;
	uint64_t version = 0;
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r == CTL_OK)
		r = ctl_storage_ask(&s, "storage.keys.set", v, &answer);
	if (r != CTL_OK)
		return r;
	r = check_conflict(ctl, &answer, &version);
	native_answer_deinit(&answer);
	if (r == CTL_OK && ctl->json)
		printf("{\"version\": %llu}\n", (unsigned long long)version);
	return r;
}

int ctl_kv_set(struct ctl *ctl)
{
	struct native_values v;
	struct wishes w;
	int r = read_wishes(ctl, true, &w);

	if (r != CTL_OK)
		return r;
	native_values_init(&v);
	mp_write_array(&v.w, 3);
	mp_write_str(&v.w, ctl->argv[1]);
	if (luajson_write_argument(&v.w, ctl->argv[2]) < 0) {
		say("%s: cannot be stored: see VALUES in thoxctl(1)",
		    ctl->argv[2]);
		r = CTL_USAGE;
	} else {
		write_wishes(&v, &w);
		r = set(ctl, &v);
	}
	native_values_deinit(&v);
	return r;
}

static bool was_there(const struct native_answer *a)
{
	struct mp_reader r;

	mp_reader_init(&r, a->args.p, a->args.size);
	return mp_read_array(&r) == 1 && mp_read_bool(&r);
}

static int delete_key(struct ctl *ctl, struct ctl_storage *s,
		      const struct wishes *w)
{
	struct native_answer answer;
	struct native_values v;
	uint64_t version = 0;
	int r;

	native_values_init(&v);
	mp_write_array(&v.w, 2);
	mp_write_str(&v.w, ctl->argv[1]);
	write_wishes(&v, w);
	r = ctl_storage_ask(s, "storage.keys.delete", &v, &answer);
	native_values_deinit(&v);
	if (r != CTL_OK)
		return r;
	r = check_conflict(ctl, &answer, &version);
	if (r == CTL_OK && !was_there(&answer)) {
		say("%s has no key %s", ctl->argv[0], ctl->argv[1]);
		r = CTL_NO_SUCH;
	}
	native_answer_deinit(&answer);
	return r;
}

int ctl_kv_del(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct wishes w;
	int r = read_wishes(ctl, false, &w);

	if (r == CTL_OK)
		r = ctl_storage_open(ctl, ctl->argv[0], &s);
	if (r == CTL_OK)
		r = delete_key(ctl, &s, &w);
	if (r == CTL_OK && ctl->json)
		puts("{}");
	return r;
}

/* --- list, dump -----------------------------------------------------------------
 */

static const char *prefix_of(const struct ctl *ctl)
{
	return ctl->argc > 1 ? ctl->argv[1] : "";
}

static int on_listed(const struct ctl_key *key, void *user)
{
	json_t *rows = user;

	if (rows) {
		json_array_append_new(rows, ctl_key_json(key, false));
		return CTL_OK;
	}
	luajson_print_text(stdout, key->key.p, key->key.size,
			   isatty(STDOUT_FILENO));
	putchar('\n');
	return CTL_OK;
}

int ctl_kv_list(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	json_t *rows = ctl->json ? json_array() : NULL;
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r == CTL_OK)
		r = ctl_storage_keys(&s, prefix_of(ctl), false, on_listed,
				     rows);
	if (r == CTL_OK && rows)
		print_json(json_incref(rows));
	json_decref(rows);
	return r;
}

static int on_dumped(const struct ctl_key *key, void *user)
{
	(void)user;
	print_json(ctl_key_json(key, true));
	return CTL_OK;
}

int ctl_kv_dump(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	return r == CTL_OK ? ctl_storage_keys(&s, prefix_of(ctl), true,
					      on_dumped, NULL)
			   : r;
}

/* --- watch ------------------------------------------------------------------------
 */

enum state {
	SET,
	GONE,
	LARGE,
};

struct watching {
	struct ctl *ctl;
	bool over, asked;
	int exit_code;
};

static void print_change_json(const struct ctl_key *key, uint64_t state)
{
	json_t *object = ctl_key_json(key, state == SET);

	if (state == GONE)
		json_object_set_new(object, "gone", json_true());
	print_json(object);
}

static void print_change(const struct ctl_key *key, uint64_t state)
{
	bool terminal = isatty(STDOUT_FILENO);

	luajson_print_text(stdout, key->key.p, key->key.size, terminal);
	if (state == SET) {
		fputs(" = ", stdout);
		print_value(key->value);
	} else {
		puts(state == GONE ? " is gone" : " is set to a large value");
	}
}

static void print_changes(const struct watching *w, struct mp_bytes args)
{
	struct mp_reader r;
	uint32_t n;

	mp_reader_init(&r, args.p, args.size);
	n = mp_read_array(&r);
	if (mp_read_bool(&r))
		puts(w->ctl->json ? "{\"lost\":true}"
				  : "(more may have changed)");
	for (; n > 4 && !r.bad; n -= 4) {
		struct ctl_key key = { .key = mp_read_str(&r) };
		uint64_t state;

		key.version = mp_read_uint(&r);
		state = mp_read_uint(&r);
		key.value = mp_read_raw(&r);
		if (r.bad)
			break;
		if (w->ctl->json)
			print_change_json(&key, state);
		else
			print_change(&key, state);
	}
	fflush(stdout);
}

static void on_changes(struct native *n, const struct native_answer *a,
		       void *user)
{
	struct watching *w = user;

	(void)n;
	w->asked = false;
	if (a->status == STATUS_OK) {
		print_changes(w, a->args);
		return;
	}
	say("thox-storaged has ended");
	w->over = true;
	w->exit_code = CTL_FAILED;
}

static int follow(struct watching *w, struct native *n, struct native_link *l)
{
	struct ctl_end end;
	int r = ctl_end_watch(n, &end);

	if (r < 0)
		return ctl_lost(r);
	say("watching; Ctrl-C ends it");
	while (r == 0 && !w->over && !end.over && !ferror(stdout)) {
		if (!w->asked)
			r = native_call(n, l, "next", NULL, 0, on_changes, w,
					NULL);
		w->asked = true;
		if (r == 0)
			r = native_wait(n, -1);
	}
	fd_close(end.watch.fd);
	return r < 0 ? ctl_lost(r) : w->exit_code;
}

int ctl_kv_watch(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct watching w = { .ctl = ctl, .exit_code = CTL_OK };
	struct native_link *link = NULL;
	struct native_values v;
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r != CTL_OK)
		return r;
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, prefix_of(ctl));
	r = ctl_storage_take(&s, "storage.keys.watch", &v, &link);
	native_values_deinit(&v);
	if (r == CTL_OK)
		r = follow(&w, s.native, link);
	native_link_close(link);
	return r;
}
