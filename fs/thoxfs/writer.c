/* Step 5 of a write into the mount: who wrote it. */

#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

/*
 * Only /proc/TID/status is read: /proc/TID/stat waits for a lock that the
 * thread holds while exec closes its descriptors, and such a close waits for
 * us (Linux 6.18; ps hangs along).
 *
 * A thread that dies of a signal is known by two things: it has no memory any
 * more, and the signal is still pending, because the kernel turns a fatal one
 * into an exit without taking it off.
 */

#define SIGNAL_BIT(n) (1ULL << ((n)-1))
#define SIGNALS_HARMLESS                                                       \
	(SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) |     \
	 SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) |     \
	 SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

static int proc_fd = -1;

int writer_init(void)
{
	proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return proc_fd < 0 ? -errno : 0;
}

static int read_status(pid_t tid, char *text, size_t size)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/status", (int)tid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

/* The value behind @key, which starts a line; NULL when there is none. */
static const char *value_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? at + strlen(key) : NULL;
}

static pid_t process_in(const char *status)
{
	const char *value = value_of(status, "\nTgid:\t");

	return value ? (pid_t)atoi(value) : 0;
}

static unsigned long long signals_in(const char *status, const char *key)
{
	const char *value = value_of(status, key);

	return value ? strtoull(value, NULL, 16) : 0;
}

static bool killed_in(const char *status)
{
	unsigned long long pending = signals_in(status, "\nSigPnd:\t") |
				     signals_in(status, "\nShdPnd:\t");

	if (value_of(status, "\nVmSize:"))
		return false;
	pending &= ~(signals_in(status, "\nSigBlk:\t") |
		     signals_in(status, "\nSigIgn:\t") |
		     signals_in(status, "\nSigCgt:\t"));
	return pending & ~SIGNALS_HARMLESS;
}

/* The first line; a newline in the name is escaped there. */
static void command_in(const char *status, char *command, size_t size)
{
	const char *value = value_of(status, "Name:\t");

	if (value)
		snprintf(command, size, "%.*s", (int)strcspn(value, "\n"),
			 value);
}

void writer_of(pid_t tid, uid_t uid, struct store_writer *ret_writer,
	       bool *ret_killed)
{
	char status[4096];

	memset(ret_writer, 0, sizeof(*ret_writer));
	ret_writer->uid = uid;
	ret_writer->pid = tid;
	strcpy(ret_writer->command, "?");
	if (ret_killed)
		*ret_killed = false;
	if (tid <= 0 || read_status(tid, status, sizeof(status)) < 0)
		return;
	ret_writer->pid = process_in(status);
	command_in(status, ret_writer->command, sizeof(ret_writer->command));
	if (ret_killed)
		*ret_killed = killed_in(status);
}

bool writer_same_process(pid_t a, pid_t b)
{
	char status[4096];
	pid_t process = 0;

	if (a == b)
		return true;
	if (read_status(a, status, sizeof(status)) == 0)
		process = process_in(status);
	return process && read_status(b, status, sizeof(status)) == 0 &&
	       process == process_in(status);
}
