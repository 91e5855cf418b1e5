/* The way of a publication, step 4: many at once share one sync. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/publish.h"

/*
 * Commits that arrive while one runs wait, and then go together: the first of
 * them that wakes takes them all.
 */
#define BATCH_MAX 32U

struct commit_wait {
	struct store_change *changes;
	size_t count;
	bool together;
	int result;
	bool done;
	struct commit_wait *next;
};

/* A change that cannot be planned fails alone, or takes its group with it. */
static void plan_waiter(struct batch *b, struct commit_wait *w)
{
	size_t count = b->count, used = b->journal.used;

	for (size_t i = 0; i < w->count; i++) {
		struct step *step = &b->steps[b->count];
		struct store_change *c = &w->changes[i];

		memset(step, 0, sizeof(*step));
		step->change = c;
		step->together = w->together && i + 1 < w->count;
		c->result = c->follows && i > 0 ? w->changes[i - 1].result : 0;
		if (c->result == 0)
			c->result = batch_plan(b, step);
		if (c->result == 0) {
			b->count++;
		} else if (w->together) {
			b->count = count;
			b->journal.used = used;
			for (size_t j = 0; j < w->count; j++)
				w->changes[j].result = c->result;
			return;
		}
	}
}

static void fail_all(struct commit_wait **waiters, size_t count, int r,
		     bool also_done)
{
	for (size_t i = 0; i < count; i++) {
		struct commit_wait *w = waiters[i];

		w->result = r;
		for (size_t j = 0; j < w->count; j++)
			if (also_done || w->changes[j].result == 0)
				w->changes[j].result = r;
	}
}

static void run(struct store *s, struct commit_wait **waiters, size_t count,
		size_t steps)
{
	struct batch b = { .s = s };
	int r;

	b.steps = calloc(steps, sizeof(*b.steps));
	r = b.steps ? store_begin(s) : -ENOMEM;
	if (r < 0) {
		fail_all(waiters, count, r, true);
		free(b.steps);
		return;
	}
	for (size_t i = 0; i < count; i++)
		plan_waiter(&b, waiters[i]);
	r = b.count ? batch_run(&b) : 0;
	if (r < 0)
		fail_all(waiters, count, r, false);
	store_end(s);
	journal_batch_deinit(&b.journal);
	free(b.steps);
}

/* Take what waits, up to a batch, and do it. The queue is held. */
static void lead(struct store *s)
{
	struct commit_wait *waiters[BATCH_MAX], *w = s->queue_first;
	size_t count = 0, steps = 0;

	do {
		steps += w->count;
		waiters[count++] = w;
		w = w->next;
	} while (w && steps + w->count <= BATCH_MAX);
	s->queue_first = w;
	if (!w)
		s->queue_end = &s->queue_first;

	s->queue_busy = true;
	pthread_mutex_unlock(&s->queue);
	run(s, waiters, count, steps);
	pthread_mutex_lock(&s->queue);

	for (size_t i = 0; i < count; i++)
		waiters[i]->done = true;
	s->queue_busy = false;
	pthread_cond_broadcast(&s->queue_moved);
}

static int commit(struct store *s, struct commit_wait *self)
{
	if (self->count == 0)
		return 0;
	pthread_mutex_lock(&s->queue);
	*s->queue_end = self;
	s->queue_end = &self->next;
	while (!self->done) {
		if (s->queue_busy)
			pthread_cond_wait(&s->queue_moved, &s->queue);
		else
			lead(s);
	}
	pthread_mutex_unlock(&s->queue);
	return self->result;
}

int store_commit(struct store *s, struct store_change *changes, size_t count)
{
	int r = 0;

	for (size_t done = 0; done < count; done += BATCH_MAX) {
		size_t n = count - done < BATCH_MAX ? count - done : BATCH_MAX;
		struct commit_wait self = { .changes = changes + done,
					    .count = n };
		int part = commit(s, &self);

		r = r < 0 ? r : part;
	}
	return r;
}

int commit_together(struct store *s, struct store_change *changes, size_t count)
{
	struct commit_wait self = { .changes = changes,
				    .count = count,
				    .together = true };
	int r = commit(s, &self);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = changes[i].result;
	return r;
}
