/* Storage, step 11: from a call to its answer. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "storaged/storage_private.h"

/* --- what failed, for people and programs --------------------------------- */

static const struct failure {
	int error;
	int status;
	const char *text;
} failures[] = {
	{ EINVAL, STATUS_INVALID, "bad arguments" },
	{ EDOM, STATUS_INVALID, "only numbers can be added" },
	{ ERANGE, STATUS_INVALID, "the sum is no 64-bit integer" },
	{ ENOENT, STATUS_NOT_FOUND, "there is no such thing" },
	{ EPERM, STATUS_DENIED, "that is not allowed" },
	{ EACCES, STATUS_DENIED, "that is not allowed" },
	{ EROFS, STATUS_DENIED, "the storage can only be read" },
	{ ENOSPC, STATUS_ERROR, "the disk is full" },
	{ EBUSY, STATUS_ERROR, "it is in use" },
	{ ETIMEDOUT, STATUS_TIMEOUT, "waited for too long" },
	{ ECANCELED, STATUS_CANCELLED, "given up" },
	{ ENOMEM, STATUS_ERROR, "storaged is out of memory" },
	{ EMFILE, STATUS_TOO_LARGE, "that is as many as one caller may have" },
	{ EPROTONOSUPPORT, STATUS_ERROR,
	  "the keys were written by a later version of thox" },
};

/* What depends on limits and names comes first. */
static int failure_of(const struct storage_caller *c, int error, char *text,
		      size_t size)
{
	const struct space *sp = c->space;

	switch (error) {
	case -ENAMETOOLONG:
		snprintf(text, size, "a key has at most %u bytes",
			 STORAGE_KEY_BYTES);
		return STATUS_TOO_LARGE;
	case -EDQUOT:
	case -EFBIG:
		snprintf(text, size, "over the storage limit of %llu bytes",
			 (unsigned long long)(sp ? sp->keys.limit_bytes : 0));
		return STATUS_TOO_LARGE;
	case -EBADMSG:
		snprintf(text, size,
			 "the keys of `%s` are damaged; the file is set aside, "
			 "they start empty",
			 sp ? sp->program : "");
		return STATUS_ERROR;
	}
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
		if (failures[i].error == -error) {
			snprintf(text, size, "%s", failures[i].text);
			return failures[i].status;
		}
	snprintf(text, size, "storage failed: %s", strerror(-error));
	return STATUS_ERROR;
}

void caller_answer(struct storage_caller *c, uint32_t cid, int status,
		   struct mp_bytes args)
{
	c->storage->ops->answer(c->user, cid, status, args);
}

void caller_fail(struct storage_caller *c, uint32_t cid, int error,
		 const char *text)
{
	char words[512];
	uint8_t buffer[600];
	struct mp_writer w;
	int status = failure_of(c, error, words, sizeof(words));

	mp_writer_init(&w, buffer, sizeof(buffer));
	mp_write_array(&w, 1);
	mp_write_str(&w, text && text[0] ? text : words);
	caller_answer(c, cid, status,
		      (struct mp_bytes){ (const char *)buffer, w.used });
}

/* --- answers that come later ------------------------------------------------ */

struct late *late_new(struct call *c)
{
	struct late *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->caller = c->caller;
	l->cid = c->cid;
	l->deadline_ms = c->deadline_ms;
	list_init(&l->wait.list);
	list_init(&l->parked);
	mp_writer_init_heap(&l->args);
	list_init(&l->list);
	list_append(&c->caller->calls, &l->list);
	c->caller->n_calls++;
	return l;
}

void late_free(struct late *l)
{
	list_remove(&l->list);
	if (l->caller)
		l->caller->n_calls--;
	list_remove(&l->parked);
	keys_unwait(&l->wait);
	mp_writer_deinit(&l->args);
	free(l);
}

void late_answer(struct late *l, int r, struct mp_bytes args)
{
	struct storage_caller *c = l->caller;

	if (c && r < 0)
		caller_fail(c, l->cid, r, NULL);
	else if (c)
		caller_answer(c, l->cid, STATUS_OK, args);
	late_free(l);
}

static void on_durable(struct keys_wait *w, int error)
{
	struct late *l = container_of(w, struct late, wait);
	struct mp_bytes args = { (const char *)l->args.data, l->args.used };

	late_answer(l, error, args);
}

/* The answer is written, but has to wait for a batch. */
static int answer_when_durable(struct call *c)
{
	struct late *l = late_new(c);

	if (l)
		mp_write_raw(&l->args, c->out->data, c->out->used);
	if (!l || mp_writer_end(&l->args) < 0) {
		if (l)
			late_free(l);
		return -ENOMEM;
	}
	l->wait.serial = c->wait;
	l->wait.fn = on_durable;
	keys_wait(c->keys, &l->wait);
	return CALL_LATER;
}

/* --- arguments -------------------------------------------------------------- */

int invalid(struct call *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->text, sizeof(c->text), format, ap);
	va_end(ap);
	return -EINVAL;
}

static bool next_arg(struct call *c)
{
	if (c->n_args == 0)
		return false;
	c->n_args--;
	return true;
}

int arg_bytes(struct call *c, const char *what, struct mp_bytes *ret)
{
	enum mp_type type;

	if (!next_arg(c))
		return invalid(c, "%s is missing", what);
	type = mp_peek(&c->args);
	if (type != MP_STR && type != MP_BIN)
		return invalid(c, "%s must be a string", what);
	*ret = mp_read_str(&c->args);
	return 0;
}

int arg_value(struct call *c, struct mp_bytes *ret)
{
	int r;

	if (!next_arg(c))
		return invalid(c, "the value is missing");
	*ret = mp_read_raw(&c->args);
	r = value_check(*ret);
	switch (r) {
	case -EXDEV:
		return invalid(c, "a context cannot be stored");
	case -ENOTSUP:
		return invalid(c, "the value has a type that cannot be stored");
	case -EFBIG:
		snprintf(c->text, sizeof(c->text),
			 "a value has at most %u bytes", STORAGE_VALUE_BYTES);
		return -EFBIG;
	case -EBADMSG:
		return invalid(c, "the value is nested too deep");
	}
	return r;
}

int arg_uint(struct call *c, const char *what, uint64_t *ret)
{
	if (!next_arg(c))
		return invalid(c, "%s is missing", what);
	return option_uint(c, what, &c->args, ret);
}

int option_uint(struct call *c, const char *what, struct mp_reader *value,
		uint64_t *ret)
{
	enum mp_type type = mp_peek(value);
	double real;
	int64_t n;

	if (type == MP_DOUBLE) {
		real = mp_read_double(value);
		if (!(real >= 0 && real < 0x1p53) ||
		    real != (double)(uint64_t)real)
			return invalid(c, "%s must be a whole number", what);
		*ret = (uint64_t)real;
		return 0;
	}
	if (type != MP_INT)
		return invalid(c, "%s must be a whole number", what);
	n = mp_read_int(value);
	if (n < 0)
		return invalid(c, "%s must not be negative", what);
	*ret = (uint64_t)n;
	return 0;
}

int option_bool(struct call *c, const char *what, struct mp_reader *value,
		bool *ret)
{
	if (mp_peek(value) != MP_BOOL)
		return invalid(c, "%s must be true or false", what);
	*ret = mp_read_bool(value);
	return 0;
}

int option_seconds(struct call *c, const char *what, struct mp_reader *value,
		   uint64_t *ret_ms)
{
	enum mp_type type = mp_peek(value);
	double seconds;

	if (type != MP_INT && type != MP_DOUBLE)
		return invalid(c, "%s must be a number of seconds", what);
	seconds = type == MP_INT ? (double)mp_read_int(value)
				 : mp_read_double(value);
	/* Also refuses what is not a number. */
	if (!(seconds >= 0 && seconds <= (double)STORAGE_TTL_MS / 1000))
		return invalid(c, "%s must be between 0 and %llu seconds", what,
			       STORAGE_TTL_MS / 1000);
	*ret_ms = (uint64_t)(seconds * 1000 + 0.999);
	return 0;
}

int arg_options(struct call *c, option_fn fn, void *user)
{
	uint32_t n;
	int r = 0;

	if (!next_arg(c))
		return 0;
	switch (mp_peek(&c->args)) {
	case MP_NIL:
		mp_read_nil(&c->args);
		return 0;
	case MP_ARRAY:
		/* A table without anything in it may look like one. */
		if (mp_read_array(&c->args) == 0)
			return 0;
		break;
	case MP_MAP:
		n = mp_read_map(&c->args);
		for (; n > 0 && r == 0; n--) {
			struct mp_bytes key;

			if (mp_peek(&c->args) != MP_STR)
				return invalid(c, "options have names");
			key = mp_read_str(&c->args);
			if (mp_peek(&c->args) == MP_NIL)
				mp_read_nil(&c->args);
			else
				r = fn(c, key, &c->args, user);
		}
		return r;
	default:
		break;
	}
	return invalid(c, "the options must be a table");
}

/* --- serving ---------------------------------------------------------------- */

static const struct method *const tables[] = { keys_methods, lock_methods,
					       stream_methods, space_methods };

static const struct method *find_method(struct mp_bytes name)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct method *m = tables[i]; m->name; m++)
			if (mp_bytes_equal(name, m->name))
				return m;
	return NULL;
}

/* Whoever used the keys before they were damaged is told, once. */
static int check_damage(struct call *c)
{
	struct storage_caller *caller = c->caller;

	if (caller->damages == c->space->damages)
		return 0;
	caller->damages = c->space->damages;
	snprintf(c->text, sizeof(c->text),
		 "the keys of `%s` were damaged; the file was set aside as "
		 "%s, and they start empty",
		 c->space->program, c->space->aside);
	return -EIO;
}

static int serve(struct call *c)
{
	const struct method *m = find_method(c->name);
	int r = 0;

	if (!m) {
		snprintf(c->text, sizeof(c->text), "storage has no call `%.*s`",
			 (int)c->name.size, c->name.p);
		return -ENOENT;
	}
	if (!c->space && !m->free) {
		snprintf(c->text, sizeof(c->text),
			 "the caller has no storage of its own");
		return -EPERM;
	}
	if (m->keys)
		r = check_damage(c);
	if (r == 0)
		r = m->fn(c);
	if (r == -EBADMSG && m->keys && c->keys->damage)
		c->caller->damages = c->space->damages + 1; /* told now */
	if (r == 0 && c->wait)
		r = answer_when_durable(c);
	return r;
}

/* Room will be made: the call is kept, and no more are brought. */
static int park(struct call *c)
{
	struct late *l = late_new(c);

	if (l) {
		mp_write_raw(&l->args, c->name.p, c->name.size);
		mp_write_raw(&l->args, c->raw_args.p, c->raw_args.size);
	}
	if (!l || mp_writer_end(&l->args) < 0) {
		if (l)
			late_free(l);
		return -ENOMEM;
	}
	l->name.size = c->name.size;
	list_append(&c->space->parked, &l->parked);
	if (!c->caller->paused) {
		c->caller->paused = true;
		c->storage->ops->pause(c->caller->user, true);
	}
	return CALL_LATER;
}

static void handle(struct storage_caller *caller, uint32_t cid,
		   struct mp_bytes name, struct mp_bytes args,
		   uint64_t deadline_ms)
{
	struct storage *s = caller->storage;
	struct call c = { .storage = s,
			  .caller = caller,
			  .space = caller->space,
			  .keys = caller->space ? &caller->space->keys : NULL,
			  .cid = cid,
			  .raw_args = args,
			  .name = name,
			  .deadline_ms = deadline_ms,
			  .out = &s->out };
	int r;

	mp_reader_init(&c.args, args.p, args.size);
	c.n_args = mp_read_array(&c.args);
	s->out.used = 0;
	s->out.bad = false;
	r = serve(&c);
	if (r == 0)
		r = mp_writer_end(&s->out);
	if (r == -EAGAIN)
		r = park(&c);
	if (r == 0)
		caller_answer(caller, cid, STATUS_OK,
			      (struct mp_bytes){ (const char *)s->out.data,
						 s->out.used });
	else if (r < 0)
		caller_fail(caller, cid, r, c.text);
}

void storage_call(struct storage_caller *c, uint32_t cid, struct mp_bytes name,
		  struct mp_bytes args, uint64_t deadline_ms)
{
	struct call later = { .storage = c->storage,
			      .caller = c,
			      .space = c->space,
			      .cid = cid,
			      .raw_args = args,
			      .name = name,
			      .deadline_ms = deadline_ms };

	if (c->n_calls >= STORAGE_CALLS_MAX) {
		caller_fail(c, cid, -EMFILE,
			    "too many calls wait for their answers");
		return;
	}
	/* Behind those that came before. */
	if (c->paused && c->space) {
		if (park(&later) < 0)
			caller_fail(c, cid, -ENOMEM, NULL);
		return;
	}
	handle(c, cid, name, args, deadline_ms);
}

/* A parked call again; it may be parked once more, at the end. */
static void resume(struct late *l)
{
	struct storage_caller *c = l->caller;
	struct mp_bytes name = { (const char *)l->args.data, l->name.size };
	struct mp_bytes args = { name.p + name.size, l->args.used - name.size };
	uint32_t cid = l->cid;
	uint64_t deadline_ms = l->deadline_ms;
	struct mp_writer bytes = l->args;

	mp_writer_init_heap(&l->args);
	late_free(l);
	handle(c, cid, name, args, deadline_ms);
	mp_writer_deinit(&bytes);
}

void calls_resume(struct space *sp)
{
	struct storage_caller *c, *after;
	struct list parked;

	/* Those that are parked again are for the next time. */
	list_init(&parked);
	while (!list_empty(&sp->parked)) {
		struct late *l = list_first(&sp->parked, struct late, parked);

		list_remove(&l->parked);
		list_append(&parked, &l->parked);
	}
	while (!list_empty(&parked))
		resume(list_first(&parked, struct late, parked));
	if (!list_empty(&sp->parked))
		return;
	list_each(c, after, &sp->callers, list)
	{
		if (!c->paused)
			continue;
		c->paused = false;
		c->storage->ops->pause(c->user, false);
	}
}

void storage_cancel(struct storage_caller *c, uint32_t cid)
{
	struct late *l, *after;

	list_each(l, after, &c->calls, list)
	{
		if (l->cid != cid)
			continue;
		/* What was done is done; what only waits need not. */
		if (l->claim)
			lock_give_up(l, -ECANCELED);
		else if (!list_empty(&l->parked))
			late_answer(l, -ECANCELED, (struct mp_bytes){ 0 });
		return;
	}
}
