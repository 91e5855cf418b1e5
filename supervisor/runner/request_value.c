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

#define REQUEST	 "thox.request" /* of a call */
#define PUSH	 "thox.push"	/* of what is no call: with an end */
#define NS_PER_S 1000000000.0

struct request_value {
	struct event *event; /* a reference; NULL: of a call */
	uint32_t cid;	     /* in this process */
	uint32_t context;    /* its number; 0: of a bound name */
	uint64_t deadline_ns;
	pid_t pid;
	/* of a call: one after the other, each with its end */
	size_t name_size, program_size, service_size;
	char text[];
};

static struct request_value *check(lua_State *L, int index)
{
	struct request_value *u = luaL_testudata(L, index, REQUEST);

	return u ? u : luaL_checkudata(L, index, PUSH);
}

static struct served *find(const struct request_value *u)
{
	return u->event ? NULL : served_find(u->cid);
}

static void push_name(lua_State *L, const struct request_value *u)
{
	const struct event *e = u->event;

	if (!e)
		lua_pushlstring(L, u->text, u->name_size);
	else if (e->in)
		lua_pushlstring(L, e->in->m.name.p, e->in->m.name.size);
	else
		lua_pushlstring(L, e->name, e->name_size);
}

static void push_pid(lua_State *L, const struct request_value *u)
{
	if (u->pid)
		lua_pushinteger(L, u->pid);
	else
		lua_pushnil(L);
}

/* "" is none. */
static void push_text(lua_State *L, const char *text)
{
	lua_pushstring(L, text && text[0] ? text : NULL);
}

static void push_program(lua_State *L, const struct request_value *u)
{
	const struct event *e = u->event;

	if (e)
		push_text(L, e->peer ? e->peer->program : NULL);
	else
		push_text(L, u->text + u->name_size + 1);
}

static void push_service(lua_State *L, const struct request_value *u)
{
	const struct event *e = u->event;

	if (e)
		push_text(L, e->peer ? e->peer->service : NULL);
	else
		push_text(L, u->text + u->name_size + u->program_size + 2);
}

static void push_label(lua_State *L, const struct request_value *u)
{
	(void)u; /* whoever calls is of this machine */
	lua_pushstring(L, runner.label);
}

static void push_context(lua_State *L, const struct request_value *u)
{
	const struct served *s = find(u);

	if (u->event ? !u->event->context : !u->context)
		lua_pushinteger(L, 0);
	else if (u->event)
		context_push(L, u->event->context);
	else /* NULL: it is closed, and was forgotten */
		context_push(L, s ? s->context : context_find(u->context));
}

/* Seconds left, or nil. */
static void push_deadline(lua_State *L, const struct request_value *u)
{
	if (u->deadline_ns != TIMER_NEVER)
		lua_pushnumber(L,
			       ((double)u->deadline_ns - (double)clock_ns()) /
				       NS_PER_S);
	else
		lua_pushnil(L);
}

/* Does nobody wait for the answer any more? */
static int l_cancelled(lua_State *L)
{
	const struct request_value *u = lua_touserdata(L, lua_upvalueindex(1));
	const struct served *s = find(u);

	lua_pushboolean(L, !u->event && (!s || s->cancelled));
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
	const struct request_value *u = check(L, 1);
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

struct served *request_value_find(lua_State *L, int index)
{
	const struct request_value *u = check(L, index);

	luaL_argcheck(L, !u->event, index, "of a push, which nobody answers");
	return find(u);
}

struct served *request_value_check(lua_State *L, int index)
{
	struct served *s = request_value_find(L, index);

	luaL_argcheck(L, s, index, "of a call that has been answered");
	return s;
}

int request_value_pass(lua_State *L)
{
	const struct request_value *u = check(L, 1);
	struct served *s = find(u);
	struct incoming *in = s ? s->in : NULL;

	if (u->event)
		in = u->event->in;
	if (in)
		in->passes = true;
	return 0;
}

static int l_gc(lua_State *L)
{
	struct request_value *u = luaL_checkudata(L, 1, PUSH);

	u->event = event_unref(u->event);
	return 0;
}

static int l_tostring(lua_State *L)
{
	const struct request_value *u = check(L, 1);

	lua_pushliteral(L, "request: ");
	push_name(L, u);
	lua_concat(L, 2);
	return 1;
}

static void new_metatable(lua_State *L, const char *type)
{
	static const luaL_Reg metamethods[] = {
		{ "__index", l_index },
		{ "__tostring", l_tostring },
		{ NULL, NULL },
	};

	luaL_newmetatable(L, type);
	luaL_setfuncs(L, metamethods, 0);
	lua_pushliteral(L, "request");
	lua_setfield(L, -2, "__metatable");
}

void request_value_open(lua_State *L)
{
	new_metatable(L, REQUEST);
	new_metatable(L, PUSH);
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 2);
}

static size_t length(const char *text)
{
	return text ? strlen(text) : 0;
}

static char *put(char *at, const char *text, size_t size)
{
	if (size > 0)
		memcpy(at, text, size);
	at[size] = '\0';
	return at + size + 1;
}

static void push_of_call(lua_State *L, const struct served *s)
{
	const struct mp_bytes name = s->in->m.name;
	const struct peer *peer = s->peer;
	size_t program = length(peer->program);
	size_t service = length(peer->service);
	struct request_value *u;
	char *at;

	u = lua_newuserdatauv(L, sizeof(*u) + name.size + program + service + 3,
			      0);
	u->event = NULL;
	u->cid = s->cid;
	u->context = s->context ? s->context->id : 0;
	u->deadline_ns = s->deadline_ns;
	u->pid = peer->pid;
	u->name_size = name.size;
	u->program_size = program;
	u->service_size = service;
	at = put(u->text, name.p, name.size);
	at = put(at, peer->program, program);
	put(at, peer->service, service);
	luaL_setmetatable(L, REQUEST);
}

static void push_of_event(lua_State *L, struct event *e)
{
	struct request_value *u = lua_newuserdatauv(L, sizeof(*u), 0);

	*u = (struct request_value){
		.event = event_ref(e),
		.deadline_ns = TIMER_NEVER,
		.pid = e->peer ? e->peer->pid : 0,
	};
	luaL_setmetatable(L, PUSH);
}

void request_value_push(lua_State *L, struct served *s, struct event *e)
{
	if (s)
		push_of_call(L, s);
	else
		push_of_event(L, e);
}
