#pragma once

/*
 * A runner: the process of one program.
 *
 * There is one, so its state is one variable, made in the zygote and copied by
 * the fork. Nothing in here is trusted by anybody else.
 */

#include <lua.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/mp.h"
#include "runner/allocator.h"
#include "runner/stream.h"
#include "runner/syscalls.h"

#define RUNNER_NAME_BYTES 256

struct runner {
	struct allocator allocator;
	lua_State *L; /* the main state: runs nothing of a program */
	int prepare;  /* registry: the runtime's function, or LUA_NOREF */
	bool loading; /* in the zygote: there is no program yet */
	bool has_finalizers; /* a text may have defined __gc (text.h) */

	pid_t pid;

	/* of the start message */
	char name[RUNNER_NAME_BYTES];
	char label[RUNNER_NAME_BYTES];	 /* of this machine */
	char service[RUNNER_NAME_BYTES]; /* "": it is none */
	struct mp_bytes env;		 /* owned, raw map */
	uint64_t memory_bytes;
	struct mp_bytes secrets; /* likewise */
	uint64_t tasks;		 /* that it may have */
	uint64_t messages;	 /* calls that may wait in it */
	unsigned rows, columns;	 /* 0: stdout is no terminal */
	bool interactive;
	bool expression;

	struct stream input, output, error;
};

extern struct runner runner;

/*
 * In the zygote: Lua, its environment and a runtime's text (@runtime_fd, -1
 * without; stays the caller's). 0, or negative errno and why.
 */
int runner_load(const char *runtime, int runtime_fd, size_t memory_bytes,
		char *ret_message, size_t size);

/*
 * In the child: become a runner whose control link is @control_fd and whose
 * parent must be @parent; takes on @filter, waits for a start and runs it.
 */
_Noreturn void runner_main(int control_fd, pid_t parent,
			   const struct syscall_filter *filter);

/* Flush stdout and end, without closing the Lua state. */
_Noreturn void runner_exit(int code);
