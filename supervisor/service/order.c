/*
 * Step 4, for services: the graph of who needs whom.
 *
 * Each relation is kept where it was said (out) and where it points (in), with
 * bits for what was said; what goes before what is read from both.
 */

#include "service/order.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "service/order_private.h"

/* What was said of a neighbour, and the side that it makes it. */
static const struct {
	unsigned out, in;
} sides[] = {
	[ORDER_PREDECESSORS] = { REQUIRES | WANTS | AFTER, BEFORE },
	[ORDER_SUCCESSORS] = { BEFORE, REQUIRES | WANTS | AFTER },
	[ORDER_REQUIRED] = { REQUIRES, 0 },
	[ORDER_REQUIRED_BY] = { 0, REQUIRES },
	[ORDER_WANTED] = { WANTS, 0 },
	[ORDER_GROUPS] = { PART_OF, 0 },
	[ORDER_MEMBERS] = { 0, PART_OF },
};

/* --- life ---------------------------------------------------------------- */

int order_new(struct order **ret_order)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	*ret_order = o;
	return 0;
}

static void keep(void *entry)
{
	(void)entry; /* the nodes own their names */
}

struct order *order_free(struct order *o)
{
	if (!o)
		return NULL;
	tdestroy(o->by_name, keep);
	for (uint32_t i = 0; i < o->n; i++) {
		free(o->nodes[i]->out.items);
		free(o->nodes[i]->in.items);
		free(o->nodes[i]);
	}
	free(o->nodes);
	free(o);
	return NULL;
}

/* --- nodes by name ------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name,
		      ((const struct node *)b)->name);
}

static struct node *find(const struct order *o, const char *name)
{
	const struct node key = { .name = name };
	struct node **found = tfind(&key, &o->by_name, compare);

	return found ? *found : NULL;
}

static int make_room(struct order *o)
{
	uint32_t capacity = o->capacity ? 2 * o->capacity : 16;
	struct node **nodes;

	if (o->n < o->capacity)
		return 0;
	nodes = realloc(o->nodes, capacity * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	o->nodes = nodes;
	o->capacity = capacity;
	return 0;
}

static int find_or_add(struct order *o, const char *name,
		       struct node **ret_node)
{
	size_t size = strlen(name) + 1;
	struct node *n = find(o, name);

	if (n) {
		*ret_node = n;
		return 0;
	}
	if (make_room(o) < 0)
		return -ENOMEM;
	n = calloc(1, sizeof(*n) + size);
	if (!n)
		return -ENOMEM;
	n->name = memcpy(n + 1, name, size);
	if (!tsearch(n, &o->by_name, compare)) {
		free(n);
		return -ENOMEM;
	}
	n->index = o->n;
	o->nodes[o->n++] = n;
	*ret_node = n;
	return 0;
}

/* --- relations ----------------------------------------------------------- */

static int add_edge(struct edges *e, uint32_t node, unsigned said)
{
	uint32_t capacity = e->capacity ? 2 * e->capacity : 2;
	struct edge *items;

	if (e->n == e->capacity) {
		items = realloc(e->items, capacity * sizeof(*items));
		if (!items)
			return -ENOMEM;
		e->items = items;
		e->capacity = capacity;
	}
	e->items[e->n++] = (struct edge){ node, said };
	return 0;
}

static void drop_edges_to(struct edges *e, uint32_t node)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < e->n; i++)
		if (e->items[i].node != node)
			e->items[kept++] = e->items[i];
	e->n = kept;
}

static void forget_said(struct order *o, struct node *n)
{
	for (uint32_t i = 0; i < n->out.n; i++)
		drop_edges_to(&o->nodes[n->out.items[i].node]->in, n->index);
	n->out.n = 0;
}

static int say(struct order *o, struct node *n, const struct names *names,
	       unsigned said)
{
	for (uint32_t i = 0; names && i < names->n; i++) {
		struct node *other;
		int r = find_or_add(o, names->items[i], &other);

		if (r == 0 && other == n)
			r = -ELOOP;
		if (r == 0)
			r = add_edge(&n->out, other->index, said);
		if (r == 0)
			r = add_edge(&other->in, n->index, said);
		if (r < 0)
			return r;
	}
	return 0;
}

int order_set(struct order *o, const char *name,
	      const struct order_links *links, void *user, uint32_t *ret_node)
{
	struct node *n;
	int r = find_or_add(o, name, &n);

	if (r < 0)
		return r;
	forget_said(o, n);
	r = say(o, n, links->requires, REQUIRES);
	if (r == 0)
		r = say(o, n, links->wants, WANTS);
	if (r == 0)
		r = say(o, n, links->after, AFTER);
	if (r == 0)
		r = say(o, n, links->before, BEFORE);
	if (r == 0)
		r = say(o, n, links->part_of, PART_OF);
	if (r < 0) {
		forget_said(o, n);
		n->present = false;
		return r;
	}
	n->present = true;
	n->user = user;
	if (ret_node)
		*ret_node = n->index;
	return 0;
}

void order_remove(struct order *o, uint32_t node)
{
	struct node *n = o->nodes[node];

	forget_said(o, n);
	n->present = false;
	n->user = NULL;
}

/* --- reading ------------------------------------------------------------- */

int order_find(const struct order *o, const char *name, uint32_t *ret_node)
{
	struct node *n = find(o, name);

	if (!n || !n->present)
		return -ENOENT;
	*ret_node = n->index;
	return 0;
}

uint32_t order_count(const struct order *o)
{
	return o->n;
}

bool order_present(const struct order *o, uint32_t node)
{
	return o->nodes[node]->present;
}

const char *order_name(const struct order *o, uint32_t node)
{
	return o->nodes[node]->name;
}

void *order_user(const struct order *o, uint32_t node)
{
	return o->nodes[node]->user;
}

static int each_of(const struct edges *e, unsigned said, order_node_fn fn,
		   void *user)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < e->n; i++)
		if (e->items[i].said & said)
			r = fn(user, e->items[i].node);
	return r;
}

int order_each(const struct order *o, uint32_t node, enum order_side side,
	       order_node_fn fn, void *user)
{
	int r = each_of(&o->nodes[node]->out, sides[side].out, fn, user);

	return r ? r : each_of(&o->nodes[node]->in, sides[side].in, fn, user);
}
