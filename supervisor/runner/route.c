/*
 * Step 7, in a runner: from names to links.
 *
 * Each route is of one link to thoxd: context 0, or another that resolves, such
 * as a child's `up`. Two tables of the same kind: `routes` by prefix, and
 * `recent` by whole name, which spares looking for the longest prefix each
 * time. What is in `recent` may be thrown away at any time, and is as soon as
 * a route goes.
 */

#include "runner/route.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "runner/call.h"
#include "runner/channel.h"
#include "runner/control.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/mailbox.h"
#include "runner/map.h"
#include "runner/task.h"
#include "runner/tell.h"

#define RECENT 512 /* a power of two */

struct route {
	struct list list;    /* of all, the least used first */
	struct route *next;  /* with the same hash */
	struct channel *of;  /* the link to thoxd that it is a route of */
	bool over_itself;    /* calls go to thoxd itself */
	struct list targets; /* channels */
	unsigned n_targets;
	unsigned turn; /* of those with as few calls */
	size_t prefix_size;
	char prefix[WIRE_NAME_BYTES];
};

static enum {
	ZERO_ABSENT,
	ZERO_WANTED,
	ZERO_THERE,
	ZERO_GONE,
} zero_state;
static struct channel *zero;
static struct list zero_waiters = { &zero_waiters, &zero_waiters };

static struct map routes; /* by the prefix's hash: chains */
static struct list by_use = { &by_use, &by_use };
static unsigned n_routes;

static struct {
	struct route *route;
	size_t size;
	char name[WIRE_NAME_BYTES];
} recent[RECENT];

/* --- context 0 --------------------------------------------------------------
 */

void route_set_zero(struct channel *c)
{
	if (zero_state == ZERO_THERE && c) {
		channel_close(c, true); /* one is enough */
		return;
	}
	zero = c;
	zero_state = c ? ZERO_THERE : ZERO_GONE;
	task_wake_all(&zero_waiters);
}

void route_want_again(void)
{
	if (zero_state == ZERO_WANTED)
		tell_want_zero();
}

struct channel *route_zero_now(void)
{
	return zero;
}

struct channel *route_zero(lua_State *L)
{
	while (zero_state < ZERO_THERE) {
		task_check_wait(L);
		if (zero_state == ZERO_ABSENT) {
			zero_state = ZERO_WANTED;
			tell_want_zero();
		}
		task_wait_at(L, &zero_waiters, "context 0", TASK_NO_DEADLINE);
	}
	return zero;
}

/* --- the tables -------------------------------------------------------------
 */

static uint64_t hash_of(const struct channel *of, const char *prefix,
			size_t size)
{
	return map_hash(prefix, size) ^
	       of->number * UINT64_C(0x9e3779b97f4a7c15);
}

static struct route *find_prefix(const struct channel *of, const char *prefix,
				 size_t size)
{
	struct route *r = map_get(&routes, hash_of(of, prefix, size));

	while (r && (r->of != of || r->prefix_size != size ||
		     memcmp(r->prefix, prefix, size) != 0))
		r = r->next;
	return r;
}

/* The route of the longest prefix. */
static struct route *find_longest(const struct channel *of, const char *name,
				  size_t size)
{
	for (;;) {
		struct route *r = find_prefix(of, name, size);

		if (r || size == 0)
			return r;
		while (size > 0 && name[size - 1] != '.')
			size--;
		if (size > 0)
			size--; /* the dot */
	}
}

static struct route *find(const struct channel *of, const char *name,
			  size_t size)
{
	size_t i = hash_of(of, name, size) & (RECENT - 1);
	struct route *r = recent[i].route;

	if (r && r->of == of && recent[i].size == size &&
	    memcmp(recent[i].name, name, size) == 0)
		return r;
	r = n_routes > 0 ? find_longest(of, name, size) : NULL;
	if (r) {
		recent[i].route = r;
		recent[i].size = size;
		memcpy(recent[i].name, name, size);
		list_remove(&r->list);
		list_append(&by_use, &r->list);
	}
	return r;
}

static void forget_recent(const struct route *r)
{
	for (size_t i = 0; i < RECENT; i++)
		if (recent[i].route == r)
			recent[i].route = NULL;
}

static void unlink_route(struct route *r)
{
	uint64_t hash = hash_of(r->of, r->prefix, r->prefix_size);
	struct route *first = map_get(&routes, hash), **at = &first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	map_remove(&routes, hash);
	if (first)
		(void)map_put(&routes, hash, first); /* there is room now */
	list_remove(&r->list);
	n_routes--;
}

/* Nothing new is sent there; what waits for answers gets them. */
static void retire(struct channel *c)
{
	c->route = NULL;
	list_remove(&c->list);
	c->moved = true;
	if (c->n_calls == 0)
		channel_close(c, true);
}

static void remove_route(struct route *r)
{
	struct channel *c, *after;

	forget_recent(r);
	unlink_route(r);
	list_each(c, after, &r->targets, list) retire(c);
	free(r);
}

static struct route *add_route(struct channel *of, struct mp_bytes prefix)
{
	uint64_t hash = hash_of(of, prefix.p, prefix.size);
	struct route *r;

	if (n_routes >= LIMIT_ROUTES)
		remove_route(list_first(&by_use, struct route, list));
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	list_init(&r->targets);
	r->of = of;
	r->prefix_size = prefix.size;
	memcpy(r->prefix, prefix.p, prefix.size);
	r->next = map_get(&routes, hash);
	map_remove(&routes, hash);
	if (map_put(&routes, hash, r) < 0) {
		free(r); /* and the chain with it, which nothing else is in */
		return NULL;
	}
	list_append(&by_use, &r->list);
	n_routes++;
	/* names that a shorter prefix had may be this one's */
	memset(recent, 0, sizeof(recent));
	return r;
}

/* --- choosing ---------------------------------------------------------------
 */

/* The fewest calls that wait; in turn where several have as few. */
static struct channel *choose(struct route *r)
{
	struct channel *c, *after, *best = NULL;
	unsigned i = 0, start = r->n_targets ? r->turn++ % r->n_targets : 0;

	list_each(c, after, &r->targets, list)
	{
		if (!best || c->n_calls < best->n_calls ||
		    (c->n_calls == best->n_calls && i == start))
			best = c;
		i++;
	}
	return best;
}

struct channel *route_known(struct channel *to, const char *name, size_t size)
{
	struct route *r;

	if (!to || !to->resolves)
		return to;
	r = find(to, name, size);
	if (!r)
		return NULL;
	if (r->over_itself)
		return to;
	if (r->n_targets == 1)
		return list_first(&r->targets, struct channel, list);
	return choose(r);
}

/* --- asking thoxd -----------------------------------------------------------
 */

/* The channels that it names become the route's. */
static void add_targets(struct route *r, struct mp_reader *args, uint32_t n,
			uint64_t over)
{
	while (n-- > 0 && !args->bad) {
		struct channel *c =
			channel_find(wire_read_context(args), false);

		if (!c || c->kind != CHANNEL_HELD || c->claimed ||
		    (c->over && c->over != over))
			continue;
		c->claimed = UINT64_MAX;
		c->route = r;
		list_append(&r->targets, &c->list);
		r->n_targets++;
	}
}

/* [prefix, context…]: false where it makes no sense. */
static bool take_route(struct channel *of, const struct incoming *in,
		       const char *name, size_t size)
{
	const struct mp_bytes whole = { name, size };
	struct mp_reader args;
	struct mp_bytes prefix;
	struct route *r;
	uint32_t n;

	mp_reader_init(&args, in->m.args.p, in->m.args.size);
	n = mp_read_array(&args);
	prefix = mp_read_str(&args);
	if (n == 0 || args.bad || prefix.size > WIRE_NAME_BYTES ||
	    !wire_below(whole, prefix.p, prefix.size))
		return false;
	r = find_prefix(of, prefix.p, prefix.size);
	if (r && r->n_targets > 0)
		return true; /* another task asked, too: those are dropped */
	if (r)
		remove_route(r);
	r = add_route(of, prefix);
	if (!r)
		return false;
	r->over_itself = n == 1;
	add_targets(r, &args, n - 1, in->over);
	if (r->over_itself || r->n_targets > 0)
		return true;
	remove_route(r); /* they have ended already */
	return true;
}

/* Ask for @name: the call that does, sent or answered. */
static struct call *ask(lua_State *L, struct channel *to, const char *name,
			size_t size, uint64_t deadline_ns)
{
	struct call *call = call_new(L, deadline_ns);
	uint8_t buf[WIRE_NAME_BYTES + 32];
	struct mp_writer w;
	int r;

	call->resolve = true;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_resolve(&w, call->cid, name, size);
	r = channel_post(to, buf, w.used);
	if (r == 0)
		call_sent(call, to, buf, w.used);
	else
		call_fail(call, STATUS_CLOSED, "the context is closed");
	return call;
}

/* Links that are used less than others, where there are too many. */
static bool make_room(void)
{
	unsigned n = (n_routes + 3) / 4;

	for (unsigned i = 0; i < n; i++)
		remove_route(list_first(&by_use, struct route, list));
	return n > 0;
}

/* Ask, wait, and keep what thoxd says; @outer is answered if that is no. */
static void resolve(lua_State *L, struct call *outer, struct channel *to,
		    const char *name, size_t size)
{
	struct call *call = ask(L, to, name, size, outer->deadline_ns);
	uint64_t number = to->number;
	struct mp_bytes text = { "", 0 };

	call_wait(L, call, TASK_NO_DEADLINE);
	to = channel_find(number, false);
	if (call->status == STATUS_TOO_LARGE && make_room()) {
		/* then again */
	} else if (call->status != STATUS_OK && call->answer) {
		text = incoming_text(call->answer);
		call_fail(outer, call->status, "%.*s", (int)text.size, text.p);
	} else if (call->status != STATUS_OK) {
		call_fail(outer, call->status, "%s", call->message);
	} else if (to && !take_route(to, call->answer, name, size)) {
		/* (without it, it ended just then: whoever called finds out) */
		call_fail(outer, STATUS_ERROR, "the name was resolved wrongly");
	}
	call_release(call);
}

struct channel *route_find(lua_State *L, struct call *call, struct channel *to,
			   const char *name, size_t size)
{
	struct channel *c = route_known(to, name, size);

	if (!c)
		resolve(L, call, to, name, size);
	return c;
}

struct channel *route_find_zero(lua_State *L, struct call *call,
				const char *name, size_t size)
{
	struct channel *to = route_zero(L);

	if (!to)
		call_fail(call, STATUS_CLOSED, "context 0 is closed");
	if (call->answered) /* meanwhile */
		return NULL;
	return route_find(L, call, to, name, size);
}

/* --- what happens -----------------------------------------------------------
 */

static void target_gone(struct channel *c)
{
	struct route *r = c->route;

	c->route = NULL;
	r->n_targets--;
	if (r->n_targets == 0)
		remove_route(r);
}

static void remove_routes_of(const struct channel *of)
{
	struct route *r, *after;

	list_each(r, after, &by_use, list) if (r->of == of) remove_route(r);
}

void route_channel_closed(struct channel *c)
{
	if (c->resolves)
		remove_routes_of(c);
	if (c == zero) {
		zero = NULL;
		zero_state = ZERO_GONE;
		task_wake_all(&zero_waiters);
	} else if (c->route) {
		target_gone(c);
	}
}

void route_moved(struct channel *c)
{
	uint8_t buf[8];
	struct mp_writer w;

	if (c->moved || !c->route)
		return;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_moved(&w);
	channel_post(c, buf, w.used);
	list_remove(&c->list);
	c->moved = true;
	channel_ref(c);
	target_gone(c);
	if (c->n_calls == 0)
		channel_close(c, true);
	channel_unref(c);
}

void route_forget(struct mp_bytes prefix)
{
	struct route *r, *after;

	list_each(r, after, &by_use, list)
	{
		const struct mp_bytes own = { r->prefix, r->prefix_size };

		if (wire_below(own, prefix.p, prefix.size) ||
		    wire_below(prefix, own.p, own.size))
			remove_route(r);
	}
}
