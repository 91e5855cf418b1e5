#pragma once

/*
 * A message that was received and is not yet a program's: kept as its bytes
 * until a task takes it, and then made into Lua values in that task.
 *
 * What is kept counts as memory of the program. Contexts that a message names
 * are closed with it unless the program has got them.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "rpc/link.h"
#include "rpc/wire.h"

struct incoming {
	unsigned refs;
	uint64_t id;   /* of this message: what claims the contexts in it */
	uint64_t over; /* the number of the link that it came over */
	bool passes;   /* its contexts are passed on, and not kept */
	size_t charged_bytes;
	uint8_t *heap; /* of all but a small one */
	struct wire_message m;
	uint8_t data[]; /* all of a small one, or the name */
};

/* Of @m, whose views point into @raw, which may lose its memory to it; one
 * reference. NULL: the program has no memory for it. */
struct incoming *incoming_new(uint64_t over, struct link_message *raw,
			      const struct wire_message *m);
struct incoming *incoming_ref(struct incoming *in);
struct incoming *incoming_unref(struct incoming *in); /* NULL */

static inline size_t incoming_bytes(const struct incoming *in)
{
	return in->charged_bytes;
}

/*
 * Push the arguments: one table with `n`, or the values themselves, @limit at
 * most. The number of values pushed, or none and -EBADMSG (Lua has no such
 * value), -E2BIG, -ENOMEM (a large message whose values would not fit). Raise
 * for memory only; the message stays the caller's.
 */
int incoming_push_packed(struct incoming *in, lua_State *L);
int incoming_push_values(struct incoming *in, lua_State *L, int limit);

/* The program is done with it: the contexts that it has got with a message that
 * `passes` are closed, and do not wait for the collector. */
void incoming_let_go(struct incoming *in);

/* They are Lua's: a large message need not be kept but for its name. */
void incoming_strip(struct incoming *in);

/* The first argument as text: the message of a failure; size 0: there is none.
 */
struct mp_bytes incoming_text(const struct incoming *in);

/* The same for a message that is not kept: the contexts that it names are
 * closed. */
void incoming_discard(uint64_t over, const struct wire_message *m);
