/*
 * Step 9: a zygote is gone; what it may have left behind goes, too.
 */

#include "thoxd/orphan.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/pidfd.h"
#include "thoxd/server.h"

static void closep(FILE **f)
{
	if (*f)
		fclose(*f);
}

void orphans_note_namespace(pid_t pid, char *ret, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	n = readlink(path, ret, size - 1);
	ret[n < 0 ? 0 : n] = '\0';
}

static void kill_if_in(struct server *s, pid_t pid, const char *user_ns)
{
	_cleanup_(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char ns[32];

	orphans_note_namespace(pid, ns, sizeof(ns));
	/* asked after the name was read: then it is this process's */
	if (strcmp(ns, user_ns) != 0 ||
	    !pidfd_is_child(pidfd, pid, s->keeper_pid))
		return;
	if (!s->ending) /* else it was forked a moment ago */
		log_warnx("pid=%d was left by a zygote, killing it", (int)pid);
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

void orphans_kill(struct server *s, const char *user_ns)
{
	_cleanup_(closep) FILE *f = NULL;
	char path[64];
	int pid;

	if (!user_ns[0])
		return;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
		 (int)s->keeper_pid, (int)s->keeper_pid);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		if (pid != getpid() && !process_known(&s->processes, pid))
			kill_if_in(s, pid, user_ns);
}
