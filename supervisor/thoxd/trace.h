#pragma once

/*
 * A look at what a process, or those who provide a name, say and hear: a
 * socket on which they write a record for each message (rpc/control.h). It
 * costs nobody else anything, and is over when the socket's reader closes it.
 */

#include "rpc/mp.h"

struct principal;
struct server;

/* Of @p; else of all who provide @name or what is above it, only what is of
 * @name or below it. The socket to read is the caller's. -ESRCH: there is
 * nobody; -EAGAIN: nobody who is there can be told now; -errno. */
int trace_start(struct server *s, struct principal *p, struct mp_bytes name,
		int *ret_fd);
