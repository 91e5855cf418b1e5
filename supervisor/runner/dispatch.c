/*
 * Step 7, in a runner: what came over a link, and what became of a task, to
 * whom it concerns.
 */

#include <stdlib.h>
#include <string.h>

#include "rpc/wire.h"
#include "runner/call.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/control.h"
#include "runner/event.h"
#include "runner/grants.h"
#include "runner/handler.h"
#include "runner/incoming.h"
#include "runner/listens.h"
#include "runner/mailbox.h"
#include "runner/provide.h"
#include "runner/push.h"
#include "runner/route.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/tell.h"
#include "runner/trace.h"

static void on_push(struct channel *c, struct link_message *raw,
		    const struct wire_message *m)
{
	if (channel_is_ours(c) && !grants_admit(c->grants, m->name)) {
		incoming_discard(c->number, m); /* there is no answer to it */
		return;
	}
	trace_push(c, false, m->name, raw->size);
	event_on_push(c, raw, m);
}

static void on_listen(struct channel *c, const struct wire_message *m)
{
	if (c->kind != CHANNEL_OF_CONTEXT || !grants_admit(c->grants, m->name))
		return;
	if (listens_set(&c->listens, m->name, m->on) > 0)
		event_on_listen(c, m->name, m->on);
}

/* Has thoxd's word about all that it names been read? */
static bool all_known(const struct wire_message *m)
{
	struct wire_context named[WIRE_CONTEXTS_MAX];
	int n = wire_find_contexts(m->args, named, WIRE_CONTEXTS_MAX);

	for (int i = 0; i < n; i++)
		if (!channel_find(named[i].number, false))
			return false;
	return n >= 0;
}

/*
 * What names contexts comes after thoxd's word about them, which is on another
 * link and may not have been read yet. All links are read into one buffer, so
 * the message is copied first.
 */
static bool look_for_contexts(struct link_message *raw, struct wire_message *m)
{
	if (!raw->owned) {
		raw->owned = malloc(raw->size);
		if (!raw->owned)
			return false;
		memcpy(raw->owned, raw->data, raw->size);
		raw->data = raw->owned;
		(void)wire_parse(raw->data, raw->size, m); /* as before */
	}
	control_look();
	return true;
}

/* One that says `again` is another thoxd's, which knows nothing of what the
 * last one has read. */
static void on_hello(struct channel *c, const struct wire_message *m)
{
	if (m->message_bytes > 0 && m->message_bytes < LINK_MESSAGE_BYTES)
		c->limit_bytes = m->message_bytes;
	c->returns = m->returns && c->kind == CHANNEL_HELD;
	if (!m->again || !c->resolves)
		return;
	channel_renew(c, m->again);
	if (!c->closed)
		push_listen_again(c);
	if (!c->closed)
		call_send_again(c);
}

static void on_message(struct channel *c, struct link_message *raw,
		       struct wire_message *m)
{
	if (m->n_ext > 0 && !all_known(m) && !look_for_contexts(raw, m))
		return;
	switch (m->kind) {
	case WIRE_HELLO:
		on_hello(c, m);
		break;
	case WIRE_CALL:
		served_on_call(c, raw, m);
		break;
	case WIRE_ANSWER:
		call_on_answer(c, raw, m);
		break;
	case WIRE_CANCEL:
		served_on_cancel(c, m);
		break;
	case WIRE_PUSH:
		on_push(c, raw, m);
		break;
	case WIRE_LISTEN:
		on_listen(c, m);
		break;
	case WIRE_MOVED:
		if (c->kind == CHANNEL_OF_NAME)
			provide_on_moved(c);
		else
			route_moved(c);
		break;
	case WIRE_RESOLVE:
		served_on_resolve(c, m);
		break;
	default: /* of a later version */
		break;
	}
}

/* A holder that goes may have passed the context on before: thoxd's word about
 * the new one is on another link, and must not be missed. */
static void on_ending(struct channel *c)
{
	if (c->kind == CHANNEL_OF_CONTEXT)
		control_look();
}

static void on_closed(struct channel *c, bool by_us)
{
	call_channel_closed(c);
	served_channel_closed(c);
	route_channel_closed(c);
	provide_caller_closed(c);
	if (!c->context)
		return;
	if (channel_is_ours(c))
		context_remove_holder(c->context, c, by_us);
	else
		context_lost(c->context, c, by_us);
}

const struct channel_hooks channel_hooks = {
	.message = on_message,
	.ending = on_ending,
	.closed = on_closed,
};

/* --- tasks ------------------------------------------------------------------
 */

/* The main function has returned: thoxd is told once that this goes on. */
static bool on_serving(void)
{
	static bool told;
	bool serving = task_count() > 1 || handler_serving();

	if (serving && !told) {
		told = true;
		tell_notice("serving", NULL, 0);
	}
	return serving;
}

const struct task_hooks task_hooks = {
	.release = mailbox_release,
	.terminate = event_terminate_task,
	.serving = on_serving,
};
