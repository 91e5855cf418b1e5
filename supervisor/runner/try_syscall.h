#pragma once

/*
 * For tests: one raw system call inside filters, in a child of its own.
 */

#include <stdint.h>

#include "runner/syscalls.h"

enum try_result {
	TRY_ALLOWED, /* the filter let it through, whatever the kernel said */
	TRY_TRAPPED, /* SIGSYS, and the trap handler could tell the number */
	TRY_KILLED,  /* at once, without a handler */
};

/* @above: taken on above @f; NULL: nothing. @ret_reported: the number on the
 * control link when trapped. */
enum try_result try_syscall(const struct syscall_filter *f,
			    const struct syscall_filter *above, long nr,
			    const uint64_t args[6], int64_t *ret_reported);
