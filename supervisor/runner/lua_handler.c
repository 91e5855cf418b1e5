/*
 * Step 5, in the zygote: the library `thox`, of which the libraries in Lua are
 * made. It is in package.preload; programs are better off with those.
 */

#include "runner/lua_handler.h"

#include <lauxlib.h>

#include "rpc/pattern.h"
#include "rpc/wire.h"
#include "runner/context.h"
#include "runner/handler.h"
#include "runner/lua_call.h"
#include "runner/lua_file.h"
#include "runner/push.h"
#include "runner/request_value.h"
#include "runner/runner.h"

/* A context of our own, or 0. */
static uint32_t check_served_context(lua_State *L, int index)
{
	struct context *c;

	if (!context_check(L, index, &c))
		luaL_argerror(L, index, "this context is closed");
	luaL_argcheck(L, !c || c->owned, index,
		      "a context of another cannot be served");
	return c ? c->id : 0;
}

/* "" is every name. */
static const char *check_name(lua_State *L, int index, size_t *ret_size)
{
	const char *name = luaL_checklstring(L, index, ret_size);

	luaL_argcheck(L, *ret_size == 0 || wire_check_name(name, *ret_size),
		      index, "no name of calls");
	return name;
}

/* thox.serve(ctx, name, function | nil): function(request, …) -> … */
static int l_serve(lua_State *L)
{
	uint32_t context = check_served_context(L, 1);
	size_t size;
	const char *name = check_name(L, 2, &size);

	handler_set(L, ON_CALL, context, name, size, 3);
	return 0;
}

/* thox.hear(ctx, name, function | nil): function(request, …) */
static int l_hear(lua_State *L)
{
	struct context *c;
	size_t size;
	const char *name = check_name(L, 2, &size);

	if (!context_check(L, 1, &c))
		return luaL_argerror(L, 1, "this context is closed");
	handler_set(L, ON_PUSH, c ? c->id : 0, name, size, 3);
	return 0;
}

/* thox.listened(ctx, function | nil): function(request, on), whenever a holder
 * begins or ceases to listen to request.name */
static int l_listened(lua_State *L)
{
	struct context *c = context_check_owned(L, 1);

	handler_set(L, ON_LISTEN, c->id, "", 0, 2);
	return 0;
}

/* thox.last(ctx, function | nil): when nobody holds it any more; of another's,
 * when it is lost */
static int l_last(lua_State *L)
{
	struct context *c;

	if (!context_check(L, 1, &c))
		return luaL_argerror(L, 1, "this context is closed");
	luaL_argcheck(L, c, 1, "context 0 is nobody's to hold");
	handler_set(L, ON_LAST, c->id, "", 0, 2);
	return 0;
}

/* thox.terminate(function | nil): before the default; if the function stops
 * the serving, instead of it */
static int l_terminate(lua_State *L)
{
	lua_settop(L, 1);
	handler_set(L, ON_TERMINATE, 0, "", 0, 1);
	return 0;
}

/* thox.matches(pattern, name) -> boolean; raises for what is no pattern */
static int l_matches(lua_State *L)
{
	size_t pattern_size, name_size;
	const char *pattern = luaL_checklstring(L, 1, &pattern_size);
	const char *name = luaL_checklstring(L, 2, &name_size);

	luaL_argcheck(L, pattern_check(pattern, pattern_size), 1,
		      "no pattern of names");
	lua_pushboolean(L,
			pattern_match(pattern, pattern_size, name, name_size));
	return 1;
}

/* thox.service() -> string | nil: the service that this process is of */
static int l_service(lua_State *L)
{
	if (runner.service[0])
		lua_pushstring(L, runner.service);
	else
		lua_pushnil(L);
	return 1;
}

/* thox.stop(): the process ends when its main function has returned */
static int l_stop(lua_State *L)
{
	(void)L;
	handler_stop();
	return 0;
}

static int l_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "file", lua_file_take },    { "forward", lua_call_forward },
		{ "hear", l_hear },	      { "invoke", lua_call_invoke },
		{ "last", l_last },	      { "listened", l_listened },
		{ "matches", l_matches },     { "pass", request_value_pass },
		{ "relay", lua_call_relay },  { "run", lua_process_run_for },
		{ "serve", l_serve },	      { "service", l_service },
		{ "stop", l_stop },	      { "tell", push_tell },
		{ "terminate", l_terminate }, { NULL, NULL },
	};

	luaL_newlib(L, functions);
	return 1;
}

void lua_handler_open(lua_State *L)
{
	lua_file_open(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, l_open);
	lua_setfield(L, -2, "thox");
	lua_pop(L, 1);
}
