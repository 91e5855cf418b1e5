#pragma once

/*
 * Waiting for the kernel: sockets that are watched for good, descriptors that
 * a task waits for, timers.
 *
 * The sockets are O_ASYNC, pointed at this process by thoxd: what comes while
 * Lua computes signals (preempt.h). A descriptor that a task waits for (stdin,
 * stdout) need not be pollable; it is looked at now and then while others
 * compute.
 *
 * Callbacks run on whatever stack looks. They do not wait, raise, or run a
 * program's Lua; they may start and wake tasks, and add and remove watches.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct watch {
	int fd; /* -1: not watched */
	/* true: there is more, which need not signal; call again, later */
	bool (*on_ready)(struct watch *w);

	/* private */
	struct list list, again;
	bool reading, writing;
	bool in_epoll;
	bool talks; /* something came */
};

/* 0, or negative errno. Reads from now on; what came before is seen, too. */
int watch_add(struct watch *w, int fd, bool (*on_ready)(struct watch *w));

/* Before @w's descriptor is closed; of one that is not watched: nothing. */
void watch_remove(struct watch *w);

/* Be called for input, for room to write, for both, or for neither; and in any
 * case when the other end has gone. */
void watch_set(struct watch *w, bool reading, bool writing);

/* The next time that there is nothing to run, call @w before the kernel is
 * asked who is ready: it is likely the one. Once; and where it is an answer
 * that is expected, not while answers have been slow. */
void watch_expect(struct watch *w, bool answer);

/* In a callback: there was something, and more of it is likely. */
void watch_worked(bool likely);
/* In a callback: there may be more, which is not likely and was not looked for:
 * it is as soon as all are asked about. */
void watch_doubt(void);
/* In a callback: shall it wait for what it reads? No longer, once asked. */
bool watch_may_wait(void);

/* Wait in the current task until any descriptor is ready for POLLIN or
 * POLLOUT. Where no task can wait the whole process does; false: not even
 * that, in the middle of what came. */
bool watch_wait_fd(int fd, short events, const char *what);

/* Is @fd ready for these now? */
bool watch_fd_ready(int fd, short events);

/* --- for task.c and preempt.c ----------------------------------------------- */

/* In a child of the zygote, before its filter, once it has its control link.
 * 0, or negative errno. */
int watch_init(void);

/* Call the timers that are due: true when there were any. */
bool watch_call_timers(void);

/* Call all that is ready, without waiting. */
void watch_look(void);
/* The same, and wait until something was called or a signal came. */
void watch_sleep(void);

/* Is there anything that comes without a signal? */
bool watch_must_look(void);
/* Is more watched than the control link? */
bool watch_are_links(void);

/* Inside a callback? */
bool watch_in_callback(void);
