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
	{ EEXIST, STATUS_ERROR, "there is one already" },
	{ ETIMEDOUT, STATUS_TIMEOUT, "waited for too long" },
	{ ECANCELED, STATUS_CANCELLED, "given up" },
	{ ENOMEM, STATUS_ERROR, "storaged is out of memory" },
	{ EMFILE, STATUS_TOO_LARGE, "that is as many as one caller may have" },
	{ EPROTONOSUPPORT, STATUS_ERROR,
	  "the keys were written by a later version of thox" },
};

/* What depends on limits and names comes first. */
static int failure_of(const struct space *sp, int error, char *text,
		      size_t size)
{
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

/* @sp: whose it is; NULL: nobody's. @text: instead of the error's own. */
static void fail(struct storage *s, void *request, const struct space *sp,
		 int error, const char *text)
{
	char words[512];
	uint8_t buffer[600];
	struct mp_writer w;
	int status = failure_of(sp, error, words, sizeof(words));

	mp_writer_init(&w, buffer, sizeof(buffer));
	mp_write_array(&w, 1);
	mp_write_str(&w, text && text[0] ? text : words);
	s->ops->answer(request, status,
		       (struct mp_bytes){ (const char *)buffer, w.used });
}

/* --- answers that come later ------------------------------------------------ */

struct late *late_new(struct call *c)
{
	struct late *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->storage = c->storage;
	l->caller = c->caller;
	l->request = c->request;
	l->deadline_ms = c->deadline_ms;
	list_init(&l->wait.list);
	list_init(&l->parked);
	mp_writer_init_heap(&l->args);
	list_init(&l->list);
	list_append(&c->caller->calls, &l->list);
	return l;
}

void late_free(struct late *l)
{
	list_remove(&l->list);
	if (l->object)
		l->object->late = NULL;
	list_remove(&l->parked);
	keys_unwait(&l->wait);
	mp_writer_deinit(&l->args);
	free(l);
}

void late_answer(struct late *l, int r, struct mp_bytes args)
{
	struct storage *s = l->storage;

	if (r < 0)
		fail(s, l->request, l->caller ? l->caller->space : NULL, r,
		     NULL);
	else
		s->ops->answer(l->request, STATUS_OK, args);
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
					       stream_methods, space_methods,
					       admin_methods };

static const struct method *find_in(const struct method *m,
				    struct mp_bytes name)
{
	while (m->name && !mp_bytes_equal(name, m->name))
		m++;
	return m->name ? m : NULL;
}

static const struct method *find_method(const struct storage_caller *c,
					struct mp_bytes name)
{
	const struct method *m = NULL;

	if (c->on)
		return c->on->type == OBJECT_WATCH
			       ? find_in(watch_methods, name)
			       : NULL;
	for (size_t i = 0; !m && i < ARRAY_SIZE(tables); i++)
		m = find_in(tables[i], name);
	return m;
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

/* The storage may still be that of another program of this name. */
static int check_owner(struct call *c)
{
	struct storage_caller *caller = c->caller;
	int r;

	if (caller->since_ns == 0 || caller->on)
		return 0;
	r = space_claim(c->space, caller->since_ns);
	if (r == -EBUSY || r == -ESTALE)
		return owner_refuses(c, r);
	return r;
}

static int serve(struct call *c)
{
	const struct method *m = find_method(c->caller, c->name);
	int r = 0;

	if (!m) {
		snprintf(c->text, sizeof(c->text), "there is no call `%.*s`",
			 (int)c->name.size, c->name.p);
		return -ENOENT;
	}
	if (!c->space && !m->free) {
		snprintf(c->text, sizeof(c->text),
			 "the caller has no storage of its own");
		return -EPERM;
	}
	if (c->space && !m->free)
		r = check_owner(c);
	if (r == 0 && m->keys)
		r = check_damage(c);
	if (r == 0)
		r = m->fn(c);
	if (r == -EBADMSG && m->keys && c->keys->damage)
		c->caller->damages = c->space->damages + 1; /* told now */
	if (r == 0 && c->wait)
		r = answer_when_durable(c);
	return r;
}

/* Room will be made: the call is kept until then. */
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
	return CALL_LATER;
}

static void handle(struct call *c)
{
	struct storage *s = c->storage;
	int r;

	mp_reader_init(&c->args, c->raw_args.p, c->raw_args.size);
	c->n_args = mp_read_array(&c->args);
	c->out = &s->out;
	c->out->used = 0;
	c->out->bad = false;
	r = serve(c);
	if (r == 0)
		r = mp_writer_end(c->out);
	if (r == -EAGAIN)
		r = park(c);
	if (r == 0)
		s->ops->answer(c->request, STATUS_OK,
			       (struct mp_bytes){ (const char *)c->out->data,
						  c->out->used });
	else if (r < 0)
		fail(s, c->request, c->space, r, c->text);
}

/* Behind those of the same caller that came before. */
static bool has_parked(const struct storage_caller *c)
{
	const struct list *last = c->calls.prev;

	return last != &c->calls &&
	       !list_empty(&list_entry(last, struct late, list)->parked);
}

void storage_call(struct storage_caller *caller, void *request,
		  struct mp_bytes name, struct mp_bytes args,
		  uint64_t deadline_ms)
{
	struct call c = { .storage = caller->storage,
			  .caller = caller,
			  .space = caller->space,
			  .keys = caller->space ? &caller->space->keys : NULL,
			  .request = request,
			  .raw_args = args,
			  .name = name,
			  .deadline_ms = deadline_ms };

	keys_serve(&c.storage->env, caller);
	if (!has_parked(caller))
		handle(&c);
	else if (park(&c) < 0)
		fail(c.storage, request, c.space, -ENOMEM, NULL);
}

/* All of @from to the end of @to. */
static void list_move(struct list *from, struct list *to)
{
	while (!list_empty(from)) {
		struct list *l = from->next;

		list_remove(l);
		list_append(to, l);
	}
}

/* A parked call again; it may be parked once more. */
static void resume(struct late *l)
{
	struct mp_writer bytes = l->args;
	struct storage_caller *caller = l->caller;
	struct call c = {
		.storage = l->storage,
		.caller = caller,
		.space = caller->space,
		.keys = &caller->space->keys,
		.request = l->request,
		.name = { (const char *)bytes.data, l->name.size },
		.raw_args = { (const char *)bytes.data + l->name.size,
			      bytes.used - l->name.size },
		.deadline_ms = l->deadline_ms,
	};

	mp_writer_init_heap(&l->args); /* the bytes are ours now */
	late_free(l);
	handle(&c);
	mp_writer_deinit(&bytes);
}

void calls_resume(struct space *sp)
{
	struct list parked;

	list_init(&parked);
	list_move(&sp->parked, &parked);
	/* One that is parked again keeps its place before the others. */
	while (!list_empty(&parked) && list_empty(&sp->parked))
		resume(list_first(&parked, struct late, parked));
	list_move(&parked, &sp->parked);
}

/* One that only waits for something is answered now. What was done is done,
 * and is answered when it is safe. */
static bool give_up(struct late *l)
{
	if (l->object && l->object->type == OBJECT_LOCK)
		lock_give_up(l, -ECANCELED);
	else if (l->object || !list_empty(&l->parked))
		late_answer(l, -ECANCELED, (struct mp_bytes){ 0 });
	else
		return false;
	return true;
}

void storage_cancel(struct storage_caller *c, void *request)
{
	struct late *l, *after;

	list_each(l, after, &c->calls, list)
	{
		if (l->request != request)
			continue;
		(void)give_up(l);
		return;
	}
}

void calls_forget(struct storage_caller *c)
{
	while (!list_empty(&c->calls)) {
		struct late *l = list_first(&c->calls, struct late, list);

		if (give_up(l))
			continue;
		l->caller = NULL;
		list_remove(&l->list);
	}
}
