#pragma once

/*
 * A native process: a client that owns and holds contexts, as a run does.
 *
 * It is the user's own, so nothing is denied to it. Its end is that of its
 * connection.
 */

#include "rpc/mp.h"

struct attached;
struct client;

/* CONTROL_ATTACH: answered, and c->attached is set. The client may be gone
 * when this returns. A negative errno closes its link. */
int attach(struct client *c, struct mp_bytes name);
struct principal *attached_principal(struct attached *a);
struct attached *attached_free(struct attached *a); /* NULL, always */
