#pragma once

/*
 * Calls that only go through this process, between a caller whom it serves and
 * the owner of a context that it holds: sent on, and their answers sent back,
 * as the bytes that they are, where they come in. No task, no Lua.
 *
 * Who serves teaches a link what goes where, call by call (thox.relay()). That
 * is remembered for some names of each link and may be forgotten at any time,
 * as it is when a function that serves the context is set or removed. What
 * cannot go through at once (it has contexts, the way is not known or has no
 * room, something that came before has not gone on) is the function's, as if
 * nothing had been learnt: so a call does not overtake what its context's
 * holders said before.
 *
 * Who called gets one answer: the callee's, CLOSED when that ends, or none
 * when he has given it up, when his deadline has passed, or is gone; the
 * callee then gets a cancel.
 */

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "rpc/link.h"
#include "rpc/wire.h"

struct call;
struct channel;
struct context;
struct relays; /* what a channel has learnt */
struct served;

/* From now on calls as @s was go on to @to, a held one, under this name. */
void relay_learn(struct served *s, const struct context *to, const char *name,
		 size_t name_size);
struct relays *relays_free(struct relays *r); /* NULL */

/* False: not this one; it is as it was. */
bool relay_call(struct channel *c, const struct wire_message *m);

/* Do any wait for their answers? The process goes on for them. */
bool relay_busy(void);

/* --- what happens, for call.h ------------------------------------------------
 */
void relay_answered(struct call *call, struct link_message *raw,
		    const struct wire_message *m);
void relay_failed(struct call *call, int status); /* with call->message */
