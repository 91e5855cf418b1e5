/*
 * Step 7, in a runner: calls that only go through.
 *
 * One on its way is two records that know each other: a struct served of the
 * caller's link and a struct call of the callee's. Each ends with the other:
 *
 *   comes                     on its way is then
 *   an answer                 sent back under the caller's number
 *   … with contexts, or one   a task's, that shares them and sends it (worker.h)
 *     of several records
 *   no room for it            answered TOO_LARGE, as any answer is
 *   cancel, the deadline,     over; the callee gets a cancel
 *     the caller's end
 *   the callee's end          answered CLOSED, or TIMEOUT if that is due
 *   another thoxd, asked      sent again, or answered CLOSED
 *
 * What is learnt is a table by the name's hash, one name in each place: who is
 * in another's place pushes it out.
 */

#include "runner/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/status.h"
#include "runner/call.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/handler.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/map.h"
#include "runner/route.h"
#include "runner/runner.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/trace.h"
#include "runner/worker.h"

struct rule {
	uint32_t handlings; /* the context's, when it was learnt */
	uint32_t to;	    /* a context */
	size_t name_size, to_size;
	char text[]; /* the name, and what it is called there */
};

struct relays {
	struct rule *rules[LIMIT_RELAYS];
};

static unsigned n_relayed;

/* One message of one record, which needs no copy to be sent. */
static uint8_t buffer[LINK_ROOM_BYTES + LINK_RECORD_BYTES - 1];

/* --- what is learnt ---------------------------------------------------------
 */

static size_t rule_bytes(const struct rule *rule)
{
	return sizeof(*rule) + rule->name_size + rule->to_size;
}

static void forget(struct rule **place)
{
	if (!*place)
		return;
	allocator_discharge(&runner.allocator, rule_bytes(*place));
	free(steal(place));
}

struct relays *relays_free(struct relays *r)
{
	for (size_t i = 0; r && i < LIMIT_RELAYS; i++)
		forget(&r->rules[i]);
	free(r);
	return NULL;
}

static size_t place_of(const char *name, size_t size)
{
	return map_hash(name, size) % LIMIT_RELAYS;
}

static bool is_rule(const struct rule *rule, const struct channel *c,
		    struct mp_bytes name)
{
	return rule && rule->handlings == c->context->handlings &&
	       rule->name_size == name.size &&
	       memcmp(rule->text, name.p, name.size) == 0;
}

/* NULL: no memory, which is the program's to run out of, not its caller's. */
static struct rule *new_rule(size_t name_size, size_t to_size)
{
	struct allocator *a = &runner.allocator;
	size_t bytes = sizeof(struct rule) + name_size + to_size;
	struct rule *rule;

	if (bytes > a->limit_bytes - a->used_bytes ||
	    !allocator_charge(a, bytes))
		return NULL;
	rule = malloc(bytes);
	if (!rule)
		allocator_discharge(a, bytes);
	return rule;
}

void relay_learn(struct served *s, const struct context *to, const char *name,
		 size_t name_size)
{
	struct channel *c = s->channel;
	const struct mp_bytes own = s->in->m.name;
	struct rule **place, *rule;

	if (!c || c->kind != CHANNEL_OF_CONTEXT)
		return;
	if (!c->relays)
		c->relays = calloc(1, sizeof(*c->relays));
	if (!c->relays)
		return;
	place = &c->relays->rules[place_of(own.p, own.size)];
	rule = *place;
	if (is_rule(rule, c, own) && rule->to == to->id &&
	    rule->to_size == name_size &&
	    memcmp(rule->text + own.size, name, name_size) == 0)
		return;
	forget(place);
	rule = new_rule(own.size, name_size);
	if (!rule)
		return;
	rule->handlings = c->context->handlings;
	rule->to = to->id;
	rule->name_size = own.size;
	rule->to_size = name_size;
	memcpy(rule->text, own.p, own.size);
	memcpy(rule->text + own.size, name, name_size);
	*place = rule;
}

/* --- there ------------------------------------------------------------------
 */

static const struct rule *find(const struct channel *c, struct mp_bytes name)
{
	const struct rule *rule;

	if (!c->relays)
		return NULL;
	rule = c->relays->rules[place_of(name.p, name.size)];
	return is_rule(rule, c, name) ? rule : NULL;
}

/* Where a call goes, if it can go at once and overtakes nothing. */
static struct channel *free_way(const struct channel *c,
				const struct rule *rule)
{
	const struct context *context = context_find(rule->to);
	struct channel *to;

	if (c->context->n_ahead > 0 || !context || context->owned)
		return NULL;
	to = route_known(channel_find(context->link, false),
			 rule->text + rule->name_size, rule->to_size);
	if (!to || !channel_has_room(to) || !list_empty(&to->senders))
		return NULL;
	return to;
}

/* As it came but for its number and its name. */
static bool send_on(struct channel *to, struct call *call,
		    const struct rule *rule, const struct wire_message *m)
{
	const char *name = rule->text + rule->name_size;
	uint8_t *data = buffer + LINK_ROOM_BYTES;
	struct mp_writer w;

	mp_writer_init(&w, data, sizeof(buffer) - LINK_ROOM_BYTES);
	wire_begin_call(&w, call->cid, name, rule->to_size, m->deadline_ms);
	mp_write_raw(&w, m->args.p, m->args.size);
	wire_end_call(&w, m->deadline_ms);
	if (mp_writer_end(&w) < 0 || channel_send(to, data, w.used) != 0)
		return false;
	call_sent(call, to, data, w.used);
	trace_call(to, call->cid, true, name, rule->to_size, w.used);
	return true;
}

bool relay_call(struct channel *c, const struct wire_message *m)
{
	const struct rule *rule = find(c, m->name);
	struct channel *to = rule && m->n_ext == 0 ? free_way(c, rule) : NULL;
	struct served *s = to ? served_open(c, m) : NULL;
	struct call *call;

	if (!s)
		return false;
	call = s->begun_ns < s->deadline_ns ? call_new_relayed(s) : NULL;
	if (!call || !send_on(to, call, rule, m)) {
		if (call)
			call_release(call);
		served_drop(s);
		return false;
	}
	s->by_function = true;
	s->relay = call;
	served_count(s);
	n_relayed++;
	channel_expect(to, true); /* the answer is likely the next to come */
	return true;
}

/* --- and back ---------------------------------------------------------------
 */

bool relay_busy(void)
{
	return n_relayed > 0;
}

/* It is on its way no more: what is left of it is @s. */
static struct served *arrive(struct call *call)
{
	struct served *s = call->relayed;

	s->relay = NULL;
	call_release(call);
	if (--n_relayed == 0)
		handler_look(); /* does the process go on? */
	return s;
}

/* For a task: it has contexts, or is large. */
static void pass_later(struct call *call, struct link_message *raw,
		       const struct wire_message *m)
{
	static const char no_memory[] = "not enough memory for the answer";
	struct incoming *in = incoming_new(call->channel->number, raw, m);
	struct served *s = arrive(call);

	if (!in) {
		served_fail(s, STATUS_TOO_LARGE, no_memory,
			    sizeof(no_memory) - 1);
		return;
	}
	in->passes = true;
	s->passed = in;
	worker_pass(s);
}

void relay_answered(struct call *call, struct link_message *raw,
		    const struct wire_message *m)
{
	uint8_t *data = buffer + LINK_ROOM_BYTES;
	struct mp_writer w;

	mp_writer_init(&w, data, sizeof(buffer) - LINK_ROOM_BYTES);
	wire_begin_answer(&w, call->relayed->their_cid, (int)m->status);
	mp_write_raw(&w, m->args.p, m->args.size);
	if (m->n_ext > 0 || mp_writer_end(&w) < 0)
		pass_later(call, raw, m);
	else
		served_post(arrive(call), (int)m->status, data, w.used);
}

void relay_failed(struct call *call, int status)
{
	char message[CALL_MESSAGE_BYTES];

	memcpy(message, call->message, sizeof(message));
	served_fail(arrive(call), status, message, strlen(message));
}
