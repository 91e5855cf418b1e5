#pragma once

/*
 * A link: messages over a SOCK_SEQPACKET socket, with descriptors.
 *
 * A record is at most 65,536 bytes and never empty. Its first byte: 0 a whole
 * message, 1 the first or a middle fragment, 2 the last. A first fragment
 * goes on with the message's total length (4 bytes, big-endian), which is
 * checked against the receiver's limit before anything is allocated.
 * Descriptors travel with the first record of a message. Whole messages may
 * come between the fragments of a large one, fragments of another may not.
 *
 * Guarantees: what link_receive() returns is whole and within the limits; a
 * peer that breaks the framing gets -EPROTO once and is not read again by a
 * caller that then closes. Nothing queues without bound: link_send() refuses
 * with -ENOBUFS what goes over the queue's limit. All sends are
 * MSG_NOSIGNAL, all received descriptors are close-on-exec.
 *
 * Does not: decode messages (mp.h), wait (the caller polls link->fd), or own
 * threads. One link belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_RECORD_BYTES  65536U
#define LINK_MESSAGE_BYTES (16U << 20) /* the default limit */
#define LINK_QUEUE_BYTES   (1U << 20)  /* the default limit */
#define LINK_FDS_MAX	   8U

struct link_out; /* a record that waits to be sent */

/* Fragments put together. */
struct link_partial {
	uint8_t *data;
	uint32_t total;
	uint32_t used;
	int fds[LINK_FDS_MAX];
	unsigned n_fds;
};

struct link {
	int fd; /* owned */
	uint32_t limit_bytes;
	uint32_t queue_limit_bytes;
	bool bytes_only; /* no descriptors: those that come are dropped */
	bool resumed;	 /* fragments are dropped: see below */
	struct link_partial *partial; /* of a message that comes in fragments */
	/* sending: records that the socket had no room for */
	struct link_out *queue_first;
	struct link_out **queue_last;
	size_t queued_bytes;
};

/* What was received: valid until the next link_receive() on any link of this
 * thread. The descriptors are the caller's: take them (set to -1) or let
 * link_message_deinit() close them. */
struct link_message {
	const uint8_t *data;
	size_t size;
	int fds[LINK_FDS_MAX];
	unsigned n_fds;
	uint8_t *owned; /* of a message that came in fragments */
};

/* Takes @fd, which may block or not: every call here uses MSG_DONTWAIT
 * unless it says otherwise. */
void link_init(struct link *l, int fd);
void link_deinit(struct link *l);

/*
 * 1 and a message; 0: the socket has nothing more, and perhaps had fragments
 * before the last; negative: -ECONNRESET when the peer is gone,
 * -EPROTO for broken framing or too many descriptors, -EMSGSIZE over the
 * limit, -ENOMEM. @wait: block for a whole message.
 */
int link_receive(struct link *l, bool wait, struct link_message *ret_message);
void link_message_deinit(struct link_message *m);
int link_message_take_fd(struct link_message *m, unsigned i); /* -1: none */

/* Touch the memory that the first message will come into. */
void link_rehearse(void);

/*
 * One end goes on with a socket that another process had, which may have read
 * or sent a part of a message's fragments. The new end, until it sees that the
 * other knows (clears `resumed`), drops fragments: whole messages are whole.
 * The other end, once it knows, forgets what it had of a message.
 */
void link_forget_partial(struct link *l);

/*
 * Send @data as one message with copies of @fds (the caller keeps its own).
 * What the socket has no room for is queued, for link_flush() to send when
 * the socket is writable. 0, or -EPIPE/-ECONNRESET, -ENOBUFS when the queue
 * is full (nothing of the message was sent), -EMSGSIZE, -ENOMEM, -EMFILE,
 * -ETOOMANYREFS (too many descriptors in flight).
 */
int link_send(struct link *l, const void *data, size_t size, const int *fds,
	      unsigned n_fds);

/*
 * On a link of bytes only, without a copy and without the queue, for who can
 * wait: 0 when all of it was sent; -EAGAIN when the socket is full: go on with
 * the same arguments when it is writable. *done is 0 at first. In between,
 * link_send() of what fits in a record is allowed. @data has LINK_ROOM_BYTES
 * before it that are written to.
 */
#define LINK_ROOM_BYTES 5U
int link_send_some(struct link *l, uint8_t *data, size_t size, size_t *done);
/* What that has left goes to the queue, for link_flush(): 0, or -ENOBUFS when
 * it has no room for that (nothing was queued), -ENOMEM. */
int link_queue_rest(struct link *l, const uint8_t *data, size_t size,
		    size_t done);

int link_flush(struct link *l);		    /* 0, or as link_send() */
bool link_has_queued(const struct link *l); /* wait for POLLOUT too */

/* For who can wait: send all of it, however long it takes. Nothing is queued
 * or copied, no descriptor duplicated. */
int link_send_wait(struct link *l, const void *data, size_t size,
		   const int *fds, unsigned n_fds);
