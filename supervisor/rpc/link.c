/*
 * Step 0, on both sides of every link: records, fragments, descriptors.
 *
 * One record buffer per thread serves all links: a message that fits in one
 * record is handed out in place and copied by nobody. Only a message in
 * fragments gets memory of its own, once its stated length passed the limit.
 */

#include "rpc/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

enum record {
	RECORD_WHOLE,
	RECORD_MORE,
	RECORD_LAST,
};

#define FIRST_HEAD_BYTES 5U /* kind, total length */
#define PAYLOAD_BYTES	 (LINK_RECORD_BYTES - FIRST_HEAD_BYTES)

struct link_out {
	struct link_out *next;
	size_t size;
	unsigned n_fds;
	int fds[LINK_FDS_MAX];
	uint8_t data[];
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
};

struct buffers {
	uint8_t record[LINK_RECORD_BYTES + 1]; /* that was received */
	uint8_t copy[LINK_RECORD_BYTES];       /* that is sent */
};

/*
 * The first thread that wants them, mostly the only one, has those that cost
 * no memory before they are used: a thread's own variables are cleared, and so
 * made, when a program that is not static starts.
 */
static struct buffers *buffers(void)
{
	static struct buffers first;
	static atomic_flag taken = ATOMIC_FLAG_INIT;
	static _Thread_local struct buffers *own;

	if (!own)
		own = atomic_flag_test_and_set(&taken) ? malloc(sizeof(*own))
						       : &first;
	return own;
}

void link_rehearse(void)
{
	buffers()->record[0] = 0;
}

static void close_all(int *fds, unsigned *n_fds)
{
	for (unsigned i = 0; i < *n_fds; i++)
		fd_close(fds[i]);
	*n_fds = 0;
}

void link_init(struct link *l, int fd)
{
	*l = (struct link){
		.fd = fd,
		.limit_bytes = LINK_MESSAGE_BYTES,
		.queue_limit_bytes = LINK_QUEUE_BYTES,
	};
	l->queue_last = &l->queue_first;
}

void link_forget_partial(struct link *l)
{
	if (!l->partial)
		return;
	close_all(l->partial->fds, &l->partial->n_fds);
	free(l->partial->data);
	free(l->partial);
	l->partial = NULL;
}

static void queue_pop(struct link *l)
{
	struct link_out *out = l->queue_first;

	l->queue_first = out->next;
	if (!l->queue_first)
		l->queue_last = &l->queue_first;
	l->queued_bytes -= out->size;
	close_all(out->fds, &out->n_fds);
	free(out);
}

void link_deinit(struct link *l)
{
	link_forget_partial(l);
	while (l->queue_first)
		queue_pop(l);
	l->fd = fd_close(l->fd);
}

/* --- receiving -------------------------------------------------------------
 */

/* Take over what came in @msg: too many descriptors lose their surplus in the
 * kernel (MSG_CTRUNC), and the rest is closed here with the message. */
static void take_fds(struct msghdr *msg, int *fds, unsigned *ret_n)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < LINK_FDS_MAX)
				fds[n++] = fd;
			else
				fd_close(fd);
		}
	}
	*ret_n = n;
}

/* One record into the thread's buffer: its size, 0 for none there. */
static ssize_t receive_record(struct link *l, bool wait, int *fds,
			      unsigned *ret_n_fds)
{
	struct buffers *b = buffers();
	union control control;
	struct iovec iov = { b ? b->record : NULL, sizeof(b->record) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int flags = MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT);
	ssize_t n;

	if (!b)
		return -ENOMEM;
	n = recvmsg(l->fd, &msg, flags);
	/* A peer that closed with records of ours unread: the error comes once
	 * and before what it had sent, which the next call gets. */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(l->fd, &msg, flags);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		return -errno;
	}
	take_fds(&msg, fds, ret_n_fds);
	if (n == 0) {
		close_all(fds, ret_n_fds);
		return -ECONNRESET;
	}
	if (n > (ssize_t)LINK_RECORD_BYTES ||
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		close_all(fds, ret_n_fds);
		return -EPROTO;
	}
	return n;
}

/* read() is what recv() without flags is, and where a filter of system calls
 * looks at arguments, not at those of read(): it costs less. */
static ssize_t receive_some(int fd, bool wait, void *buf, size_t size)
{
	return wait ? read(fd, buf, size) : recv(fd, buf, size, MSG_DONTWAIT);
}

/* The same of a link without descriptors: the kernel drops what there is. */
static ssize_t receive_bytes(struct link *l, bool wait)
{
	struct buffers *b = buffers();
	ssize_t n;

	if (!b)
		return -ENOMEM;
	n = receive_some(l->fd, wait, b->record, sizeof(b->record));
	if (n < 0 && errno == ECONNRESET)
		n = receive_some(l->fd, wait, b->record, sizeof(b->record));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	return n > (ssize_t)LINK_RECORD_BYTES ? -EPROTO : n;
}

static void move_fds(int *to, unsigned *n_to, int *from, unsigned *n_from)
{
	memcpy(to, from, *n_from * sizeof(*from));
	*n_to = *n_from;
	*n_from = 0;
}

static int first_fragment(struct link *l, const uint8_t *p, size_t size)
{
	uint32_t total;

	if (size <= FIRST_HEAD_BYTES)
		return -EPROTO;
	total = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 8 | p[4];
	if (total > l->limit_bytes)
		return -EMSGSIZE;
	if (total <= size - FIRST_HEAD_BYTES)
		return -EPROTO; /* then it is whole, not a fragment */
	l->partial = malloc(sizeof(*l->partial));
	if (l->partial)
		l->partial->data = malloc(total);
	if (!l->partial || !l->partial->data) {
		free(steal(&l->partial));
		return -ENOMEM;
	}
	l->partial->total = total;
	l->partial->used = (uint32_t)(size - FIRST_HEAD_BYTES);
	l->partial->n_fds = 0;
	memcpy(l->partial->data, p + FIRST_HEAD_BYTES, l->partial->used);
	return 0;
}

static int next_fragment(struct link_partial *partial, const uint8_t *p,
			 size_t size)
{
	bool last = p[0] == RECORD_LAST;
	size_t n = size - 1;

	if (n == 0 || n > partial->total - partial->used)
		return -EPROTO;
	memcpy(partial->data + partial->used, p + 1, n);
	partial->used += (uint32_t)n;
	if (last != (partial->used == partial->total))
		return -EPROTO;
	return last;
}

/* 1: a message is whole; 0: more to come. */
static int accept_record(struct link *l, size_t size, int *fds, unsigned *n_fds,
			 struct link_message *m)
{
	const uint8_t *record = buffers()->record;
	int r;

	if (record[0] == RECORD_WHOLE) {
		if (size < 2)
			return -EPROTO;
		m->data = record + 1;
		m->size = size - 1;
		move_fds(m->fds, &m->n_fds, fds, n_fds);
		return 1;
	}
	if (record[0] > RECORD_LAST)
		return -EPROTO;
	if (l->resumed) {
		close_all(fds, n_fds);
		return 0;
	}
	if (!l->partial) {
		if (record[0] == RECORD_LAST)
			return -EPROTO;
		r = first_fragment(l, record, size);
		if (r == 0)
			move_fds(l->partial->fds, &l->partial->n_fds, fds,
				 n_fds);
		return r;
	}
	if (*n_fds > 0)
		return -EPROTO;
	r = next_fragment(l->partial, record, size);
	if (r <= 0)
		return r;
	m->data = m->owned = steal(&l->partial->data);
	m->size = l->partial->total;
	move_fds(m->fds, &m->n_fds, l->partial->fds, &l->partial->n_fds);
	link_forget_partial(l);
	return 1;
}

int link_receive(struct link *l, bool wait, struct link_message *ret_message)
{
	int fds[LINK_FDS_MAX];
	unsigned n_fds = 0;
	ssize_t n;
	int r;

	*ret_message = (struct link_message){ 0 };
	do {
		n = l->bytes_only ? receive_bytes(l, wait)
				  : receive_record(l, wait, fds, &n_fds);
		if (n <= 0)
			return (int)n;
		r = accept_record(l, (size_t)n, fds, &n_fds, ret_message);
		if (r < 0) {
			close_all(fds, &n_fds);
			link_forget_partial(l);
		}
	} while (r == 0); /* a fragment */
	return r;
}

void link_message_deinit(struct link_message *m)
{
	close_all(m->fds, &m->n_fds);
	free(m->owned);
	m->owned = NULL;
}

int link_message_take_fd(struct link_message *m, unsigned i)
{
	return i < m->n_fds ? steal_fd(&m->fds[i]) : -1;
}

/* --- sending ---------------------------------------------------------------
 */

/* A record in one piece, without descriptors, and so without an address that
 * the kernel would look at: a runner may call this alone. */
static int send_bytes(int fd, const uint8_t *data, size_t size)
{
	ssize_t n;

	do
		n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send_copy(int fd, const uint8_t *head, size_t head_size,
		     const void *data, size_t size)
{
	struct buffers *b = buffers();

	if (!b)
		return -ENOMEM;
	memcpy(b->copy, head, head_size);
	if (size > 0)
		memcpy(b->copy + head_size, data, size);
	return send_bytes(fd, b->copy, head_size + size);
}

static int send_record(int fd, const uint8_t *head, size_t head_size,
		       const void *data, size_t size, const int *fds,
		       unsigned n_fds)
{
	union control control;
	struct iovec iov[2] = {
		{ (void *)head, head_size },
		{ (void *)data, size },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (n_fds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		memset(control.bytes, 0, msg.msg_controllen);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int enqueue(struct link *l, const uint8_t *head, size_t head_size,
		   const void *data, size_t size, const int *fds,
		   unsigned n_fds)
{
	struct link_out *out = malloc(sizeof(*out) + head_size + size);

	if (!out)
		return -ENOMEM;
	*out = (struct link_out){ .size = head_size + size };
	memcpy(out->data, head, head_size);
	memcpy(out->data + head_size, data, size);
	for (unsigned i = 0; i < n_fds; i++) {
		out->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (out->fds[i] < 0) {
			int r = -errno;

			close_all(out->fds, &out->n_fds);
			free(out);
			return r;
		}
		out->n_fds++;
	}
	*l->queue_last = out;
	l->queue_last = &out->next;
	l->queued_bytes += out->size;
	return 0;
}

static int try_record(struct link *l, const uint8_t *head, size_t head_size,
		      const void *data, size_t size, const int *fds,
		      unsigned n_fds)
{
	if (l->queue_first)
		return -EAGAIN;
	if (l->bytes_only)
		return send_copy(l->fd, head, head_size, data, size);
	return send_record(l->fd, head, head_size, data, size, fds, n_fds);
}

/* Until there is room, or what was queued is less. */
static int wait_for_room(struct link *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	if (ppoll(&p, 1, NULL, NULL) < 0 && errno != EINTR)
		return -errno;
	return link_flush(l);
}

/*
 * Send now when nothing waits before it, else queue, or @wait: a zygote does,
 * whose filter has no way to duplicate a descriptor.
 */
static int put_record(struct link *l, bool wait, const uint8_t *head,
		      size_t head_size, const void *data, size_t size,
		      const int *fds, unsigned n_fds)
{
	int r = try_record(l, head, head_size, data, size, fds, n_fds);

	while (r == -EAGAIN && wait) {
		r = wait_for_room(l);
		if (r == 0)
			r = try_record(l, head, head_size, data, size, fds,
				       n_fds);
	}
	if (r == -EAGAIN)
		r = enqueue(l, head, head_size, data, size, fds, n_fds);
	return r;
}

/* The head of the fragment that comes after @done bytes, and its size. */
struct fragment {
	uint8_t head[FIRST_HEAD_BYTES];
	size_t head_size;
	size_t size;
};

static struct fragment next_to_send(size_t done, size_t total)
{
	struct fragment f = {
		.head = { RECORD_MORE, (uint8_t)(total >> 24),
			  (uint8_t)(total >> 16), (uint8_t)(total >> 8),
			  (uint8_t)total },
		.head_size = done == 0 ? FIRST_HEAD_BYTES : 1,
		.size = total - done,
	};

	if (f.size > PAYLOAD_BYTES)
		f.size = PAYLOAD_BYTES;
	else
		f.head[0] = RECORD_LAST;
	return f;
}

static int put_fragments(struct link *l, bool wait, const uint8_t *data,
			 size_t size, const int *fds, unsigned n_fds)
{
	int r = 0;

	for (size_t done = 0; done < size && r == 0;) {
		struct fragment f = next_to_send(done, size);

		r = put_record(l, wait, f.head, f.head_size, data + done,
			       f.size, fds, n_fds);
		done += f.size;
		n_fds = 0;
	}
	return r;
}

static int put_message(struct link *l, bool wait, const void *data, size_t size,
		       const int *fds, unsigned n_fds)
{
	static const uint8_t whole = RECORD_WHOLE;

	if (size == 0 || size > UINT32_MAX || n_fds > LINK_FDS_MAX)
		return -EMSGSIZE;
	if (size < LINK_RECORD_BYTES)
		return put_record(l, wait, &whole, 1, data, size, fds, n_fds);
	return put_fragments(l, wait, data, size, fds, n_fds);
}

int link_send(struct link *l, const void *data, size_t size, const int *fds,
	      unsigned n_fds)
{
	if (l->queue_first && l->queued_bytes + size > l->queue_limit_bytes)
		return -ENOBUFS;
	return put_message(l, false, data, size, fds, n_fds);
}

int link_send_some(struct link *l, uint8_t *data, size_t size, size_t *done)
{
	int r = 0;

	if (size == 0 || size > UINT32_MAX)
		return -EMSGSIZE;
	if (l->queue_first)
		return -EAGAIN;
	if (size < LINK_RECORD_BYTES) {
		data[-1] = RECORD_WHOLE;
		r = send_bytes(l->fd, data - 1, size + 1);
		if (r == 0)
			*done = size;
		return r;
	}
	while (*done < size && r == 0) {
		struct fragment f = next_to_send(*done, size);
		uint8_t *head = data + *done - f.head_size;
		uint8_t before = head[0]; /* sent already, and not ours */

		memcpy(head, f.head, f.head_size);
		r = send_bytes(l->fd, head, f.head_size + f.size);
		head[0] = before;
		if (r == 0)
			*done += f.size;
	}
	return r;
}

int link_queue_rest(struct link *l, const uint8_t *data, size_t size,
		    size_t done)
{
	static const uint8_t whole = RECORD_WHOLE;
	int r = 0;

	if (l->queued_bytes + size - done > l->queue_limit_bytes)
		return -ENOBUFS;
	if (size < LINK_RECORD_BYTES)
		return done ? 0 : enqueue(l, &whole, 1, data, size, NULL, 0);
	while (done < size && r == 0) {
		struct fragment f = next_to_send(done, size);

		r = enqueue(l, f.head, f.head_size, data + done, f.size, NULL,
			    0);
		done += f.size;
	}
	return r;
}

bool link_has_queued(const struct link *l)
{
	return l->queue_first != NULL;
}

int link_flush(struct link *l)
{
	while (l->queue_first) {
		struct link_out *out = l->queue_first;
		int r = l->bytes_only
				? send_bytes(l->fd, out->data, out->size)
				: send_record(l->fd, out->data, out->size, NULL,
					      0, out->fds, out->n_fds);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		queue_pop(l);
	}
	return 0;
}

int link_send_wait(struct link *l, const void *data, size_t size,
		   const int *fds, unsigned n_fds)
{
	return put_message(l, true, data, size, fds, n_fds);
}
