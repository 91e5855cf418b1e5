#pragma once

/*
 * The commands of CONTROL_REQUEST (rpc/control.h has their forms).
 */

#include "rpc/mp.h"
#include "thoxd/client.h"

/* Answer it, now or later. */
void request_handle(struct client *c, uint64_t id, struct mp_bytes verb,
		    struct mp_bytes arguments);

/* The mount is made, unmade or has failed: answer who waited. */
void request_mount_settled(struct server *s);
/* @c is gone: it waits for nothing any more. */
void request_client_gone(struct client *c);
