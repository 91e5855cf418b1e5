/*
 * Step 9, in the keeper: who is left to end.
 *
 * The kernel's list is read from /proc/self/task/TID/children; a kernel
 * without CONFIG_PROC_CHILDREN has no such file, and then every process is
 * asked for its parent. Between reading and killing a PID cannot be another
 * process's: only this process reaps its children.
 */

#include "keeper/children.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

static void closep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int kill_if(pid_t pid, children_chosen_fn chosen, void *user)
{
	if (!chosen(pid, user))
		return 0;
	kill(pid, SIGKILL);
	return 1;
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_(closep) FILE *f = NULL;
	char path[64], line[512];
	char *p;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return -1;
	p = strrchr(line, ')'); /* the name may hold anything */
	if (!p || sscanf(p + 1, " %*c %d", &parent) != 1)
		return -1;
	return parent;
}

static int kill_by_scan(children_chosen_fn chosen, void *user)
{
	_cleanup_(closedirp) DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (pid > 0 && parent_of(pid) == getpid())
			n += kill_if(pid, chosen, user);
	}
	return n;
}

int children_kill(children_chosen_fn chosen, void *user)
{
	_cleanup_(closep) FILE *f = NULL;
	char path[64];
	int pid, n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
		 syscall(SYS_gettid));
	f = fopen(path, "re");
	if (!f)
		return kill_by_scan(chosen, user);
	while (fscanf(f, "%d", &pid) == 1)
		n += kill_if(pid, chosen, user);
	return n;
}
