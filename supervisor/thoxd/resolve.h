#pragma once

/*
 * Where is a name answered? (WIRE_RESOLVE, rpc/wire.h)
 *
 * Who asks gets a link to each instance that provides it, made for this
 * purpose, with the grant that its policy gives. So policy costs nothing at a
 * call, and thoxd is not in its way.
 */

#include "rpc/wire.h"

struct zero;

/* 0, or a negative errno that closes the link. */
int resolve(struct zero *z, const struct wire_message *m);
