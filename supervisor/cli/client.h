#pragma once

/*
 * A client's link to thoxd: found, started when absent, checked, greeted,
 * with what the user is told when that fails. native/connect.h has the parts,
 * and what reads the link.
 */

#include <stdbool.h>

#include "base/instance.h"
#include "native/connect.h"
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
