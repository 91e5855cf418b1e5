/* Step 8, in thoxctl: a program's storage, and what is in it. */

#include "cli/ctl_storage.h"

#include <errno.h>

#include "base/exit.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_attach.h"
#include "cli/ctl_store.h"
#include "cli/luajson.h"
#include "cli/say.h"
#include "fs/name.h"
#include "rpc/storaged.h"

/* --- calls ------------------------------------------------------------------
 */

static int complain(const struct ctl_storage *s, const struct native_answer *a)
{
	char text[1024];

	native_answer_message(a, text, sizeof(text));
	say("%s: %s", s->program ? s->program : "storage", text);
	return ctl_exit_code((uint64_t)a->status);
}

int ctl_storage_ask(struct ctl_storage *s, const char *name,
		    const struct native_values *args,
		    struct native_answer *ret_answer)
{
	struct native_answer answer;
	int r = native_call_wait(s->native, s->link, name, args, 0, &answer);

	if (r == -EMSGSIZE) {
		say("%s: that is too large", s->program);
		return CTL_FAILED;
	}
	if (r < 0)
		return ctl_lost(r);
	if (answer.status == STATUS_OK) {
		*ret_answer = answer;
		return CTL_OK;
	}
	r = complain(s, &answer);
	native_answer_deinit(&answer);
	return r;
}

int ctl_storage_do(struct ctl_storage *s, const char *name,
		   const struct native_values *args)
{
	struct native_answer answer;
	int r = ctl_storage_ask(s, name, args, &answer);

	if (r == CTL_OK)
		native_answer_deinit(&answer);
	return r;
}

struct taking {
	struct ctl_storage *storage;
	struct native_link *link;
	bool over;
	int exit_code;
};

static void on_answer(struct native *n, const struct native_answer *a,
		      void *user)
{
	struct taking *t = user;
	struct mp_reader r;

	t->over = true;
	if (a->status != STATUS_OK) {
		t->exit_code = complain(t->storage, a);
		return;
	}
	mp_reader_init(&r, a->args.p, a->args.size);
	if (mp_read_array(&r) > 0)
		t->link = native_take(n, &r);
	if (t->link)
		return;
	say("thox-storaged did not answer with a context");
	t->exit_code = CTL_FAILED;
}

int ctl_storage_take(struct ctl_storage *s, const char *name,
		     const struct native_values *args,
		     struct native_link **ret_link)
{
	struct taking t = { .storage = s, .exit_code = CTL_OK };
	int r = native_call(s->native, s->link, name, args, 0, on_answer, &t,
			    NULL);

	while (r == 0 && !t.over)
		r = native_wait(s->native, -1);
	if (r < 0)
		return ctl_lost(r);
	if (t.exit_code == CTL_OK)
		*ret_link = t.link;
	return t.exit_code;
}

/* --- life -------------------------------------------------------------------
 */

/* What it kept before it was another program of that name is not meant. */
static int since_of(struct ctl *ctl, const char *program,
		    uint64_t *ret_since_ns)
{
	struct store *s = NULL;
	int r = ctl_store_open(ctl, &s);

	if (r != CTL_OK)
		return r;
	r = ctl_store_since(ctl, s, program, ret_since_ns);
	store_free(s);
	return r < 0 ? ctl_fail(program, r) : CTL_OK;
}

int ctl_storage_open(struct ctl *ctl, const char *program,
		     struct ctl_storage *ret)
{
	struct native_values v;
	uint64_t since = 0;
	int r;

	*ret = (struct ctl_storage){ .program = program };
	if (program && !name_valid(program)) {
		say("%s: no program can have that name", program);
		return CTL_USAGE;
	}
	r = ctl_attach(ctl, &ret->native);
	if (r != CTL_OK || !program)
		return r;
	r = since_of(ctl, program, &since);
	if (r != CTL_OK)
		return r;
	native_values_init(&v);
	mp_write_array(&v.w, 2);
	mp_write_str(&v.w, program);
	mp_write_map(&v.w, 1);
	mp_write_str(&v.w, "since");
	mp_write_uint(&v.w, since);
	r = ctl_storage_take(ret, STORAGED_OPEN, &v, &ret->link);
	native_values_deinit(&v);
	return r;
}

void ctl_storage_close(struct ctl_storage *s)
{
	native_link_close(s->link);
	native_free(s->native);
}

/* --- keys -------------------------------------------------------------------
 */

static void write_list(struct native_values *v, const char *prefix,
		       struct mp_bytes from, bool values)
{
	native_values_clear(v);
	mp_write_array(&v->w, 2);
	mp_write_str(&v->w, prefix);
	mp_write_map(&v->w, 1 + (from.size > 0));
	mp_write_str(&v->w, "keys");
	mp_write_bool(&v->w, !values);
	if (from.size > 0) {
		mp_write_str(&v->w, "from");
		mp_write_strn(&v->w, from.p, from.size);
	}
}

static double read_ttl(struct mp_reader *r)
{
	if (mp_peek(r) != MP_NIL)
		return mp_read_double(r);
	mp_read_nil(r);
	return 0;
}

/* One page; @from becomes where the next one begins, or is emptied. */
static int read_page(const struct native_answer *a, struct mp_writer *from,
		     ctl_key_fn fn, void *user)
{
	struct mp_reader r;
	uint32_t n;
	int code = CTL_OK;

	from->used = 0;
	mp_reader_init(&r, a->args.p, a->args.size);
	n = mp_read_array(&r);
	if (mp_peek(&r) == MP_NIL) {
		mp_read_nil(&r);
	} else {
		struct mp_bytes next = mp_read_str(&r);

		mp_write_raw(from, next.p, next.size);
	}
	for (; n > 4 && code == CTL_OK && !r.bad; n -= 4) {
		struct ctl_key key = { .key = mp_read_str(&r) };

		key.value = mp_read_raw(&r);
		key.version = mp_read_uint(&r);
		key.ttl = read_ttl(&r);
		if (!r.bad)
			code = fn(&key, user);
	}
	if (!r.bad && mp_writer_end(from) == 0)
		return code;
	say("thox-storaged sent what is no list");
	return CTL_FAILED;
}

int ctl_storage_keys(struct ctl_storage *s, const char *prefix, bool values,
		     ctl_key_fn fn, void *user)
{
	struct native_answer answer;
	struct native_values v;
	struct mp_writer from;
	int r;

	native_values_init(&v);
	mp_writer_init_heap(&from);
	do {
		struct mp_bytes at = { (const char *)from.data, from.used };

		write_list(&v, prefix, at, values);
		r = ctl_storage_ask(s, "storage.keys.list", &v, &answer);
		if (r != CTL_OK)
			break;
		r = read_page(&answer, &from, fn, user);
		native_answer_deinit(&answer);
	} while (r == CTL_OK && from.used > 0);
	mp_writer_deinit(&from);
	native_values_deinit(&v);
	return r;
}

static json_t *bytes_json(struct mp_bytes bytes)
{
	struct mp_writer w;
	struct mp_reader r;
	json_t *value;

	mp_writer_init_heap(&w);
	mp_write_strn(&w, bytes.p, bytes.size);
	mp_reader_init(&r, w.data, w.used);
	value = luajson_from_mp(&r);
	mp_writer_deinit(&w);
	return value;
}

json_t *ctl_key_json(const struct ctl_key *key, bool values)
{
	json_t *object = json_object();
	struct mp_reader r;

	json_object_set_new(object, "key", bytes_json(key->key));
	if (values) {
		mp_reader_init(&r, key->value.p, key->value.size);
		json_object_set_new(object, "value", luajson_from_mp(&r));
	}
	json_object_set_new(object, "version",
			    json_integer((json_int_t)key->version));
	if (key->ttl > 0)
		json_object_set_new(object, "ttl", json_real(key->ttl));
	return object;
}
