#pragma once

/*
 * The exit codes of thox-exec and thoxctl, as their man pages list them.
 */

/* thox-exec; otherwise the program's own code, or 128 + n for signal n */
#define EXIT_LUA_ERROR	 1
#define EXIT_LIMIT	 124 /* wall or CPU time */
#define EXIT_USAGE_EXEC	 125 /* wrong use, or thox's own failure */
#define EXIT_REFUSED	 126 /* refused, or cannot run */
#define EXIT_NO_PROGRAM	 127
#define EXIT_INTERRUPTED 130
#define EXIT_MEMORY	 137 /* memory limit, or killed */
#define EXIT_TERMINATED	 143
#define EXIT_SANDBOX	 159 /* killed by the sandbox (SIGSYS) */

/* thoxctl */
#define CTL_OK		0
#define CTL_FAILED	1
#define CTL_USAGE	2
#define CTL_NOT_RUNNING 3
#define CTL_NO_SUCH	4
#define CTL_REFUSED	5
#define CTL_TIMEOUT	6 /* no answer in the time that was given */
