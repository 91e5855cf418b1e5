#pragma once

/*
 * thoxctl as a native process, under the name `thoxctl`, for as long as a
 * command takes.
 */

#include "cli/ctl.h"
#include "native/native.h"

/* An exit code; what went wrong has been said. */
int ctl_attach(struct ctl *ctl, struct native **ret);

/* Ctrl-C as something to wait for. */
struct ctl_end {
	struct native_watch watch;
	bool over;
};
/* Blocks the signals; the descriptor in `watch` is the caller's to close. */
int ctl_end_watch(struct native *n, struct ctl_end *e);
