#pragma once

/*
 * A runner: one untrusted process and the control link to it.
 *
 * It is in one of three places: in its zygote's list of forks that are not
 * answered, in the zygote's pool, or with a run. It ends when its exit was
 * told by the keeper; until then it is its zygote's to count.
 */

#include "base/list.h"
#include "thoxd/peer.h"
#include "thoxd/process.h"
#include "thoxd/server.h"

struct run;
struct runner_lost;
struct zygote;

struct runner {
	struct zygote *zygote;
	struct run *run; /* NULL: in the pool, or nobody's any more */
	struct list list;
	uint64_t token;
	struct process process; /* no pid until it was forked */
	struct peer peer;
	int their_end;	/* of its link, until it was forked */
	bool ready;	/* confined and rehearsed */
	bool pooled;	/* in its zygote's pool */
	bool abandoned; /* to be killed at its birth */
	bool renewing;	/* until it knows that this is another thoxd */
	struct runner_lost *lost; /* owned; NULL: its link has not ended */
	uint64_t memory_bytes;	  /* the limits that were set, 0: none yet */
	uint64_t tasks;
	uint64_t cpu_ms;
	struct garbage garbage;
};

/* Ask @z for one: it is in its list of forks. */
int runner_fork(struct zygote *z, struct runner **ret_runner);
/* One of an earlier thoxd's, which runs @run: takes its link's end and its
 * pidfd, the first of @fds. NULL: no memory. */
struct runner *runner_adopt(struct zygote *z, struct run *run, pid_t pid,
			    int *fds);
/* The zygote's answer; takes @pidfd. It may have ended and be gone when this
 * returns. -EPROTO: that process is none that a zygote could have made. */
int runner_forked(struct runner *r, pid_t pid, int pidfd);
/* It runs @run from now on; out of the pool. */
void runner_take(struct runner *r, struct run *run);
/* Nobody wants it: it is killed, now or at its birth. */
void runner_abandon(struct runner *r);
/* No process will come of it. */
void runner_drop(struct runner *r);

/* RLIMIT_CPU and RLIMIT_AS behind the finer limits; 0: none. @tasks: they map
 * stacks beside the program's memory. */
void runner_limit(struct runner *r, uint64_t memory_bytes, uint64_t tasks,
		  uint64_t cpu_ms);
/* From now on no file grows over @limit_bytes by what it does, nor over what
 * was said before. 0, or -EPERM when the kernel refuses. */
int runner_bound_files(struct runner *r, uint64_t limit_bytes);
