#pragma once

/*
 * Storage on the bus: the name `storage`, its callers' links, and the contexts
 * that it hands out. Everything of thox's links is in here, nothing of what is
 * stored.
 *
 * A caller has the storage that thoxd says it has, and another one through a
 * context of `storage.open`, which its grant must admit by the name
 * `storage.open.PROGRAM` as well.
 */

#include <ev.h>

#include "base/list.h"
#include "native/native.h"
#include "storaged/storage.h"

struct front {
	struct ev_loop *loop;
	struct native *native;
	struct storage *storage; /* set before the first turn of the loop */
	ev_io io;
	struct list handed;
	struct list spare; /* those that were given back */
	unsigned n_spare;
	int error; /* that ended the loop */
};

extern const struct storage_ops front_ops;

/* Serve over @native, which stays the caller's; ends the loop when thoxd is
 * gone. */
int front_init(struct front *f, struct ev_loop *loop, struct native *native);
/* Lets callers and contexts go: before the storage is closed, which still
 * answers over @native. */
void front_deinit(struct front *f);
