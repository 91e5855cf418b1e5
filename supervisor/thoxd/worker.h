#pragma once

/*
 * A thread for what blocks: the loop must not wait for a disk, nor for a text
 * to be checked.
 *
 * It begins with the first job and does one after another, in their order.
 * What a job's work touches is the job's alone until it is done, but for what
 * says that it may be used by several threads (fs/store.h).
 */

#include <ev.h>

#include "base/list.h"

struct worker;

struct job {
	void (*work)(struct job *j); /* in the thread */
	void (*done)(struct job *j); /* in the loop; frees it */
	struct list list;
};

/* NULL and -errno: no thread, no memory. It lives until the process ends. */
int worker_new(struct ev_loop *loop, struct worker **ret_worker);
void worker_add(struct worker *w, struct job *j);
