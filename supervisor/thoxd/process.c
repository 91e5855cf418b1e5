/*
 * Step 9: an exit finds its process.
 */

#include "thoxd/process.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/pidfd.h"

static struct process **bucket(struct process_table *t, pid_t pid)
{
	return &t->buckets[(unsigned)pid % PROCESS_BUCKETS];
}

/* The oldest under this PID: the first, since new ones go to the end. */
static struct process **find(struct process_table *t, pid_t pid)
{
	struct process **at = bucket(t, pid);

	while (*at && (*at)->pid != pid)
		at = &(*at)->next;
	return at;
}

static void take_out(struct process_table *t, struct process **at)
{
	struct process *p = *at;

	*at = p->next;
	p->next = NULL;
	p->pid = 0;
	p->pidfd = fd_close(p->pidfd);
	t->count--;
}

/* An exit that was remembered. One of an earlier holder of the PID may still
 * be there: a process that has not ended does not own it. */
static bool take_early(struct process_table *t, pid_t pid, int pidfd,
		       struct process_exit *ret)
{
	for (unsigned i = 0; i < PROCESS_EARLY; i++) {
		struct process_exit *e = &t->early[i];

		if (e->pid != pid)
			continue;
		*ret = *e;
		e->pid = 0;
		if (pidfd < 0 || pidfd_has_ended(pidfd))
			return true;
	}
	return false;
}

void process_add(struct process_table *t, struct process *p, pid_t pid,
		 int pidfd, process_exit_fn on_exit)
{
	struct process **at = bucket(t, pid);
	struct process_exit exit;
	bool ended = take_early(t, pid, pidfd, &exit);

	while (*at)
		at = &(*at)->next;
	*p = (struct process){ .pid = pid, .pidfd = pidfd, .on_exit = on_exit };
	*at = p;
	t->count++;
	if (ended) {
		take_out(t, at);
		on_exit(p, &exit);
	}
}

void process_remove(struct process_table *t, struct process *p)
{
	struct process **at;

	if (p->pid == 0)
		return;
	at = bucket(t, p->pid);
	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		take_out(t, at);
}

bool process_exited(struct process_table *t, const struct process_exit *exit)
{
	struct process **at = find(t, exit->pid);
	struct process *p = *at;

	if (!p) {
		t->early[t->early_next] = *exit;
		t->early_next = (t->early_next + 1) % PROCESS_EARLY;
		return false;
	}
	take_out(t, at);
	p->on_exit(p, exit);
	return true;
}

bool process_known(const struct process_table *t, pid_t pid)
{
	const struct process *p = t->buckets[(unsigned)pid % PROCESS_BUCKETS];

	while (p && p->pid != pid)
		p = p->next;
	return p;
}

bool process_lives(const struct process_table *t, pid_t pid)
{
	const struct process *youngest = NULL;

	for (const struct process *p =
		     t->buckets[(unsigned)pid % PROCESS_BUCKETS];
	     p; p = p->next)
		if (p->pid == pid)
			youngest = p;
	return youngest && !pidfd_has_ended(youngest->pidfd);
}

int process_signal(const struct process *p, int signal)
{
	if (p->pid == 0)
		return -ESRCH;
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0)
		return -errno;
	return 0;
}
