/* Storage, step 4: what takes the disk's time is done beside the loop. */

#include "storaged/worker.h"

#include <signal.h>
#include <string.h>

static struct job *next_job(struct workers *w)
{
	struct job *j = NULL;

	pthread_mutex_lock(&w->mutex);
	w->idle++;
	while (list_empty(&w->waiting) && !w->stopping)
		pthread_cond_wait(&w->some, &w->mutex);
	w->idle--;
	if (!list_empty(&w->waiting)) {
		j = list_first(&w->waiting, struct job, list);
		list_remove(&j->list);
		w->n_waiting--;
	}
	pthread_mutex_unlock(&w->mutex);
	return j;
}

static void do_job(struct workers *w, struct job *j)
{
	j->work(j);
	pthread_mutex_lock(&w->mutex);
	list_append(&w->ended, &j->list);
	pthread_mutex_unlock(&w->mutex);
	ev_async_send(w->loop, &w->finished);
}

static void *work(void *user)
{
	struct workers *w = user;
	struct job *j;

	while ((j = next_job(w)))
		do_job(w, j);
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
	memset(w, 0, sizeof(*w));
	w->loop = loop;
	list_init(&w->waiting);
	list_init(&w->ended);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->some, NULL);
	ev_async_init(&w->finished, on_finished);
	w->finished.data = w;
	ev_async_start(loop, &w->finished);
	return 0;
}

/* One more, if there may be. */
static void begin_thread(struct workers *w)
{
	sigset_t all, old;

	if (w->count == STORAGE_WORKERS)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&w->threads[w->count], NULL, work, w) == 0)
		w->count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
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
	bool enough;

	w->busy++;
	pthread_mutex_lock(&w->mutex);
	enough = w->idle > w->n_waiting;
	pthread_mutex_unlock(&w->mutex);
	if (!enough)
		begin_thread(w);
	if (w->count == 0) { /* then it is done here, if slowly */
		do_job(w, j);
		return;
	}
	pthread_mutex_lock(&w->mutex);
	list_append(&w->waiting, &j->list);
	w->n_waiting++;
	pthread_cond_signal(&w->some);
	pthread_mutex_unlock(&w->mutex);
}

void workers_drain(struct workers *w)
{
	while (w->busy > 0)
		ev_run(w->loop, EVRUN_ONCE);
}
