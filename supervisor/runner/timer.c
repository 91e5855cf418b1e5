/*
 * Step 7, in a runner: who is due next.
 *
 * A pairing heap: a timer's children are due later than it. Starting one is
 * one comparison; taking the earliest out pairs its children off.
 */

#include "runner/timer.h"

#include <stddef.h>

static struct timer *earliest;

void timer_init(struct timer *t, void (*on_due)(struct timer *t))
{
	*t = (struct timer){ .on_due = on_due };
}

/* The one that is due first, with the other as its first child. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->due_ns < a->due_ns) {
		struct timer *t = a;

		a = b;
		b = t;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	a->next = a->prev = NULL;
	return a;
}

static struct timer *take(struct timer **list)
{
	struct timer *t = *list;

	if (t) {
		*list = t->next;
		t->next = t->prev = NULL;
	}
	return t;
}

/* One heap of a list of them: in pairs, then all pairs. */
static struct timer *meld_list(struct timer *list)
{
	struct timer *pairs = NULL, *heap = NULL, *t;

	while (list) {
		struct timer *a = take(&list), *b = take(&list);

		t = meld(a, b);
		t->next = pairs;
		pairs = t;
	}
	while ((t = take(&pairs)))
		heap = meld(heap, t);
	return heap;
}

void timer_stop(struct timer *t)
{
	if (!t->active)
		return;
	if (t == earliest) {
		earliest = meld_list(t->child);
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		earliest = meld(earliest, meld_list(t->child));
	}
	t->child = t->next = t->prev = NULL;
	t->active = false;
}

void timer_start(struct timer *t, uint64_t due_ns)
{
	timer_stop(t);
	if (due_ns == TIMER_NEVER)
		return;
	t->due_ns = due_ns;
	t->active = true;
	earliest = meld(earliest, t);
}

uint64_t timer_earliest(void)
{
	return earliest ? earliest->due_ns : TIMER_NEVER;
}

void timer_run(uint64_t now_ns)
{
	while (earliest && earliest->due_ns <= now_ns) {
		struct timer *t = earliest;

		timer_stop(t);
		t->on_due(t);
	}
}
