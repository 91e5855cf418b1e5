#pragma once

/*
 * Links whose other end is thoxd: context 0 and a child's `up`.
 *
 * Such a link acts as one principal and is held by one, mostly the same. It
 * says where a name is provided (WIRE_RESOLVE), takes the calls of thoxd's own
 * names (native.h), and carries the bus: pushes and listens.
 *
 * Nothing queues without bound: while what it was sent has no room in its
 * socket, nothing is read from it, and pushes to it are dropped and counted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/wire.h"
#include "thoxd/peer.h"
#include "thoxd/server.h"

struct holding;
struct principal;

#define ZERO_MESSAGE_BYTES (4U << 20)  /* that thoxd takes in one message */
#define ZERO_QUEUE_BYTES   (32U << 20) /* of answers that were kept */
#define ZERO_CALLS_MAX	   1024U       /* that are not answered yet */

struct zero {
	struct server *server;
	struct peer peer;
	struct holding *holding; /* NULL: it is closed */
	uint64_t number;	 /* of that */
	struct principal *as;
	struct principal *holder;
	struct list of_as;
	struct list calls; /* native_call: kept, or waits to be answered */
	unsigned n_calls;
	struct list listens;	/* of bus.c */
	struct list rights;	/* shared over it, not named yet: of_call */
	uint64_t lost;		/* pushes, since the last one that had room */
	uint64_t seen;		/* the last push that came by here */
	uint64_t message_bytes; /* that its holder takes in one message */
	bool greeted;
	bool adopted;  /* an earlier thoxd's: greeted more than once */
	bool renewing; /* until its holder knows: calls come again */
	bool last;     /* its holder has ended: only pushes still count */
	struct garbage garbage;
};

/* CONTROL_WANT_ZERO: answered over the control link, now or when it has room.
 * A negative errno closes it. */
int zero_want(struct principal *p);
void zero_principal_gone(struct principal *p);

/*
 * A link for @holder that acts as @as and is named over the link @over, such
 * as a child's `up` in the answer of process.run. Errors as making_link().
 */
int zero_make(struct principal *holder, struct principal *as, uint64_t over,
	      uint64_t *ret_number, struct principal **ret_wait);
/* One that @receiver gets through the link @held to thoxd. */
int zero_share(struct holding *held, struct principal *receiver, uint64_t over,
	       uint64_t *ret_number, struct principal **ret_wait);
/* A right to one becomes the link of who has it. */
int zero_make_of_right(struct holding *right);

/* The end of one of an earlier thoxd's, taken: its holder is greeted, and
 * calls again what was not answered. -ENOMEM. */
int zero_restore(struct holding *held, int *fd);

/* By its holding, which ends: calls are dropped, nothing is listened to, the
 * rights that were shared over it go. */
void zero_close(struct zero *z);

/* @p has ended: the pushes that lie unread in its links are passed on, as they
 * were sent while it lived. Before its holdings are closed. */
void zero_last_words(struct principal *p);

/* Over it: as peer_send(). */
int zero_send(struct zero *z, const struct mp_writer *w);
bool zero_busy(const struct zero *z);
