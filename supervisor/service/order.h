#pragma once

/*
 * Which service goes before which: a graph over their names.
 *
 * `requires` and `wants` pull others in at a start, and wait for them;
 * `after` and `before` only order. At a stop, those that require a service
 * and those that are part of it go with it, in the order of a start turned
 * round.
 *
 * A node keeps its number until the graph is freed. A name that others speak
 * of but nobody has defined is a node too, an absent one.
 *
 * All takes time in proportion to what is looked at, but for sorting.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/names.h"

struct order;

#define ORDER_PROBLEM_BYTES 512

/* Why there is no plan, for people. */
struct order_problem {
	char text[ORDER_PROBLEM_BYTES];
};

struct order_links {
	const struct names *requires, *wants, *after, *before, *part_of;
};

/* life */
int order_new(struct order **ret_order);
struct order *order_free(struct order *o);

/* Define @name, or define it anew. @user is the caller's and is found again
 * by order_user(). -ELOOP when it speaks of itself. */
int order_set(struct order *o, const char *name,
	      const struct order_links *links, void *user, uint32_t *ret_node);
void order_remove(struct order *o, uint32_t node); /* absent from now on */

/* reading: -ENOENT for a name that is absent */
int order_find(const struct order *o, const char *name, uint32_t *ret_node);
uint32_t order_count(const struct order *o); /* absent ones included */
bool order_present(const struct order *o, uint32_t node);
const char *order_name(const struct order *o, uint32_t node);
void *order_user(const struct order *o, uint32_t node);

/*
 * Neighbours. A callback that returns non-zero ends it with that value.
 * PREDECESSORS are those that must be up before @node starts.
 */
enum order_side {
	ORDER_PREDECESSORS,
	ORDER_SUCCESSORS,
	ORDER_REQUIRED,	   /* by @node */
	ORDER_REQUIRED_BY, /* who requires it */
	ORDER_WANTED,
	ORDER_GROUPS,  /* what it is part of */
	ORDER_MEMBERS, /* what is part of it */
};
typedef int (*order_node_fn)(void *user, uint32_t node);
int order_each(const struct order *o, uint32_t node, enum order_side side,
	       order_node_fn fn, void *user);

/* A plan: what is to be done, in order; equal waves may go side by side. */
struct order_plan {
	struct order_step {
		uint32_t node;
		uint32_t wave; /* from 0 */
	} * steps;
	size_t n;
};
void order_plan_deinit(struct order_plan *plan);

/* An absent name is needed: define it with order_set() and return 0, or
 * -ENOENT. */
typedef int (*order_load_fn)(void *user, const char *name);

/*
 * All that has to be started for @nodes, themselves included. @load may be
 * NULL. -ELOOP: a cycle, with its path; -ENOENT: something required is
 * absent; both with a problem told.
 */
int order_plan_start(struct order *o, const uint32_t *nodes, size_t n,
		     order_load_fn load, void *user,
		     struct order_plan *ret_plan,
		     struct order_problem *ret_problem);
/* All that has to be stopped with them. A cycle keeps nothing from stopping:
 * its members go at last, side by side. */
int order_plan_stop(struct order *o, const uint32_t *nodes, size_t n,
		    struct order_plan *ret_plan);
/* These, and nothing that they pull in; -ELOOP as above. */
int order_plan_exactly(struct order *o, const uint32_t *nodes, size_t n,
		       struct order_plan *ret_plan,
		       struct order_problem *ret_problem);
/* Those of the group of @member that restart with it: all, or only those
 * that come after it, directly or not. Without @member itself. */
int order_plan_group(struct order *o, uint32_t member, bool only_rest,
		     struct order_plan *ret_plan);
