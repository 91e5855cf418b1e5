/*
 * Step 5, in the zygote: the part of `os` about processes, texts and names.
 *
 * Most of it is a call on context 0, so that whoever stands in between sees
 * it; what concerns this process alone goes over the control link.
 */

#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "rpc/control.h"
#include "runner/call.h"
#include "runner/child.h"
#include "runner/context.h"
#include "runner/environment.h"
#include "runner/limits.h"
#include "runner/lua_call.h"
#include "runner/lua_status.h"
#include "runner/request.h"
#include "runner/runner.h"
#include "runner/stream.h"
#include "runner/tell.h"
#include "runner/value.h"

static const char process_run[] = "process.run";

/* --- this process -----------------------------------------------------------
 */

/* os.pid() */
static int l_pid(lua_State *L)
{
	lua_pushinteger(L, runner.pid);
	return 1;
}

/* os.name(): of its program */
static int l_name(lua_State *L)
{
	lua_pushstring(L, runner.name);
	return 1;
}

/* os.label(): of this machine */
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

	luaL_argcheck(L, size <= LIMIT_READY_BYTES, 1, "the text is too long");
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

/* --- names ------------------------------------------------------------------
 */

/* os.bind(name [, {fallback=}]) */
static int l_bind(lua_State *L)
{
	size_t size;

	lua_call_check_name(L, 1, &size);
	lua_settop(L, 2);
	if (lua_isnil(L, 2))
		lua_settop(L, 1);
	else
		luaL_checktype(L, 2, LUA_TTABLE);
	lua_call_zero(L, "bind", lua_gettop(L));
	return 0;
}

/* os.unbind(name) */
static int l_unbind(lua_State *L)
{
	size_t size;

	lua_call_check_name(L, 1, &size);
	lua_settop(L, 1);
	lua_call_zero(L, "unbind", 1);
	return 0;
}

/* --- texts ------------------------------------------------------------------
 */

static int get_text(lua_State *L, const char *call)
{
	luaL_checkstring(L, 1);
	lua_settop(L, 1);
	return lua_call_zero(L, call, 1);
}

static int set_text(lua_State *L, const char *call)
{
	luaL_checkstring(L, 1);
	luaL_checkstring(L, 2);
	lua_settop(L, 2);
	return lua_call_zero(L, call, 2);
}

/* os.get_program(name) -> text, version | nil */
static int l_get_program(lua_State *L)
{
	return get_text(L, "program.get");
}

static int l_get_library(lua_State *L)
{
	return get_text(L, "library.get");
}

static int l_get_runtime(lua_State *L)
{
	return get_text(L, "runtime.get");
}

/* os.set_program(name, text) -> version */
static int l_set_program(lua_State *L)
{
	return set_text(L, "program.set");
}

static int l_set_library(lua_State *L)
{
	return set_text(L, "library.set");
}

static int l_set_runtime(lua_State *L)
{
	return set_text(L, "runtime.set");
}

/* --- pipes ------------------------------------------------------------------
 */

/* os.pipe() -> reader, writer */
static int l_pipe(lua_State *L)
{
	struct stream *reader, *writer;
	struct request *r;
	int status;

	lua_settop(L, 0);
	reader = lua_io_push_pipe(L);
	writer = lua_io_push_pipe(L);
	reader->reads = true;
	r = request_new(L);
	request_ask(r, CONTROL_WANT_PIPE, 0, 0, 0);
	request_wait(L, r, "a pipe");
	status = r->status;
	if (status == 0 && r->fds[0] >= 0 && r->fds[1] >= 0) {
		stream_begin_pipes();
		reader->fd = steal_fd(&r->fds[0]);
		writer->fd = steal_fd(&r->fds[1]);
		reader->pipe = writer->pipe = r->value;
		request_release(r);
		return 2;
	}
	lua_pushstring(L, r->message);
	request_release(r);
	lua_status_push_error(L, status, "os.pipe");
	return lua_error(L);
}

/* The stream at the top becomes what process.run takes; any other value stays
 * what it is. */
static void convert_stream(lua_State *L, const char *key, bool reads)
{
	struct stream *s = lua_io_test_file(L, -1);

	if (!s)
		return;
	if (!s->is_pipe || s->reads != reads)
		luaL_error(L, "%s: the %s of a pipe is wanted", key,
			   reads ? "reader" : "writer");
	if (s->fd < 0)
		luaL_error(L, "%s: the pipe is closed", key);
	stream_flush(s);
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, (lua_Integer)s->pipe);
	lua_setfield(L, -2, "pipe");
	lua_pushstring(L, reads ? "reader" : "writer");
	lua_setfield(L, -2, "end");
	lua_replace(L, -2);
}

static const char *const stdio_keys[] = { "stdin", "stdout", "stderr" };

/* An end that the child has got is not this process's any more: thoxd has
 * closed its own. */
static void give_stream(lua_State *L, int options, const char *key)
{
	struct stream *s;

	lua_getfield(L, options, key);
	s = lua_io_test_file(L, -1);
	if (s && s->fd >= 0) {
		close(s->fd);
		s->fd = -1;
	}
	lua_pop(L, 1);
}

/* --- children ---------------------------------------------------------------
 */

/* A context's number in a field stands for the context. */
static void convert_context(lua_State *L, const char *key)
{
	struct context *c;

	if (!lua_isinteger(L, -1))
		return;
	c = context_find((uint64_t)lua_tointeger(L, -1));
	if (!c)
		luaL_error(L, "%s: a context is wanted, which is open", key);
	context_push(L, c);
	lua_replace(L, -2);
}

/* thoxd would not know it either, and not say which it is. */
static void check_option(lua_State *L, const char *key)
{
	static const char *const known[] = {
		"args",	   "context", "env",   "limits", "name",    "policy",
		"runtime", "stderr",  "stdin", "stdout", "storage",
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(key, known[i]) == 0)
			return;
	luaL_error(L,
		   "%s: os.run_program and os.run_code do not know this option",
		   key);
}

/* Copy the options at @options, as process.run takes them, to the table on
 * the top. */
static void copy_options(lua_State *L, int options)
{
	int to = lua_gettop(L);

	lua_pushnil(L);
	while (lua_next(L, options)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING
					  ? lua_tostring(L, -2)
					  : NULL;

		if (!key)
			luaL_error(L, "the options have names");
		check_option(L, key);
		for (size_t i = 0; i < ARRAY_SIZE(stdio_keys); i++)
			if (strcmp(key, stdio_keys[i]) == 0)
				convert_stream(L, key, i == 0);
		if (strcmp(key, "context") == 0 || strcmp(key, "storage") == 0)
			convert_context(L, key);
		lua_pushvalue(L, -2);
		lua_insert(L, -2); /* key key value */
		lua_rawset(L, to);
	}
}

/* Without a word about it, a child has its parent's variables. The options are
 * on the top. */
static void inherit_env(lua_State *L)
{
	bool said = lua_getfield(L, -1, "env") != LUA_TNIL;
	struct mp_reader r;
	uint32_t n;

	lua_pop(L, 1);
	if (said || runner.env.size == 0)
		return;
	mp_reader_init(&r, runner.env.p, runner.env.size);
	n = mp_read_map(&r);
	lua_createtable(L, 0, (int)n); /* options env */
	while (n-- > 0) {
		struct mp_bytes key = mp_read_str(&r);
		struct mp_bytes value = mp_read_str(&r);

		lua_pushlstring(L, key.p, key.size);
		lua_pushlstring(L, value.p, value.size);
		lua_rawset(L, -3);
	}
	lua_setfield(L, -2, "env");
}

/* Wait for the answer of a call that starts a child: as lua_call_finish(). */
static int finish_start(lua_State *L, struct call *call)
{
	child_starting(1);
	call->starts = true;
	return lua_call_finish(L, call, process_run);
}

/* The context 0 that the table at @index gives to a child, or NULL. */
static struct context *base_of(lua_State *L, int index)
{
	struct context *c = NULL;

	if (!lua_istable(L, index))
		return NULL;
	lua_getfield(L, index, "context");
	if (luaL_testudata(L, -1, VALUE_CONTEXT))
		(void)context_check(L, lua_gettop(L), &c);
	lua_pop(L, 1);
	return c;
}

/* What is run is in slot 1, the options are in slot 2. */
static int run(lua_State *L, const char *what)
{
	struct context *up = NULL;
	lua_Integer pid;
	int n;

	luaL_checkstring(L, 1);
	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_newtable(L);
		lua_replace(L, 2);
	}
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_newtable(L); /* what options table */
	copy_options(L, 2);
	inherit_env(L);
	lua_pushvalue(L, 1);
	lua_setfield(L, 3, what);
	n = finish_start(L, lua_call_begin_zero(L, process_run, 1));
	/* … pid [up] */
	pid = n > 0 ? luaL_checkinteger(L, -n) : 0;
	if (n > 1 && luaL_testudata(L, 1 - n, VALUE_CONTEXT))
		(void)context_check(L, lua_gettop(L) - n + 2, &up);
	child_started(L, (pid_t)pid, base_of(L, 3), up);
	for (size_t i = 0; i < ARRAY_SIZE(stdio_keys); i++)
		give_stream(L, 2, stdio_keys[i]);
	lua_pushinteger(L, pid);
	return 1;
}

/* os.run_program(name, {args=, …}) -> pid */
static int l_run_program(lua_State *L)
{
	return run(L, "program");
}

/* os.run_code(text, {name=, …}) -> pid */
static int l_run_code(lua_State *L)
{
	return run(L, "code");
}

/* thox.run(request, ctx, "process.run", options) -> pid [, up]: forwarded for
 * a child, whose child it is */
int lua_process_run_for(lua_State *L)
{
	struct call *call = lua_call_begin_forward(L);
	int n = finish_start(L, call); /* … pid [up] */
	struct context *up;

	if (n > 1 && lua_isinteger(L, -n) &&
	    luaL_testudata(L, 1 - n, VALUE_CONTEXT) &&
	    context_check(L, lua_gettop(L) - n + 2, &up) && up)
		child_adopt(L, (pid_t)lua_tointeger(L, -n), base_of(L, 4), up);
	return n;
}

/* os.up(pid) -> ctx | nil: stands for a child that has another context 0 */
static int l_up(lua_State *L)
{
	child_push_up(L, (pid_t)luaL_checkinteger(L, 1));
	return 1;
}

/* os.wait_exit(pid [, timeout]) -> code, signal */
static int l_wait_exit(lua_State *L)
{
	lua_Integer pid = luaL_checkinteger(L, 1);

	return child_wait(L, (pid_t)pid, lua_check_deadline(L, 2));
}

static int end_process(lua_State *L, const char *call)
{
	luaL_checkinteger(L, 1);
	lua_settop(L, 1);
	lua_call_zero(L, call, 1);
	return 0;
}

/* os.kill(pid) */
static int l_kill(lua_State *L)
{
	return end_process(L, "process.kill");
}

/* os.terminate(pid) */
static int l_terminate(lua_State *L)
{
	return end_process(L, "process.terminate");
}

void lua_process_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "alive", l_alive },
		{ "bind", l_bind },
		{ "get_library", l_get_library },
		{ "get_program", l_get_program },
		{ "get_runtime", l_get_runtime },
		{ "kill", l_kill },
		{ "label", l_label },
		{ "name", l_name },
		{ "pid", l_pid },
		{ "pipe", l_pipe },
		{ "ready", l_ready },
		{ "run_code", l_run_code },
		{ "run_program", l_run_program },
		{ "set_library", l_set_library },
		{ "set_program", l_set_program },
		{ "set_runtime", l_set_runtime },
		{ "terminate", l_terminate },
		{ "unbind", l_unbind },
		{ "up", l_up },
		{ "wait_exit", l_wait_exit },
		{ NULL, NULL },
	};

	lua_getglobal(L, "os");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
