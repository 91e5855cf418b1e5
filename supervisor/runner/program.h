#pragma once

/*
 * Running a program: compile, call, tell what went wrong.
 *
 * The program's main function is the main task (task.h). An event that ends
 * the program, an error of that function, or os.exit() with closing, ends all
 * tasks, whose `<close>` variables are closed. When it has returned, the
 * process goes on until the other tasks have ended and nobody keeps it serving
 * (task_hooks).
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
