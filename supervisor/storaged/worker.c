/* Storage, step 4: what takes the disk's time is done beside the loop. */

#include "storaged/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static struct job *next_job(struct workers *w)
{
	struct job *j = NULL;

	pthread_mutex_lock(&w->mutex);
	while (list_empty(&w->waiting) && !w->stopping)
		pthread_cond_wait(&w->some, &w->mutex);
	if (!list_empty(&w->waiting)) {
		j = list_first(&w->waiting, struct job, list);
		list_remove(&j->list);
	}
	pthread_mutex_unlock(&w->mutex);
	return j;
}

static void *work(void *user)
{
	struct workers *w = user;
	struct job *j;

	while ((j = next_job(w))) {
		j->work(j);
		pthread_mutex_lock(&w->mutex);
		list_append(&w->ended, &j->list);
		pthread_mutex_unlock(&w->mutex);
		ev_async_send(w->loop, &w->finished);
	}
	return NULL;
}

static struct job *ended_job(struct workers *w)
{
	struct job *j = NULL;

	pthread_mutex_lock(&w->mutex);
	if (!list_empty(&w->ended)) {
		j = list_first(&w->ended, struct job, list);
		list_remove(&j->list);
	}
	pthread_mutex_unlock(&w->mutex);
	return j;
}

static void on_finished(struct ev_loop *loop, ev_async *watcher, int events)
{
	struct workers *w = watcher->data;
	struct job *j;

	(void)loop;
	(void)events;
	while ((j = ended_job(w))) {
		w->busy--;
		j->done(j);
	}
}

int workers_init(struct workers *w, struct ev_loop *loop)
{
	sigset_t all, old;
	int error = 0;

	memset(w, 0, sizeof(*w));
	w->loop = loop;
	list_init(&w->waiting);
	list_init(&w->ended);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->some, NULL);
	ev_async_init(&w->finished, on_finished);
	w->finished.data = w;
	ev_async_start(loop, &w->finished);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (w->count < STORAGE_WORKERS && error == 0) {
		error = pthread_create(&w->threads[w->count], NULL, work, w);
		w->count += error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		workers_deinit(w);
	return -error;
}

void workers_deinit(struct workers *w)
{
	workers_drain(w);
	pthread_mutex_lock(&w->mutex);
	w->stopping = true;
	pthread_cond_broadcast(&w->some);
	pthread_mutex_unlock(&w->mutex);
	for (unsigned i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	ev_async_stop(w->loop, &w->finished);
	pthread_cond_destroy(&w->some);
	pthread_mutex_destroy(&w->mutex);
}

void worker_add(struct workers *w, struct job *j)
{
	w->busy++;
	pthread_mutex_lock(&w->mutex);
	list_append(&w->waiting, &j->list);
	pthread_cond_signal(&w->some);
	pthread_mutex_unlock(&w->mutex);
}

void workers_drain(struct workers *w)
{
	while (w->busy > 0)
		ev_run(w->loop, EVRUN_ONCE);
}
