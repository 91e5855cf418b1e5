#pragma once

/*
 * Deadlines: a heap of timers, whose members bring their own memory.
 */

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
	void (*on_due)(struct timer *t); /* stopped before it is called */
	uint64_t due_ns;		 /* CLOCK_MONOTONIC */
	bool active;
	struct timer *child, *next, *prev; /* prev: the parent of a first */
};

void timer_init(struct timer *t, void (*on_due)(struct timer *t));

/* TIMER_NEVER: only stop. Starting again changes the time. */
void timer_start(struct timer *t, uint64_t due_ns);
void timer_stop(struct timer *t);

uint64_t timer_earliest(void); /* TIMER_NEVER: there is none */

/* Call those due at @now_ns, in the order of their times. */
void timer_run(uint64_t now_ns);
