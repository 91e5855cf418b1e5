#pragma once

/*
 * Links are made: a socket pair, an end for each side, and both are told.
 *
 * The holder is told first (CONTROL_HOLD), then the owner (CONTROL_OPENED).
 * thoxd keeps neither end. Nothing is queued for somebody who does not read:
 * who wants a link waits until both control links have room, and until
 * descriptors can be had.
 */

#include "thoxd/holding.h"

struct making {
	struct context *context;
	struct principal *receiver;
	struct principal *as;	  /* who the owner is told it is */
	struct principal *wisher; /* on whose account the others get ends */
	struct holding *through;  /* or NULL */
	struct policy *grant;	  /* or NULL: that of @through */
	uint64_t over;	 /* the link that will name it; 0: a start message */
	const int *file; /* a descriptor that goes with it, or NULL */
	/* The owner asked for it, by this id, and may be answered by the
	 * message that it is told in: *answered, when the holder has been sent
	 * his end before. NULL: not */
	const uint64_t *answers;
	bool *answered;
	bool routed; /* it is the answer to a name */
	bool zero;   /* it is the receiver's context 0 */
};

/*
 * 0 and the link; or
 *	-EAGAIN	 *ret_wait's control link has no room; NULL: there are no
 *		 descriptors now: making_wait()
 *	-EPIPE	 the owner or the receiver is gone
 *	-ENOSPC	 the receiver has too many links; -EUSERS: the owner has;
 *		 -EDQUOT: too many came through the same holder
 */
int making_link(const struct making *m, struct holding **ret_link,
		struct principal **ret_wait);
/* A right becomes a link of @receiver's under its number. */
int making_link_of_right(struct holding *right, struct principal *receiver,
			 struct principal **ret_wait);
/* @w goes when @who has room or has ended; NULL: after a while. */
void making_wait(struct server *s, struct principal *who, struct waiter *w);

/* What such an error is for whoever asked. */
int making_status(int error);
const char *making_text(int error);

/* A pair of sockets for a link; -EAGAIN: not now. */
int making_pair(int ret_fds[2]);
/* @fd is going to be @p's: it signals whom it shall. */
void making_point(const struct principal *p, int fd);
/* [89, …]: what a holder is told; @file: -1, or what goes with the link. */
int making_tell_holder(const struct holding *h, bool zero, int fd, int file);

void making_init(struct server *s);
