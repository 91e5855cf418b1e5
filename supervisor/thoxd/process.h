#pragma once

/*
 * The process table: which process an exit belongs to.
 *
 * Births come from a zygote, exits from the keeper, over different links: an
 * exit may be told first, and a PID may come round again before its last
 * holder's exit was read. So exits apply to the oldest process known under
 * the PID, an exit of nobody known is remembered until the birth is told, and
 * signals go through pidfds only.
 *
 * The table owns nothing: a process belongs to what embeds it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_exit {
	pid_t pid;
	int status; /* as of wait(2) */
	uint64_t user_us;
	uint64_t system_us;
	uint64_t memory_bytes; /* peak resident */
};

struct process;
typedef void (*process_exit_fn)(struct process *p,
				const struct process_exit *exit);

struct process {
	struct process *next; /* in its bucket, younger ones later */
	pid_t pid;	      /* 0: not in a table */
	int pidfd;	      /* owned */
	process_exit_fn on_exit;
};

#define PROCESS_BUCKETS 1024U /* a power of two */
#define PROCESS_EARLY	256U  /* exits remembered; the oldest give way */

struct process_table {
	struct process *buckets[PROCESS_BUCKETS];
	struct process_exit early[PROCESS_EARLY];
	unsigned early_next;
	unsigned count;
};

/*
 * Takes @pidfd. When its exit was told already, on_exit runs before this
 * returns: the process may be gone then.
 */
void process_add(struct process_table *t, struct process *p, pid_t pid,
		 int pidfd, process_exit_fn on_exit);
/* Without an exit: nobody waits for it any more. Closes the pidfd. */
void process_remove(struct process_table *t, struct process *p);
/* True when a process was there for it. It is removed, then told. */
bool process_exited(struct process_table *t, const struct process_exit *exit);

/* There is one under this PID. */
bool process_known(const struct process_table *t, pid_t pid);
/* The youngest under this PID has not ended. */
bool process_lives(const struct process_table *t, pid_t pid);

/* 0, -ESRCH when it has ended, or another errno. */
int process_signal(const struct process *p, int signal);
