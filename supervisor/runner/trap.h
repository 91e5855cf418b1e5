#pragma once

/*
 * Signals that end a process: a refused system call, a crash.
 *
 * Installed once in the zygote and inherited. The handlers report on the
 * control link and then let the signal kill, so that the wait status says
 * the same. They run on a stack of their own: a C stack that overflowed is
 * one of the crashes.
 */

#include <stdbool.h>

/* 0, or negative errno. */
int trap_install(void);

/* From now on traps are a runner's (CONTROL_REPORT), not the zygote's. */
void trap_set_runner(void);

/* Report a crash and die of SIGILL: what abort() is in this program. */
_Noreturn void trap_crash(void);
