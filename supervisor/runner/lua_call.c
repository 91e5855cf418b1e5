/*
 * Step 5, in the zygote: calls, answers and pushes, as programs make them.
 */

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/control.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "runner/call.h"
#include "runner/context.h"
#include "runner/environment.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/lua_call.h"
#include "runner/lua_status.h"
#include "runner/mailbox.h"
#include "runner/relay.h"
#include "runner/request.h"
#include "runner/request_value.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/tell.h"

/* --- what to call -----------------------------------------------------------
 */

const char *lua_call_check_name(lua_State *L, int index, size_t *ret_size)
{
	const char *name = luaL_checklstring(L, index, ret_size);

	if (!wire_check_name(name, *ret_size))
		luaL_argerror(L, index,
			      "a name is 1 to 128 letters, digits, '_' and "
			      "'-', with dots between");
	return name;
}

/* The context at @ctx and the name at @name. */
static void check_target(lua_State *L, struct call_target *t, int ctx, int name)
{
	t->closed = !context_check(L, ctx, &t->context);
	if (t->context && t->context->owned)
		luaL_error(L, "a context of one's own is served, not called");
	t->name = lua_call_check_name(L, name, &t->name_size);
	t->deadline_ns = TIMER_NEVER;
}

/* Push the values of the table at @index, as table.pack() makes it or not:
 * their number. */
static int push_packed(lua_State *L, int index)
{
	lua_Integer n;

	if (lua_isnil(L, index))
		return 0;
	luaL_checktype(L, index, LUA_TTABLE);
	lua_pushliteral(L, "n");
	if (lua_rawget(L, index) == LUA_TNUMBER)
		n = luaL_checkinteger(L, -1);
	else
		n = (lua_Integer)lua_rawlen(L, index);
	lua_pop(L, 1);
	if (n < 0 || n > LIMIT_ARGUMENTS)
		luaL_error(L, "args: more than %d values", LIMIT_ARGUMENTS);
	luaL_checkstack(L, (int)n + LUA_MINSTACK, "too many arguments");
	for (lua_Integer i = 1; i <= n; i++)
		lua_rawgeti(L, index, i);
	return (int)n;
}

/* os.call{ctx=, name=, args=, timeout=} */
static struct call *call_by_table(lua_State *L)
{
	struct call_target t;
	int n;

	lua_settop(L, 1);
	lua_getfield(L, 1, "ctx");
	if (lua_isnil(L, 2)) {
		lua_pushinteger(L, 0);
		lua_replace(L, 2);
	}
	lua_getfield(L, 1, "name");
	lua_getfield(L, 1, "args");
	lua_getfield(L, 1, "timeout"); /* table ctx name args timeout */
	if (lua_type(L, 3) != LUA_TSTRING)
		luaL_argerror(L, 1, "field 'name' is not the name of a call");
	check_target(L, &t, 2, 3);
	t.deadline_ns = lua_check_deadline(L, 5);
	n = push_packed(L, 4);
	return call_make(L, &t, 6, n);
}

/* os.call(ctx, name, …) -> cid */
static int l_call(lua_State *L)
{
	struct call_target t;
	struct call *call;

	if (lua_istable(L, 1)) {
		call = call_by_table(L);
	} else {
		check_target(L, &t, 1, 2);
		call = call_make(L, &t, 3, lua_gettop(L) - 2);
	}
	lua_pushinteger(L, call->cid);
	return 1;
}

/* A call of the current task, by its number. */
static struct call *check_call(lua_State *L, int index)
{
	struct call *call = call_find((uint64_t)luaL_checkinteger(L, index));

	if (!call || call->resolve)
		luaL_argerror(L, index,
			      "no such call, or its answer was taken");
	return call;
}

/* os.wait(cid [, timeout]) -> status, value… */
static int l_wait(lua_State *L)
{
	struct call *call = check_call(L, 1);
	uint64_t deadline_ns = lua_check_deadline(L, 2);
	char message[64];

	luaL_argcheck(L, call->task == task_current(), 1,
		      "another task made this call");
	if (!call_wait(L, call, deadline_ns)) {
		snprintf(message, sizeof(message), "no answer in %.3g s",
			 lua_tonumber(L, 2));
		call_cancel(call, STATUS_TIMEOUT, message);
	}
	return call_push_answer(L, call);
}

/* os.cancel(cid) */
static int l_cancel(lua_State *L)
{
	struct call *call = call_find((uint64_t)luaL_checkinteger(L, 1));

	if (!call || call->resolve)
		return 0; /* it was answered meanwhile */
	call_cancel(call, STATUS_CANCELLED, "cancelled");
	if (call->task == task_current())
		call_release(call); /* nobody will ask for it */
	return 0;
}

int lua_call_finish(lua_State *L, struct call *call, const char *name)
{
	int n;

	call_wait(L, call, TASK_NO_DEADLINE);
	n = call_push_values(L, call, name);
	return n < 0 ? lua_error(L) : n;
}

/*
 * thox.invoke({ctx, name, timeout, above}, …) -> value…; raises unless OK.
 * A table, so that it can be the `__call` of what a program writes a call
 * with, and errors are told of the program's line. @above: what somebody calls
 * with ':' who should have with '.'.
 */
int lua_call_invoke(lua_State *L)
{
	int n = lua_gettop(L) - 1;
	struct call_target t;

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkstack(L, LUA_MINSTACK, "too many arguments");
	for (int i = 1; i <= 4; i++)
		lua_rawgeti(L, 1, i); /* … ctx name timeout above */
	if (n > 0 && lua_istable(L, -1) && lua_rawequal(L, 2, -1))
		return luaL_error(L, "a call is written with '.', not ':'");
	check_target(L, &t, n + 2, n + 3);
	if (lua_toboolean(L, n + 4))
		t.deadline_ns = lua_check_deadline(L, n + 4);
	return lua_call_finish(L, call_make(L, &t, 2, n), t.name);
}

/* thox.forward(request, ctx, name, …) -> value…; raises unless OK. With the
 * deadline of what is served, and given up with it. */
int lua_call_forward(lua_State *L)
{
	struct call *call = lua_call_begin_forward(L);
	struct served *s;

	call_wait(L, call, TASK_NO_DEADLINE);
	s = request_value_find(L, 1);
	if (s && call->answer && call->answer->m.n_ext > 0) {
		call->answer->passes = true;
		incoming_unref(s->passed);
		s->passed = incoming_ref(call->answer);
	}
	return lua_call_finish(L, call, lua_tostring(L, 3));
}

/* thox.relay(request, ctx, name): from now on, what is called as this was over
 * the same link goes there without asking (relay.h). For one that is served
 * with nothing but thox.forward() of the same. */
int lua_call_relay(lua_State *L)
{
	struct served *s = request_value_check(L, 1);
	struct call_target t;

	check_target(L, &t, 2, 3);
	if (!t.closed && t.context)
		relay_learn(s, t.context, t.name, t.name_size);
	return 0;
}

struct call *lua_call_begin_forward(lua_State *L)
{
	struct served *s = request_value_check(L, 1);
	struct call_target t;
	struct call *call;

	check_target(L, &t, 2, 3);
	t.deadline_ns = s->deadline_ns;
	call = call_make(L, &t, 4, lua_gettop(L) - 3);
	s = request_value_find(L, 1); /* that may have taken its time */
	if (!s || s->cancelled)
		call_cancel(call, STATUS_CANCELLED, "cancelled");
	if (!s)
		return call;
	s->in->passes = true;
	s->forwarded = call->cid;
	served_went_on(s);
	return call;
}

struct call *lua_call_begin_zero(lua_State *L, const char *name, int n)
{
	struct call_target t = {
		.name = name,
		.name_size = strlen(name),
		.deadline_ns = TIMER_NEVER,
	};

	return call_make(L, &t, lua_gettop(L) - n + 1, n);
}

int lua_call_zero(lua_State *L, const char *name, int n)
{
	return lua_call_finish(L, lua_call_begin_zero(L, name, n), name);
}

/* --- answering --------------------------------------------------------------
 */

/* os.answer(cid, status, …) -> true | false, why */
static int l_answer(lua_State *L)
{
	struct served *s = served_find((uint64_t)luaL_checkinteger(L, 1));
	lua_Integer status = luaL_checkinteger(L, 2);
	struct mailbox *box = mailbox_get(L);
	bool sent;

	luaL_argcheck(L, s && !s->answering, 1,
		      "no such call, or it has been answered");
	luaL_argcheck(L, status >= STATUS_OK && status <= STATUS_TOO_LARGE, 2,
		      "no status");
	if (box->serving == s)
		box->serving = served_unref(s);
	sent = served_answer(L, s, (int)status, 3, lua_gettop(L) - 2);
	lua_pushboolean(L, sent);
	if (sent)
		return 1;
	lua_insert(L, -2); /* … false why */
	return 2;
}

/* --- contexts ---------------------------------------------------------------
 */

/* os.revoke(ctx, pid) */
static int l_revoke(lua_State *L)
{
	struct context *c = context_check_owned(L, 1);
	lua_Integer pid = luaL_checkinteger(L, 2);
	struct request *r = request_new(L);
	int status;

	request_ask(r, CONTROL_REVOKE, 2, c->id, (uint64_t)pid);
	request_wait(L, r, "a context to be revoked");
	status = r->status;
	lua_pushstring(L, r->message);
	request_release(r);
	if (status == STATUS_OK)
		return 0;
	lua_status_push_error(L, status, "os.revoke");
	return lua_error(L);
}

void lua_call_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "answer", l_answer }, { "call", l_call },
		{ "cancel", l_cancel }, { "revoke", l_revoke },
		{ "wait", l_wait },	{ NULL, NULL },
	};

	lua_getglobal(L, "os");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
