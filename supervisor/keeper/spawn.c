/*
 * Step 3, in the keeper: fork, put descriptors in place, exec.
 *
 * Between fork() and exec() only async-signal-safe calls. The error comes
 * back through a pipe that the exec closes.
 */

#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define NUMBERS_END 64 /* descriptors wait above while they are arranged */

static void default_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		sigaction(n, &sa, NULL); /* fails for those that cannot */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int place_fds(const struct spawn *s)
{
	int high[SPAWN_FDS_MAX];
	int null;

	for (unsigned i = 0; i < s->n_fds; i++) {
		high[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, NUMBERS_END);
		if (high[i] < 0)
			return -errno;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return -errno;
	for (unsigned i = 0; i < s->n_fds; i++)
		if (dup2(high[i], s->numbers[i]) < 0)
			return -errno;
	return 0;
}

static _Noreturn void child(const struct spawn *s, pid_t parent, int err_fd)
{
	int high_err = fcntl(err_fd, F_DUPFD_CLOEXEC, NUMBERS_END);
	int32_t r;

	default_signals();
	r = (int32_t)place_fds(s);
	if (r == 0 && !s->survives &&
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = -errno;
	if (getppid() != parent) /* it died before the prctl */
		_exit(111);
	if (r == 0) {
		execve(s->path, s->args, s->env);
		r = -errno;
	}
	(void)!write(high_err, &r, sizeof(r));
	_exit(111);
}

int spawn(const struct spawn *s, pid_t *ret_pid)
{
	_cleanup_(fd_closep) int read_fd = -1, write_fd = -1;
	pid_t parent = getpid(), pid;
	int32_t r = 0;
	int fds[2];

	if (s->n_fds > SPAWN_FDS_MAX)
		return -E2BIG;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	read_fd = fds[0];
	write_fd = fds[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(s, parent, write_fd);
	write_fd = fd_close(write_fd);

	/* a child that failed is reaped like any other, by the loop */
	if (fd_read_full(read_fd, &r, sizeof(r)) == sizeof(r) && r < 0)
		return r;
	*ret_pid = pid;
	return 0;
}
