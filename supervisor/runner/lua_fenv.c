/*
 * Step 5, in the zygote: what a runtime may do that a program may not ask for.
 *
 * A runtime's text gets a table of these as its argument. They let it build
 * other environments; they give no right over anything outside the process.
 */

#include <lauxlib.h>
#include <string.h>

#include "runner/environment.h"

/* The upvalue of the Lua function at @index that holds its globals; 0: none. */
static int find_environment(lua_State *L, int index)
{
	const char *name;

	if (lua_iscfunction(L, index))
		return 0;
	for (int i = 1; (name = lua_getupvalue(L, index, i)); i++) {
		lua_pop(L, 1);
		if (strcmp(name, "_ENV") == 0)
			return i;
	}
	return 0;
}

/* getfenv(function) -> table | nil: nil when it uses no globals */
static int l_getfenv(lua_State *L)
{
	int i;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	i = find_environment(L, 1);
	if (i == 0)
		return 0;
	lua_getupvalue(L, 1, i);
	return 1;
}

/* Makes a function that has an upvalue of its own, which can be joined. */
static const char holder[] = "local env = ... return function() return env end";

/*
 * setfenv(function, table) -> boolean: false when it uses no globals. Other
 * functions of the same chunk, which share the upvalue, keep theirs.
 */
static int l_setfenv(lua_State *L)
{
	int i;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	luaL_checktype(L, 2, LUA_TTABLE);
	i = find_environment(L, 1);
	if (i > 0) {
		lua_pushvalue(L, lua_upvalueindex(1)); /* make holder */
		lua_pushvalue(L, 2);
		lua_call(L, 1, 1); /* holder */
		lua_upvaluejoin(L, 1, i, -1, 1);
	}
	lua_pushboolean(L, i > 0);
	return 1;
}

void lua_primitives_push(lua_State *L)
{
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, l_getfenv);
	lua_setfield(L, -2, "getfenv");
	if (luaL_loadbufferx(L, holder, sizeof(holder) - 1, "=setfenv", "t") !=
	    LUA_OK)
		lua_error(L);
	lua_pushcclosure(L, l_setfenv, 1);
	lua_setfield(L, -2, "setfenv");
}
