/*
 * Step 7, in a runner: reading and writing what it was handed.
 */

#include "runner/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "rpc/control.h"
#include "runner/control.h"
#include "runner/runner.h"

void stream_init(struct stream *s, int fd, enum stream_mode mode, char *buffer,
		 size_t size)
{
	*s = (struct stream){
		.fd = fd,
		.mode = mode,
		.buffer = buffer,
		.size = size,
	};
}

/* --- writing ----------------------------------------------------------------
 */

/* One write of what is there: the count, 0 to try again, negative errno. */
static ssize_t write_some(struct stream *s, const char *data, size_t size)
{
	ssize_t n;

	s->busy = true;
	n = write(s->fd, data, size);
	if (n < 0 && errno == EINTR) {
		control_handle_pending();
		n = 0;
	} else if (n < 0 && errno == EAGAIN) {
		control_wait(s->fd, POLLOUT);
		n = 0;
	}
	s->busy = false;
	return n < 0 ? -errno : n;
}

int stream_flush(struct stream *s)
{
	if (s->busy)
		return -EBUSY; /* an event came while it was stuck */
	while (s->start < s->end) {
		ssize_t n =
			write_some(s, s->buffer + s->start, s->end - s->start);

		if (n < 0) {
			s->start = s->end = 0; /* once is enough to tell */
			return (int)n;
		}
		s->start += (size_t)n;
	}
	s->start = s->end = 0;
	return 0;
}

static int write_direct(struct stream *s, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write_some(s, data, size);

		if (n < 0)
			return (int)n;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int stream_write(struct stream *s, const char *data, size_t size)
{
	int r = 0;

	if (s->fd < 0)
		return -EBADF;
	if (s == &runner.error)
		stream_flush(&runner.output);
	if (s->mode == STREAM_UNBUFFERED)
		return write_direct(s, data, size);
	if (size > s->size - s->end)
		r = stream_flush(s);
	if (r < 0)
		return r;
	if (size > s->size)
		return write_direct(s, data, size);
	memcpy(s->buffer + s->end, data, size);
	s->end += size;
	if (s->mode == STREAM_LINE && memchr(data, '\n', size))
		return stream_flush(s);
	return 0;
}

/* --- reading ----------------------------------------------------------------
 */

static int ask(struct stream *s)
{
	static const char request = DEMAND_READ;

	if (s->asked)
		return 0;
	if (write(s->fd, &request, 1) < 0)
		return -errno;
	s->asked = true;
	return 0;
}

/* A demand socket's answer begins with its kind. */
static ssize_t take_answer(struct stream *s, ssize_t n)
{
	s->asked = false;
	if (n <= 1 || s->buffer[0] != DEMAND_DATA) {
		s->end = 0;
		return 0;
	}
	s->start = 1;
	return n - 1;
}

ssize_t stream_fill(struct stream *s)
{
	ssize_t n;
	int r;

	if (s->start < s->end)
		return (ssize_t)(s->end - s->start);
	if (runner.output.mode == STREAM_LINE)
		stream_flush(&runner.output); /* a prompt */
	s->start = s->end = 0;
	r = s->demand ? ask(s) : 0;
	if (r < 0)
		return r == -EPIPE ? 0 : r;
	do {
		control_wait(s->fd, POLLIN);
		n = read(s->fd, s->buffer, s->size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return -errno;
	s->end = (size_t)n;
	return s->demand ? take_answer(s, n) : n;
}

int stream_close(struct stream *s)
{
	int r = s->buffer && s != &runner.input ? stream_flush(s) : 0;

	if (close(s->fd) < 0 && r == 0)
		r = -errno;
	s->fd = -1;
	return r;
}
