#pragma once

/*
 * Threads that wait for disks, so that the loop never does.
 *
 * A job is embedded in what it is about. work() runs in some worker, then
 * done() in the loop's thread; between worker_add() and done() the job's
 * owner must live and leave alone what work() uses.
 */

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "storaged/limits.h"

struct job {
	struct list list;
	void (*work)(struct job *j);
	void (*done)(struct job *j);
};

struct workers {
	struct ev_loop *loop;
	ev_async finished;
	pthread_mutex_t mutex;
	pthread_cond_t some;
	struct list waiting; /* for a worker */
	struct list ended;   /* for the loop */
	unsigned busy;	     /* added and not done() yet; the loop's */
	unsigned idle;	     /* threads that wait for a job */
	unsigned n_waiting;  /* jobs that wait for a thread */
	bool stopping;
	pthread_t threads[STORAGE_WORKERS];
	unsigned count;
};

/* A thread is begun when a job finds none idle, so that they are confined as
 * their process is by then; they take no signals. */
int workers_init(struct workers *w, struct ev_loop *loop);
/* Waits for what was added, done() included. */
void workers_deinit(struct workers *w);

void worker_add(struct workers *w, struct job *j);
/* Wait until no job is left; for an end, and for tests. */
void workers_drain(struct workers *w);
