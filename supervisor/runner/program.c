/*
 * Step 6, in a runner: the program runs.
 *
 * Who is where: the main Lua state runs pmain() under a pcall; pmain() makes
 * the program's thread and calls it. `base` is in pmain()'s frame. A jump to
 * it abandons C frames of Lua, which hold nothing; the Lua states among them
 * were noted before and are reset, innermost first, which closes their
 * variables.
 */

#include "runner/program.h"

#include <lauxlib.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "runner/control.h"
#include "runner/report.h"
#include "runner/runner.h"
#include "runner/text.h"

/* Lua resumes coroutines in each other this deep at most (LUAI_MAXCCALLS). */
#define NESTED_MAX 256

enum jump {
	JUMP_NONE,
	JUMP_INTERRUPT,
	JUMP_TERMINATE,
	JUMP_EXIT,
};

static jmp_buf base;
static bool can_jump;
static lua_State *thread;
static lua_State *abandoned[NESTED_MAX];
static size_t n_abandoned;
static int exit_code;

bool program_is_base(lua_State *L)
{
	return L == thread;
}

static void tell(const char *text, size_t size)
{
	stream_write(&runner.error, text, size);
	stream_write(&runner.error, "\n", 1);
}

/* --- errors -----------------------------------------------------------------
 */

/* Message handler: text and traceback, in the state that erred. */
static int on_error(lua_State *L)
{
	const char *message = lua_tostring(L, 1);

	if (!message) {
		if (luaL_callmeta(L, 1, "__tostring") &&
		    lua_type(L, -1) == LUA_TSTRING)
			message = lua_tostring(L, -1);
		else
			message = lua_pushfstring(
				L, "%s: (error object is a %s value)",
				runner.name, luaL_typename(L, 1));
	}
	luaL_traceback(L, L, message, 1);
	return 1;
}

static bool is_out_of_memory(lua_State *L, int status)
{
	static const char text[] = "not enough memory";
	const char *message;

	if (status == LUA_ERRMEM)
		return true;
	message = lua_tostring(L, -1);
	return message && runner.allocator.refused &&
	       strncmp(message, text, sizeof(text) - 1) == 0;
}

/* The error on @L's top ends the program: the exit code. */
static int failed(lua_State *L, int status)
{
	const char *message;
	size_t size;

	if (is_out_of_memory(L, status)) {
		report_number("memory", runner.memory_bytes);
		return EXIT_MEMORY;
	}
	message = lua_tolstring(L, -1, &size);
	if (message)
		tell(message, size);
	report_text("error");
	return EXIT_LUA_ERROR;
}

/* --- ends from outside ------------------------------------------------------
 */

/* Push the traceback of @of after the text on the top. */
static void add_traceback(lua_State *L, lua_State *of, int level,
			  const char *head)
{
	static const char usual[] = "stack traceback:";

	luaL_traceback(L, of, NULL, level); /* text traceback */
	lua_pushfstring(L, "%s\n%s%s", lua_tostring(L, -2), head,
			lua_tostring(L, -1) + sizeof(usual) - 1);
	lua_replace(L, -3);
	lua_pop(L, 1); /* text */
}

/* Traceback of the state that runs and of those who resumed it. */
static int l_where(lua_State *L)
{
	luaL_where(L, 1);
	if (lua_rawlen(L, -1) == 0)
		lua_pushfstring(L, "%s: ", runner.name);
	lua_pushliteral(L, "interrupted!");
	lua_concat(L, 2); /* text */
	add_traceback(L, L, 1, "stack traceback:");
	for (struct running *r = control_innermost()->outer; r; r = r->outer)
		add_traceback(L, r->L, 0, "resumed by:");
	return 1;
}

static void tell_where(lua_State *L)
{
	const char *text;
	size_t size;

	lua_pushcfunction(L, l_where);
	if (lua_pcall(L, 0, 1, 0) == LUA_OK) {
		text = lua_tolstring(L, -1, &size);
		tell(text, size);
	}
	lua_pop(L, 1);
}

static _Noreturn void jump(enum jump why)
{
	n_abandoned = 0;
	for (struct running *r = control_innermost(); r; r = r->outer)
		if (n_abandoned < NESTED_MAX)
			abandoned[n_abandoned++] = r->L;
	can_jump = false;
	_longjmp(base, why);
}

/* After a jump: close what the abandoned states have open. */
static void unwind(void)
{
	control_forget_running();
	for (size_t i = 0; i < n_abandoned; i++) {
		struct running r;

		control_enter(&r, abandoned[i]);
		lua_resetthread(abandoned[i]);
		control_leave(&r);
	}
	n_abandoned = 0;
}

void program_interrupt(void)
{
	struct running *r = control_innermost();

	if (!r || !can_jump)
		return;
	tell_where(r->L);
	if (runner.interactive)
		jump(JUMP_INTERRUPT);
	report_text("interrupted");
	runner_exit(EXIT_INTERRUPTED);
}

void program_terminate(void)
{
	if (can_jump)
		jump(JUMP_TERMINATE);
	if (!control_innermost()) { /* between two texts, or before any */
		report_text("terminated");
		runner_exit(EXIT_TERMINATED);
	}
}

_Noreturn void program_close_and_exit(int code)
{
	exit_code = code;
	if (!can_jump)
		runner_exit(code); /* in a __close of a closing program */
	jump(JUMP_EXIT);
}

/* --- running ----------------------------------------------------------------
 */

/* Call what is on @L's stack below its @n arguments. */
static int call(lua_State *L, int n, int n_results)
{
	struct running r;
	int status;

	lua_pushcfunction(L, on_error);
	lua_insert(L, 1); /* handler function argument… */
	control_enter(&r, L);
	can_jump = true;
	status = lua_pcall(L, n, n_results, 1);
	can_jump = false;
	control_leave(&r);
	lua_remove(L, 1);
	return status;
}

/* Show the values on the stack as print() does. */
static int print_values(lua_State *L)
{
	int n = lua_gettop(L);

	if (n == 0)
		return LUA_OK;
	luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
	lua_getglobal(L, "print");
	lua_insert(L, 1); /* print value… */
	return call(L, n, 0);
}

/* Push the arguments; fill `arg`. */
static int push_arguments(lua_State *L, struct mp_bytes raw)
{
	struct mp_reader r;
	uint32_t n;

	mp_reader_init(&r, raw.size ? raw.p : "", raw.size);
	n = raw.size ? mp_read_array(&r) : 0;
	luaL_checkstack(L, (int)n + LUA_MINSTACK, "too many arguments");
	lua_createtable(L, (int)n, 1); /* arg */
	lua_pushstring(L, runner.name);
	lua_rawseti(L, -2, 0);
	for (uint32_t i = 1; i <= n; i++) {
		struct mp_bytes b = mp_read_str(&r);

		lua_pushlstring(L, b.p, b.size); /* arg value… */
		lua_pushvalue(L, -1);
		lua_rawseti(L, -2 - (int)i, i);
	}
	lua_pushvalue(L, -1 - (int)n);
	lua_setglobal(L, "arg");
	lua_remove(L, -1 - (int)n); /* value… */
	return (int)n;
}

/* What the runtime leaves to do for each process. */
static int prepare(lua_State *L, struct mp_bytes args)
{
	int n;

	if (runner.prepare == LUA_NOREF)
		return LUA_OK;
	lua_rawgeti(L, LUA_REGISTRYINDEX, runner.prepare);
	lua_pushstring(L, runner.name);
	n = push_arguments(L, args);
	return call(L, n + 1, 0);
}

static int load(lua_State *L, int fd)
{
	const char *text;
	size_t size;
	int status;

	if (!runner.expression)
		return text_load(L, fd, runner.name);
	text_push(L, fd, runner.name); /* text */
	text = lua_tolstring(L, -1, &size);
	status = text_load_values(L, text, size, runner.name);
	lua_remove(L, 1);
	return status;
}

static int run_text(lua_State *L, int fd, struct mp_bytes args)
{
	int status, n;

	status = prepare(L, args);
	if (status == LUA_OK)
		status = load(L, fd); /* function */
	close(fd);
	if (status != LUA_OK)
		return failed(L, status);
	n = push_arguments(L, args);
	status = call(L, n, runner.expression ? LUA_MULTRET : 0);
	if (status == LUA_OK && runner.expression)
		status = print_values(L);
	return status == LUA_OK ? 0 : failed(L, status);
}

/* --- a prompt ---------------------------------------------------------------
 */

static int evaluate(lua_State *L, struct mp_bytes text)
{
	int status;

	if (text.size > 0 && text.p[0] == '=') { /* as older Luas had it */
		text.p++;
		text.size--;
	}
	text_look_for_finalizers(text.p, text.size);
	status = text_load_expression(L, text.p, text.size, runner.name);
	if (status == LUA_OK)
		status = call(L, 0, LUA_MULTRET);
	if (status == LUA_OK)
		status = print_values(L);
	return status;
}

static bool run_one(lua_State *L, struct mp_bytes text)
{
	volatile bool ok = false;
	const char *message;
	size_t size;
	int status;

	switch (_setjmp(base)) {
	case JUMP_NONE:
		status = evaluate(thread, text);
		message = lua_tolstring(thread, -1, &size);
		if (status != LUA_OK && message)
			tell(message, size);
		ok = status == LUA_OK;
		break;
	case JUMP_INTERRUPT:
		unwind();
		break;
	case JUMP_TERMINATE:
		unwind();
		report_text("terminated");
		runner_exit(EXIT_TERMINATED);
	default:
		unwind();
		runner_exit(exit_code);
	}
	(void)L;
	return ok;
}

static int run_prompt(lua_State *L, struct mp_bytes args)
{
	struct link_message raw;
	struct mp_bytes text;
	int status;

	status = prepare(thread, args);
	if (status != LUA_OK)
		return failed(thread, status);
	lua_settop(thread, 0);
	push_arguments(thread, args);
	while (control_wait_text(&raw, &text) == 0) {
		bool ok;

		/* A thread that was left by a jump is not used again. */
		lua_settop(L, 0);
		thread = lua_newthread(L);
		ok = run_one(L, text);
		link_message_deinit(&raw);
		stream_flush(&runner.output);
		control_evaluated(ok);
	}
	return 0;
}

/* --- the base ---------------------------------------------------------------
 */

struct run {
	int fd;
	struct mp_bytes args;
};

static int run_program(const struct run *run)
{
	switch (_setjmp(base)) {
	case JUMP_NONE:
		return run_text(thread, run->fd, run->args);
	case JUMP_TERMINATE:
		unwind();
		report_text("terminated");
		return EXIT_TERMINATED;
	default:
		unwind();
		return exit_code;
	}
}

static int pmain(lua_State *L)
{
	struct run *run = lua_touserdata(L, 1);

	thread = lua_newthread(L);
	if (runner.interactive)
		exit_code = run_prompt(L, run->args);
	else
		exit_code = run_program(run);
	return 0;
}

int program_run(int fd, struct mp_bytes args)
{
	struct run run = { fd, args };
	lua_State *L = runner.L;
	int status;

	lua_pushcfunction(L, pmain);
	lua_pushlightuserdata(L, &run);
	status = lua_pcall(L, 1, 0, 0);
	if (status != LUA_OK) /* no room for the arguments, or a bad text */
		return failed(L, status);
	return exit_code;
}

/* --- rehearsal --------------------------------------------------------------
 */

/* What most programs do first: it parses, calls, makes a table and strings. */
static const char rehearsal[] =
	"local t = {} for i = 1, 4 do t[i] = tostring(i) .. 'x' end "
	"return #t, ...";

static int l_rehearse(lua_State *L)
{
	lua_State *co = lua_newthread(L);

	if (text_load_expression(co, rehearsal, sizeof(rehearsal) - 1, "-") ==
	    LUA_OK)
		call(co, 0, 0);
	return 0;
}

void program_rehearse(void)
{
	lua_State *L = runner.L;

	lua_pushcfunction(L, l_rehearse);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK)
		lua_pop(L, 1);
}
