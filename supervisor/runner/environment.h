#pragma once

/*
 * The globals of a program: Lua 5.4 without what would leave the sandbox.
 *
 * environment.c keeps from Lua's own libraries what its table lists; the rest
 * is ours. API.md's section "Lua" is the reference.
 */

#include <lua.h>
#include <stdint.h>

struct stream;

/* Make them all; may raise. */
void environment_open(lua_State *L);

/* The parts: each sets what it replaces or adds in the globals. */
void lua_base_open(lua_State *L);
void lua_coroutine_open(lua_State *L);
void lua_debug_open(lua_State *L);
void lua_io_open(lua_State *L);
void lua_os_open(lua_State *L);
void lua_package_open(lua_State *L);
void lua_task_open(lua_State *L);

/* Pushes the table that a runtime's text gets as its argument: lua_fenv.c. */
void lua_primitives_push(lua_State *L);

/* Seconds from now at stack slot @i, as task_wait() takes it: none or nil is
 * never, and so is infinity; what is past is now. Raises for no number. */
uint64_t lua_check_deadline(lua_State *L, int i);

/* Push nil and @why: the 2 results of what did not come about. */
int lua_push_failure(lua_State *L, const char *why);

/* As task_start(), for one whose results are kept; pushes its id: 1. */
int lua_task_start(lua_State *L, int n, const char *name);

/* Push a file object that is one end of a pipe, not open yet. */
struct stream *lua_io_push_pipe(lua_State *L);
/* The stream of the file object at slot @i; NULL: it is none. */
struct stream *lua_io_test_file(lua_State *L, int i);

/* os.run_program, …: what concerns other processes, and this one. */
void lua_process_open(lua_State *L);

/* task.queue() */
int lua_queue_new(lua_State *L);
void lua_queue_open(lua_State *L);

/* A table of names ended by NULL, and which library they are of. */
struct environment_library {
	const char *name;
	lua_CFunction open;
	const char *const *kept;
};
extern const struct environment_library environment_libraries[];
extern const size_t n_environment_libraries;
