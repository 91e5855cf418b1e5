/*
 * Step 3, in thox-exec: job control on behalf of a runner that is in another
 * session.
 *
 * All signals that concern a run are blocked and read from a signalfd, so
 * none is lost between two waits. A stop lets the signal through for one
 * moment with its default action: the shell then sees what it would of any
 * program, and a process group that is orphaned is not stopped, as POSIX
 * wants.
 */

#include "cli/terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static const int passed_on[] = {
	SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH,
};

static sigset_t passed_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++)
		sigaddset(&set, passed_on[i]);
	return set;
}

bool terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return false;
	*ret_rows = size.ws_row;
	*ret_columns = size.ws_col;
	return true;
}

/* Drop @sig when it is pending. */
static void forget(int sig)
{
	static const struct timespec now = { 0, 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	while (sigtimedwait(&set, NULL, &now) == sig)
		;
}

int terminal_block(void)
{
	sigset_t set = passed_set();

	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

/* Ctrl-C is a key at the prompt; one that came between a chunk's end and the
 * prompt has nothing to interrupt. */
void terminal_unblock(void)
{
	sigset_t set = passed_set();

	forget(SIGINT);
	sigdelset(&set, SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void terminal_unblock_all(void)
{
	sigset_t set = passed_set();

	forget(SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int terminal_signals(int *ret_fd)
{
	sigset_t set = passed_set();
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* A blocked signal is queued even when it is ignored; asking only when one
 * came keeps these calls off the usual way. */
static bool ignored(int sig)
{
	struct sigaction action;

	return sigaction(sig, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

int terminal_next_signal(int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (!ignored((int)info.ssi_signo))
			return (int)info.ssi_signo;
	return 0;
}

/* The continuing signal stays pending, since it is blocked. */
static bool was_continued(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGCONT) == 1;
}

static void let_through(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

bool terminal_stop(int sig)
{
	forget(SIGCONT);
	raise(sig);
	let_through(sig);
	return was_continued();
}

/* What the shell's kill sends to a job before it continues it. */
static bool may_end_us(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return false;
	for (unsigned i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (sigismember(&pending, ends[i]) == 1 && !ignored(ends[i]))
			return true;
	return false;
}

int terminal_foreground(int fd, bool stop,
			void (*on_stop)(void *user, bool stopped), void *user)
{
	pid_t group;

	/* Not our controlling terminal: no job control on it. */
	while ((group = tcgetpgrp(fd)) >= 0 && group != getpgrp()) {
		bool continued;

		if (!stop || may_end_us())
			return -EAGAIN;
		on_stop(user, true);
		forget(SIGCONT);
		killpg(0, SIGTTIN);
		continued = was_continued();
		on_stop(user, false);
		if (!continued)
			return -EIO;
	}
	return 0;
}
