/*
 * Beside all steps: a thread takes jobs, and gives them back to the loop.
 */

#include "thoxd/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct worker {
	struct ev_loop *loop;
	ev_async back;
	pthread_mutex_t lock;
	pthread_cond_t added;
	/* under the lock */
	struct list todo;
	struct list done;
};

static struct job *next(struct worker *w)
{
	struct job *j;

	pthread_mutex_lock(&w->lock);
	while (list_empty(&w->todo))
		pthread_cond_wait(&w->added, &w->lock);
	j = list_first(&w->todo, struct job, list);
	list_remove(&j->list);
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void *run(void *user)
{
	struct worker *w = user;

	for (;;) {
		struct job *j = next(w);

		j->work(j);
		pthread_mutex_lock(&w->lock);
		list_append(&w->done, &j->list);
		pthread_mutex_unlock(&w->lock);
		ev_async_send(w->loop, &w->back);
	}
	return NULL;
}

static struct job *next_done(struct worker *w)
{
	struct job *j = NULL;

	pthread_mutex_lock(&w->lock);
	if (!list_empty(&w->done)) {
		j = list_first(&w->done, struct job, list);
		list_remove(&j->list);
	}
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void on_back(struct ev_loop *loop, ev_async *async, int events)
{
	struct worker *w = container_of(async, struct worker, back);
	struct job *j;

	(void)loop;
	(void)events;
	while ((j = next_done(w)))
		j->done(j);
}

/* Signals are the loop's. */
static int start(struct worker *w)
{
	sigset_t all, before;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_detach(thread);
	return -r;
}

int worker_new(struct ev_loop *loop, struct worker **ret_worker)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->loop = loop;
	list_init(&w->todo);
	list_init(&w->done);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->added, NULL);
	ev_async_init(&w->back, on_back);
	r = start(w);
	if (r < 0) {
		free(w);
		return r;
	}
	ev_async_start(loop, &w->back);
	*ret_worker = w;
	return 0;
}

void worker_add(struct worker *w, struct job *j)
{
	pthread_mutex_lock(&w->lock);
	list_append(&w->todo, &j->list);
	pthread_cond_signal(&w->added);
	pthread_mutex_unlock(&w->lock);
}
