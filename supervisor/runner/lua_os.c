/*
 * Step 5, in the zygote: the part of `os` that asks the process.
 */

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "runner/environment.h"
#include "runner/message.h"
#include "runner/program.h"
#include "runner/runner.h"
#include "runner/task.h"

/* The terminal's size is what it is now, whatever the starter passed. */
static bool push_size(lua_State *L, const char *name)
{
	if (!runner.columns)
		return false;
	if (strcmp(name, "COLUMNS") == 0)
		lua_pushfstring(L, "%d", (int)runner.columns);
	else if (strcmp(name, "LINES") == 0)
		lua_pushfstring(L, "%d", (int)runner.rows);
	else
		return false;
	return true;
}

/* os.getenv(name) -> string | nil */
static int l_getenv(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct mp_bytes value;

	if (push_size(L, name))
		return 1;
	if (message_lookup(runner.env, name, &value))
		lua_pushlstring(L, value.p, value.size);
	else
		lua_pushnil(L);
	return 1;
}

/* os.secret(name) -> string | nil */
static int l_secret(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct mp_bytes value;

	if (message_lookup(runner.secrets, name, &value))
		lua_pushlstring(L, value.p, value.size);
	else
		lua_pushnil(L);
	return 1;
}

/* os.exit([code [, close]]) */
static int l_exit(lua_State *L)
{
	int code;

	if (lua_isboolean(L, 1))
		code = lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
	else
		code = (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
	if (runner.loading)
		return luaL_error(L,
				  "a runtime cannot exit while it is loaded");
	if (lua_toboolean(L, 2))
		program_close_and_exit(code);
	runner_exit(code);
}

/* os.task(function, …) -> id */
static int l_task(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	return lua_task_start(L, lua_gettop(L) - 1, NULL);
}

/* os.sleep(seconds): with 0 the others that are ready have a turn. */
static int l_sleep(lua_State *L)
{
	lua_Number seconds = luaL_checknumber(L, 1);
	uint64_t deadline_ns = lua_check_deadline(L, 1);

	if (seconds > 0)
		while (task_wait(L, "os.sleep", deadline_ns))
			;
	else
		task_yield(L);
	return 0;
}

void lua_os_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "exit", l_exit },	{ "getenv", l_getenv },
		{ "secret", l_secret }, { "sleep", l_sleep },
		{ "task", l_task },	{ NULL, NULL },
	};

	lua_getglobal(L, LUA_OSLIBNAME); /* os */
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
