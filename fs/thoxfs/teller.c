/* Step 7 of a write into the mount: the kernel forgets, then is answered. */

#include "teller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "confine.h"

#define PIPE_BYTES    (1 << 20)
#define MESSAGE_BYTES 4096 /* PIPE_BUF: such a write is not split */

/* Everything but the two descriptors goes; they become 0 and 1. */
static void keep_only(int pipe_fd, int fuse_fd)
{
	pipe_fd = fcntl(pipe_fd, F_DUPFD, 3);
	fuse_fd = fcntl(fuse_fd, F_DUPFD, 3);
	if (pipe_fd < 0 || fuse_fd < 0 || dup2(pipe_fd, 0) < 0 ||
	    dup2(fuse_fd, 1) < 0)
		_exit(1);
	(void)close_range(2, ~0U, 0);
}

static void ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/*
 * Errors of the write are none of ours: the kernel holds nothing of the name,
 * the request was answered by a successor, or the mount is gone.
 */
static void tell(char *data, size_t *used)
{
	struct fuse_out_header header;
	size_t at = 0;

	while (*used - at >= sizeof(header)) {
		memcpy(&header, data + at, sizeof(header));
		if (header.len < sizeof(header) || header.len > MESSAGE_BYTES)
			_exit(1);
		if (header.len > *used - at)
			break;
		(void)!write(1, data + at, header.len);
		at += header.len;
	}
	memmove(data, data + at, *used - at);
	*used -= at;
}

static _Noreturn void run(int pipe_fd, int fuse_fd)
{
	static char data[16 * MESSAGE_BYTES];
	size_t used = 0;
	ssize_t n;

	ignore_signals();
	prctl(PR_SET_NAME, "thoxfs-teller");
	keep_only(pipe_fd, fuse_fd);
	if (thoxfs_confine_teller() < 0)
		_exit(1);
	while ((n = read(0, data + used, sizeof(data) - used)) > 0) {
		used += (size_t)n;
		tell(data, &used);
	}
	_exit(0);
}

int teller_start(int fuse_fd, int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	pid = fork();
	if (pid == 0)
		run(fds[0], fuse_fd);
	fd_close(fds[0]);
	if (pid < 0) {
		fd_close(fds[1]);
		return -EAGAIN;
	}
	*ret_fd = fds[1];
	return 0;
}

size_t teller_backlog(int fd)
{
	int n = 0;

	return ioctl(fd, FIONREAD, &n) < 0 ? 0 : (size_t)n;
}
