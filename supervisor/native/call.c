/*
 * Step 6, in a native process: calls made.
 *
 * A call goes through at most three states: context 0 is not there yet
 * (n->zero_calls), its name is being resolved (a resolve's waiters), it was
 * sent (its link's list). In all of them it is on n->deadlines when it has
 * one. It ends by native_pending_finish(), which calls its function, or by
 * native_pending_free(), which does not.
 */

#include "native/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/control.h"

static const char empty_array[] = "\x90";
const struct mp_bytes native_no_args = { empty_array, 1 };

/* --- pendings ---------------------------------------------------------------
 */

/* Most deadlines are the latest when they are made: looked for from there. */
static void add_deadline(struct native *n, struct native_pending *p)
{
	struct list *at = n->deadlines.prev;

	while (at != &n->deadlines &&
	       list_entry(at, struct native_pending, timed)->deadline_ms >
		       p->deadline_ms)
		at = at->prev;
	/* after @at, which is before the member that follows it */
	list_append(at->next, &p->timed);
	native_arm(n, p->deadline_ms);
}

int native_pending_new(struct native *n, const char *name, size_t name_size,
		       uint64_t deadline_ms, native_answer_fn fn, void *user,
		       struct native_pending **ret)
{
	struct native_pending *p;

	if (n->n_pending >= NATIVE_PENDING_MAX)
		return -ENOBUFS;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	list_init(&p->list);
	list_init(&p->timed);
	list_init(&p->waiters);
	p->native = n;
	p->fn = fn;
	p->user = user;
	p->deadline_ms = deadline_ms;
	memcpy(p->name, name, name_size);
	if (deadline_ms)
		add_deadline(n, p);
	n->n_pending++;
	*ret = p;
	return 0;
}

/* Out of the lists; a link that only waited for it may go. */
static void detach(struct native_pending *p)
{
	struct native_link *l = p->link;

	list_remove(&p->timed);
	list_remove(&p->list);
	p->native->n_pending--;
	if (p->outgoing)
		native_parcel_forget(p->outgoing);
	if (!l || !p->cid)
		return;
	l->n_pending--;
	if (l->n_pending == 0 && l->refs == 0 && !l->zero && !l->ended)
		native_link_end(l);
}

void native_pending_free(struct native_pending *p)
{
	while (!list_empty(&p->waiters))
		native_pending_free(
			list_first(&p->waiters, struct native_pending, list));
	detach(p);
	native_parcel_clear(&p->args);
	free(p);
}

void native_pending_finish(struct native_pending *p, int status,
			   struct mp_bytes args)
{
	const struct native_answer a = { status, args };
	struct native *n = p->native;
	native_answer_fn fn = p->fn;
	void *user = p->user;

	if (p->resolve) {
		/* It takes the waiters out of it. */
		list_remove(&p->list);
		native_route_learn(p->link, p, status, args);
		native_pending_free(p);
		return;
	}
	native_pending_free(p);
	if (fn && !n->freeing)
		fn(n, &a, user);
}

void native_pending_fail(struct native_pending *p, int status,
			 const char *message)
{
	uint8_t buf[512];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 1);
	mp_write_strn(&w, message, strnlen(message, sizeof(buf) - 16));
	native_pending_finish(p, status,
			      (struct mp_bytes){ (char *)buf, w.used });
}

/* Of one that was not sent yet, the callee need not hear. */
static void tell_cancelled(struct native_pending *p)
{
	struct native_link *l = p->link;

	if (!l || !p->cid || p->outgoing || l->ended)
		return;
	native_trace_cancel(l, p->cid, true, p->sent_us);
	wire_write_cancel(native_begin(l->native), p->cid);
	(void)native_link_send(l);
}

void native_cancel(struct native_pending *p)
{
	tell_cancelled(p);
	native_pending_free(p);
}

static void time_out(struct native_pending *p)
{
	tell_cancelled(p);
	native_pending_fail(p, STATUS_TIMEOUT, "no answer in time");
}

void native_on_timer(struct native *n)
{
	while (!list_empty(&n->deadlines)) {
		struct native_pending *p =
			list_first(&n->deadlines, struct native_pending, timed);

		if (p->deadline_ms > native_now_ms()) {
			native_arm(n, p->deadline_ms);
			return;
		}
		time_out(p);
	}
}

/* --- sending ----------------------------------------------------------------
 */

static struct native_pending *find_cid(struct native_link *l, uint32_t cid)
{
	struct native_pending *p, *after;

	list_each(p, after, &l->pending, list)
	{
		if (p->cid == cid)
			return p;
	}
	return NULL;
}

/* Never 0, which says that a call was not sent. */
uint32_t native_new_cid(struct native_link *l)
{
	do {
		if (++l->last_cid == 0) {
			l->cids_wrapped = true;
			l->last_cid = 1;
		}
	} while (l->cids_wrapped && find_cid(l, l->last_cid));
	return l->last_cid;
}

/* A call is on its link's list from here on, also while it waits for its
 * contexts. */
int native_call_send(struct native_pending *p, struct native_link *l,
		     const uint8_t *args, size_t args_size,
		     const struct native_slot *slots, unsigned n_slots)
{
	struct mp_writer *w = native_begin(l->native);
	const struct fate fate = { .pending = p };
	uint32_t cid = native_new_cid(l);
	size_t offset;
	int r;

	wire_begin_call(w, cid, p->name, strlen(p->name), p->deadline_ms);
	offset = w->used;
	mp_write_raw(w, args, args_size);
	wire_end_call(w, p->deadline_ms);
	r = native_parcel_send(l, offset, slots, n_slots, &fate);
	if (r < 0)
		return r;
	p->link = l;
	p->cid = cid;
	list_append(&l->pending, &p->list);
	l->n_pending++;
	p->sent_us = native_trace_call(
		l, cid, true, (struct mp_bytes){ p->name, strlen(p->name) },
		args_size);
	return 0;
}

static void fail_to_send(struct native_pending *p, int r)
{
	if (r == -EPIPE || r == -ECONNRESET)
		native_pending_fail(p, STATUS_CLOSED, "it is gone");
	else if (r == -EMSGSIZE)
		native_pending_fail(p, STATUS_TOO_LARGE,
				    "the call is larger than the callee takes");
	else if (r == -ENOBUFS)
		native_pending_fail(p, STATUS_TOO_LARGE,
				    "the callee does not keep up");
	else
		native_pending_fail(p, STATUS_ERROR, strerror(-r));
}

/* Where calls of @name on @l go, or NULL: it is to be resolved first. */
static struct native_link *way(struct native_link *l, const char *name)
{
	struct route *route;

	if (!l->resolves)
		return l;
	route = native_route_find(l, name, strlen(name));
	return route && !route->stale ? native_route_pick(l, route) : NULL;
}

/* @p is on no list: its arguments are its own. */
void native_pending_go(struct native_pending *p, struct native_link *l)
{
	struct native_link *to = way(l, p->name);
	int r;

	p->link = NULL;
	if (!to) {
		r = native_resolve(l, p);
	} else {
		struct parcel args = p->args;

		p->args = (struct parcel){ 0 };
		r = native_call_send(p, to, args.data, args.size, args.slots,
				     args.n_slots);
		native_parcel_clear(&args);
	}
	if (r < 0)
		fail_to_send(p, r);
}

/* --- context 0 --------------------------------------------------------------
 */

int native_want_zero(struct native *n)
{
	struct mp_writer *w;

	if (n->zero_wanted)
		return 0;
	w = native_begin(n);
	mp_write_array(w, 1);
	mp_write_uint(w, CONTROL_WANT_ZERO);
	n->zero_wanted = true;
	return native_tell(n);
}

void native_on_zero(struct native *n, struct native_link *l)
{
	struct list waiting;

	n->zero = l;
	n->zero_wanted = true;
	native_ears_tell(n, l);
	native_late_send(n);
	list_init(&waiting);
	while (!list_empty(&n->zero_calls)) {
		struct native_pending *p =
			list_first(&n->zero_calls, struct native_pending, list);

		list_remove(&p->list);
		list_append(&waiting, &p->list);
	}
	while (!list_empty(&waiting)) {
		struct native_pending *p =
			list_first(&waiting, struct native_pending, list);

		list_remove(&p->list);
		native_pending_go(p, l);
	}
}

/* --- what the user calls ----------------------------------------------------
 */

/* Keep @p until it has a way. */
static int put_by(struct native_pending *p, const struct native_values *args)
{
	if (!args)
		return native_parcel_copy(&p->args,
					  (const uint8_t *)native_no_args.p,
					  native_no_args.size, NULL, 0);
	return native_parcel_copy(&p->args, args->w.data, args->w.used,
				  args->slots, args->n_slots);
}

static int start(struct native_pending *p, struct native_link *on,
		 const struct native_values *args)
{
	struct native *n = p->native;
	struct native_link *to;
	int r;

	if (!on)
		on = n->zero;
	to = on ? way(on, p->name) : NULL;
	if (to && args)
		return native_call_send(p, to, args->w.data, args->w.used,
					args->slots, args->n_slots);
	if (to)
		return native_call_send(p, to,
					(const uint8_t *)native_no_args.p,
					native_no_args.size, NULL, 0);
	r = put_by(p, args);
	if (r < 0)
		return r;
	if (on)
		return native_resolve(on, p);
	list_append(&n->zero_calls, &p->list);
	return native_want_zero(n);
}

static int check_args(const struct native_values *args)
{
	struct mp_reader r;

	if (!args)
		return 0;
	if (mp_writer_end(&args->w) < 0)
		return args->n_slots < NATIVE_CONTEXTS_MAX ? -ENOMEM
							   : -EMSGSIZE;
	mp_reader_init(&r, args->w.data, args->w.used);
	if (mp_peek(&r) != MP_ARRAY)
		return -EINVAL;
	mp_skip(&r);
	return mp_end(&r) < 0 ? -EINVAL : 0;
}

int native_call(struct native *n, struct native_link *on, const char *name,
		const struct native_values *args, uint64_t timeout_ms,
		native_answer_fn fn, void *user, struct native_pending **ret)
{
	uint64_t deadline_ms = timeout_ms ? native_now_ms() + timeout_ms : 0;
	struct native_pending *p;
	int r;

	if (n->error)
		return n->error;
	if (on && on->ended)
		return -EPIPE;
	if (!wire_check_name(name, strlen(name)))
		return -EINVAL;
	r = check_args(args);
	if (r < 0)
		return r;
	r = native_pending_new(n, name, strlen(name), deadline_ms, fn, user,
			       &p);
	if (r < 0)
		return r;
	r = start(p, on, args);
	if (r < 0) {
		native_pending_free(p);
		return r;
	}
	if (ret)
		*ret = p;
	return 0;
}

void native_on_answer(struct native_link *l, const struct wire_message *m)
{
	struct native_pending *p = find_cid(l, m->cid);

	/* One that was given up, or that waits to be sent and nobody knows. */
	if (!p || p->outgoing)
		return;
	native_trace_answer(l, m->cid, false, (int)m->status, p->sent_us,
			    m->args.size);
	native_pending_finish(p, (int)m->status, m->args);
}

/* --- for those who wait ------------------------------------------------------
 */

struct waiting {
	bool done;
	int error;
	struct native_answer answer;
};

static void on_awaited(struct native *n, const struct native_answer *a,
		       void *user)
{
	struct waiting *w = user;
	char *copy = malloc(a->args.size);

	(void)n;
	w->done = true;
	if (!copy) {
		w->error = -ENOMEM;
		return;
	}
	memcpy(copy, a->args.p, a->args.size);
	w->answer.status = a->status;
	w->answer.args = (struct mp_bytes){ copy, a->args.size };
}

int native_call_wait(struct native *n, struct native_link *on, const char *name,
		     const struct native_values *args, uint64_t timeout_ms,
		     struct native_answer *ret_answer)
{
	struct waiting w = { 0 };
	struct native_pending *p;
	int r = native_call(n, on, name, args, timeout_ms, on_awaited, &w, &p);

	if (r < 0)
		return r;
	while (r == 0 && !w.done)
		r = native_wait(n, -1);
	if (!w.done) {
		native_cancel(p);
		return r;
	}
	if (w.error)
		return w.error;
	*ret_answer = w.answer;
	return 0;
}

void native_answer_deinit(struct native_answer *a)
{
	free((char *)a->args.p);
	a->args = (struct mp_bytes){ NULL, 0 };
}

void native_answer_message(const struct native_answer *a, char *ret,
			   size_t size)
{
	struct mp_bytes text = { "", 0 };
	struct mp_reader r;

	mp_reader_init(&r, a->args.p, a->args.size);
	if (mp_read_array(&r) > 0 &&
	    (mp_peek(&r) == MP_STR || mp_peek(&r) == MP_BIN))
		text = mp_read_str(&r);
	snprintf(ret, size, "%.*s", (int)text.size, text.p);
}
