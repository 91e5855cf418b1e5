/*
 * Step 5, in the zygote, then in each child of it: from Lua to a program.
 *
 * A runner has its sandbox from its zygote; what it adds is its own death
 * signal, its seed, the ownership of its control link, and its filter. Then it
 * rehearses: pages that a start touches are copied and mapped now, while
 * nobody waits.
 */

#include "runner/runner.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/exit.h"
#include "runner/control.h"
#include "runner/environment.h"
#include "runner/handler.h"
#include "runner/heap.h"
#include "runner/limits.h"
#include "runner/preempt.h"
#include "runner/program.h"
#include "runner/report.h"
#include "runner/text.h"
#include "runner/trap.h"
#include "runner/watch.h"

/* Lua's own pause between collections, and the most it can be told. */
#define LUA_PAUSE_PERCENT 200
#define LUA_PAUSE_MOST	  1000

struct runner runner = { .prepare = LUA_NOREF };

static char input_buffer[LIMIT_INPUT_BYTES];
static char output_buffer[LIMIT_OUTPUT_BYTES];

/* --- in the zygote ----------------------------------------------------------
 */

static void on_exhausted(void)
{
	if (runner.loading) {
		report_zygote_failed("runtime", "not enough memory");
		_exit(EXIT_MEMORY);
	}
	report_number("memory", runner.memory_bytes);
	runner_exit(EXIT_MEMORY);
}

static int on_panic(lua_State *L)
{
	(void)L;
	trap_crash();
}

/*
 * Room in Lua's table of strings: one that a child makes grow is linked anew
 * through every string, and so copies every page that the runtime's lie on.
 * It shrinks only to four times of what is used.
 */
static void make_room_for_strings(lua_State *L)
{
	lua_gc(L, LUA_GCSTOP);
	for (int i = 0; i < LIMIT_ROOM_STRINGS; i++) {
		lua_pushfstring(L, "room for string %d", i);
		lua_pop(L, 1);
	}
	lua_gc(L, LUA_GCRESTART);
}

/*
 * Collect, and let the next collection wait until a program has allocated a
 * good deal itself: marking writes into every object, and so copies every page
 * that the zygote shares. From then on the collector goes as in Lua.
 */
static void settle(lua_State *L)
{
	int kib = lua_gc(L, LUA_GCCOUNT);
	int pause = kib < LIMIT_FIRST_COLLECTION_KIB / 2
			    ? LIMIT_FIRST_COLLECTION_KIB * 100 / (kib + 1)
			    : LUA_PAUSE_PERCENT;

	if (pause > LUA_PAUSE_MOST)
		pause = LUA_PAUSE_MOST;
	lua_gc(L, LUA_GCINC, pause, 0, 0);
	lua_gc(L, LUA_GCCOLLECT);
	lua_gc(L, LUA_GCINC, LUA_PAUSE_PERCENT, 0, 0);
}

struct load {
	const char *runtime;
	int fd;
};

/* A runtime's text may change the globals, and may return a function, which
 * is called in each process before its program. */
static int l_load_runtime(lua_State *L)
{
	struct load *load = lua_touserdata(L, 1);

	environment_open(L);
	heap_fill_holes();
	if (load->fd < 0)
		return 0;
	heap_begin_runtime();
	if (text_load(L, load->fd, load->runtime) != LUA_OK)
		return lua_error(L);
	lua_primitives_push(L);
	lua_call(L, 1, 1); /* function | nil */
	if (lua_isfunction(L, -1))
		runner.prepare = luaL_ref(L, LUA_REGISTRYINDEX);
	else if (!lua_isnil(L, -1))
		return luaL_error(L,
				  "%s: a runtime returns a function or "
				  "nothing, not a %s",
				  load->runtime, luaL_typename(L, -1));
	lua_settop(L, 0);
	return 0;
}

int runner_load(const char *runtime, int runtime_fd, size_t memory_bytes,
		char *ret_message, size_t size)
{
	struct load load = { runtime, runtime_fd };
	const char *message;

	runner.loading = true;
	allocator_init(&runner.allocator, memory_bytes, on_exhausted);
	stream_init(&runner.input, -1, STREAM_FULL, input_buffer,
		    sizeof(input_buffer));
	runner.input.reads = true;
	stream_init(&runner.output, -1, STREAM_FULL, output_buffer,
		    sizeof(output_buffer));
	stream_init(&runner.error, -1, STREAM_UNBUFFERED, NULL, 0);
	heap_fill_holes(); /* so that Lua's own blocks lie together, too */
	runner.L = lua_newstate(allocator_call, &runner.allocator);
	if (!runner.L)
		return -ENOMEM;
	lua_atpanic(runner.L, on_panic);
	lua_pushcfunction(runner.L, l_load_runtime);
	lua_pushlightuserdata(runner.L, &load);
	if (lua_pcall(runner.L, 1, 0, 0) != LUA_OK) {
		message = lua_tostring(runner.L, -1);
		snprintf(ret_message, size, "%s",
			 message ? message : "error without a text");
		return -EINVAL;
	}
	if (runtime_fd >= 0)
		make_room_for_strings(runner.L);
	preempt_learn(runner.L);
	settle(runner.L);
	if (runtime_fd >= 0)
		heap_end_runtime();
	heap_fill_holes();
	heap_settle();
	runner.loading = false;
	return 0;
}

/* --- in the child -----------------------------------------------------------
 */

static void die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_USAGE_EXEC);
}

/* All children of a zygote have its random state. */
static int l_reseed(lua_State *L)
{
	lua_Integer seed[2];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return luaL_error(L, "no random numbers");
	lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_getfield(L, -1, "math");
	lua_getfield(L, -1, "randomseed");
	lua_pushinteger(L, seed[0]);
	lua_pushinteger(L, seed[1]);
	lua_call(L, 2, 0);
	return 0;
}

static int confine(const struct syscall_filter *filter)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		return -errno;
	trap_set_runner();
	return syscall_filter_load(filter);
}

static void rehearse(void)
{
	program_rehearse();
	output_buffer[0] = 0;
	link_rehearse();
	text_rehearse();
	(void)handler_serving(); /* asked about when its main function ends */
	errno = 0;		 /* libc's function for it has a page, too */
}

/* The view of a map in the message dies with the message. */
static int keep_map(struct mp_bytes env, struct mp_bytes *ret)
{
	char *copy;

	if (env.size == 0)
		return 0;
	copy = malloc(env.size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, env.p, env.size);
	*ret = (struct mp_bytes){ copy, env.size };
	return 0;
}

/* The descriptors come as the lowest that are free, which are theirs, since
 * the three were closed and the control link is the fourth. */
static int take_streams(struct link_message *raw,
			const struct message_start *start)
{
	for (int fd = 0; fd < 3; fd++)
		if (raw->n_fds < 3 || link_message_take_fd(raw, fd) != fd)
			return -EBADMSG;
	runner.input.fd = STDIN_FILENO;
	runner.input.demand = start->demand_stdin;
	runner.output.fd = STDOUT_FILENO;
	/* what a service prints is looked for in its log at once */
	runner.output.mode = start->columns || start->service.size > 0
				     ? STREAM_LINE
				     : STREAM_FULL;
	runner.error.fd = STDERR_FILENO;
	return 0;
}

static int take_start(struct link_message *raw,
		      const struct message_start *start)
{
	int r;

	r = mp_bytes_copy(start->name, runner.name, sizeof(runner.name));
	if (r == 0)
		r = mp_bytes_copy(start->label, runner.label,
				  sizeof(runner.label));
	if (r == 0)
		r = mp_bytes_copy(start->service, runner.service,
				  sizeof(runner.service));
	if (r == 0)
		r = keep_map(start->env, &runner.env);
	if (r == 0)
		r = keep_map(start->secrets, &runner.secrets);
	if (r == 0)
		r = take_streams(raw, start);
	if (r < 0)
		return r;
	runner.rows = (unsigned)start->rows;
	runner.columns = (unsigned)start->columns;
	runner.interactive = start->interactive;
	runner.expression = start->expression;
	runner.memory_bytes = start->memory_bytes;
	runner.messages = LIMIT_SERVED;
	if (start->messages && start->messages < LIMIT_SERVED)
		runner.messages = start->messages;
	runner.tasks = start->tasks ? start->tasks : LIMIT_TASKS;
	allocator_allow(&runner.allocator, start->memory_bytes);
	return 0;
}

static _Noreturn void run(void)
{
	struct link_message raw;
	struct message m;
	int code;

	if (control_wait_start(&raw, &m) < 0 || take_start(&raw, &m.start) < 0)
		_exit(EXIT_USAGE_EXEC);
	if (raw.n_fds < 4 && !runner.interactive)
		_exit(EXIT_USAGE_EXEC);
	control_watch();
	code = program_run(link_message_take_fd(&raw, 3), m.start.args);
	if (runner.has_finalizers && code != EXIT_TERMINATED &&
	    code != EXIT_MEMORY)
		lua_close(runner.L);
	runner_exit(code);
}

_Noreturn void runner_main(int control_fd, pid_t parent,
			   const struct syscall_filter *filter)
{
	/* Nothing of the zygote's stays, and a start's find their places. */
	for (int fd = 0; fd < 3; fd++)
		if (fd != control_fd)
			close(fd);
	die_with(parent);
	runner.pid = getpid();
	if (control_attach(control_fd) < 0 || watch_init() < 0)
		_exit(EXIT_USAGE_EXEC);
	lua_pushcfunction(runner.L, l_reseed);
	if (lua_pcall(runner.L, 0, 0, 0) != LUA_OK || confine(filter) < 0)
		_exit(EXIT_USAGE_EXEC);
	rehearse();
	if (control_ready() < 0)
		_exit(EXIT_USAGE_EXEC);
	run();
}

_Noreturn void runner_exit(int code)
{
	stream_flush_last(&runner.output);
	_exit(code);
}
