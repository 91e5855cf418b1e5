#pragma once

/*
 * thoxctl as a native process, under the name `thoxctl`, for as long as a
 * command takes.
 */

#include "cli/ctl.h"
#include "native/native.h"

/* An exit code; what went wrong has been said. */
int ctl_attach(struct ctl *ctl, struct native **ret);

/* Blocks SIGINT and SIGTERM: a descriptor that is ready when one has come, the
 * caller's to close; -1: see errno. */
int ctl_end_signals(void);

/* Ctrl-C as something to wait for. */
struct ctl_end {
	struct native_watch watch;
	bool over;
};
/* Blocks the signals; the descriptor in `watch` is the caller's to close. */
int ctl_end_watch(struct native *n, struct ctl_end *e);
