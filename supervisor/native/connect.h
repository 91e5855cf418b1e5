#pragma once

/*
 * The way to a running thoxd: its control socket, found, checked, greeted.
 *
 * Says nothing and starts nothing: cli/client.h does that for the commands,
 * native/native.h goes on from here for a process on the bus.
 */

#include "base/instance.h"
#include "rpc/link.h"

/* How long a thoxd that lives may take to say hello. */
#define CONNECT_HELLO_MS 10000

/*
 * A connected descriptor in @ret_fd, close-on-exec. -ENOENT, -ECONNREFUSED:
 * nobody is there; else what socket() or connect() said.
 */
int connect_instance(const struct instance *in, int *ret_fd);

/* -EPERM when the other end is neither this user's nor root's: then nothing
 * may be sent to it. */
int connect_check(int fd);

/* Send the hello; the other's is left in the link. */
int connect_greet(struct link *l);

/* 1 when @m is the hello, 0 when it is not, -EPROTONOSUPPORT for another
 * version. */
int connect_is_hello(const struct link_message *m);

/*
 * Wait for the next message, at most @timeout_ms (-1: for ever). 1 and a
 * message; -ETIMEDOUT; -ECONNRESET; -EPROTO; … The hello is checked and
 * passed over.
 */
int connect_receive(struct link *l, int timeout_ms,
		    struct link_message *ret_message);
