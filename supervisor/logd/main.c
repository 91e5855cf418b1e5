/*
 * Step 8: thox-logd starts: the logs of all services.
 *
 * acquire (the directory, the link) -> confine -> loop.
 */

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "logd/journal.h"
#include "logd/logd.h"
#include "rpc/logd.h"

/* Everything thox-logd asks of the kernel, and who in it asks. */
static const struct confine_call calls[] = {
	{ SCMP_SYS(epoll_wait), "loop" },
	{ SCMP_SYS(epoll_pwait), "loop" },
	{ SCMP_SYS(epoll_create1), "loop" },
	{ SCMP_SYS(epoll_ctl), "loop" },
	{ SCMP_SYS(poll), "stream: nobody writes any more; link" },
	{ SCMP_SYS(ppoll), "link" },
	{ SCMP_SYS(recvmsg), "link" },
	{ SCMP_SYS(sendmsg), "link" },
	{ SCMP_SYS(read), "stream" },
	{ SCMP_SYS(tee), "stream" },
	{ SCMP_SYS(pipe2), "stream: its copy" },
	{ SCMP_SYS(fcntl), "stream: size of a pipe" },
	{ SCMP_SYS(write), "file, log" },
	{ SCMP_SYS(ftruncate), "file: a write that did not fit" },
	{ SCMP_SYS(openat), "file" },
	{ SCMP_SYS(mkdirat), "file" },
	{ SCMP_SYS(mkdir), "file" },
	{ SCMP_SYS(fstat), "file" },
	{ SCMP_SYS(newfstatat), "file" },
	{ SCMP_SYS(renameat2), "file: rotation" },
	{ SCMP_SYS(unlinkat), "file: rotation" },
	{ SCMP_SYS(getdents64), "file: rotation" },
	{ SCMP_SYS(close), "all" },
	{ SCMP_SYS(clock_gettime), "times" },
	{ SCMP_SYS(getpid), "log" },
	{ SCMP_SYS(brk), "malloc" },
	{ SCMP_SYS(mmap), "malloc" },
	{ SCMP_SYS(munmap), "malloc" },
	{ SCMP_SYS(mremap), "malloc" },
	{ SCMP_SYS(madvise), "malloc" },
	{ SCMP_SYS(getrandom), "malloc" },
	{ SCMP_SYS(rt_sigprocmask), "abort" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(restart_syscall), "stopped and continued" },
	{ SCMP_SYS(exit_group), "the end" },
};

static int open_root(const char *path)
{
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		log_fatal("cannot make %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		log_fatal("cannot open %s", path);
	return fd;
}

static bool is_link(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

int main(int argc, char **argv)
{
	const struct confine_path path = { argc > 1 ? argv[1] : "",
					   CONFINE_WRITE, false };
	int root, journal = -1, r;
	const char *layer;

	log_init("thox-logd", LOG_LEVEL_INFO);
	log_set_timestamps(true);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("thox-logd %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (argc < 2 || argc > 3 || argv[1][0] != '/' ||
	    !is_link(LOGD_LINK_FD)) {
		fprintf(stderr, "thox-logd is started by thoxd; see "
				"thox-logd(8)\n");
		return 2;
	}
	fd_set_cloexec(LOGD_LINK_FD, 1);
	fd_ignore_signals();
	fd_raise_limit(); /* a pipe for each stream of each service */
	root = open_root(argv[1]);
	r = argc > 2 ? journal_open(argv[2], &journal) : 0;
	if (r < 0)
		log_warnx("cannot write to the journal %s: %s, ignoring",
			  argv[2], strerror(-r));
	r = confine(&path, 1, calls, ARRAY_SIZE(calls), &layer);
	if (r < 0)
		log_fatalx("cannot confine itself: %s: %s", layer,
			   strerror(-r));
	r = logd_serve(LOGD_LINK_FD, root, journal);
	if (r < 0)
		log_fatalx("the loop: %s", strerror(-r));
	return 0;
}
