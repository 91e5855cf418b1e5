#pragma once

/*
 * Context 0 and where calls of its names go.
 *
 * thoxd is asked once for a name (WIRE_RESOLVE); the answer says for which
 * prefix it holds and over which links calls go: one for each instance, and
 * each call goes to the one with the fewest that wait. Routes go when thoxd
 * says so, when the other end moves or ends, and when there are too many.
 *
 * The same goes for every other link to thoxd, such as a child's `up`. Where
 * context 0 is not thoxd's but somebody's who stands in between, there is
 * nothing to ask: all goes there.
 */

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "rpc/mp.h"

struct call;
struct channel;

/* The channel for a name that is called over @to, when it is known; else NULL.
 * What does not resolve is that itself. */
struct channel *route_known(struct channel *to, const char *name, size_t size);

/* The same, and find it out: waits. NULL: @call is answered with the reason,
 * or the link has just ended: try again. */
struct channel *route_find(lua_State *L, struct call *call, struct channel *to,
			   const char *name, size_t size);
/* Of context 0. */
struct channel *route_find_zero(lua_State *L, struct call *call,
				const char *name, size_t size);

/* Context 0 itself, for what is no call: waits. NULL: it has been closed. */
struct channel *route_zero(lua_State *L);

/* The same without waiting: NULL when it is not there yet, too. */
struct channel *route_zero_now(void);

/* --- what happens ---------------------------------------------------------- */
/* thoxd has sent it; NULL: it could not be taken. */
void route_set_zero(struct channel *c);
/* Another thoxd is there, which may not have heard that it is wanted. */
void route_want_again(void);
void route_forget(struct mp_bytes prefix);
void route_channel_closed(struct channel *c);
/* WIRE_MOVED over a held channel. */
void route_moved(struct channel *c);
