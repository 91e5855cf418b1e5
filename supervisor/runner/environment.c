/*
 * Step 5, in the zygote: the globals that every program finds.
 *
 * Everything is refused that is not listed here: what a later Lua adds to its
 * libraries appears when somebody has thought about it.
 */

#include "runner/environment.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/context.h"
#include "runner/lua_call.h"
#include "runner/lua_event.h"
#include "runner/lua_handler.h"
#include "runner/lua_status.h"
#include "runner/outgoing.h"
#include "runner/push.h"
#include "runner/request_value.h"
#include "runner/task.h"

#define SECONDS_MAX 1e9 /* thirty years: for good */

/* No dofile, loadfile: there are no files. load and print are ours (lua_base.c), require, too (lua_package.c). */
static const char *const base_kept[] = {
	"_G",		"_VERSION", "assert",	"collectgarbage", "error",
	"getmetatable", "ipairs",   "next",	"pairs",	  "pcall",
	"rawequal",	"rawget",   "rawlen",	"rawset",	  "select",
	"setmetatable", "tonumber", "tostring", "type",		  "warn",
	"xpcall",	NULL,
};

/* resume, wrap, close, running, isyieldable, yield are ours: they know which
 * state runs (lua_coroutine.c). */
static const char *const coroutine_kept[] = { "create", "status", NULL };

/* No dump: there is nobody who would take compiled Lua. */
static const char *const string_kept[] = {
	"byte",	   "char",  "find",   "format", "gmatch",   "gsub",
	"len",	   "lower", "match",  "pack",	"packsize", "rep",
	"reverse", "sub",   "unpack", "upper",	NULL,
};

static const char *const utf8_kept[] = {
	"char", "charpattern", "codepoint", "codes", "len", "offset", NULL,
};

static const char *const table_kept[] = {
	"concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL,
};

static const char *const math_kept[] = {
	"abs",	     "acos",	   "asin",	 "atan",       "ceil", "cos",
	"deg",	     "exp",	   "floor",	 "fmod",       "huge", "log",
	"max",	     "maxinteger", "min",	 "mininteger", "modf", "pi",
	"rad",	     "random",	   "randomseed", "sin",	       "sqrt", "tan",
	"tointeger", "type",	   "ult",	 NULL,
};

/* No execute, remove, rename, setlocale, tmpname; exit and getenv are ours. */
static const char *const os_kept[] = {
	"clock", "date", "difftime", "time", NULL,
};

/* Nothing that changes another function, registry or hook; getinfo is ours. */
static const char *const debug_kept[] = { "getinfo", "traceback", NULL };

const struct environment_library environment_libraries[] = {
	{ LUA_GNAME, luaopen_base, base_kept },
	{ LUA_COLIBNAME, luaopen_coroutine, coroutine_kept },
	{ LUA_STRLIBNAME, luaopen_string, string_kept },
	{ LUA_UTF8LIBNAME, luaopen_utf8, utf8_kept },
	{ LUA_TABLIBNAME, luaopen_table, table_kept },
	{ LUA_MATHLIBNAME, luaopen_math, math_kept },
	{ LUA_OSLIBNAME, luaopen_os, os_kept },
	{ LUA_DBLIBNAME, luaopen_debug, debug_kept },
};
const size_t n_environment_libraries = ARRAY_SIZE(environment_libraries);

static bool is_kept(const char *name, const char *const *kept)
{
	for (; *kept; kept++)
		if (strcmp(name, *kept) == 0)
			return true;
	return false;
}

/* Remove from the table on the top what is not listed. */
static void restrict_table(lua_State *L, const char *const *kept)
{
	lua_pushnil(L); /* table key */
	while (lua_next(L, -2)) {
		lua_pop(L, 1); /* table key */
		if (lua_type(L, -1) == LUA_TSTRING &&
		    is_kept(lua_tostring(L, -1), kept))
			continue;
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, -4); /* table key */
	}
}

uint64_t lua_check_deadline(lua_State *L, int i)
{
	uint64_t now_ns;
	lua_Number s;

	if (lua_isnoneornil(L, i))
		return TASK_NO_DEADLINE;
	s = luaL_checknumber(L, i);
	now_ns = clock_ns();
	if (!(s > 0)) /* NaN, too */
		return now_ns;
	if (s > SECONDS_MAX)
		return TASK_NO_DEADLINE;
	return now_ns + (uint64_t)(s * 1e9);
}

int lua_push_failure(lua_State *L, const char *why)
{
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

void environment_open(lua_State *L)
{
	for (size_t i = 0; i < n_environment_libraries; i++) {
		const struct environment_library *l = &environment_libraries[i];

		/* The globals come first, so they hold no library yet. */
		luaL_requiref(L, l->name, l->open, 1); /* library */
		restrict_table(L, l->kept);
		lua_pop(L, 1);
	}
	lua_base_open(L);
	lua_coroutine_open(L);
	lua_debug_open(L);
	lua_io_open(L);
	lua_os_open(L);
	lua_package_open(L);
	lua_task_open(L);
	lua_status_open(L);
	context_open(L);
	outgoing_open(L);
	request_value_open(L);
	lua_call_open(L);
	lua_event_open(L);
	push_open(L);
	lua_handler_open(L);
	lua_process_open(L);
}
