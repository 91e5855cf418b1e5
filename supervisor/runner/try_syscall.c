/*
 * For tests: how a system call ends under a filter.
 *
 * The filter's action is asked for without doing the call: a harmless way to
 * try even those that would block or end the child. A second, empty filter
 * says ENOSYS for everything but what a child needs to report; the kernel
 * takes the most restrictive answer, and an error is less so than a trap or
 * a kill.
 */

#include "runner/try_syscall.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "rpc/control.h"
#include "rpc/mp.h"
#include "runner/report.h"
#include "runner/trap.h"

#define CODE_ALLOWED 42

/* While a flag in the sixth argument is set: the call is answered ENOSYS. The
 * one under test gets it by its number and arguments alone. */
static void load_pretend(long nr, const uint64_t args[6])
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)args[0], 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)args[1], 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static _Noreturn void child(const struct syscall_filter *f,
			    const struct syscall_filter *above, long nr,
			    const uint64_t args[6], int report_fd)
{
	dup2(report_fd, CONTROL_FD);
	trap_install();
	trap_set_runner();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* These are how the filters come and how the child tells: they are
	 * tried for real. */
	if (nr != SYS_exit_group && nr != SYS_sendmsg && nr != SYS_seccomp)
		load_pretend(nr, args);
	if (syscall_filter_load(f) < 0 ||
	    (above && syscall_filter_load(above) < 0))
		_exit(1);
	syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
	syscall(SYS_exit_group, CODE_ALLOWED);
	__builtin_unreachable();
}

static int64_t reported_number(int fd)
{
	uint8_t record[256];
	struct mp_reader r;
	ssize_t n = recv(fd, record, sizeof(record), MSG_DONTWAIT);

	if (n <= 1)
		return -1;
	mp_reader_init(&r, record + 1, (size_t)n - 1);
	mp_read_array(&r);
	if (mp_read_int(&r) != CONTROL_REPORT ||
	    !mp_bytes_equal(mp_read_str(&r), "trap"))
		return -1;
	return mp_read_int(&r);
}

enum try_result try_syscall(const struct syscall_filter *f,
			    const struct syscall_filter *above, long nr,
			    const uint64_t args[6], int64_t *ret_reported)
{
	int fds[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
		abort();
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(f, above, nr, args, fds[1]);
	waitpid(pid, &status, 0);
	*ret_reported = reported_number(fds[0]);
	close(fds[0]);
	close(fds[1]);
	if (WIFEXITED(status))
		return TRY_ALLOWED;
	return *ret_reported >= 0 ? TRY_TRAPPED : TRY_KILLED;
}
