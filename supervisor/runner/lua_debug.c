/*
 * Step 5, in the zygote: `debug`, which must not reach into other tasks.
 */

#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>

#include "runner/environment.h"
#include "runner/task.h"

/* A level of this thread counts from here: Lua's own is called one deeper. */
static void deepen(lua_State *L, int i)
{
	int is_level;
	lua_Integer level = lua_tointegerx(L, i, &is_level);

	if (!is_level || level < 0 || level >= INT_MAX)
		return;
	lua_pushinteger(L, level + 1);
	lua_replace(L, i);
}

/* debug.getinfo([thread,] function | level [, what]); upvalue: Lua's own. A
 * function that another task is in is not handed out. */
static int l_getinfo(lua_State *L)
{
	lua_State *of = lua_tothread(L, 1);

	if (!of || of == L)
		deepen(L, of ? 2 : 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1); /* getinfo argument… */
	lua_call(L, lua_gettop(L) - 1, 1);
	if (of && lua_istable(L, -1) && task_runs_elsewhere(of)) {
		lua_pushnil(L);
		lua_setfield(L, -2, "func");
	}
	return 1;
}

void lua_debug_open(lua_State *L)
{
	lua_getglobal(L, LUA_DBLIBNAME); /* debug */
	lua_getfield(L, -1, "getinfo");
	lua_pushcclosure(L, l_getinfo, 1);
	lua_setfield(L, -2, "getinfo");
	lua_pop(L, 1);
}
