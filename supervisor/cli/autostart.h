#pragma once

/*
 * Starting an instance that does not run: its keeper, in a session of its
 * own, with a clean environment (rpc/control.h, "Starting an instance").
 */

#include "base/instance.h"

/* What to do once the lock is held, before a keeper is started: 0 when
 * somebody else started it meanwhile. */
typedef int (*autostart_try_fn)(void *user);

/*
 * Returns when @in serves, or negative errno; what went wrong has been said
 * on standard error. Blocks while another process starts it.
 */
int autostart(const struct instance *in, autostart_try_fn try_fn, void *user);
