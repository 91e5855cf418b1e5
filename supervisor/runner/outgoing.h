#pragma once

/*
 * A message that could not be sent at once: it has contexts that must be
 * shared first, or must wait for a route or for room. A userdata, so that
 * nothing is lost with a task that does not come back from waiting.
 */

#include <lua.h>
#include <stdint.h>

#include "runner/value.h"

struct request;

struct outgoing_context {
	struct context *context; /* a reference */
	struct request *request; /* while it is being shared */
	size_t offset;		 /* of its number */
};

struct outgoing {
	uint64_t shared_over; /* the link that the numbers are for; 0: none */
	size_t charged_bytes;
	size_t size;
	uint8_t *data; /* with LINK_ROOM_BYTES before it */
	unsigned n_contexts;
	struct outgoing_context contexts[];
};

/* The metatable; in the zygote. */
void outgoing_open(lua_State *L);

/* Push a userdata with a copy of what was written; raises for memory, and
 * where no task can wait. */
struct outgoing *outgoing_push(lua_State *L, const struct value_writer *v);

/*
 * Share its contexts with who is at the other end of link @over, and put their
 * numbers in; waits. @cid: of the call that it is; 0: it is an answer, or
 * CONTEXT_PUSHED. STATUS_OK, or another and @ret_message.
 */
int outgoing_share(lua_State *L, struct outgoing *o, uint64_t over,
		   uint32_t cid, char *ret_message, size_t size);
