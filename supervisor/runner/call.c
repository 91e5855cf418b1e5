/*
 * Step 7, in a runner: calls that it makes.
 *
 * The message is written before anything else, so that what cannot be sent is
 * told before anything has happened, and so that it carries what the arguments
 * were at that moment. Where the way is known and free it is sent from the one
 * writer; otherwise it is copied, and the task waits for what is missing.
 */

#include "runner/call.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "rpc/status.h"
#include "runner/channel.h"
#include "runner/child.h"
#include "runner/cid.h"
#include "runner/context.h"
#include "runner/event.h"
#include "runner/failure.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/lua_status.h"
#include "runner/mailbox.h"
#include "runner/outgoing.h"
#include "runner/relay.h"
#include "runner/route.h"
#include "runner/runner.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/trace.h"
#include "runner/value.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000.0

/* Where the number is in a call's message, as wire_begin_call() writes the
 * largest: it is put in when there is one. */
#define CID_OFFSET 3

static struct value_writer writer;
static const char no_memory[] = "not enough memory for the answer";
static const char no_such_value[] = "the answer has a value that Lua has not";

/* --- life -------------------------------------------------------------------
 */

static void on_due(struct timer *t);

static struct call *new_call(uint64_t begun_ns, uint64_t deadline_ns)
{
	struct call *call = malloc(sizeof(*call)); /* quicker than calloc() */

	if (!call)
		return NULL;
	memset(call, 0, offsetof(struct call, message));
	call->message[0] = '\0';
	call->cid = cid_new(call, false);
	if (call->cid == 0) {
		free(call);
		return NULL;
	}
	call->begun_ns = begun_ns;
	call->deadline_ns = deadline_ns;
	list_init(&call->list);
	list_init(&call->mine);
	timer_init(&call->timer, on_due);
	return call;
}

struct call *call_new(lua_State *L, uint64_t deadline_ns)
{
	struct mailbox *box = mailbox_get(L);
	struct call *call = new_call(clock_ns(), deadline_ns);

	if (!call) {
		luaL_error(L, "more than %d calls wait for their answers",
			   LIMIT_CALLS);
		return NULL;
	}
	call->task = task_current();
	call->task->talked_ns = call->begun_ns;
	list_append(&box->calls, &call->mine);
	timer_start(&call->timer, deadline_ns);
	return call;
}

struct call *call_new_relayed(struct served *s)
{
	struct call *call = new_call(s->begun_ns, s->deadline_ns);

	if (call)
		call->relayed = s;
	return call;
}

struct call *call_find(uint64_t cid)
{
	struct call *call = cid_find(cid, false);

	return call && !call->relayed ? call : NULL;
}

static void forget_copy(struct call *call)
{
	if (!call->copy)
		return;
	allocator_discharge(&runner.allocator, call->copy_bytes);
	free(call->copy);
	call->copy = NULL;
}

/* It is not in flight any more. */
static void leave_channel(struct call *call)
{
	struct channel *c = call->channel;

	if (!c)
		return;
	call->channel = NULL;
	list_remove(&call->list);
	forget_copy(call);
	c->n_calls--;
	if (c->n_calls > 0 || c->closed)
		return;
	if (c->context)
		context_settle(c->context);
	else if (c->moved)
		channel_close(c, true);
}

void call_release(struct call *call)
{
	leave_channel(call);
	if (call->lends && !call->answered)
		context_call_ended(call->cid);
	if (call->starts)
		child_starting(-1);
	timer_stop(&call->timer);
	list_remove(&call->mine);
	cid_free(call->cid);
	incoming_unref(call->answer);
	free(call);
}

/* It is answered: whoever waits for it goes on. */
static void finish(struct call *call, int status)
{
	struct mailbox *box = mailbox_of(call->task);

	call->answered = true;
	call->status = status;
	if (call->lends)
		context_call_ended(call->cid);
	timer_stop(&call->timer);
	leave_channel(call);
	list_remove(&call->mine);
	list_append(&box->answered, &call->mine);
	call->order = event_next_order();
	if (box->awaited == call)
		task_wake(call->task);
	else if (!call->resolve)
		event_answered(box);
}

void call_fail(struct call *call, int status, const char *format, ...)
{
	va_list args;

	if (call->answered)
		return;
	va_start(args, format);
	vsnprintf(call->message, sizeof(call->message), format, args);
	va_end(args);
	if (call->relayed)
		relay_failed(call, status);
	else
		finish(call, status);
}

/* The callee need not go on. */
static void send_cancel(struct call *call)
{
	uint8_t buf[16];
	struct mp_writer w;

	if (!call->channel)
		return;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_cancel(&w, call->cid);
	trace_cancel(call->channel, call->cid, true);
	channel_post(call->channel, buf, w.used);
}

void call_cancel(struct call *call, int status, const char *message)
{
	if (call->answered)
		return;
	send_cancel(call);
	call_fail(call, status, "%s", message);
}

static void fail_late(struct call *call)
{
	double seconds =
		(double)(call->deadline_ns - call->begun_ns) / NS_PER_S;

	call_fail(call, STATUS_TIMEOUT, "no answer in %.3g s", seconds);
}

static void on_due(struct timer *t)
{
	struct call *call = container_of(t, struct call, timer);

	send_cancel(call);
	fail_late(call);
}

/* Another thoxd may have to be told; without memory for that, the call fails
 * then. */
static void keep_copy(struct call *call, const void *data, size_t size)
{
	if (!allocator_charge(&runner.allocator, size))
		return;
	call->copy = malloc(size);
	if (!call->copy) {
		allocator_discharge(&runner.allocator, size);
		return;
	}
	memcpy(call->copy, data, size);
	call->copy_bytes = size;
}

void call_sent(struct call *call, struct channel *c, const void *data,
	       size_t size)
{
	call->channel = c;
	list_append(&c->calls, &call->list);
	c->n_calls++;
	if (c->resolves && data)
		keep_copy(call, data, size);
}

void call_send_again(struct channel *c)
{
	struct call *call, *after;

	list_each(call, after, &c->calls, list)
	{
		/* what it shares was the last one's to hand on */
		if (!call->copy ||
		    channel_post(c, call->copy, call->copy_bytes) < 0)
			call_fail(call, STATUS_CLOSED,
				  "thoxd ended before it answered");
		if (c->closed)
			return;
	}
}

/* --- making one -------------------------------------------------------------
 */

/* What is left of the call that the task serves, when that is less. */
static uint64_t inherit(const struct mailbox *box, uint64_t deadline_ns)
{
	const struct served *s = box->serving;

	if (s && s->deadline_ns < deadline_ns)
		return s->deadline_ns;
	return deadline_ns;
}

/* The whole message but for its number: 0, -EMSGSIZE, -ENOMEM. */
static int write_call(lua_State *L, const struct call_target *target,
		      uint64_t deadline_ns, int first, int n)
{
	uint64_t deadline_ms = 0;
	int r;

	if (deadline_ns != TIMER_NEVER)
		deadline_ms = deadline_ns / NS_PER_MS + 1;
	value_begin(&writer, LIMIT_MESSAGE_BYTES);
	wire_begin_call(&writer.mp, UINT32_MAX, target->name, target->name_size,
			deadline_ms);
	r = value_write_args(&writer, L, first, n);
	wire_end_call(&writer.mp, deadline_ms);
	return r == 0 && writer.mp.bad ? -ENOMEM : r;
}

static void put_cid(uint32_t cid)
{
	uint8_t *p = value_data(&writer) + CID_OFFSET;

	p[0] = (uint8_t)(cid >> 24);
	p[1] = (uint8_t)(cid >> 16);
	p[2] = (uint8_t)(cid >> 8);
	p[3] = (uint8_t)cid;
}

/* The channel, when nothing must be waited for, else NULL. */
static struct channel *known_channel(const struct call_target *target)
{
	struct channel *c;

	c = target->context ? channel_find(target->context->link, false)
			    : route_zero_now();
	return route_known(c, target->name, target->name_size);
}

static void fail_send(struct call *call, const struct channel *c, int r)
{
	if (r == -EMSGSIZE)
		call_fail(call, STATUS_TOO_LARGE,
			  "a message of more than %zu bytes (message_bytes)",
			  c ? c->limit_bytes : (size_t)LIMIT_MESSAGE_BYTES);
	else
		call_fail(call, STATUS_TOO_LARGE,
			  "not enough memory for the message");
}

/* Where a call of a context, or of a name, goes; waits. NULL: it is answered,
 * or the link has just ended: look again. */
static struct channel *find_channel(lua_State *L, struct call *call,
				    const struct call_target *target,
				    const struct context *context)
{
	struct channel *c;

	if (!context)
		return route_find_zero(L, call, target->name,
				       target->name_size);
	c = channel_find(context->link, false);
	if (c)
		return route_find(L, call, c, target->name, target->name_size);
	call_fail(call, STATUS_CLOSED, "the context is closed");
	return NULL;
}

/* One try to send it: false when there is more to do. */
static bool try_outgoing(lua_State *L, struct call *call,
			 const struct call_target *target,
			 const struct context *context, struct outgoing *o)
{
	struct channel *c = find_channel(L, call, target, context);
	char message[CALL_MESSAGE_BYTES];
	uint64_t number;
	int r;

	if (call->answered || !c)
		return call->answered;
	number = c->number;
	if (o->n_contexts > 0 && o->shared_over != number) {
		r = outgoing_share(L, o, number, call->cid, message,
				   sizeof(message));
		call->lends = true;
		if (r != STATUS_OK)
			call_fail(call, r, "%s", message);
		return call->answered; /* look again: it took its time */
	}
	r = channel_send(c, o->data, o->size);
	if (r == 0) {
		call_sent(call, c, o->n_contexts ? NULL : o->data, o->size);
		trace_call(c, call->cid, true, target->name, target->name_size,
			   o->size);
		return true;
	}
	if (r == -EAGAIN)
		channel_wait_room(L, number, "room for a call", TIMER_NEVER);
	else if (r == -EMSGSIZE || r == -ENOMEM)
		fail_send(call, r == -EMSGSIZE ? c : NULL, r);
	else
		channel_lost(c, true);
	return call->answered;
}

/* The way is not known or not free: with a copy, and with waiting. */
static void send_later(lua_State *L, struct call *call,
		       const struct call_target *target)
{
	struct outgoing *o = outgoing_push(L, &writer);
	struct mailbox *box = mailbox_get(L);
	struct context *context = target->context;
	uint32_t id = context ? context->id : 0;

	box->awaited = call; /* its deadline ends the waiting here */
	while (!call->answered) {
		/* it may be closed, and freed, while this waits */
		if (id && !(context = context_find(id))) {
			call_fail(call, STATUS_CLOSED, "the context is closed");
			break;
		}
		if (try_outgoing(L, call, target, context, o))
			break;
	}
	box->awaited = NULL;
	lua_pop(L, 1);
}

static void send_now(lua_State *L, struct call *call,
		     const struct call_target *target)
{
	struct channel *c = known_channel(target);
	int r = -EAGAIN;

	if (c && writer.n_contexts == 0)
		r = channel_send(c, value_data(&writer), value_size(&writer));
	if (r == 0) {
		call_sent(call, c, value_data(&writer), value_size(&writer));
		trace_call(c, call->cid, true, target->name, target->name_size,
			   value_size(&writer));
	} else {
		send_later(L, call, target); /* errors come again there */
	}
}

struct call *call_make(lua_State *L, const struct call_target *target,
		       int first, int n)
{
	uint64_t deadline_ns = inherit(mailbox_get(L), target->deadline_ns);
	int r = write_call(L, target, deadline_ns, first, n);
	struct call *call = call_new(L, deadline_ns);

	if (target->closed) {
		call_fail(call, STATUS_CLOSED, "the context is closed");
	} else if (r < 0) {
		fail_send(call, NULL, r);
	} else if (deadline_ns <= call->begun_ns) {
		call_fail(call, STATUS_TIMEOUT, "the deadline has passed");
	} else {
		put_cid(call->cid);
		send_now(L, call, target);
	}
	return call;
}

/* --- answers ----------------------------------------------------------------
 */

bool call_wait(lua_State *L, struct call *call, uint64_t deadline_ns)
{
	struct mailbox *box = mailbox_get(L);
	struct call *outer = box->awaited; /* that this is a part of */
	bool in_time = true;

	if (call->answered)
		return true;
	task_check_wait(L);
	box->awaited = call;
	while (!call->answered && in_time) {
		if (call->channel)
			channel_expect(call->channel, true);
		in_time = task_wait(L, "an answer", deadline_ns);
	}
	box->awaited = outer;
	return call->answered;
}

/* The values on the stack: their number, or -1 where Lua cannot have them;
 * then call->message says why. */
static int push_values(lua_State *L, struct call *call)
{
	struct mailbox *box = mailbox_get(L);
	int n;

	if (!call->answer) {
		lua_pushstring(L, call->message);
		return 1;
	}
	mailbox_read(box, call->answer);
	call->answer = incoming_unref(call->answer);
	n = incoming_push_values(box->reading, L, LIMIT_ANSWER_VALUES);
	mailbox_read(box, NULL);
	if (n >= 0)
		return n;
	call->status = n == -EBADMSG ? STATUS_INVALID : STATUS_TOO_LARGE;
	lua_pushstring(L, n == -E2BIG	 ? "an answer of too many values"
			  : n == -ENOMEM ? no_memory
					 : no_such_value);
	return 1;
}

/* Push them as one table: the message, if that cannot be. */
void call_push_packed(lua_State *L, struct call *call)
{
	int r = call->answer ? incoming_push_packed(call->answer, L) : 0;

	if (r == 1)
		return;
	lua_createtable(L, 1, 1);
	lua_pushinteger(L, 1);
	lua_setfield(L, -2, "n");
	if (r < 0)
		call->status = r == -ENOMEM ? STATUS_TOO_LARGE : STATUS_INVALID;
	lua_pushstring(L, r == 0	 ? call->message
			  : r == -ENOMEM ? no_memory
					 : no_such_value);
	lua_rawseti(L, -2, 1);
}

int call_push_answer(lua_State *L, struct call *call)
{
	int n, top = lua_gettop(L);

	lua_pushnil(L);
	n = push_values(L, call);
	lua_pushinteger(L, call->status);
	lua_replace(L, top + 1);
	call_release(call);
	return 1 + n;
}

int call_push_values(lua_State *L, struct call *call, const char *name)
{
	int n = push_values(L, call);
	int status = call->status;

	call_release(call);
	if (status == STATUS_OK)
		return n;
	if (n == 0)
		lua_pushliteral(L, "");
	else
		lua_pop(L, n - 1);
	lua_status_push_error(L, status, name); /* of the message on the top */
	return -1;
}

void call_on_answer(struct channel *c, struct link_message *raw,
		    const struct wire_message *m)
{
	struct call *call = cid_find(m->cid, false);

	if (!call || call->channel != c) {
		incoming_discard(c->number, m); /* given up, or never made */
		return;
	}
	trace_answer(c, m->cid, false, (int)m->status, call->begun_ns,
		     raw->size);
	if (call->relayed) {
		relay_answered(call, raw, m);
		return;
	}
	call->answer = incoming_new(c->number, raw, m);
	if (call->answer)
		finish(call, (int)m->status);
	else
		call_fail(call, STATUS_TOO_LARGE, "%s", no_memory);
}

void call_channel_closed(struct channel *c)
{
	while (!list_empty(&c->calls)) {
		struct call *call = list_first(&c->calls, struct call, list);

		/* Who serves knows the deadline, too, and may go at once. */
		if (clock_ns() >= call->deadline_ns)
			fail_late(call);
		else
			call_fail(call, STATUS_CLOSED, STATUS_CLOSED_TEXT);
	}
}

void call_forget_task(struct mailbox *box)
{
	while (!list_empty(&box->calls)) {
		struct call *call = list_first(&box->calls, struct call, mine);

		send_cancel(call);
		call_release(call);
	}
	while (!list_empty(&box->answered))
		call_release(list_first(&box->answered, struct call, mine));
}
