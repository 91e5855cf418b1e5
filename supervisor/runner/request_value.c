/*
 * Step 7, in a runner: what a serving function may know of its caller.
 */

#include "runner/request_value.h"

#include <lauxlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/event.h"
#include "runner/incoming.h"
#include "runner/runner.h"
#include "runner/served.h"

#define REQUEST	 "thox.request"
#define NS_PER_S 1000000000.0

struct request_value {
	struct served *served; /* references; one is NULL */
	struct event *event;
};

static const struct peer *peer_of(const struct request_value *u)
{
	return u->served ? u->served->peer : u->event->peer;
}

static void push_name(lua_State *L, const struct request_value *u)
{
	const struct incoming *in = u->served ? u->served->in : u->event->in;

	if (in)
		lua_pushlstring(L, in->m.name.p, in->m.name.size);
	else
		lua_pushlstring(L, u->event->name, u->event->name_size);
}

static void push_pid(lua_State *L, const struct request_value *u)
{
	const struct peer *peer = peer_of(u);

	if (peer && peer->pid)
		lua_pushinteger(L, peer->pid);
	else
		lua_pushnil(L);
}

static void push_program(lua_State *L, const struct request_value *u)
{
	const struct peer *peer = peer_of(u);

	lua_pushstring(L, peer ? peer->program : NULL);
}

static void push_service(lua_State *L, const struct request_value *u)
{
	const struct peer *peer = peer_of(u);

	lua_pushstring(L, peer ? peer->service : NULL);
}

static void push_label(lua_State *L, const struct request_value *u)
{
	(void)u; /* whoever calls is of this machine */
	lua_pushstring(L, runner.label);
}

static void push_context(lua_State *L, const struct request_value *u)
{
	struct context *c = u->served ? u->served->context : u->event->context;

	if (c)
		context_push(L, c);
	else
		lua_pushinteger(L, 0);
}

/* Seconds left, or nil. */
static void push_deadline(lua_State *L, const struct request_value *u)
{
	if (u->served && u->served->deadline_ns != TIMER_NEVER)
		lua_pushnumber(L, ((double)u->served->deadline_ns -
				   (double)clock_ns()) /
					  NS_PER_S);
	else
		lua_pushnil(L);
}

static int l_cancelled(lua_State *L)
{
	const struct request_value *u = lua_touserdata(L, lua_upvalueindex(1));

	lua_pushboolean(L, u->served && u->served->cancelled);
	return 1;
}

static const struct {
	const char *name;
	void (*push)(lua_State *L, const struct request_value *u);
} fields[] = {
	{ "name", push_name },	       { "pid", push_pid },
	{ "program", push_program },   { "service", push_service },
	{ "label", push_label },       { "ctx", push_context },
	{ "deadline", push_deadline },
};

static int l_index(lua_State *L)
{
	const struct request_value *u = luaL_checkudata(L, 1, REQUEST);
	const char *key = lua_tostring(L, 2);

	for (size_t i = 0; key && i < ARRAY_SIZE(fields); i++)
		if (strcmp(key, fields[i].name) == 0) {
			fields[i].push(L, u);
			return 1;
		}
	if (key && strcmp(key, "cancelled") == 0) {
		lua_pushvalue(L, 1);
		lua_pushcclosure(L, l_cancelled, 1);
	} else {
		lua_pushnil(L);
	}
	return 1;
}

struct served *request_value_check(lua_State *L, int index)
{
	const struct request_value *u = luaL_checkudata(L, index, REQUEST);

	luaL_argcheck(L, u->served, index, "of a push, which nobody answers");
	return u->served;
}

int request_value_pass(lua_State *L)
{
	const struct request_value *u = luaL_checkudata(L, 1, REQUEST);
	struct incoming *in = u->served ? u->served->in : u->event->in;

	if (in)
		in->passes = true;
	return 0;
}

static int l_gc(lua_State *L)
{
	struct request_value *u = luaL_checkudata(L, 1, REQUEST);

	u->served = served_unref(u->served);
	u->event = event_unref(u->event);
	return 0;
}

static int l_tostring(lua_State *L)
{
	const struct request_value *u = luaL_checkudata(L, 1, REQUEST);

	lua_pushliteral(L, "request: ");
	push_name(L, u);
	lua_concat(L, 2);
	return 1;
}

void request_value_open(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__gc", l_gc },
		{ "__index", l_index },
		{ "__tostring", l_tostring },
		{ NULL, NULL },
	};

	luaL_newmetatable(L, REQUEST);
	luaL_setfuncs(L, metamethods, 0);
	lua_pushliteral(L, "request");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

void request_value_push(lua_State *L, struct served *s, struct event *e)
{
	struct request_value *u = lua_newuserdatauv(L, sizeof(*u), 0);

	u->served = s ? served_ref(s) : NULL;
	u->event = e ? event_ref(e) : NULL;
	luaL_setmetatable(L, REQUEST);
}
