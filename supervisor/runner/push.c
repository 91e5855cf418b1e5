/*
 * Step 5, in the zygote: what goes to whoever listens.
 *
 * On a context of its own a push goes to each holder that listens to its name,
 * on another to the owner, on context 0 to thoxd, which passes it on. One with
 * contexts in it waits until they are shared; no other does.
 */

#include "runner/push.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "rpc/status.h"
#include "rpc/wire.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/limits.h"
#include "runner/listens.h"
#include "runner/lua_call.h"
#include "runner/outgoing.h"
#include "runner/request.h"
#include "runner/route.h"
#include "runner/task.h"
#include "runner/trace.h"
#include "runner/value.h"

#define PUSH_ITEMS	     0x93 /* the head of an array of 3, … */
#define PUSH_ITEMS_WITH_INFO 0x94 /* … of 4 */

static struct value_writer writer;

struct push {
	pid_t pid; /* the only holder that gets it; 0: all who listen */
	struct mp_bytes name;
	uint8_t *data; /* the message, without info */
	size_t size;
};

/* --- one receiver -----------------------------------------------------------
 */

/* With how many came to nothing before: 0, or negative errno. */
static int post_with_lost(struct channel *c, const struct push *p)
{
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	mp_write_raw(&w, p->data, p->size);
	mp_write_map(&w, 1);
	mp_write_str(&w, "lost");
	mp_write_uint(&w, c->n_lost);
	r = mp_writer_end(&w);
	if (r == 0) {
		w.data[0] = PUSH_ITEMS_WITH_INFO;
		r = channel_post(c, w.data, w.used);
	}
	mp_writer_deinit(&w);
	return r;
}

static void post(struct channel *c, const struct push *p)
{
	int r = -ENOBUFS;

	if (channel_has_room(c))
		r = c->n_lost ? post_with_lost(c, p)
			      : channel_post_in_place(c, p->data, p->size);
	if (r == 0) {
		c->n_lost = 0;
		trace_push(c, true, p->name, p->size);
	} else if (c->n_lost < UINT32_MAX) {
		c->n_lost++;
	}
}

/* Its contexts are shared with who is at the other end first. */
static void post_shared(lua_State *L, uint64_t number, bool ours,
			struct push *p, struct outgoing *o)
{
	char message[REQUEST_MESSAGE_BYTES];
	struct channel *c;
	int r = outgoing_share(L, o, number, CONTEXT_PUSHED, message,
			       sizeof(message));

	c = channel_find(number, ours);
	if (!c || r == STATUS_CLOSED)
		return; /* of the context or of the receiver */
	if (r != STATUS_OK) {
		lua_pushfstring(L, "%s", message);
		lua_error(L);
	}
	post(c, p);
}

/* --- all receivers ----------------------------------------------------------
 */

static bool wants(const struct channel *c, const struct push *p)
{
	return (p->pid == 0 || c->peer->pid == p->pid) &&
	       listens_want(c->listens, p->name);
}

/* Those holders of @c that listen: numbers in a userdata, since sharing waits
 * and they may go meanwhile. */
static uint64_t *push_listeners(lua_State *L, const struct context *context,
				const struct push *p, unsigned *ret_n)
{
	struct channel *c, *after;
	uint64_t *numbers;

	*ret_n = 0;
	numbers = lua_newuserdatauv(
		L, (context->n_holders + 1) * sizeof(*numbers), 0);
	list_each(c, after, &context->holders, list) if (wants(c, p))
		numbers[(*ret_n)++] = c->number;
	return numbers;
}

static void push_to_holders(lua_State *L, struct context *context,
			    struct push *p)
{
	struct channel *c, *after;
	struct outgoing *o;
	uint64_t *numbers;
	unsigned n;

	if (writer.n_contexts == 0) {
		list_each(c, after, &context->holders, list) if (wants(c, p))
			post(c, p);
		return;
	}
	o = outgoing_push(L, &writer);
	p->data = o->data;
	p->size = o->size;
	numbers = push_listeners(L, context, p, &n);
	for (unsigned i = 0; i < n; i++)
		post_shared(L, numbers[i], true, p, o);
}

static void push_to(lua_State *L, struct channel *c, struct push *p)
{
	uint64_t number = c->number;
	struct outgoing *o;

	if (writer.n_contexts == 0) {
		post(c, p);
		return;
	}
	o = outgoing_push(L, &writer);
	p->data = o->data;
	p->size = o->size;
	post_shared(L, number, false, p, o);
}

/* Context 0, or a held context's channel; NULL: it is closed. */
static struct channel *find_channel(lua_State *L, const struct context *context)
{
	return context ? channel_find(context->link, false) : route_zero(L);
}

static void check_name(lua_State *L, int index, struct push *p)
{
	size_t size;

	p->name.p = lua_call_check_name(L, index, &size);
	p->name.size = size;
}

/* The message, with the values from slot @first on. */
static void write_message(lua_State *L, struct push *p, int first)
{
	int r;

	value_begin(&writer, LIMIT_MESSAGE_BYTES);
	wire_begin_push(&writer.mp, p->name.p, p->name.size, false);
	r = value_write_args(&writer, L, first, lua_gettop(L) - first + 1);
	if (r < 0)
		luaL_error(L, r == -EMSGSIZE ? "the message is too large"
					     : "not enough memory");
	p->data = value_data(&writer);
	p->size = value_size(&writer);
}

/* os.push(ctx, name, …) */
static int l_push(lua_State *L)
{
	struct push p = { .pid = 0 };
	struct context *context;
	struct channel *c;

	if (!context_check(L, 1, &context))
		return luaL_argerror(L, 1, "this context is closed");
	check_name(L, 2, &p);
	/* before anything is written: this may wait */
	c = context && context->owned ? NULL : find_channel(L, context);
	write_message(L, &p, 3);
	if (context && context->owned)
		push_to_holders(L, context, &p);
	else if (c)
		push_to(L, c, &p);
	return 0;
}

int push_tell(lua_State *L)
{
	struct context *context = context_check_owned(L, 1);
	struct push p = { .pid = (pid_t)luaL_checkinteger(L, 2) };

	check_name(L, 3, &p);
	write_message(L, &p, 4);
	push_to_holders(L, context, &p);
	return 0;
}

/* --- listening --------------------------------------------------------------
 */

static struct listens *zero_listens; /* on context 0 */

static int post_listen(struct channel *c, struct mp_bytes name, bool on)
{
	uint8_t buf[WIRE_NAME_BYTES + 16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_listen(&w, name.p, name.size, on);
	return channel_post(c, buf, w.used);
}

void push_listen_again(struct channel *c)
{
	const struct listens *l = c->context		  ? c->context->listens
				  : c == route_zero_now() ? zero_listens
							  : NULL;
	struct mp_bytes name;

	for (unsigned i = 0; listens_get(l, i, &name) && !c->closed; i++)
		(void)post_listen(c, name, true);
}

static int send_listen(lua_State *L, struct channel *c, struct mp_bytes name,
		       bool on)
{
	int r = post_listen(c, name, on);

	return r < 0 && r != -EPIPE ? luaL_error(L, "too much is waiting to be "
						    "sent")
				    : 0;
}

/* os.listen(ctx, name [, on = true]) */
static int l_listen(lua_State *L)
{
	bool on = lua_isnoneornil(L, 3) || lua_toboolean(L, 3);
	struct context *context;
	struct mp_bytes name;
	struct channel *c;
	size_t size;
	int r;

	if (!context_check(L, 1, &context))
		return luaL_argerror(L, 1, "this context is closed");
	luaL_argcheck(L, !context || !context->owned, 1,
		      "a context of one's own is not listened to");
	name.p = lua_call_check_name(L, 2, &size);
	name.size = size;
	c = find_channel(L, context);
	if (!c)
		return luaL_argerror(L, 1, "this context is closed");
	r = listens_set(context ? &context->listens : &zero_listens, name, on);
	if (r < 0)
		return luaL_error(L, "more than %d names are listened to",
				  LIMIT_LISTENS);
	if (r == 0)
		return 0; /* as it was */
	return send_listen(L, c, name, on);
}

void push_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "listen", l_listen },
		{ "push", l_push },
		{ NULL, NULL },
	};

	lua_getglobal(L, "os");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
