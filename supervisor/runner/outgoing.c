/*
 * Step 7, in a runner: messages that wait to be sent.
 */

#include "runner/outgoing.h"

#include <endian.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/control.h"
#include "rpc/status.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/request.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/tell.h"

#define OUTGOING "thox.outgoing"

/* One that no userdata has yet: the collector may run while that is made, and
 * use the writer, or memory may end. */
static struct outgoing *limbo;

static struct outgoing *release(struct outgoing *o)
{
	if (!o)
		return NULL;
	while (o->n_contexts > 0)
		context_unref(o->contexts[--o->n_contexts].context);
	allocator_discharge(&runner.allocator, o->charged_bytes);
	free(o);
	return NULL;
}

static int l_gc(lua_State *L)
{
	struct outgoing **u = luaL_checkudata(L, 1, OUTGOING);

	*u = release(*u);
	return 0;
}

void outgoing_open(lua_State *L)
{
	luaL_newmetatable(L, OUTGOING);
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}

static struct outgoing *copy(const struct value_writer *v)
{
	size_t head = sizeof(struct outgoing) +
		      v->n_contexts * sizeof(struct outgoing_context);
	size_t bytes = head + LINK_ROOM_BYTES + value_size(v);
	struct outgoing *o;

	if (!allocator_charge(&runner.allocator, bytes))
		return NULL;
	o = malloc(bytes);
	if (!o) {
		allocator_discharge(&runner.allocator, bytes);
		return NULL;
	}
	o->shared_over = 0;
	o->charged_bytes = bytes;
	o->size = value_size(v);
	o->data = (uint8_t *)o + head + LINK_ROOM_BYTES;
	o->n_contexts = v->n_contexts;
	memcpy(o->data, value_data(v), o->size);
	for (unsigned i = 0; i < v->n_contexts; i++) {
		o->contexts[i].context = context_ref(v->contexts[i].context);
		o->contexts[i].request = NULL;
		o->contexts[i].offset = v->contexts[i].offset;
	}
	return o;
}

struct outgoing *outgoing_push(lua_State *L, const struct value_writer *v)
{
	struct outgoing **u;

	task_check_wait(L); /* no finaliser comes further than here */
	release(limbo);
	limbo = copy(v);
	if (!limbo) {
		luaL_error(L, "not enough memory");
		return NULL;
	}
	u = lua_newuserdatauv(L, sizeof(*u), 0);
	*u = limbo;
	limbo = NULL;
	luaL_setmetatable(L, OUTGOING);
	return *u;
}

static void set_number(struct outgoing *o, unsigned i, uint64_t link)
{
	uint64_t number = htobe64(link);

	memcpy(o->data + o->contexts[i].offset, &number, sizeof(number));
}

/* The first place of the same context: it is shared once for a message. */
static unsigned first_place(const struct outgoing *o, unsigned i)
{
	unsigned first = 0;

	while (o->contexts[first].context != o->contexts[i].context)
		first++;
	return first;
}

static void ask(lua_State *L, struct outgoing *o, unsigned i, uint64_t over,
		uint32_t cid)
{
	struct context *c = o->contexts[i].context;
	const struct channel *to = channel_find(over, false);
	struct request *r = request_new(L);

	o->contexts[i].request = r;
	if (to && to->resolves && cid)
		context_lend(c, cid);
	if (c->owned)
		request_ask(r, CONTROL_SHARE_OWN, 2, c->id, over);
	else
		request_ask(r, CONTROL_SHARE_HELD, 2, c->link, over);
	c->passed_on = !c->owned;
}

/* All that were asked for are answered, and gone: the first failure, or
 * STATUS_OK. */
static int collect(struct outgoing *o, char *ret_message, size_t size)
{
	int status = STATUS_OK;

	for (unsigned i = 0; i < o->n_contexts; i++) {
		struct request *r = o->contexts[i].request;

		if (!r)
			continue;
		o->contexts[i].request = NULL;
		if (r->status == STATUS_OK)
			set_number(o, i, r->value);
		else if (status == STATUS_OK)
			snprintf(ret_message, size, "context %u: %s",
				 (unsigned)o->contexts[i].context->id,
				 r->message);
		if (status == STATUS_OK)
			status = r->status;
		request_release(r);
	}
	return status;
}

static void repeat_numbers(struct outgoing *o)
{
	for (unsigned i = 0; i < o->n_contexts; i++) {
		unsigned first = first_place(o, i);

		memcpy(o->data + o->contexts[i].offset,
		       o->data + o->contexts[first].offset, sizeof(uint64_t));
	}
}

int outgoing_share(lua_State *L, struct outgoing *o, uint64_t over,
		   uint32_t cid, char *ret_message, size_t size)
{
	int status;

	for (unsigned i = 0; i < o->n_contexts; i++)
		if (o->contexts[i].context->closed) {
			snprintf(ret_message, size,
				 "a context to be sent was closed");
			return STATUS_CLOSED;
		}
	/* all at once, and then wait for each */
	for (unsigned i = 0; i < o->n_contexts; i++)
		if (first_place(o, i) == i)
			ask(L, o, i, over, cid);
	for (unsigned i = 0; i < o->n_contexts; i++)
		if (o->contexts[i].request)
			request_wait(L, o->contexts[i].request,
				     "a context to be shared");
	status = collect(o, ret_message, size);
	if (status != STATUS_OK)
		return status;
	repeat_numbers(o);
	o->shared_over = over;
	return STATUS_OK;
}
