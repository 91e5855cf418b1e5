#pragma once

/*
 * A thoxd for the tests of a native process: each function is one thing that
 * thoxd, or the other end of a link, says or is told. Everything in one
 * thread: play_turn() lets the process do what it has to.
 */

#include <stdbool.h>

#include "native/native.h"
#include "rpc/control.h"
#include "rpc/link.h"

struct play {
	struct native *native;
	struct link control; /* thoxd's end */
};

/* false: no socket pair to be had. */
bool play_open(struct play *p);
void play_close(struct play *p);
/* Let the process do all that it can do now. What native_dispatch() said. */
int play_turn(struct play *p);

/* The next control message that it has sent: its kind, with the numbers after
 * the kind in @ret (as many as there are, 4 at most); -1: there is none. */
int play_told(struct play *p, uint64_t ret[4]);

/* Make a link: thoxd's word goes to the process, @ret_peer is the other end.
 * @over 0: not said. */
bool play_hold(struct play *p, uint64_t number, bool zero, bool resolves,
	       uint64_t over, struct link *ret_peer);
/* Somebody holds @context of it, or (0) calls @name, which is bound.
 * @grants: the encoded array, or size 0. */
bool play_opened(struct play *p, uint64_t number, uint64_t context,
		 const char *name, struct mp_bytes grants,
		 struct link *ret_peer);
/* Its @context was shared as it asked by @id: the answer comes with its end. */
bool play_joined(struct play *p, uint64_t number, uint64_t context, uint64_t id,
		 struct link *ret_peer);
/* [90, id, OK, link], or a failure with a text */
bool play_shared(struct play *p, uint64_t id, int status, uint64_t link);
bool play_say(struct play *p, const struct mp_writer *w);

/* The next message but hellos on the other end of a link: 1, 0 for none, or an
 * error. Views are good until the next one. */
int play_read(struct link *peer, struct wire_message *ret);
int play_read_any(struct link *peer,
		  struct wire_message *ret); /* hellos, too */
bool play_send(struct link *peer, const struct mp_writer *w);
