/*
 * Step 8, in the zygote and in a runner: refused system calls and crashes.
 *
 * All handlers are SA_RESETHAND: the fault happens again when they return,
 * and the default action then ends the process with the true signal.
 */

#include "runner/trap.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "runner/report.h"

#define HANDLER_STACK_BYTES 16384
#define PAGE_BYTES	    4096

/* On pages of its own: a signal then writes to one page, not to two. */
static char handler_stack[HANDLER_STACK_BYTES + PAGE_BYTES];
static bool is_runner;

static void report_end(const char *what, unsigned number)
{
	char message[64];

	if (is_runner && number)
		report_number(what, number);
	else if (is_runner)
		report_text(what);
	else {
		snprintf(message, sizeof(message), "%s %u in the zygote", what,
			 number);
		report_zygote_failed("runtime", message);
	}
}

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
	(void)signal_number;
	(void)context;
	if (is_runner)
		report_number("trap", (unsigned)info->si_syscall);
	else
		report_end("trap", (unsigned)info->si_syscall);
	/* SIGSYS is blocked in its own handler: trapped once more, the kernel
	 * ends the process by it. */
	for (;;)
		syscall(SYS_personality, 0xffffffff);
}

static void on_crash(int signal_number)
{
	(void)signal_number;
	report_end("crash", 0);
}

int trap_install(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	stack_t stack = {
		.ss_sp = handler_stack +
			 (-(uintptr_t)handler_stack & (PAGE_BYTES - 1)),
		.ss_size = HANDLER_STACK_BYTES,
	};
	struct sigaction crash = {
		.sa_handler = on_crash,
		.sa_flags = SA_ONSTACK | SA_RESETHAND,
	};
	struct sigaction trap = {
		.sa_sigaction = on_trap,
		.sa_flags = SA_ONSTACK | SA_SIGINFO,
	};

	/* a stream at its limit: EFBIG says as much */
	struct sigaction full = { .sa_handler = SIG_IGN };

	if (sigaltstack(&stack, NULL) < 0 ||
	    sigaction(SIGSYS, &trap, NULL) < 0 ||
	    sigaction(SIGXFSZ, &full, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		if (sigaction(crashes[i], &crash, NULL) < 0)
			return -errno;
	return 0;
}

void trap_set_runner(void)
{
	is_runner = true;
}

_Noreturn void trap_crash(void)
{
	/* The handler of SIGILL reports; were it gone, the report is too. */
	__builtin_trap();
}

/*
 * libc's abort() raises SIGABRT by a system call that the table refuses, and
 * would be taken for an attack. The linker puts this in its place
 * (--wrap=abort).
 */
_Noreturn void __wrap_abort(void);
_Noreturn void __wrap_abort(void)
{
	trap_crash();
}
