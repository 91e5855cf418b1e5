#pragma once

/*
 * Is there an order in which concurrent operations could have been done one
 * after another, each at some time between its call and its answer, so that
 * every answer is right?
 *
 * The search of Wing and Gong (Testing and verifying concurrent objects, 1993),
 * with Lowe's memory of what was tried (2017): an operation may come next when
 * no other one that is still to come had ended before it began. Operations that
 * were never answered may have been done or not. The answer is the set of all
 * states that the object may be in afterwards, so that a long history can be
 * checked in pieces, cut where nothing was under way.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_OPS_MAX	  512
#define LINEAR_STATES_MAX 256
#define LINEAR_TRIED_MAX  (1U << 21) /* then it gives up */

struct linear_state {
	int64_t v[2];
};

struct linear_op {
	uint64_t called, answered; /* a common count of events */
	bool maybe; /* never answered: done by `answered`, or not */
	const void *what;
};

struct linear_states {
	struct linear_state states[LINEAR_STATES_MAX];
	size_t count;
};

/* Could the operation be done in @state, with the answer that it had? Then
 * @state becomes what it is after it. */
typedef bool (*linear_step_fn)(const void *what, struct linear_state *state);

/* From @states to those after all of @ops; none is left: there is no such
 * order. -E2BIG, -ENOMEM. */
int linear_check(const struct linear_op *ops, size_t count, linear_step_fn step,
		 struct linear_states *states);
