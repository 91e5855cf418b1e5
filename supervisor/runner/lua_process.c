/*
 * Step 7, in a runner: names, children, texts, by calls on context 0.
 */

#include "runner/lua_process.h"

#include <lauxlib.h>
#include <string.h>

#include "rpc/status.h"
#include "runner/call.h"
#include "runner/child.h"
#include "runner/environment.h"
#include "runner/lua_call.h"
#include "runner/lua_pipe.h"
#include "runner/lua_status.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/tell.h"

static char ups_key; /* registry: PIDs to the contexts that stand for them */

/* --- names ------------------------------------------------------------------
 */

/* os.bind(name [, {fallback=true}]) */
static int l_bind(lua_State *L)
{
	luaL_checkstring(L, 1);
	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, lua_isnoneornil(L, 2) ? 1 : 2);
	return lua_call_zero(L, "bind", lua_gettop(L));
}

/* os.unbind(name) */
static int l_unbind(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_settop(L, 1);
	return lua_call_zero(L, "unbind", 1);
}

/* --- children ---------------------------------------------------------------
 */

static const char *const stdio[] = { "stdin", "stdout", "stderr" };

/* Push a copy of the options at @index, with pipes as they are called; or an
 * empty table. */
static void push_options(lua_State *L, int index)
{
	lua_newtable(L); /* copy */
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2); /* copy key key value */
		lua_rawset(L, -4);
	}
	for (int i = 0; i < 3; i++) {
		lua_getfield(L, -1, stdio[i]);
		if (lua_pipe_push_reference(L, -1)) /* copy file reference */
			lua_setfield(L, -3, stdio[i]);
		lua_pop(L, 1);
	}
}

/* The ends at @index's fields are the child's now. */
static void give_pipes(lua_State *L, int index)
{
	for (int i = 0; lua_istable(L, index) && i < 3; i++) {
		lua_getfield(L, index, stdio[i]);
		lua_pipe_give(L, -1);
		lua_pop(L, 1);
	}
}

/* The table on the top says what to run; the options are in slot 2. Pushes the
 * PID. */
static int run(lua_State *L)
{
	int n = lua_call_zero(L, "process.run", 1); /* … pid [up] */
	lua_Integer pid = n > 0 ? lua_tointeger(L, -n) : 0;

	give_pipes(L, 2);
	child_started(L, (pid_t)pid);
	if (n > 1) {
		lua_rawgetp(L, LUA_REGISTRYINDEX, &ups_key); /* … up ups */
		lua_insert(L, -2);
		lua_rawseti(L, -2, pid);
	}
	lua_pushinteger(L, pid);
	return 1;
}

/* os.run_program(name [, options]) -> pid */
static int l_run_program(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_settop(L, 2);
	push_options(L, 2);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "program");
	return run(L);
}

/* os.run_code(text [, options]) -> pid */
static int l_run_code(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_settop(L, 2);
	push_options(L, 2);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "code");
	return run(L);
}

/* os.wait_exit(pid [, timeout]) -> code, signal */
static int l_wait_exit(lua_State *L)
{
	lua_Integer pid = luaL_checkinteger(L, 1);

	return child_wait(L, (pid_t)pid, lua_check_deadline(L, 2));
}

/* os.up(pid) -> context | nil */
static int l_up(lua_State *L)
{
	lua_Integer pid = luaL_checkinteger(L, 1);

	lua_rawgetp(L, LUA_REGISTRYINDEX, &ups_key);
	lua_rawgeti(L, -1, pid);
	return 1;
}

/* os.kill(pid), os.terminate(pid): upvalue 1 is the call's name */
static int l_signal(lua_State *L)
{
	luaL_checkinteger(L, 1);
	lua_settop(L, 1);
	return lua_call_zero(L, lua_tostring(L, lua_upvalueindex(1)), 1);
}

/* --- texts ------------------------------------------------------------------
 */

/* os.get_program(name) -> text, version | nil: upvalue 1 is the call's name */
static int l_get(lua_State *L)
{
	const char *name = lua_tostring(L, lua_upvalueindex(1));
	struct call_target t = {
		.name = name,
		.name_size = strlen(name),
		.deadline_ns = TIMER_NEVER,
	};
	struct call *call;
	int n;

	luaL_checkstring(L, 1);
	lua_settop(L, 1);
	call = call_make(L, &t, 1, 1);
	call_wait(L, call, TASK_NO_DEADLINE);
	if (call->status == STATUS_NOT_FOUND) {
		call_release(call);
		lua_pushnil(L);
		return 1;
	}
	n = call_push_values(L, call, name);
	return n < 0 ? lua_error(L) : n;
}

/* os.set_program(name, text) -> version */
static int l_set(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checkstring(L, 2);
	lua_settop(L, 2);
	return lua_call_zero(L, lua_tostring(L, lua_upvalueindex(1)), 2);
}

/* --- itself -----------------------------------------------------------------
 */

/* os.pid() -> integer */
static int l_pid(lua_State *L)
{
	lua_pushinteger(L, runner.pid);
	return 1;
}

/* os.name() -> string: the program's */
static int l_name(lua_State *L)
{
	lua_pushstring(L, runner.name);
	return 1;
}

/* os.label() -> string: this machine's */
static int l_label(lua_State *L)
{
	lua_pushstring(L, runner.label);
	return 1;
}

/* os.ready([text]) */
static int l_ready(lua_State *L)
{
	size_t size = 0;
	const char *text = luaL_optlstring(L, 1, NULL, &size);

	tell_notice("ready", text, size);
	return 0;
}

/* os.alive() */
static int l_alive(lua_State *L)
{
	(void)L;
	tell_notice("alive", NULL, 0);
	return 0;
}

/* --- the library ------------------------------------------------------------
 */

/* A function that goes by the name of a call. */
static const struct {
	const char *function;
	const char *call;
	lua_CFunction fn;
} by_call[] = {
	{ "kill", "process.kill", l_signal },
	{ "terminate", "process.terminate", l_signal },
	{ "get_program", "program.get", l_get },
	{ "get_library", "library.get", l_get },
	{ "get_runtime", "runtime.get", l_get },
	{ "set_program", "program.set", l_set },
	{ "set_library", "library.set", l_set },
	{ "set_runtime", "runtime.set", l_set },
};

void lua_process_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "alive", l_alive },
		{ "bind", l_bind },
		{ "label", l_label },
		{ "name", l_name },
		{ "pid", l_pid },
		{ "ready", l_ready },
		{ "run_code", l_run_code },
		{ "run_program", l_run_program },
		{ "unbind", l_unbind },
		{ "up", l_up },
		{ "wait_exit", l_wait_exit },
		{ NULL, NULL },
	};

	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &ups_key);
	lua_getglobal(L, "os"); /* os */
	luaL_setfuncs(L, functions, 0);
	for (size_t i = 0; i < sizeof(by_call) / sizeof(by_call[0]); i++) {
		lua_pushstring(L, by_call[i].call);
		lua_pushcclosure(L, by_call[i].fn, 1);
		lua_setfield(L, -2, by_call[i].function);
	}
	lua_pop(L, 1);
}
