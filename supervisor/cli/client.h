#pragma once

/*
 * A client's link to thoxd: found, started when absent, checked, greeted.
 */

#include <stdbool.h>

#include "base/instance.h"
#include "rpc/link.h"

/*
 * Connect to the instance of @in and send the hello; the answer's hello is
 * left in the link. @start: start the instance when nobody is there, unless
 * THOX_NO_AUTOSTART is set. The server's uid is checked to be this user's or
 * root's before anything is sent.
 *
 * 0; -ENOENT or -ECONNREFUSED: not running; -EPERM: not to be trusted; else
 * another negative errno. Nothing is said of -ENOENT and -ECONNREFUSED when
 * @start is false; everything else has been said on standard error.
 */
int client_open(const struct instance *in, bool start, struct link *ret_link);

/*
 * Wait for the next message, at most @timeout_ms (-1: for ever). 1 and a
 * message; -ETIMEDOUT; -ECONNRESET; -EPROTO; … The hello is checked and
 * passed over. Says nothing.
 */
int client_receive(struct link *l, int timeout_ms,
		   struct link_message *ret_message);

/* For those who poll themselves: 1 when @m was the hello, 0 when it was not,
 * -EPROTONOSUPPORT for another version. */
int client_hello(const struct link_message *m);

/* How long a thoxd that lives may take to say hello. */
#define CLIENT_HELLO_MS 10000
