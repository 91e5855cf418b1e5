#pragma once

/*
 * Running a program: compile, call, tell what went wrong.
 *
 * The program runs in a Lua thread of its own. An event that ends it, or
 * os.exit() with closing, jumps from wherever Lua is to the base below all of
 * it; the thread's `<close>` variables are closed from there. No C function
 * that Lua can call owns anything across a call that may jump.
 */

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "rpc/mp.h"

/*
 * Run the text of @fd (closed) with the arguments of @args (a raw array), or
 * the interactive texts; returns the exit code. What ended it is reported.
 */
int program_run(int fd, struct mp_bytes args);

/* Go through what program_run() does, so that its pages are there. */
void program_rehearse(void);

/* From an event: end the program, unless it is ending already. */
void program_interrupt(void);
void program_terminate(void);

/* From os.exit(code, true). */
_Noreturn void program_close_and_exit(int code);

/* The coroutine library treats the program's thread as Lua's main one. */
bool program_is_base(lua_State *L);
