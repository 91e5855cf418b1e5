/*
 * Step 6, in a native process: calls served.
 *
 * A request lives from its call to its answer, which the handler owes in every
 * case; a caller that goes first takes nothing with it but the way back. What
 * the link's grant does not admit is answered here.
 */

#include "native/private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool native_granted(const struct native_link *l, struct mp_bytes name)
{
	const struct mp_bytes grants = { (const char *)l->grants,
					 l->grants_size };

	return native_grants_admit(grants, name);
}

static void refuse(struct native_link *l, uint32_t cid, uint64_t since_us,
		   int status, const char *message)
{
	wire_write_failure(native_begin(l->native), cid, status, message);
	native_trace_answer(l, cid, true, status, since_us, strlen(message));
	/* The queue of an owner's end takes every failure: its caller is not
	 * read while anything waits there. */
	(void)native_link_send(l);
}

static struct request *find_request(struct native_link *l, uint32_t cid)
{
	struct request *q, *after;

	list_each(q, after, &l->requests, list)
	{
		if (q->cid == cid)
			return q;
	}
	return NULL;
}

static struct request *request_new(struct native_link *l,
				   const struct wire_message *m,
				   uint64_t since_us)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->q.native = l->native;
	q->q.context = l->context;
	q->q.peer = &l->peer;
	q->q.args = m->args;
	q->q.deadline_ms = m->deadline_ms;
	memcpy(q->q.name, m->name.p, m->name.size);
	q->link = q->home = l;
	l->refs++;
	q->cid = m->cid;
	q->came_us = since_us;
	q->handler = native_link_handler(l, &q->user);
	list_append(&l->requests, &q->list);
	l->n_requests++;
	if (l->n_requests >= NATIVE_REQUESTS_MAX)
		native_link_watch(l);
	return q;
}

void native_on_call(struct native_link *l, const struct wire_message *m)
{
	const struct native_handler *handler;
	struct request *q;
	uint64_t since_us;
	char text[256];
	void *user;

	since_us = native_trace_call(l, m->cid, false, m->name, m->args.size);
	handler = native_link_handler(l, &user);
	if (!(handler && handler->unchecked) && !native_granted(l, m->name)) {
		snprintf(text, sizeof(text),
			 "%.*s: not among what the caller's policy grants",
			 (int)m->name.size, m->name.p);
		refuse(l, m->cid, since_us, STATUS_DENIED, text);
		return;
	}
	if (!handler || !handler->call) {
		refuse(l, m->cid, since_us, STATUS_NOT_FOUND,
		       "nobody answers here");
		return;
	}
	if (find_request(l, m->cid)) {
		native_link_end(l); /* which of the two would be answered? */
		return;
	}
	q = request_new(l, m, since_us);
	if (!q) {
		refuse(l, m->cid, since_us, STATUS_ERROR, strerror(ENOMEM));
		return;
	}
	handler->call(&q->q, user);
}

static void cancel(struct request *q)
{
	if (q->q.cancelled)
		return;
	q->q.cancelled = true;
	if (q->handler->cancel && !q->q.native->freeing)
		q->handler->cancel(&q->q, q->user);
}

void native_on_cancel(struct native_link *l, uint32_t cid)
{
	struct request *q = find_request(l, cid);

	if (!q)
		return;
	native_trace_cancel(l, cid, false, q->came_us);
	cancel(q);
}

static void request_free(struct request *q)
{
	struct native_link *l = q->link;

	list_remove(&q->list);
	q->home->refs--; /* it is freed at the end of a turn, if it is over */
	free(q);
	if (!l)
		return;
	l->n_requests--;
	native_link_watch(l);
	if (l->bound && l->bound->moving)
		native_check_moved(l->native);
}

/* The link of @l's requests has ended. They are still to be answered, into
 * nothing. */
void native_requests_gone(struct native_link *l)
{
	struct list orphans;

	list_init(&orphans);
	while (!list_empty(&l->requests)) {
		struct request *q =
			list_first(&l->requests, struct request, list);

		list_remove(&q->list);
		list_append(&orphans, &q->list);
		q->link = NULL;
	}
	l->n_requests = 0;
	while (!list_empty(&orphans)) {
		struct request *q = list_first(&orphans, struct request, list);

		list_remove(&q->list);
		list_append(&l->native->orphans, &q->list);
		cancel(q); /* which may answer it, and others */
	}
}

void native_requests_void(struct native_link *l)
{
	struct request *q, *after;

	list_each(q, after, &l->requests, list)
	{
		q->q.context = NULL;
		q->q.cancelled = true;
	}
}

void native_requests_free(struct native *n)
{
	struct request *q, *after;

	list_each(q, after, &n->orphans, list)
	{
		free(q);
	}
	list_init(&n->orphans);
}

static int send_answer(struct request *q, const struct native_values *values)
{
	struct native_link *l = q->link;
	const struct fate fate = { .answer = true, .cid = q->cid };
	struct mp_writer *w = native_begin(l->native);
	size_t offset, size;

	wire_begin_answer(w, q->cid, STATUS_OK);
	offset = w->used;
	if (values)
		mp_write_raw(w, values->w.data, values->w.used);
	else
		mp_write_array(w, 0);
	size = w->used - offset;
	if (values && mp_writer_end(&values->w) < 0)
		return -ENOMEM;
	native_trace_answer(l, q->cid, true, STATUS_OK, q->came_us, size);
	return native_parcel_send(l, offset, values ? values->slots : NULL,
				  values ? values->n_slots : 0, &fate);
}

int native_answer(struct native_request *request,
		  const struct native_values *values)
{
	struct request *q = container_of(request, struct request, q);
	struct native_link *l = q->link;
	int r = l ? send_answer(q, values) : -EPIPE;

	if (r == -EMSGSIZE || r == -ENOBUFS)
		refuse(l, q->cid, q->came_us, STATUS_TOO_LARGE,
		       r == -EMSGSIZE
			       ? "the answer is larger than the caller takes"
			       : "the caller does not take its answers");
	else if (r == -ENOMEM)
		refuse(l, q->cid, q->came_us, STATUS_ERROR, strerror(ENOMEM));
	request_free(q);
	return r;
}

int native_answer_failure(struct native_request *request, int status,
			  const char *format, ...)
{
	struct request *q = container_of(request, struct request, q);
	struct native_link *l = q->link;
	struct mp_writer *w;
	char text[512];
	va_list ap;
	int r = -EPIPE;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (l) {
		w = native_begin(l->native);
		wire_write_failure(w, q->cid, status, text);
		native_trace_answer(l, q->cid, true, status, q->came_us,
				    strlen(text));
		r = native_parcel_send(
			l, 0, NULL, 0,
			&(struct fate){ .answer = true, .cid = q->cid });
	}
	request_free(q);
	return r;
}

/* --- holders ----------------------------------------------------------------
 */

void native_on_opened(struct native_link *l)
{
	const struct native_handler *handler;
	void *user;

	if (l->context)
		l->context->n_holders++;
	else if (l->bound)
		l->bound->n_holders++;
	handler = native_link_handler(l, &user);
	/* What it may do with its end a holder has to know at once. */
	if (handler && handler->returned)
		(void)native_link_greet(l);
	if (handler && handler->opened)
		handler->opened(l->native, &l->peer, user);
}

void native_on_return(struct native_link *l)
{
	const struct native_handler *handler;
	void *user;

	handler = native_link_handler(l, &user);
	if (handler && handler->returned && l->n_requests == 0)
		handler->returned(l->native, &l->peer, user);
	else
		native_link_end(l);
}

static struct wish *find_wish(struct native_link *l, struct mp_bytes name)
{
	struct wish *w, *after;

	list_each(w, after, &l->wishes, list)
	{
		if (w->size == name.size &&
		    memcmp(w->name, name.p, w->size) == 0)
			return w;
	}
	return NULL;
}

void native_on_listen(struct native_link *l, const struct wire_message *m)
{
	struct wish *w = find_wish(l, m->name);

	if (w && !m->on) {
		list_remove(&w->list);
		l->n_wishes--;
		free(w);
	}
	/* What is not granted is not heard; nor is what is too much. */
	if (w || !m->on || l->n_wishes >= NATIVE_WISHES_MAX ||
	    !native_granted(l, m->name))
		return;
	w = malloc(sizeof(*w) + m->name.size);
	if (!w)
		return;
	w->size = m->name.size;
	memcpy(w->name, m->name.p, w->size);
	list_append(&l->wishes, &w->list);
	l->n_wishes++;
}
