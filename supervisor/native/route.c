/*
 * Step 6, in a native process: names become links.
 *
 * A link that resolves (context 0) is asked once for each name; what it
 * answers is good for the prefix that it names, until thoxd says otherwise
 * (CONTROL_FORGET), the provider goes, or it sends `moved`. Of several
 * instances the one with the fewest calls outstanding gets the next.
 *
 * A route that is forgotten is stale, not gone: its links stay until its
 * successor is known, which may name the same ones.
 */

#include "native/private.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define RESOLVE_TRIES 3

/* The longest prefix that fits. */
struct route *native_route_find(struct native_link *l, const char *name,
				size_t size)
{
	const struct mp_bytes whole = { name, size };
	struct route *route, *after, *best = NULL;
	size_t best_size = 0;

	list_each(route, after, &l->routes, list)
	{
		size_t n = strlen(route->prefix);

		if (!wire_below(whole, route->prefix, n))
			continue;
		if (!best || n > best_size) {
			best = route;
			best_size = n;
		}
	}
	return best;
}

struct native_link *native_route_pick(struct native_link *l,
				      struct route *route)
{
	struct native_link *best = NULL;

	if (route->n_links == 0)
		return l;
	for (unsigned i = 0; i < route->n_links; i++)
		if (!best || route->links[i]->n_pending < best->n_pending)
			best = route->links[i];
	return best;
}

static void route_free(struct route *route)
{
	list_remove(&route->list);
	while (route->n_links > 0)
		native_link_unref(route->links[--route->n_links]);
	free(route);
}

static void drop_link(struct route *route, struct native_link *gone)
{
	unsigned kept = 0, dropped = 0;

	for (unsigned i = 0; i < route->n_links; i++) {
		if (route->links[i] == gone)
			dropped++;
		else
			route->links[kept++] = route->links[i];
	}
	if (!dropped)
		return;
	route->n_links = kept;
	if (kept == 0)
		route_free(route); /* the next call resolves again */
	while (dropped-- > 0)
		native_link_unref(gone);
}

void native_routes_drop(struct native *n, struct native_link *gone)
{
	struct native_link *l, *after;

	gone->refs++;
	list_each(l, after, &n->links, list)
	{
		struct route *route, *next;

		list_each(route, next, &l->routes, list)
		{
			drop_link(route, gone);
		}
	}
	native_link_unref(gone);
}

void native_routes_clear(struct native_link *l)
{
	while (!list_empty(&l->routes))
		route_free(list_first(&l->routes, struct route, list));
}

void native_routes_forget(struct native *n, struct mp_bytes prefix)
{
	struct native_link *l, *after;

	list_each(l, after, &n->links, list)
	{
		struct route *route, *next;

		list_each(route, next, &l->routes, list)
		{
			const struct mp_bytes own = { route->prefix,
						      strlen(route->prefix) };

			if (wire_below(own, prefix.p, prefix.size) ||
			    wire_below(prefix, own.p, own.size))
				route->stale = true;
		}
	}
}

/* --- resolving --------------------------------------------------------------
 */

static struct native_pending *find_resolve(struct native_link *l,
					   const char *name)
{
	struct native_pending *p, *after;

	list_each(p, after, &l->pending, list)
	{
		if (p->resolve && strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

static int ask(struct native_link *l, const char *name,
	       struct native_pending **ret)
{
	struct native_pending *p;
	int r = native_pending_new(l->native, name, strlen(name), 0, NULL, NULL,
				   &p);

	if (r < 0)
		return r;
	p->resolve = true;
	p->link = l;
	p->cid = native_new_cid(l);
	list_append(&l->pending, &p->list);
	l->n_pending++;
	wire_write_resolve(native_begin(l->native), p->cid, name, strlen(name));
	r = native_link_send(l);
	if (r < 0) {
		native_pending_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int native_resolve(struct native_link *l, struct native_pending *p)
{
	struct native_pending *resolve = find_resolve(l, p->name);
	int r = resolve ? 0 : ask(l, p->name, &resolve);

	if (r == 0)
		list_append(&resolve->waiters, &p->list);
	return r;
}

/* The contexts of the answer, each with a reference. */
static void take_links(struct native_link *l, struct mp_reader *r, uint32_t n,
		       struct route *route)
{
	while (n-- > 0 && !r->bad) {
		uint64_t number = wire_read_context(r);
		struct native_link *to =
			native_link_find(l->native, number, true);

		if (!to || to->over != l->number || to->moved ||
		    route->n_links == WIRE_ROUTES_MAX)
			continue;
		to->refs++;
		route->links[route->n_links++] = to;
	}
}

/* [prefix, context…]; NULL when it is none. */
static struct route *parse_route(struct native_link *l, const char *name,
				 struct mp_bytes args)
{
	const struct mp_bytes whole = { name, strlen(name) };
	struct route *route = calloc(1, sizeof(*route));
	struct mp_reader r;
	struct mp_bytes prefix;
	uint32_t n;

	if (!route)
		return NULL;
	list_init(&route->list);
	mp_reader_init(&r, args.p, args.size);
	n = mp_read_array(&r);
	prefix = mp_read_str(&r);
	if (n == 0 || r.bad ||
	    mp_bytes_copy(prefix, route->prefix, sizeof(route->prefix)) < 0 ||
	    !wire_below(whole, prefix.p, prefix.size)) {
		free(route);
		return NULL;
	}
	take_links(l, &r, n - 1, route);
	/* Links were named and have gone meanwhile: not over this one then. */
	if (mp_end(&r) < 0 || (n > 1 && route->n_links == 0)) {
		route_free(route);
		return NULL;
	}
	return route;
}

static bool overlap(const struct route *a, const struct route *b)
{
	size_t n = strlen(a->prefix), m = strlen(b->prefix);

	return wire_below((struct mp_bytes){ a->prefix, n }, b->prefix, m) ||
	       wire_below((struct mp_bytes){ b->prefix, m }, a->prefix, n);
}

static void replace_route(struct native_link *l, struct route *route)
{
	struct route *old, *after;

	list_each(old, after, &l->routes, list)
	{
		if (strcmp(old->prefix, route->prefix) == 0 ||
		    (old->stale && overlap(old, route)))
			route_free(old);
	}
	list_append(&l->routes, &route->list);
}

/* A name without a route any more keeps none of its links. */
static void forget_name(struct native_link *l, const char *name)
{
	struct route *route = native_route_find(l, name, strlen(name));

	if (route && route->stale)
		route_free(route);
}

/* What was named is gone already: perhaps there is another by now. */
static void try_again(struct native_link *l, struct native_pending *p)
{
	if (l->ended || ++p->tries > RESOLVE_TRIES || native_resolve(l, p) < 0)
		native_pending_fail(p, STATUS_CLOSED,
				    "it was gone before it was called");
}

void native_route_learn(struct native_link *l, struct native_pending *resolve,
			int status, struct mp_bytes args)
{
	struct route *route = NULL;

	if (status == STATUS_OK)
		route = parse_route(l, resolve->name, args);
	if (route)
		replace_route(l, route);
	else
		forget_name(l, resolve->name);
	while (!list_empty(&resolve->waiters)) {
		struct native_pending *p = list_first(
			&resolve->waiters, struct native_pending, list);

		list_remove(&p->list);
		if (route && !l->ended)
			native_pending_go(p, l);
		else if (status == STATUS_OK)
			try_again(l, p);
		else
			native_pending_finish(p, status, args);
	}
}
