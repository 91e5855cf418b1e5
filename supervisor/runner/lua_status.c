/*
 * Step 5, in the zygote: status codes and what failed calls raise.
 */

#include "runner/lua_status.h"

#include <lauxlib.h>

#include "rpc/status.h"

static const char error_key; /* its address: the errors' metatable */

/* greeter.greet: TIMEOUT: no answer in 0.5 s */
static int l_tostring(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	if (lua_getfield(L, 1, "name") == LUA_TSTRING)
		lua_pushliteral(L, ": ");
	else
		lua_pushliteral(L, ""); /* error name ": " */
	if (lua_isnil(L, 2)) {
		lua_pushliteral(L, "");
		lua_replace(L, 2);
	}
	lua_getfield(L, 1, "status");
	lua_pushstring(L, status_name((uint64_t)lua_tointeger(L, -1)));
	lua_replace(L, -2);
	lua_pushliteral(L, ": ");
	lua_getfield(L, 1, "message");
	luaL_tolstring(L, -1, NULL);
	lua_replace(L, -2);
	if (lua_rawlen(L, -1) == 0)
		lua_pop(L, 2); /* nothing after the status */
	lua_concat(L, lua_gettop(L) - 1);
	return 1;
}

void lua_status_push_error(lua_State *L, int status, const char *name)
{
	if (!lua_isstring(L, -1)) {
		lua_pushfstring(L, "(a %s)", luaL_typename(L, -1));
		lua_replace(L, -2);
	}
	lua_createtable(L, 0, 3); /* message error */
	lua_insert(L, -2);
	lua_setfield(L, -2, "message");
	lua_pushinteger(L, status);
	lua_setfield(L, -2, "status");
	if (name) {
		lua_pushstring(L, name);
		lua_setfield(L, -2, "name");
	}
	lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
	lua_setmetatable(L, -2);
}

bool lua_status_is_error(lua_State *L, int index)
{
	bool is;

	if (!lua_istable(L, index))
		return false;
	index = lua_absindex(L, index);
	lua_pushliteral(L, "status");
	is = lua_rawget(L, index) == LUA_TNUMBER;
	lua_pop(L, 1);
	return is;
}

/* os.status: the codes by name */
void lua_status_open(lua_State *L)
{
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushliteral(L, "error");
	lua_setfield(L, -2, "__name");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);

	lua_getglobal(L, "os");
	lua_createtable(L, 0, STATUS_TOO_LARGE + 1); /* os status */
	for (int i = STATUS_OK; i <= STATUS_TOO_LARGE; i++) {
		lua_pushinteger(L, (lua_Integer)i);
		lua_setfield(L, -2, status_name((uint64_t)i));
	}
	lua_setfield(L, -2, "status");
	lua_pop(L, 1);
}
