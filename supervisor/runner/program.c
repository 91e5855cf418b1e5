/*
 * Step 6, in a runner: the program runs.
 *
 * The main Lua state runs pmain() under a pcall; pmain() makes the program's
 * thread, which is the main task's, and calls it. What ends the program from
 * outside kills all tasks (task.h): `end` says which exit code that is. The
 * main task closes its variables, waits for the others to do so, and returns
 * the code from here.
 */

#include "runner/program.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "rpc/wire.h"
#include "runner/context.h"
#include "runner/control.h"
#include "runner/failure.h"
#include "runner/preempt.h"
#include "runner/report.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/text.h"

/* How the program ends, when something but its text ends it. */
static struct {
	bool begun;
	int code;
	const char *report; /* NULL: nothing */
} end;

static bool runs;	 /* a text of the program: may be interrupted */
static bool interrupted; /* a text at a prompt */

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
	struct running *outer = lua_touserdata(L, 1);

	luaL_where(L, 1);
	if (lua_rawlen(L, -1) == 0)
		lua_pushfstring(L, "%s: ", runner.name);
	lua_pushliteral(L, "interrupted!");
	lua_concat(L, 2); /* text */
	add_traceback(L, L, 1, "stack traceback:");
	for (; outer; outer = outer->outer)
		add_traceback(L, outer->L, 0, "resumed by:");
	return 1;
}

static void tell_where(const struct running *r)
{
	if (!lua_checkstack(r->L, LUA_MINSTACK))
		return;
	lua_pushcfunction(r->L, l_where);
	lua_pushlightuserdata(r->L, r->outer);
	if (lua_pcall(r->L, 1, 1, 0) == LUA_OK)
		failure_tell_error(r->L);
	lua_pop(r->L, 1);
}

/* The task that computes, or the main one. */
static const struct running *interrupted_state(void)
{
	struct task *t = task_current();

	if (t->state == TASK_RUNNING || t == task_main())
		return running_innermost();
	return task_main()->innermost;
}

static void begin_end(int code, const char *report)
{
	end.begun = true;
	end.code = code;
	end.report = report;
	task_kill_all();
}

void program_interrupt(void)
{
	const struct running *r = interrupted_state();

	if (end.begun && end.code == EXIT_INTERRUPTED)
		runner_exit(EXIT_INTERRUPTED); /* somebody is impatient */
	if (!r || !runs || end.begun)
		return;
	tell_where(r);
	if (runner.interactive) {
		interrupted = true;
		task_kill(task_main());
	} else {
		begin_end(EXIT_INTERRUPTED, "interrupted");
	}
}

void program_terminate(void)
{
	if (end.begun)
		return;
	if (!runs && task_count() == 1) { /* between two texts, before any */
		report_text("terminated");
		runner_exit(EXIT_TERMINATED);
	}
	begin_end(EXIT_TERMINATED, "terminated");
}

_Noreturn void program_close_and_exit(int code)
{
	/* Not in a __close of a closing program, nor where a task that is
	 * ending could not be left. */
	if (!end.begun && !task_current()->closing && task_current()->can_jump)
		begin_end(code, NULL); /* does not return */
	runner_exit(code);
}

/* --- running ----------------------------------------------------------------
 */

/* Call what is on @L's stack below its @n arguments. */
static int call(lua_State *L, int n, int n_results)
{
	struct running r;
	int status;

	lua_pushcfunction(L, failure_handler);
	lua_insert(L, 1); /* handler function argument… */
	running_enter(&r, L);
	status = lua_pcall(L, n, n_results, 1);
	running_leave(&r);
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

/* A string, or a context that the starter has given. They are pushed twice,
 * for the runtime and for the program. */
static void push_argument(lua_State *L, struct mp_reader *r)
{
	struct mp_bytes b;

	if (mp_peek(r) == MP_EXT) {
		context_push_named(L, wire_read_context(r), 0, UINT64_MAX);
		return;
	}
	b = mp_read_str(r);
	lua_pushlstring(L, b.p, b.size);
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
		push_argument(L, &r); /* arg value… */
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

/* --- a program --------------------------------------------------------------
 */

struct run {
	int fd; /* of the text, until it is loaded */
	struct mp_bytes args;
};

static int run_text(struct run *run)
{
	lua_State *L = task_main()->L;
	int status, n;

	status = prepare(L, run->args);
	if (status == LUA_OK)
		status = load(L, run->fd); /* function */
	close(run->fd);
	if (status != LUA_OK)
		return failure_of_program(L, status);
	n = push_arguments(L, run->args);
	status = call(L, n, runner.expression ? LUA_MULTRET : 0);
	if (status == LUA_OK && runner.expression)
		status = print_values(L);
	return status == LUA_OK ? 0 : failure_of_program(L, status);
}

/* The process goes on as long as it has other tasks, or serves. */
static void wait_for_others(void)
{
	while (task_hooks.serving ? task_hooks.serving() : task_count() > 1)
		task_wait(NULL, "the other tasks", TASK_NO_DEADLINE);
}

static int program_body(void *context)
{
	int code = run_text(context);

	if (code == 0)
		wait_for_others();
	return code;
}

static int serve_body(void *context)
{
	(void)context;
	wait_for_others();
	return 0;
}

static int run_program(struct run *run)
{
	int code;
	bool ran;

	runs = true;
	ran = task_run(program_body, run, &code);
	/* Killed, as a task may be, without the others. */
	while (!ran && !end.begun)
		ran = task_run(serve_body, NULL, &code);
	runs = false;
	task_end_all();
	if (end.begun && end.report)
		report_text(end.report);
	return end.begun ? end.code : code;
}

/* --- a prompt ---------------------------------------------------------------
 */

static int evaluate(void *context)
{
	struct mp_bytes text = *(struct mp_bytes *)context;
	lua_State *L = task_main()->L;
	const char *message;
	size_t size;
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
	message = lua_tolstring(L, -1, &size);
	if (status != LUA_OK && message)
		failure_tell(message, size);
	return status == LUA_OK;
}

/* One text in a thread of its own: one that was left by a jump is not used
 * again. */
static bool run_one(lua_State *L, struct mp_bytes text)
{
	int ok;

	lua_settop(L, 0);
	task_main()->L = lua_newthread(L);
	runs = true;
	if (!task_run(evaluate, &text, &ok))
		ok = false;
	runs = interrupted = false;
	return ok;
}

static int end_prompt(void)
{
	task_end_all();
	if (end.begun && end.report)
		report_text(end.report);
	return end.begun ? end.code : 0;
}

/* The next text; NULL: the end. Other tasks run meanwhile. */
static struct control_text *wait_text(void)
{
	struct control_text *text = NULL;

	while (!end.begun && !(text = control_take_text()))
		task_wait(NULL, "a text", TASK_NO_DEADLINE);
	task_main()->killed = false; /* there was nothing to kill */
	return text;
}

static int run_prompt(lua_State *L, struct mp_bytes args)
{
	struct control_text *text;
	int status;

	status = prepare(task_main()->L, args);
	if (status != LUA_OK)
		return failure_of_program(task_main()->L, status);
	lua_settop(task_main()->L, 0);
	push_arguments(task_main()->L, args);
	while ((text = wait_text())) {
		bool ok = run_one(L, text->bytes);

		free(text);
		stream_flush(&runner.output);
		if (!end.begun)
			control_evaluated(ok);
	}
	return end_prompt();
}

/* --- both -------------------------------------------------------------------
 */

static int exit_code;

static int pmain(lua_State *L)
{
	struct run *run = lua_touserdata(L, 1);

	task_main()->L = lua_newthread(L);
	exit_code = runner.interactive ? run_prompt(L, run->args)
				       : run_program(run);
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
	if (status != LUA_OK) { /* no room for the arguments, or a bad text */
		runs = task_main()->can_jump = false;
		exit_code = failure_of_program(L, status);
		task_end_all();
	}
	return exit_code;
}

/* --- rehearsal --------------------------------------------------------------
 */

/* What most programs do first: it parses, calls, makes a table and strings. */
static const char rehearsal[] =
	"local t = {} for i = 1, 4 do t[i] = tostring(i) .. 'x' end "
	"return #t, ...";

/* For `arg` among the globals, whatever a runtime does about new ones. */
static void make_place(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* globals */
	lua_pushliteral(L, "arg");
	if (lua_rawget(L, -2) == LUA_TNIL) { /* globals nil */
		lua_pushliteral(L, "arg");
		lua_pushboolean(L, true);
		lua_rawset(L, -4);
		lua_pushliteral(L, "arg");
		lua_insert(L, -2);
		lua_rawset(L, -3); /* globals */
	}
}

static int l_rehearse(lua_State *L)
{
	lua_State *co = lua_newthread(L);

	if (text_load_expression(co, rehearsal, sizeof(rehearsal) - 1, "-") ==
	    LUA_OK)
		call(co, 0, 0);
	make_place(L);
	return 0;
}

void program_rehearse(void)
{
	lua_State *L = runner.L;

	lua_pushcfunction(L, l_rehearse);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK)
		lua_pop(L, 1);
}
