#pragma once

/*
 * A channel: this process's end of a link to another, or to thoxd.
 *
 * Whoever owns a context (or has bound a name) has a channel for each holder
 * of it; whoever holds one has a channel to its owner. thoxd makes them, with
 * their numbers, and both ends know the number.
 *
 * What comes is handed to channel_hooks. What is sent never blocks: a call is
 * refused while there is no room, and its task waits (channel_wait_room());
 * anything else is queued, which is bounded because a caller to whom something
 * is queued is not read.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "rpc/link.h"
#include "rpc/wire.h"
#include "runner/watch.h"

struct context;
struct grants;
struct listens;
struct provided;
struct relays;
struct route;

enum channel_kind {
	CHANNEL_OF_CONTEXT, /* to a holder of a context of ours */
	CHANNEL_OF_NAME,    /* to somebody who calls a name that we bound */
	CHANNEL_HELD,	    /* to the owner of a context, or of a name */
	CHANNEL_ZERO,	    /* context 0 */
};

/* Who is at the other end, by thoxd's word. Lives as long as anybody refers
 * to it; one for all channels to the same process. */
struct peer {
	unsigned refs;
	pid_t pid;	   /* 0: thoxd */
	char *program;	   /* NULL: not told */
	char *service;	   /* NULL: none */
	unsigned n_served; /* its calls that were not answered yet */
};

struct channel {
	struct watch watch;
	struct link link;
	unsigned refs;
	uint64_t number;
	enum channel_kind kind;
	bool closed;
	bool greeted;	    /* our hello has been sent */
	bool moved;	    /* nothing new is sent here */
	bool throttled;	    /* not read: too many calls of it wait */
	size_t limit_bytes; /* what the other end takes in one message */
	struct peer *peer;
	struct list list; /* in the context's, the name's or the route's */
	struct context *context;

	/* a large call on its way */
	uint8_t *outgoing;
	size_t outgoing_bytes, outgoing_done;
	struct list senders; /* tasks that wait for room */

	/* towards a holder or caller */
	struct provided *provided; /* the name that is called */
	struct grants *grants;	   /* NULL: every name */
	struct listens *listens;   /* NULL: none */
	struct relays *relays;	   /* NULL: none */
	struct list served;	   /* its calls that were not answered yet */
	struct list throttle;
	unsigned n_served;
	uint32_t n_lost; /* pushes that did not fit */

	/* towards an owner */
	struct list calls; /* ours that were not answered yet */
	unsigned n_calls;
	struct route *route; /* that it is a target of, or NULL */
	bool resolves;	     /* thoxd's: names must be resolved */
	uint64_t over;	     /* the link whose message will name it; 0: any */
	uint64_t claimed;    /* by which message; 0: nobody's yet */
	bool returns;	     /* the owner takes it back */
	bool returned;	     /* and has it: a later message may name it */
	int file; /* what came with it (lua_file.h); -1: nothing, or taken … */
	int *taken; /* … by this one, which is closed with it */
};

struct channel_hooks {
	/* The views of @m point into @raw. May close any channel. */
	void (*message)(struct channel *c, struct link_message *raw,
			struct wire_message *m);
	/* Its end was seen, and it is about to be closed. May close any. */
	void (*ending)(struct channel *c);
	/* It was closed, at whichever end. */
	void (*closed)(struct channel *c, bool by_us);
};
extern const struct channel_hooks channel_hooks;

/* --- life ------------------------------------------------------------------
 * @fd is taken, whatever comes of it. NULL: no memory, and thoxd was told that
 * the link is closed.
 */
struct channel *channel_open(enum channel_kind kind, uint64_t number, int fd,
			     struct peer *peer);
/* NULL: closed, or never was. A process that holds a context of its own has
 * both ends of a link: @ours is the one towards a holder. */
struct channel *channel_find(uint64_t number, bool ours);
static inline bool channel_is_ours(const struct channel *c)
{
	return c->kind == CHANNEL_OF_CONTEXT || c->kind == CHANNEL_OF_NAME;
}
/* thoxd is told unless it knows. */
void channel_close(struct channel *c, bool tell);
/* The other end has gone. */
void channel_lost(struct channel *c, bool tell);
/*
 * Give a held one back, where the owner takes it and nothing is under way; it
 * has no context then. False: it is to be closed.
 */
bool channel_return(struct channel *c);
/* Another message names it. */
void channel_claim(struct channel *c, uint64_t message);
/* May that message? */
bool channel_claimable(const struct channel *c, uint64_t message);
/* thoxd's, which is another one now: greet it, and forget half messages. */
void channel_renew(struct channel *c, uint64_t again);
struct channel *channel_ref(struct channel *c);
struct channel *channel_unref(struct channel *c); /* NULL */

struct peer *peer_get(pid_t pid, struct mp_bytes program,
		      struct mp_bytes service); /* NULL: no memory */
struct peer *peer_ref(struct peer *p);
struct peer *peer_unref(struct peer *p); /* NULL */

/* --- sending ---------------------------------------------------------------
 * A call: 0, and a large one is sent on while the task goes its way; -EAGAIN:
 * no room, wait; -EMSGSIZE: the other end takes no such; -ENOMEM; -EPIPE.
 * @data has LINK_ROOM_BYTES before it that may be written.
 */
int channel_send(struct channel *c, uint8_t *data, size_t size);
/* Anything else: 0, -ENOBUFS when too much is queued (never for what is as
 * short as a failure), or as above. */
int channel_post(struct channel *c, const void *data, size_t size);
/* The same with room before it, which spares a copy. */
int channel_post_in_place(struct channel *c, uint8_t *data, size_t size);
/* Is there room, as far as one can tell? For what may be lost. */
bool channel_has_room(const struct channel *c);
/* To an owner; in the current task; look @number up again then. */
void channel_wait_room(lua_State *L, uint64_t number, const char *what,
		       uint64_t deadline_ns);

/* --- reading --------------------------------------------------------------- */

/* Do not read it until channel_resume(): too many of its calls wait. */
void channel_throttle(struct channel *c);
void channel_resume(struct channel *c);
/* Where the next message is likely to come from; @answer: it was asked. */
void channel_expect(struct channel *c, bool answer);
/* The one that had a message last, or NULL. */
struct channel *channel_latest(void);
