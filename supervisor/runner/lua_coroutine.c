/*
 * Step 5, in the zygote: coroutines that tell who runs.
 *
 * Hooks belong to one Lua state; an event must find the innermost one
 * (preempt.h). A task's own thread is what Lua calls the main one: it cannot
 * yield.
 */

#include <lauxlib.h>
#include <lualib.h>

#include "runner/environment.h"
#include "runner/preempt.h"
#include "runner/task.h"

static lua_State *check_thread(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	luaL_argexpected(L, co, 1, "coroutine");
	return co;
}

/* The number of results on @L's top, or -1 and an error value there. */
static int resume(lua_State *L, lua_State *co, int n)
{
	struct running r;
	int status, n_results = 0;

	if (!lua_checkstack(co, n)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, co, n);
	running_enter(&r, co);
	status = lua_resume(co, L, n, &n_results);
	running_leave(&r);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(co, L, 1);
		return -1;
	}
	if (!lua_checkstack(L, n_results + 1)) {
		lua_pop(co, n_results);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(co, L, n_results);
	return n_results;
}

/* Close @co's variables, which runs Lua in it: its status. */
static int reset(lua_State *co)
{
	struct running r;
	int status;

	running_enter(&r, co);
	status = lua_resetthread(co);
	running_leave(&r);
	return status;
}

static int l_resume(lua_State *L)
{
	lua_State *co = check_thread(L);
	int n = resume(L, co, lua_gettop(L) - 1);

	lua_pushboolean(L, n >= 0);
	if (n < 0)
		n = 1;
	lua_insert(L, -1 - n); /* ok value… */
	return n + 1;
}

static int l_wrapped(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	int n = resume(L, co, lua_gettop(L));
	int status;

	if (n >= 0)
		return n;
	status = lua_status(co);
	if (status != LUA_OK && status != LUA_YIELD) { /* it erred */
		status = reset(co);
		lua_xmove(co, L, 1); /* … error, perhaps of a __close */
	}
	if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2); /* … where error */
	}
	return lua_error(L);
}

static int l_wrap(lua_State *L)
{
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	lua_pushcclosure(L, l_wrapped, 1);
	return 1;
}

static int l_close(lua_State *L)
{
	lua_State *co = check_thread(L);
	lua_Debug ar;

	if (co == L)
		return luaL_error(L, "cannot close a running coroutine");
	if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
		return luaL_error(L, "cannot close a normal coroutine");
	if (reset(co) == LUA_OK) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushboolean(L, 0);
	lua_xmove(co, L, 1); /* false error */
	return 2;
}

static int l_yield(lua_State *L)
{
	if (task_is_base(L))
		return luaL_error(L,
				  "attempt to yield from outside a coroutine");
	return lua_yield(L, lua_gettop(L));
}

static int l_running(lua_State *L)
{
	lua_pushthread(L);
	lua_pushboolean(L, task_is_base(L));
	return 2;
}

static int l_isyieldable(lua_State *L)
{
	lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;

	lua_pushboolean(L, !task_is_base(co) && lua_isyieldable(co));
	return 1;
}

void lua_coroutine_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "resume", l_resume },	  { "wrap", l_wrap },
		{ "close", l_close },	  { "yield", l_yield },
		{ "running", l_running }, { "isyieldable", l_isyieldable },
		{ NULL, NULL },
	};

	lua_getglobal(L, LUA_COLIBNAME); /* coroutine */
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
