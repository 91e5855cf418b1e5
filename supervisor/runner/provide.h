#pragma once

/*
 * The names that this process has bound, as far as their callers are
 * concerned: who has a link, and giving the name over to another instance.
 */

#include "rpc/mp.h"

struct channel;

/* A caller of the bound @name is there, or is no more. */
void provide_add_caller(struct mp_bytes name, struct channel *c);
void provide_caller_closed(struct channel *c);

/* thoxd says that another instance has the name: each caller is told, and when
 * all have answered and their calls are done, so is thoxd. */
void provide_move(struct mp_bytes name);
void provide_on_moved(struct channel *c); /* WIRE_MOVED from a caller */
/* A call of this channel was answered. */
void provide_settle(struct channel *c);
