#pragma once

/*
 * Jobs: services that are to be started, stopped or restarted, each when its
 * turn has come.
 *
 * A node of the graph has one job at most. A start begins when nothing that
 * goes before it has a job, a stop when nothing that comes after it has to
 * stop. What is free to go goes at once, side by side.
 *
 * A start that fails drops those that wait for it because they require it.
 */

#include "service/order.h"

struct jobs;

enum job_kind {
	JOB_NONE,
	JOB_START,
	JOB_STOP,
	JOB_RESTART, /* a stop, then a start */
};

struct jobs_ops {
	/* Its turn has come. jobs_done() tells the end; it may be called from
	 * within, and other jobs_ functions may not. */
	void (*start)(void *user, uint32_t node);
	void (*stop)(void *user, uint32_t node);
	/* It will not be started, because @because was not; it has no job any
	 * more. */
	void (*dropped)(void *user, uint32_t node, uint32_t because);
};

/* life: @order stays the caller's and outlives it */
int jobs_new(struct order *order, const struct jobs_ops *ops, void *user,
	     struct jobs **ret_jobs);
struct jobs *jobs_free(struct jobs *j);

/*
 * Give each node of @plan a job, and begin those that may. Of two jobs for a
 * node the later wins; a start of what is stopping becomes a restart, a
 * restart swallows a start. -ELOOP, with the path, when jobs would wait for
 * each other; then nothing has changed. Stops are made all the same, and wait
 * for nobody then.
 */
int jobs_add(struct jobs *j, const struct order_plan *plan, enum job_kind kind,
	     struct order_problem *ret_problem);

/* The start or stop that had begun has ended, well or not. Ignored without
 * one. A stop cannot fail. */
void jobs_done(struct jobs *j, uint32_t node, bool ok);

/* What is to be done with it: JOB_STOP while a restart stops it, then
 * JOB_START. @ret_begun may be NULL. */
enum job_kind jobs_of(const struct jobs *j, uint32_t node, bool *ret_begun);
bool jobs_restarts(const struct jobs *j, uint32_t node);
size_t jobs_pending(const struct jobs *j);
