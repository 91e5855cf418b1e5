#pragma once

/*
 * A link in the event loop.
 *
 * One message is taken at each turn, so that no peer starves the others; a
 * handler that returns PEER_MORE asks for the next one at once, since it
 * expects it to be there. Closing a peer is allowed in its own handlers; its
 * memory must stay until the loop's turn is over (server_release()).
 */

#include <ev.h>
#include <stdbool.h>

#include "rpc/link.h"
#include "rpc/mp.h"

#define PEER_MORE 1

struct peer;
/* 0, PEER_MORE, or a negative errno: the peer is closed and told gone. */
typedef int (*peer_message_fn)(struct peer *p, struct link_message *m);
/* @error: -ECONNRESET, -EPROTO, … The peer is closed already. */
typedef void (*peer_gone_fn)(struct peer *p, int error);
/* All that had to wait was sent. */
typedef void (*peer_flushed_fn)(struct peer *p);

struct peer {
	struct link link;
	ev_io io;
	struct ev_loop *loop;
	peer_message_fn on_message;
	peer_gone_fn on_gone;
	peer_flushed_fn on_flushed; /* NULL: nobody wants to know */
	void *user;		    /* that one's */
	bool patient; /* nothing is read while something waits to be sent */
	bool held;
	bool closed;
};

/* Takes @fd. */
void peer_open(struct peer *p, struct ev_loop *loop, int fd,
	       peer_message_fn on_message, peer_gone_fn on_gone);
/* Read nothing until peer_resume(); the end is not noticed either. */
void peer_hold(struct peer *p);
void peer_resume(struct peer *p);
void peer_close(struct peer *p); /* again: nothing happens */
/* Take what is there, as if the loop had said so. */
void peer_read(struct peer *p);
/* The same @most times, or until it is closed: the other end is dead, and what
 * it said last lies in the socket before its end. */
void peer_drain(struct peer *p, unsigned most);
/* One that was another thoxd's has heard of the thoxd of @number, which is
 * @ours unless that one did not live to read it; @renewing ends with ours. */
int peer_heard_again(struct peer *p, bool *renewing, uint64_t number,
		     uint64_t ours);
/* As link_send(); what did not fit is sent when there is room. A peer that
 * is closed takes nothing: -EPIPE. */
int peer_send(struct peer *p, const struct mp_writer *w, const int *fds,
	      unsigned n_fds);
