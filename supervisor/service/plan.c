/*
 * Step 4, for services: what is to be started or stopped, in order.
 *
 * First the nodes are chosen, then placed, each after all of its predecessors
 * that are chosen. What cannot be placed stands in a cycle or behind one.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "service/order.h"
#include "service/order_private.h"

struct making {
	struct order *o;
	uint32_t *queue; /* the chosen, in the order of their choice */
	size_t n, capacity;
	struct order_problem *problem;
	const struct node *of; /* whose neighbours are looked at */
	bool reverse;	       /* those that come after go first */
	order_load_fn load;
	void *user;
};

void order_plan_deinit(struct order_plan *plan)
{
	free(plan->steps);
	*plan = (struct order_plan){ 0 };
}

static int choose(struct making *m, uint32_t node)
{
	struct node *n = m->o->nodes[node];
	uint32_t *queue;

	if (n->chosen)
		return 0;
	if (m->n == m->capacity) {
		size_t capacity = m->capacity ? 2 * m->capacity : 32;

		queue = realloc(m->queue, capacity * sizeof(*queue));
		if (!queue)
			return -ENOMEM;
		m->queue = queue;
		m->capacity = capacity;
	}
	n->chosen = true;
	n->placed = false;
	n->wave = n->waits = 0;
	m->queue[m->n++] = node;
	return 0;
}

static void done(struct making *m)
{
	for (size_t i = 0; i < m->n; i++)
		m->o->nodes[m->queue[i]]->chosen = false;
	free(m->queue);
}

/* --- choosing ------------------------------------------------------------ */

static bool load(struct making *m, uint32_t node)
{
	struct node *n = m->o->nodes[node];

	if (!n->present && m->load)
		m->load(m->user, n->name);
	return n->present;
}

static int on_required(void *user, uint32_t node)
{
	struct making *m = user;

	if (load(m, node))
		return choose(m, node);
	snprintf(m->problem->text, sizeof(m->problem->text),
		 "%s requires %s, which is not there", m->of->name,
		 m->o->nodes[node]->name);
	return -ENOENT;
}

static int on_wanted(void *user, uint32_t node)
{
	return load(user, node) ? choose(user, node) : 0;
}

static int on_other(void *user, uint32_t node)
{
	struct making *m = user;

	return m->o->nodes[node]->present ? choose(m, node) : 0;
}

/* A callback may define more nodes, but the node that is looked at stays as
 * it is: it is not one that is loaded. */
static int choose_for_start(struct making *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n; i++) {
		m->of = m->o->nodes[m->queue[i]];
		r = order_each(m->o, m->queue[i], ORDER_REQUIRED, on_required,
			       m);
		if (r == 0)
			r = order_each(m->o, m->queue[i], ORDER_WANTED,
				       on_wanted, m);
	}
	return r;
}

static int choose_for_stop(struct making *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n; i++) {
		r = order_each(m->o, m->queue[i], ORDER_REQUIRED_BY, on_other,
			       m);
		if (r == 0)
			r = order_each(m->o, m->queue[i], ORDER_MEMBERS,
				       on_other, m);
	}
	return r;
}

/* --- placing ------------------------------------------------------------- */

struct counting {
	const struct order *o;
	uint32_t waits;
};

static int on_chosen(void *user, uint32_t node)
{
	struct counting *c = user;

	c->waits += c->o->nodes[node]->chosen;
	return 0;
}

static int on_behind(void *user, uint32_t node)
{
	struct making *m = user;
	struct node *n = m->o->nodes[node];

	if (!n->chosen)
		return 0;
	if (n->wave <= m->of->wave)
		n->wave = m->of->wave + 1;
	if (--n->waits > 0)
		return 0;
	n->placed = true;
	m->queue[m->n++] = node;
	return 0;
}

static enum order_side before(const struct making *m)
{
	return m->reverse ? ORDER_SUCCESSORS : ORDER_PREDECESSORS;
}

static enum order_side behind(const struct making *m)
{
	return m->reverse ? ORDER_PREDECESSORS : ORDER_SUCCESSORS;
}

/* Places what can be; the rest keeps `placed` false. The queue is used again
 * for the places: it has room for all that are chosen. */
static int place(struct making *m, size_t *ret_placed)
{
	_cleanup_(freep) uint32_t *chosen = m->queue;
	size_t n = m->n;

	m->queue = malloc((n ? n : 1) * sizeof(*m->queue));
	if (!m->queue) {
		m->queue = steal(&chosen);
		return -ENOMEM;
	}
	m->capacity = n;
	m->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct counting c = { .o = m->o };
		struct node *node = m->o->nodes[chosen[i]];

		order_each(m->o, chosen[i], before(m), on_chosen, &c);
		node->waits = c.waits;
		node->placed = c.waits == 0;
		if (node->placed)
			m->queue[m->n++] = chosen[i];
	}
	for (size_t i = 0; i < m->n; i++) {
		m->of = m->o->nodes[m->queue[i]];
		order_each(m->o, m->queue[i], behind(m), on_behind, m);
	}
	*ret_placed = m->n;
	for (size_t i = 0; i < n; i++)
		if (!m->o->nodes[chosen[i]]->placed)
			m->queue[m->n++] = chosen[i];
	return 0;
}

/* --- cycles -------------------------------------------------------------- */

static int on_stuck(void *user, uint32_t node)
{
	struct making *m = user;
	struct node *n = m->o->nodes[node];

	if (!n->chosen || n->placed)
		return 0;
	m->of = n;
	return 1;
}

/* Each node that could not be placed waits for another such: going from one
 * to the next, some node comes again. `wave` counts the steps. */
static void tell_cycle(struct making *m, size_t placed)
{
	char *text = m->problem->text;
	const struct node *first;
	size_t used;

	m->of = m->o->nodes[m->queue[placed]];
	for (size_t i = placed; i < m->n; i++)
		m->o->nodes[m->queue[i]]->wave = 0;
	while (m->of->wave == 0) {
		m->o->nodes[m->of->index]->wave = 1;
		order_each(m->o, m->of->index, ORDER_PREDECESSORS, on_stuck, m);
	}
	first = m->of;
	used = (size_t)snprintf(text, ORDER_PROBLEM_BYTES, "%s", first->name);
	do {
		order_each(m->o, m->of->index, ORDER_PREDECESSORS, on_stuck, m);
		if (used + strlen(m->of->name) + strlen(first->name) + 16 >=
		    ORDER_PROBLEM_BYTES) {
			snprintf(text + used, ORDER_PROBLEM_BYTES - used,
				 " -> ... -> %s", first->name);
			return;
		}
		used += (size_t)snprintf(text + used,
					 ORDER_PROBLEM_BYTES - used, " -> %s",
					 m->of->name);
	} while (m->of != first);
}

/* --- plans --------------------------------------------------------------- */

static int by_wave(const void *a, const void *b, void *user)
{
	const struct order_step *s = a, *t = b;
	const struct order *o = user;

	if (s->wave != t->wave)
		return s->wave < t->wave ? -1 : 1;
	return strcmp(o->nodes[s->node]->name, o->nodes[t->node]->name);
}

static int finish(struct making *m, struct order_plan *ret_plan)
{
	struct order_step *steps = calloc(m->n ? m->n : 1, sizeof(*steps));

	if (!steps)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		steps[i] = (struct order_step){
			.node = m->queue[i],
			.wave = m->o->nodes[m->queue[i]]->wave,
		};
	qsort_r(steps, m->n, sizeof(*steps), by_wave, m->o);
	*ret_plan = (struct order_plan){ .steps = steps, .n = m->n };
	return 0;
}

static int choose_roots(struct making *m, const uint32_t *nodes, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = choose(m, nodes[i]);
	return r;
}

static int place_or_tell(struct making *m)
{
	size_t placed;
	int r = place(m, &placed);

	if (r < 0 || placed == m->n)
		return r;
	tell_cycle(m, placed);
	return -ELOOP;
}

int order_plan_start(struct order *o, const uint32_t *nodes, size_t n,
		     order_load_fn load_fn, void *user,
		     struct order_plan *ret_plan,
		     struct order_problem *ret_problem)
{
	struct making m = {
		.o = o, .problem = ret_problem, .load = load_fn, .user = user
	};
	int r = choose_roots(&m, nodes, n);

	ret_problem->text[0] = '\0';
	if (r == 0)
		r = choose_for_start(&m);
	if (r == 0)
		r = place_or_tell(&m);
	if (r == 0)
		r = finish(&m, ret_plan);
	done(&m);
	return r;
}

int order_plan_exactly(struct order *o, const uint32_t *nodes, size_t n,
		       struct order_plan *ret_plan,
		       struct order_problem *ret_problem)
{
	struct making m = { .o = o, .problem = ret_problem };
	int r = choose_roots(&m, nodes, n);

	ret_problem->text[0] = '\0';
	if (r == 0)
		r = place_or_tell(&m);
	if (r == 0)
		r = finish(&m, ret_plan);
	done(&m);
	return r;
}

/* What stands in a cycle, or behind one, goes last, side by side. */
static int place_all(struct making *m)
{
	uint32_t last = 0;
	size_t placed;
	int r = place(m, &placed);

	if (r < 0)
		return r;
	for (size_t i = 0; i < placed; i++)
		if (m->o->nodes[m->queue[i]]->wave >= last)
			last = m->o->nodes[m->queue[i]]->wave + 1;
	for (size_t i = placed; i < m->n; i++)
		m->o->nodes[m->queue[i]]->wave = last;
	return 0;
}

int order_plan_stop(struct order *o, const uint32_t *nodes, size_t n,
		    struct order_plan *ret_plan)
{
	struct making m = { .o = o, .reverse = true };
	int r = choose_roots(&m, nodes, n);

	if (r == 0)
		r = choose_for_stop(&m);
	if (r == 0)
		r = place_all(&m);
	if (r == 0)
		r = finish(&m, ret_plan);
	done(&m);
	return r;
}

/* --- groups -------------------------------------------------------------- */

static int choose_groups_members(struct making *m, uint32_t member)
{
	struct making groups = { .o = m->o };
	int r = order_each(m->o, member, ORDER_GROUPS, on_other, &groups);

	/* The groups themselves are chosen for no longer than this. */
	for (size_t i = 0; i < groups.n; i++)
		m->o->nodes[groups.queue[i]]->chosen = false;
	for (size_t i = 0; r == 0 && i < groups.n; i++)
		r = order_each(m->o, groups.queue[i], ORDER_MEMBERS, on_other,
			       m);
	free(groups.queue);
	return r;
}

/* All that comes after @member, however far. */
static int choose_rest(struct making *m, uint32_t member)
{
	int r = choose(m, member);

	for (size_t i = 0; r == 0 && i < m->n; i++)
		r = order_each(m->o, m->queue[i], ORDER_SUCCESSORS, on_other,
			       m);
	return r;
}

/* Without those that are not in @rest. */
static void keep_only(struct making *m, const struct making *rest,
		      uint32_t member)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n; i++)
		m->o->nodes[m->queue[i]]->chosen = false;
	for (size_t i = 0; rest && i < rest->n; i++)
		m->o->nodes[rest->queue[i]]->chosen = true;
	for (size_t i = 0; i < m->n; i++) {
		struct node *n = m->o->nodes[m->queue[i]];

		if (n->index != member && (!rest || n->chosen))
			m->queue[kept++] = m->queue[i];
	}
	for (size_t i = 0; rest && i < rest->n; i++)
		m->o->nodes[rest->queue[i]]->chosen = false;
	for (size_t i = 0; i < kept; i++) {
		m->o->nodes[m->queue[i]]->chosen = true;
		m->o->nodes[m->queue[i]]->wave = 0;
	}
	m->n = kept;
}

int order_plan_group(struct order *o, uint32_t member, bool only_rest,
		     struct order_plan *ret_plan)
{
	struct making m = { .o = o }, rest = { .o = o };
	int r = 0;

	if (only_rest) {
		r = choose_rest(&rest, member);
		for (size_t i = 0; i < rest.n; i++)
			o->nodes[rest.queue[i]]->chosen = false;
	}
	if (r == 0)
		r = choose_groups_members(&m, member);
	if (r == 0) {
		keep_only(&m, only_rest ? &rest : NULL, member);
		r = place_all(&m);
	}
	if (r == 0)
		r = finish(&m, ret_plan);
	done(&m);
	free(rest.queue);
	return r;
}
