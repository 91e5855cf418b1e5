#pragma once

/*
 * A zygote: confined, with Lua and a runtime loaded, it makes runners.
 */

#include "rpc/link.h"

/* Serve @link until thoxd closes it. Returns 0 then, or negative errno; what
 * thoxd should know has been sent. */
int zygote_main(struct link *link);
