/*
 * Step 7, in a runner: calls that it receives.
 */

#include "runner/served.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "rpc/status.h"
#include "runner/call.h"
#include "runner/channel.h"
#include "runner/cid.h"
#include "runner/context.h"
#include "runner/event.h"
#include "runner/grants.h"
#include "runner/handler.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/mailbox.h"
#include "runner/outgoing.h"
#include "runner/provide.h"
#include "runner/relay.h"
#include "runner/request.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/tell.h"
#include "runner/trace.h"
#include "runner/value.h"

#define NS_PER_MS     1000000ULL
#define FAILURE_BYTES 320
#define REASON_BYTES  160

static struct value_writer writer;
static struct list throttled = { &throttled, &throttled };
static unsigned n_served;

/* for thoxd: how this process is called */
static uint64_t n_received;
static uint64_t last_ns; /* 0: not yet */

/* --- life -------------------------------------------------------------------
 */

struct served *served_find(uint64_t cid)
{
	struct served *s = cid_find(cid, true);

	return s && !s->relay ? s : NULL;
}

struct served *served_ref(struct served *s)
{
	s->refs++;
	return s;
}

struct served *served_unref(struct served *s)
{
	if (!s || --s->refs > 0)
		return NULL;
	incoming_unref(s->in);
	incoming_unref(s->passed);
	peer_unref(s->peer);
	if (s->context)
		context_unref(s->context);
	free(s);
	return NULL;
}

/* --- how many ---------------------------------------------------------------
 */

static bool is_full(const struct channel *c)
{
	return n_served >= runner.messages ||
	       c->n_served >= LIMIT_SERVED_LINK ||
	       c->peer->n_served >= LIMIT_SERVED_PEER;
}

static void count_up(struct served *s)
{
	struct channel *c = s->channel;

	n_served++;
	n_received++;
	last_ns = s->begun_ns;
	c->n_served++;
	c->peer->n_served++;
	list_append(&c->served, &s->list);
	if (is_full(c) && !c->throttled) {
		list_append(&throttled, &c->throttle);
		channel_throttle(c);
	}
}

/* Read on where there is room again. Not at each answer, but when half of
 * what was full is free. */
static void resume(void)
{
	struct channel *c, *after;

	list_each(c, after, &throttled, throttle) if (!is_full(c))
	{
		list_remove(&c->throttle);
		channel_resume(c);
	}
}

static void count_down(struct served *s)
{
	struct channel *c = s->channel;

	n_served--;
	c->n_served--;
	c->peer->n_served--;
	list_remove(&s->list);
	if (!list_empty(&throttled) &&
	    (n_served == runner.messages / 2 ||
	     c->n_served == LIMIT_SERVED_LINK / 2 ||
	     c->peer->n_served == LIMIT_SERVED_PEER / 2 || n_served == 0))
		resume();
}

void served_went_on(struct served *s)
{
	if (!s->ahead)
		return;
	s->ahead = false;
	s->context->n_ahead--;
}

/* It is answered, or nobody waits for that: the number leads nowhere. */
static void finish(struct served *s)
{
	if (s->cid == 0)
		return;
	served_went_on(s);
	cid_free(s->cid);
	s->cid = 0;
	timer_stop(&s->timer);
	event_call_answered(s);
	if (s->channel) {
		struct channel *c = s->channel;

		count_down(s);
		s->channel = NULL;
		provide_settle(c);
	}
	served_unref(s);
}

/* --- answering --------------------------------------------------------------
 */

static int post(struct channel *c, const struct mp_writer *w)
{
	int r = mp_writer_end(w);

	return r < 0 ? r : channel_post(c, w->data, w->used);
}

static void post_failure(struct channel *c, uint32_t cid, int status,
			 const char *message, size_t size)
{
	uint8_t buf[FAILURE_BYTES + 32];
	struct mp_writer w;

	if (size > FAILURE_BYTES)
		size = FAILURE_BYTES;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_answer(&w, cid, status);
	mp_write_array(&w, 1);
	mp_write_strn(&w, message, size);
	/* What is short always finds room: see channel.h. */
	(void)post(c, &w);
}

void served_fail(struct served *s, int status, const char *message, size_t size)
{
	if (s->channel && !s->cancelled) {
		trace_answer(s->channel, s->their_cid, true, status,
			     s->begun_ns, size);
		post_failure(s->channel, s->their_cid, status, message, size);
	}
	finish(s);
}

/* A limit was met: the caller gets that instead. */
static void fail_over_limit(struct served *s, int r, char *message, size_t size)
{
	if (r == -EMSGSIZE)
		snprintf(message, size,
			 "an answer of more than %zu bytes (message_bytes)",
			 s->channel ? s->channel->limit_bytes
				    : (size_t)LIMIT_MESSAGE_BYTES);
	else if (r == -ENOBUFS)
		snprintf(message, size,
			 "the caller does not take its answers (queued_bytes)");
	else
		snprintf(message, size, "not enough memory for the answer");
	served_fail(s, STATUS_TOO_LARGE, message, strlen(message));
}

static bool fail_too_large(lua_State *L, struct served *s, int r)
{
	char message[REASON_BYTES];

	fail_over_limit(s, r, message, sizeof(message));
	lua_pushstring(L, message);
	return false;
}

/* Contexts in it are shared first, which takes time: the call may be given up
 * meanwhile. 0, a STATUS_… of sharing, or negative errno. */
static int answer_later(lua_State *L, struct served *s, char *message,
			size_t size)
{
	struct outgoing *o = outgoing_push(L, &writer);
	struct mailbox *box = mailbox_get(L);
	int r;

	s->answering = true;
	box->answering = served_ref(s);
	r = outgoing_share(L, o, s->channel->number, 0, message, size);
	box->answering = NULL;
	s->answering = false;
	if (r == STATUS_OK && s->channel && !s->cancelled)
		r = channel_post_in_place(s->channel, o->data, o->size);
	served_unref(s); /* it has another reference: it is not answered yet */
	lua_pop(L, 1);
	return r;
}

void served_abandon(struct served *s)
{
	static const char message[] = "the task that answered was ended";

	s->answering = false;
	served_fail(s, STATUS_ERROR, message, sizeof(message) - 1);
	served_unref(s);
}

bool served_answer(lua_State *L, struct served *s, int status, int first, int n)
{
	char message[REQUEST_MESSAGE_BYTES];
	int r;

	value_begin(&writer, LIMIT_MESSAGE_BYTES);
	wire_begin_answer(&writer.mp, s->their_cid, status);
	r = value_write_args(&writer, L, first, n);
	if (r < 0)
		return fail_too_large(L, s, r);
	if (!s->channel || s->cancelled) {
		finish(s);
		lua_pushliteral(L, "nobody waits for the answer");
		return false;
	}
	trace_answer(s->channel, s->their_cid, true, status, s->begun_ns,
		     value_size(&writer));
	if (writer.n_contexts == 0)
		r = channel_post_in_place(s->channel, value_data(&writer),
					  value_size(&writer));
	else
		r = answer_later(L, s, message, sizeof(message));
	if (r < 0 && r != -EPIPE)
		return fail_too_large(L, s, r);
	if (r > 0) {
		served_fail(s, r, message, strlen(message));
		lua_pushstring(L, message);
		return false;
	}
	finish(s);
	return true;
}

void served_post(struct served *s, int status, uint8_t *data, size_t size)
{
	char message[REASON_BYTES];
	int r = 0;

	if (s->channel && !s->cancelled) {
		trace_answer(s->channel, s->their_cid, true, status,
			     s->begun_ns, size);
		r = channel_post_in_place(s->channel, data, size);
	}
	if (r < 0 && r != -EPIPE)
		fail_over_limit(s, r, message, sizeof(message));
	else
		finish(s);
}

void served_take(struct served *s, struct mailbox *box)
{
	s->taken = true;
	box->task->talked_ns = s->begun_ns;
	served_ref(s);
	served_unref(box->serving);
	box->serving = s;
}

/* --- what happens -----------------------------------------------------------
 */

/* Whoever serves it may stop; one that nobody has taken yet is gone. */
static void give_up(struct served *s)
{
	struct call *forwarded;

	if (s->cancelled)
		return;
	s->cancelled = true;
	timer_stop(&s->timer);
	if (s->relay) {
		call_cancel(s->relay, STATUS_CANCELLED, "cancelled");
		return; /* and that was the end of it */
	}
	forwarded = call_find(s->forwarded);
	if (forwarded)
		call_cancel(forwarded, STATUS_CANCELLED, "cancelled");
	if (!s->taken)
		finish(s);
	else if (!s->by_function)
		event_cancelled(s);
}

static void on_due(struct timer *t)
{
	give_up(container_of(t, struct served, timer));
}

struct served *served_open(struct channel *c, const struct wire_message *m)
{
	struct served *s = malloc(sizeof(*s)); /* quicker than calloc() */

	if (!s)
		return NULL;
	*s = (struct served){
		.refs = 1,
		.their_cid = m->cid,
		.channel = c,
		.begun_ns = clock_ns(),
		.deadline_ns = TIMER_NEVER,
	};
	s->cid = cid_new(s, true);
	if (s->cid == 0) {
		free(s);
		return NULL;
	}
	s->context = c->context ? context_ref(c->context) : NULL;
	s->peer = peer_ref(c->peer);
	if (m->deadline_ms && m->deadline_ms < TIMER_NEVER / NS_PER_MS)
		s->deadline_ns = m->deadline_ms * NS_PER_MS;
	timer_init(&s->timer, on_due);
	timer_start(&s->timer, s->deadline_ns);
	return s;
}

void served_count(struct served *s)
{
	count_up(s);
}

void served_drop(struct served *s)
{
	cid_free(s->cid);
	timer_stop(&s->timer);
	served_unref(s);
}

static struct served *new_served(struct channel *c, struct link_message *raw,
				 const struct wire_message *m)
{
	struct served *s = served_open(c, m);

	if (!s)
		return NULL;
	s->in = incoming_new(c->number, raw, m);
	if (!s->in) {
		served_drop(s);
		return NULL;
	}
	return s;
}

static void refuse(struct channel *c, const struct wire_message *m, int status,
		   const char *message)
{
	trace_answer(c, m->cid, true, status, clock_ns(), strlen(message));
	post_failure(c, m->cid, status, message, strlen(message));
	incoming_discard(c->number, m);
}

void served_on_call(struct channel *c, struct link_message *raw,
		    const struct wire_message *m)
{
	char rule[200];
	struct served *s;

	trace_call(c, m->cid, false, m->name.p, m->name.size, raw->size);
	if (!channel_is_ours(c)) {
		refuse(c, m, STATUS_NOT_FOUND, "an owner does not call");
		return;
	}
	if (!grants_admit(c->grants, m->name)) {
		grants_explain(c->grants, m->name, rule, sizeof(rule));
		refuse(c, m, STATUS_DENIED, rule);
		return;
	}
	if (relay_call(c, m))
		return;
	s = new_served(c, raw, m);
	if (!s) {
		refuse(c, m, STATUS_TOO_LARGE,
		       "not enough memory to take the "
		       "call");
		return;
	}
	count_up(s);
	if (s->context) {
		s->ahead = true;
		s->context->n_ahead++;
	}
	if (!handler_serve(s))
		event_called(s);
}

void served_on_cancel(struct channel *c, const struct wire_message *m)
{
	struct served *s, *after;

	trace_cancel(c, m->cid, false);
	list_each(s, after, &c->served, list) if (s->their_cid == m->cid)
	{
		give_up(s);
		return;
	}
}

void served_tell_use(uint64_t id)
{
	tell_use(id, n_received, n_served, (clock_ns() - last_ns) / NS_PER_MS);
}

/* Who is asked for a route is in the way, and stays there. */
void served_on_resolve(struct channel *c, const struct wire_message *m)
{
	uint8_t buf[32];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_answer(&w, m->cid, STATUS_OK);
	mp_write_array(&w, 1);
	mp_write_str(&w, "");
	(void)post(c, &w);
}

void served_channel_closed(struct channel *c)
{
	while (!list_empty(&c->served)) {
		struct served *s = list_first(&c->served, struct served, list);

		count_down(s);
		s->channel = NULL;
		give_up(s);
	}
}
