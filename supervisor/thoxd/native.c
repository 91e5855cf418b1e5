/*
 * Step 9: a call of thoxd's own is served.
 *
 *	arrives -> handler -> answered -> freed
 *	             |           ^
 *	             +-> kept ---+-> dropped -> freed
 *
 * An answer that hands out links waits until the holder was told of them. A
 * call that is kept, or whose answer waits, is in its link's list, where a
 * cancel, its deadline, or the link's end finds it.
 */

#include "thoxd/native.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/holding.h"
#include "thoxd/native_calls.h"
#include "thoxd/native_process.h"
#include "thoxd/native_service.h"
#include "thoxd/native_store.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

/* In the order of their names, for native_find(). */
static const struct native_name names[] = {
	{ "alarm", native_alarm, NATIVE_ALWAYS },
	{ "bind", native_bind, NATIVE_ALWAYS }, /* the policy of binding */
	{ "bus.list", native_bus_list, NATIVE_POLICY },
	{ "clock", native_clock, NATIVE_ALWAYS },
	{ "library.get", native_store_get, NATIVE_POLICY },
	{ "library.list", native_store_list, NATIVE_POLICY },
	{ "library.remove", native_store_remove, NATIVE_POLICY },
	{ "library.set", native_store_set, NATIVE_POLICY },
	/* the policy of running, and one's own */
	{ "process.info", native_process_info, NATIVE_ALWAYS },
	{ "process.kill", native_process_kill, NATIVE_POLICY },
	{ "process.list", native_process_list, NATIVE_POLICY },
	{ "process.run", native_process_run, NATIVE_POLICY },
	{ "process.terminate", native_process_terminate, NATIVE_POLICY },
	{ "program.get", native_store_get, NATIVE_POLICY },
	{ "program.list", native_store_list, NATIVE_POLICY },
	{ "program.remove", native_store_remove, NATIVE_POLICY },
	{ "program.set", native_store_set, NATIVE_POLICY },
	{ "random.randint", native_randint, NATIVE_ALWAYS },
	{ "random.random", native_random, NATIVE_ALWAYS },
	{ "runtime.get", native_store_get, NATIVE_POLICY },
	{ "runtime.list", native_store_list, NATIVE_POLICY },
	{ "runtime.remove", native_store_remove, NATIVE_POLICY },
	{ "runtime.set", native_store_set, NATIVE_POLICY },
	/* and the policy of running */
	{ "service.list", native_service_list, NATIVE_POLICY },
	{ "service.reload", native_service_reload, NATIVE_POLICY },
	{ "service.restart", native_service_restart, NATIVE_POLICY },
	{ "service.start", native_service_start, NATIVE_POLICY },
	{ "service.status", native_service_status, NATIVE_POLICY },
	{ "service.stop", native_service_stop, NATIVE_POLICY },
	{ "unbind", native_unbind, NATIVE_ALWAYS },
};

/* Nobody may bind these, nor what lies below them. */
static const char *const reserved[] = {
	"alarm",   "bind",   "bus",	"clock",   "library", "process",
	"program", "random", "runtime", "service", "unbind",
};

static int compare(struct mp_bytes name, const char *text)
{
	size_t size = strlen(text);
	int r = memcmp(name.p, text, name.size < size ? name.size : size);

	return r ? r : (name.size > size) - (name.size < size);
}

const struct native_name *native_find(struct mp_bytes name)
{
	size_t low = 0, high = ARRAY_SIZE(names);

	while (low < high) {
		size_t middle = (low + high) / 2;
		int r = compare(name, names[middle].name);

		if (r == 0)
			return &names[middle];
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool native_reserved(struct mp_bytes name, struct mp_bytes *ret_prefix)
{
	const char *dot = memchr(name.p, '.', name.size);
	struct mp_bytes first = { name.p,
				  dot ? (size_t)(dot - name.p) : name.size };

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		if (!mp_bytes_equal(first, reserved[i]))
			continue;
		*ret_prefix = first;
		return true;
	}
	return false;
}

/* --- a call's life --------------------------------------------------------
 */

static void native_free(struct native_call *c)
{
	ev_timer_stop(c->server->loop, &c->timer);
	ev_timer_stop(c->server->loop, &c->deadline);
	list_remove(&c->waiter.list);
	list_remove(&c->list);
	c->zero->n_calls--;
	while (!list_empty(&c->rights))
		holding_free(list_first(&c->rights, struct holding, of_call));
	mp_writer_deinit(&c->values);
	free(c);
}

/* Its holder knows these links, but will not learn what they are. */
static void withdraw_links(struct native_call *c)
{
	for (unsigned i = 0; i < c->n_links; i++) {
		struct holding *h = holding_find(c->server, c->links[i]);

		if (h)
			holding_withdraw(h);
	}
	c->n_links = 0;
}

void native_drop(struct native_call *c)
{
	if (c->on_drop)
		c->on_drop(c);
	withdraw_links(c);
	native_free(c);
}

static struct native_call *find_pending(struct zero *z, uint32_t cid)
{
	struct native_call *c, *after;

	list_each(c, after, &z->calls, list) if (c->cid == cid) return c;
	return NULL;
}

void native_cancel(struct zero *z, uint32_t cid)
{
	struct native_call *c = find_pending(z, cid);

	if (c)
		native_drop(c);
}

struct native_call *native_new(struct zero *z, const struct wire_message *m,
			       int *ret_error)
{
	struct native_call *c;

	*ret_error = -EPROTO;
	if (find_pending(z, m->cid))
		return NULL; /* it must be unique */
	*ret_error = -ENOMEM;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->server = z->server;
	c->zero = z;
	c->as = z->as;
	c->holder = z->holder;
	c->cid = m->cid;
	memcpy(c->name_bytes, m->name.p, m->name.size);
	c->name = (struct mp_bytes){ c->name_bytes, m->name.size };
	list_init(&c->waiter.list);
	list_init(&c->rights);
	mp_writer_init_heap(&c->values);
	ev_timer_init(&c->timer, NULL, 0., 0.);
	ev_timer_init(&c->deadline, NULL, 0., 0.);
	list_append(&z->calls, &c->list);
	z->n_calls++;
	return c;
}

/* --- answers --------------------------------------------------------------
 */

static void write_answer(struct native_call *c, struct mp_writer *w)
{
	if (c->status != STATUS_OK) {
		wire_write_failure(w, c->cid, c->status, c->message);
		return;
	}
	wire_begin_answer(w, c->cid, STATUS_OK);
	mp_write_array(w, c->n_values);
	mp_write_raw(w, c->values.data, c->values.used);
}

static void answer_too_large(struct native_call *c, struct mp_writer *w)
{
	mp_writer_deinit(w);
	mp_writer_init_heap(w);
	wire_write_failure(w, c->cid, STATUS_TOO_LARGE,
			   "the answer is larger than a message may be");
}

static void answer(struct native_call *c)
{
	struct zero *z = c->zero;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	if (mp_writer_end(&c->values) < 0)
		answer_too_large(c, &w);
	else
		write_answer(c, &w);
	if (w.used > z->message_bytes)
		answer_too_large(c, &w);
	native_free(c);
	/* who cannot be answered has closed the link, or soon has */
	(void)zero_send(z, &w);
	mp_writer_deinit(&w);
}

static void on_told(struct waiter *w)
{
	answer(container_of(w, struct native_call, waiter));
}

void native_finish(struct native_call *c, int status)
{
	c->status = status;
	c->on_drop = NULL;
	if (status != STATUS_OK)
		withdraw_links(c);
	if (status != STATUS_OK || c->n_links == 0 ||
	    !principal_busy(c->holder)) {
		answer(c);
		return;
	}
	c->waiter.go = on_told;
	principal_wait(c->holder, &c->waiter);
}

int native_complain(struct native_call *c, int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->message, sizeof(c->message), format, ap);
	va_end(ap);
	return status;
}

int native_check(struct native_call *c, enum policy_kind kind,
		 struct mp_bytes name)
{
	char rule[POLICY_RULE_BYTES];

	if (policy_admits(c->as->policy, kind, name, rule))
		return STATUS_OK;
	return native_complain(c, STATUS_DENIED, "%s", rule);
}

/* --- contexts -------------------------------------------------------------
 */

void native_write_link(struct native_call *c, uint64_t number)
{
	assert(c->n_links < ARRAY_SIZE(c->links));
	wire_write_context(&c->values, number);
	c->links[c->n_links++] = number;
}

/* The rights that the arguments name, once each. */
static int take_rights(struct native_call *c, struct mp_bytes args)
{
	struct wire_context found[WIRE_CONTEXTS_MAX];
	int n = wire_find_contexts(args, found, ARRAY_SIZE(found));

	for (int i = 0; i < n; i++) {
		struct holding *h = holding_find(c->server, found[i].number);

		if (!h || h->state != HOLDING_RIGHT || h->holder != c->holder ||
		    h->over != c->zero->number)
			return -ENOENT;
		list_remove(&h->of_call);
		list_append(&c->rights, &h->of_call);
	}
	return n < 0 ? n : 0;
}

struct holding *native_read_context(struct native_call *c,
				    struct mp_reader *args)
{
	uint64_t number = wire_read_context(args);
	struct holding *h, *after;

	list_each(h, after, &c->rights,
		  of_call) if (h->number == number) return h;
	args->bad = true;
	return NULL;
}

/* --- a call comes ---------------------------------------------------------
 */

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct native_call *c =
		container_of(timer, struct native_call, deadline);

	(void)loop;
	(void)events;
	if (c->on_drop)
		c->on_drop(c);
	native_finish(
		c, native_complain(c, STATUS_TIMEOUT, "the deadline passed"));
}

/* A call that is kept is answered at its deadline, whatever becomes of it. */
static void watch_deadline(struct native_call *c, uint64_t deadline_ms)
{
	double left_s;

	if (!deadline_ms)
		return;
	left_s = (double)deadline_ms / 1e3 - (double)clock_ns() / 1e9;
	ev_timer_init(&c->deadline, on_deadline, left_s > 0 ? left_s : 0., 0.);
	ev_timer_start(c->server->loop, &c->deadline);
}

static int refuse_name(struct native_call *c)
{
	struct mp_bytes prefix;

	if (native_reserved(c->name, &prefix))
		return native_complain(c, STATUS_NOT_FOUND,
				       "thoxd answers no such call");
	return native_complain(c, STATUS_NOT_FOUND,
			       "this is no call of thoxd's own: where it is "
			       "answered is to be asked first");
}

static int serve(struct native_call *c, const struct wire_message *m)
{
	const struct native_name *name = native_find(c->name);
	int status;

	if (c->zero->n_calls > ZERO_CALLS_MAX)
		return native_complain(c, STATUS_TOO_LARGE,
				       "more than %u calls wait for thoxd",
				       ZERO_CALLS_MAX);
	if (!name)
		return refuse_name(c);
	status = name->who == NATIVE_ALWAYS
			 ? STATUS_OK
			 : native_check(c, POLICY_CALL, c->name);
	if (status != STATUS_OK)
		return status;
	if (take_rights(c, m->args) < 0)
		return native_complain(c, STATUS_INVALID,
				       "an argument names a context that is "
				       "gone with its owner, or was not shared "
				       "over this link");
	mp_reader_init(&c->args, m->args.p, m->args.size);
	c->n_args = mp_read_array(&c->args);
	return name->handle(c);
}

int native_call(struct zero *z, const struct wire_message *m)
{
	struct native_call *c;
	int error, status;

	c = native_new(z, m, &error);
	if (!c)
		return error;
	watch_deadline(c, m->deadline_ms);
	status = serve(c, m);
	if (status != NATIVE_LATER)
		native_finish(c, status);
	return 0;
}
