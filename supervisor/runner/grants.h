#pragma once

/*
 * The grant of a link: which names its holder may call, push to and listen to
 * over it. thoxd says so when the link is opened (CONTROL_OPENED), and the
 * owner's side holds every message against it.
 */

#include <stdbool.h>
#include <stddef.h>

#include "rpc/mp.h"

struct grants;

/* Of the raw array of [allow, deny] that came with the link: NULL: no memory,
 * or it is none, which thoxd would not send. */
struct grants *grants_new(struct mp_bytes raw);
struct grants *grants_free(struct grants *g); /* NULL */

/* Is @name granted? Quick for a name that was granted just before. */
bool grants_admit(struct grants *g, struct mp_bytes name);

/* Which rule does not let it: for the message of DENIED. */
void grants_explain(const struct grants *g, struct mp_bytes name, char *ret,
		    size_t size);
