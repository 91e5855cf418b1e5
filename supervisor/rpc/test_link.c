/*
 * What link.h says, over a real socket pair: whole messages, fragments,
 * descriptors, queues, and every record that is none.
 */

#include "rpc/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"

struct ends {
	struct link a, b;
};

static bool open_ends(struct ends *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	link_init(&e->a, pair[0]);
	link_init(&e->b, pair[1]);
	return true;
}

static void close_ends(struct ends *e)
{
	link_deinit(&e->a);
	link_deinit(&e->b);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static uint8_t *pattern(size_t size)
{
	uint8_t *p = malloc(size ? size : 1);

	for (size_t i = 0; p && i < size; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 16);
	return p;
}

/* One message of @size bytes through, flushing as the reader takes. */
static bool passes(struct ends *e, size_t size)
{
	uint8_t *data = pattern(size);
	struct link_message m = { 0 };
	bool ok = link_send(&e->a, data, size, NULL, 0) == 0;
	int r = 0;

	while (ok && r == 0) {
		r = link_receive(&e->b, false, &m);
		if (r == 0)
			ok = link_flush(&e->a) == 0;
	}
	ok = ok && r == 1 && m.size == size &&
	     memcmp(m.data, data, size) == 0 && !link_has_queued(&e->a);
	link_message_deinit(&m);
	free(data);
	return ok;
}

/* Verify that messages around every border arrive as they were. */
static void test_messages_of_any_size(void)
{
	static const size_t sizes[] = {
		1,
		2,
		LINK_RECORD_BYTES - 2,
		LINK_RECORD_BYTES - 1,
		LINK_RECORD_BYTES,
		LINK_RECORD_BYTES + 1,
		2 * (LINK_RECORD_BYTES - 5),
		2 * (LINK_RECORD_BYTES - 5) + 1,
		1000000,
	};
	struct ends e;

	CHECK(open_ends(&e));
	e.a.queue_limit_bytes = 4U << 20;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		CHECK(passes(&e, sizes[i]));
	close_ends(&e);
}

/* Verify that the order stays when some messages had to wait. */
static void test_a_queue_keeps_the_order(void)
{
	struct link_message m;
	struct ends e;
	uint32_t sent = 0, got = 0;
	int r;

	CHECK(open_ends(&e));
	while (!link_has_queued(&e.a) || sent % 64)
		CHECK_EQ(link_send(&e.a, &sent, sizeof(sent), NULL, 0) == 0 &&
				 sent++ < 1000000,
			 1);
	while (got < sent) {
		uint32_t value;

		r = link_receive(&e.b, false, &m);
		if (r == 0) {
			CHECK_EQ(link_flush(&e.a), 0);
			continue;
		}
		CHECK_EQ(r, 1);
		memcpy(&value, m.data, sizeof(value));
		CHECK_EQ(value, got++);
	}
	close_ends(&e);
}

/* Verify that a full queue refuses a message whole. */
static void test_a_full_queue_refuses(void)
{
	uint8_t data[1000] = { 0 };
	struct ends e;
	size_t before;
	int r = 0;

	CHECK(open_ends(&e));
	e.a.queue_limit_bytes = 10000;
	for (int i = 0; i < 100000 && r == 0; i++)
		r = link_send(&e.a, data, sizeof(data), NULL, 0);
	CHECK_EQ(r, -ENOBUFS);
	before = e.a.queued_bytes;
	CHECK_EQ(link_send(&e.a, data, sizeof(data), NULL, 0), -ENOBUFS);
	CHECK_EQ(e.a.queued_bytes, before);
	close_ends(&e);
}

/* Verify that descriptors arrive, close-on-exec, and the rest is closed. */
static void test_descriptors_arrive(void)
{
	int before, fds[LINK_FDS_MAX], taken;
	struct link_message m;
	struct ends e;

	CHECK(open_ends(&e));
	before = count_fds();
	for (unsigned i = 0; i < LINK_FDS_MAX; i++)
		fds[i] = STDIN_FILENO;
	CHECK_EQ(link_send(&e.a, "x", 1, fds, LINK_FDS_MAX), 0);
	CHECK_EQ(link_receive(&e.b, false, &m), 1);
	CHECK_EQ(m.n_fds, LINK_FDS_MAX);
	taken = link_message_take_fd(&m, 3);
	CHECK_EQ(fcntl(taken, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(link_message_take_fd(&m, 3), -1);
	CHECK_EQ(link_message_take_fd(&m, 99), -1);
	link_message_deinit(&m);
	fd_close(taken);
	CHECK_EQ(count_fds(), before);
	close_ends(&e);
}

/* Verify that descriptors of a message in fragments come with it. */
static void test_descriptors_of_a_large_message(void)
{
	size_t size = 3 * LINK_RECORD_BYTES;
	uint8_t *data = pattern(size);
	int before, fd = STDIN_FILENO, r;
	struct link_message m;
	struct ends e;

	CHECK(open_ends(&e));
	before = count_fds();
	CHECK_EQ(link_send(&e.a, data, size, &fd, 1), 0);
	while ((r = link_receive(&e.b, false, &m)) == 0)
		CHECK_EQ(link_flush(&e.a), 0);
	CHECK_EQ(r, 1);
	CHECK_EQ(m.n_fds, 1);
	link_message_deinit(&m);
	CHECK_EQ(count_fds(), before);
	free(data);
	close_ends(&e);
}

static ssize_t send_raw(int fd, const void *data, size_t size, int n_fds)
{
	static char control[CMSG_SPACE(sizeof(int) * 64)];
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c;
		int zero = 0;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
		memset(control, 0, sizeof(control));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
		for (int i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &zero,
			       sizeof(zero));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* Verify that more descriptors than a message may have are an error, and
 * none of them stays. */
static void test_too_many_descriptors(void)
{
	struct link_message m;
	struct ends e;
	int before;

	for (int n = LINK_FDS_MAX + 1; n <= 60; n += 17) {
		CHECK(open_ends(&e));
		before = count_fds();
		CHECK_EQ(send_raw(e.a.fd, "\0x", 2, n), 2);
		CHECK_EQ(link_receive(&e.b, false, &m), -EPROTO);
		CHECK_EQ(count_fds(), before);
		close_ends(&e);
	}
}

static int receive_records(const char *const *records, const size_t *sizes,
			   size_t n)
{
	struct link_message m = { 0 };
	struct ends e;
	int r = 0;

	if (!open_ends(&e))
		return 99;
	for (size_t i = 0; i < n; i++)
		if (send_raw(e.a.fd, records[i], sizes[i], 0) !=
		    (ssize_t)sizes[i])
			return 98;
	for (size_t i = 0; i < n && r == 0; i++)
		r = link_receive(&e.b, false, &m);
	link_message_deinit(&m);
	close_ends(&e);
	return r;
}

/* Verify that each way of breaking the framing is an error. */
static void test_broken_records(void)
{
	static const struct {
		const char *records[3];
		size_t sizes[3];
		size_t n;
		int result;
	} rows[] = {
		{ { "\0" }, { 1 }, 1, -EPROTO }, /* nothing in it */
		{ { "\3x" }, { 2 }, 1, -EPROTO },
		{ { "\377x" }, { 2 }, 1, -EPROTO },
		{ { "\2x" }, { 2 }, 1, -EPROTO }, /* the last of none */
		{ { "\1" }, { 1 }, 1, -EPROTO },
		{ { "\1\0\0\0\5" }, { 5 }, 1, -EPROTO },  /* no payload */
		{ { "\1\0\0\0\1x" }, { 6 }, 1, -EPROTO }, /* not a fragment */
		{ { "\1\0\0\0\0x" }, { 6 }, 1, -EPROTO },
		{ { "\1\377\377\377\377x" }, { 6 }, 1, -EMSGSIZE },
		/* more than was said */
		{ { "\1\0\0\0\2x", "\2yz" }, { 6, 3 }, 2, -EPROTO },
		/* the last comes too early, or too late */
		{ { "\1\0\0\0\4x", "\2y" }, { 6, 2 }, 2, -EPROTO },
		{ { "\1\0\0\0\2x", "\1y" }, { 6, 2 }, 2, -EPROTO },
		/* a fragment of another in between */
		{ { "\1\0\0\0\4x", "\1\0\0\0\4x" }, { 6, 6 }, 2, -EPROTO },
		{ { "\1\0\0\0\4x", "\1" }, { 6, 1 }, 2, -EPROTO },
		/* and what is right */
		{ { "\1\0\0\0\3x", "\1y", "\2z" }, { 6, 2, 2 }, 3, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_EQ(receive_records(rows[i].records, rows[i].sizes,
					 rows[i].n),
			 rows[i].result);
}

/* A large message with room before it. */
struct large {
	uint8_t *memory, *data, *copy;
	size_t size;
};

static struct large make_large(size_t size)
{
	struct large l = { .size = size };

	l.memory = malloc(LINK_ROOM_BYTES + size);
	l.data = l.memory + LINK_ROOM_BYTES;
	l.copy = pattern(size);
	memcpy(l.data, l.copy, size);
	return l;
}

static void free_large(struct large *l)
{
	free(l->memory);
	free(l->copy);
}

/* The next message but for those of 4 bytes is the large one, and it is as it
 * was at the sender, too. */
static bool large_arrives(struct ends *e, const struct large *l)
{
	struct link_message m = { 0 };
	bool ok;
	int r = 0;

	do {
		link_message_deinit(&m);
		if (r == 0 && link_flush(&e->a) < 0)
			return false;
		r = link_receive(&e->b, false, &m);
	} while (r == 0 || (r == 1 && m.size == 4));
	ok = r == 1 && m.size == l->size &&
	     memcmp(m.data, l->copy, l->size) == 0 &&
	     memcmp(l->data, l->copy, l->size) == 0;
	link_message_deinit(&m);
	return ok;
}

/* Verify that a message in fragments can be sent bit by bit, and that whole
 * ones may pass it. */
static void test_sending_bit_by_bit(void)
{
	struct large l = make_large(2000000);
	struct link_message m;
	unsigned passed = 0;
	struct ends e;
	size_t done = 0;
	int r;

	CHECK(open_ends(&e));
	e.a.bytes_only = true;
	while ((r = link_send_some(&e.a, l.data, l.size, &done)) == -EAGAIN) {
		CHECK_EQ(link_send(&e.a, "pass", 4, NULL, 0), 0);
		CHECK_EQ(link_send_some(&e.a, l.data, l.size, &done), -EAGAIN);
		while ((r = link_receive(&e.b, false, &m)) == 1) {
			CHECK_EQ(m.size, 4);
			passed++;
			link_message_deinit(&m);
		}
		CHECK_EQ(r, 0);
		CHECK_EQ(link_flush(&e.a), 0);
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(done, l.size);
	CHECK(passed > 0);
	CHECK(large_arrives(&e, &l));
	free_large(&l);
	close_ends(&e);
}

/* Verify that what is left of a message goes on from the queue. */
static void test_the_rest_can_be_queued(void)
{
	struct large l = make_large(2000000);
	struct ends e;
	size_t done = 0;

	CHECK(open_ends(&e));
	e.a.bytes_only = true;
	CHECK_EQ(link_send_some(&e.a, l.data, l.size, &done), -EAGAIN);
	CHECK(done > 0 && done < l.size);
	CHECK_EQ(link_queue_rest(&e.a, l.data, l.size, done), -ENOBUFS);
	CHECK(!link_has_queued(&e.a));
	e.a.queue_limit_bytes = 4U << 20;
	CHECK_EQ(link_queue_rest(&e.a, l.data, l.size, done), 0);
	CHECK(large_arrives(&e, &l));
	free_large(&l);
	close_ends(&e);
}

/* Verify that a link of bytes takes no descriptor, and the bytes. */
static void test_descriptors_are_dropped(void)
{
	int before, fds[3] = { 0, 0, 0 };
	struct link_message m;
	struct ends e;

	CHECK(open_ends(&e));
	e.b.bytes_only = true;
	before = count_fds();
	CHECK_EQ(link_send(&e.a, "x", 1, fds, 3), 0);
	CHECK_EQ(link_receive(&e.b, false, &m), 1);
	CHECK_EQ(m.size, 1);
	CHECK_EQ(m.n_fds, 0);
	CHECK_EQ(count_fds(), before);
	close_ends(&e);
}

/* Verify that a record over the limit is told from one that fits. */
static void test_a_record_that_is_too_long(void)
{
	uint8_t *data = pattern(LINK_RECORD_BYTES + 1);
	struct link_message m;
	struct ends e;

	data[0] = 0;
	CHECK(open_ends(&e));
	CHECK_EQ(send_raw(e.a.fd, data, LINK_RECORD_BYTES, 0),
		 LINK_RECORD_BYTES);
	CHECK_EQ(link_receive(&e.b, false, &m), 1);
	CHECK_EQ(send_raw(e.a.fd, data, LINK_RECORD_BYTES + 1, 0),
		 LINK_RECORD_BYTES + 1);
	CHECK_EQ(link_receive(&e.b, false, &m), -EPROTO);
	free(data);
	close_ends(&e);
}

/* Verify that a fragment's total is held against the receiver's own limit. */
static void test_the_receivers_limit(void)
{
	struct link_message m;
	struct ends e;

	CHECK(open_ends(&e));
	e.b.limit_bytes = 100;
	CHECK_EQ(send_raw(e.a.fd, "\1\0\0\0\145x", 6, 0), 6);
	CHECK_EQ(link_receive(&e.b, false, &m), -EMSGSIZE);
	close_ends(&e);
}

/* Verify that an empty record and a closed peer both are the end. */
static void test_the_end(void)
{
	struct link_message m;
	struct ends e;

	CHECK(open_ends(&e));
	CHECK_EQ(send_raw(e.a.fd, "", 0, 0), 0);
	CHECK_EQ(link_receive(&e.b, false, &m), -ECONNRESET);
	e.a.fd = fd_close(e.a.fd);
	CHECK_EQ(link_receive(&e.b, false, &m), -ECONNRESET);
	CHECK_EQ(link_send(&e.b, "x", 1, NULL, 0), -EPIPE);
	close_ends(&e);
}

/* Verify that nothing there is no error. */
static void test_nothing_there(void)
{
	struct link_message m;
	struct ends e;

	CHECK(open_ends(&e));
	CHECK_EQ(link_receive(&e.b, false, &m), 0);
	CHECK_EQ(link_send(&e.a, "", 0, NULL, 0), -EMSGSIZE);
	close_ends(&e);
}

#define WAITING_MESSAGES 2000

/* The other process: no descriptor can be made any more. */
static _Noreturn void send_waiting(struct link *l)
{
	int fd = STDERR_FILENO, r = 0;

	while (dup(fd) >= 0)
		;
	for (int i = 0; i < WAITING_MESSAGES && r == 0; i++)
		r = link_send_wait(l, &i, sizeof(i), &fd, 1);
	_exit(r == 0 ? 0 : 1);
}

static bool is_full(const struct link *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	return poll(&p, 1, 10) == 0;
}

/* Verify that who waits for room needs no copies of its descriptors. */
static void test_waiting_with_descriptors(void)
{
	struct ends e;
	struct link_message m;
	int status = -1, i = 0;
	pid_t pid;

	CHECK(open_ends(&e));
	pid = fork();
	if (pid == 0)
		send_waiting(&e.a);
	while (!is_full(&e.a) && waitpid(pid, &status, WNOHANG) == 0)
		;
	link_deinit(&e.a);
	while (link_receive(&e.b, true, &m) == 1) {
		CHECK(m.n_fds == 1 && m.size == sizeof(i));
		CHECK(memcmp(m.data, &i, sizeof(i)) == 0);
		link_message_deinit(&m);
		i++;
	}
	CHECK_EQ(i, WAITING_MESSAGES);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	link_deinit(&e.b);
}

int main(void)
{
	RUN(test_messages_of_any_size);
	RUN(test_a_queue_keeps_the_order);
	RUN(test_a_full_queue_refuses);
	RUN(test_descriptors_arrive);
	RUN(test_descriptors_of_a_large_message);
	RUN(test_waiting_with_descriptors);
	RUN(test_too_many_descriptors);
	RUN(test_broken_records);
	RUN(test_sending_bit_by_bit);
	RUN(test_the_rest_can_be_queued);
	RUN(test_descriptors_are_dropped);
	RUN(test_a_record_that_is_too_long);
	RUN(test_the_receivers_limit);
	RUN(test_the_end);
	RUN(test_nothing_there);
	return tap_done();
}
