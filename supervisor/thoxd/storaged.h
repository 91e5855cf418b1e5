#pragma once

/*
 * thoxd's side of thox-storaged: the daemon that answers `storage`.
 *
 * It is started when somebody first asks where that name is provided, and is
 * a principal like others, of which thoxd knows who it is: it alone may bind
 * the name, is told whose storage a caller has, and may have descriptors of
 * streams made for those it serves. When it dies, the next call starts it
 * again; when thoxd does, it goes on under the next one, with all that services
 * hold of it (adopt.h).
 */

#include <ev.h>
#include <stdbool.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "thoxd/peer.h"
#include "thoxd/principal.h"
#include "thoxd/process.h"

struct server;

#define STORAGED_LINKS_MAX 65536U /* ends: of callers and contexts */

struct storaged {
	struct server *server;
	struct principal principal;
	struct process process;
	struct peer peer;
	bool running;		/* it was asked for, or is there */
	bool begun;		/* it is a principal */
	bool bound;		/* calls find it */
	bool renewing;		/* until it knows that this is another thoxd */
	double started, failed; /* loop times; failed: it ended unbound */
	struct list waiters;
};

void storaged_init(struct storaged *d, struct server *s);

/* Is @name the daemon's? */
bool storaged_provides(struct mp_bytes name);
/* Does it concern the caller's own storage? Then no policy is asked. */
bool storaged_own(struct mp_bytes name);

/* @w goes when the name is bound, or will not be. -ECHILD: it cannot be
 * started now. */
int storaged_wait(struct storaged *d, struct waiter *w);

/*
 * It was an earlier thoxd's, whose key it has: its link's end and its pidfd,
 * which are taken. When its names and links are there again, too, adopted()
 * says whether it goes on: it is to be told then.
 */
void storaged_adopt(struct storaged *d, uint64_t key, pid_t pid, int *fds);
bool storaged_adopted(struct storaged *d);

/* No calls come any more: it commits what it has, and ends. */
void storaged_end(struct storaged *d);
bool storaged_settled(const struct storaged *d);
