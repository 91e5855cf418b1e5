#pragma once

/*
 * The system calls a zygote and its runners may make: one table, a reason
 * per row, everything else refused.
 *
 * A refused call is SECCOMP_RET_TRAP, which trap.c reports; calls whose mere
 * attempt is an attack end the process at once. A runner has its zygote's
 * filter, and one of its own above it, of which the stricter answer counts;
 * its rows are a subset.
 */

#include <linux/filter.h>
#include <seccomp.h>
#include <stddef.h>

enum syscall_who {
	WHO_RUNNER = 1,
	WHO_ZYGOTE = 2,
};

#define SYSCALL_ARGS_MAX 4

/* Known to the table. */
#define EPOLL_FD       4
#define POLL_FDS_MAX   64
#define FIRST_MOVED_FD 16

struct syscall_row {
	int nr;
	unsigned who; /* WHO_…; 0: nobody, and the attempt kills */
	const char *reason;
	unsigned n_args;
	struct scmp_arg_cmp args[SYSCALL_ARGS_MAX]; /* all must hold */
};

extern const struct syscall_row syscall_rows[];
extern const size_t n_syscall_rows;

/* A filter in the form that the kernel takes; @code is malloc()ed. */
struct syscall_filter {
	struct sock_filter *code;
	unsigned short length;
};

/* 0, or negative errno. WHO_RUNNER: what is refused beyond the zygote's filter,
 * so it holds nobody who has not got that one. */
int syscall_filter_build(enum syscall_who who, struct syscall_filter *ret);
void syscall_filter_deinit(struct syscall_filter *f);

/* Put the filter over this process, for good; needs no_new_privs. */
int syscall_filter_load(const struct syscall_filter *f);
