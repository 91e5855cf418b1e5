/*
 * Step 7, in a runner: reading and writing what it was handed.
 *
 * The descriptors are their owner's, so they stay blocking. A process with
 * nobody else to run may block in a write, which a signal interrupts. With
 * others it writes no more at a time than what a descriptor takes that says
 * that it is writable.
 *
 * The turn is had while a task waits in here, not from call to call: between
 * two calls nobody else runs, unless Lua does.
 */

#include "runner/stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "rpc/control.h"
#include "runner/runner.h"
#include "runner/tell.h"
#include "runner/watch.h"

void stream_init(struct stream *s, int fd, enum stream_mode mode, char *buffer,
		 size_t size)
{
	*s = (struct stream){
		.fd = fd,
		.mode = mode,
		.buffer = buffer,
		.size = size,
	};
	list_init(&s->turn.others);
}

/* --- writing ----------------------------------------------------------------
 */

/* One write of what is there: the count, 0 to try again, negative errno. */
static ssize_t write_some(struct stream *s, const char *data, size_t size)
{
	ssize_t n;

	if (!task_alone() && !watch_fd_ready(s->fd, POLLOUT))
		return watch_wait_fd(s->fd, POLLOUT, "output") ? 0 : -EAGAIN;
	if (!task_alone() && size > PIPE_BUF)
		size = PIPE_BUF;
	n = write(s->fd, data, size);
	if (n >= 0)
		return n;
	if (errno == EAGAIN)
		return watch_wait_fd(s->fd, POLLOUT, "output") ? 0 : -EAGAIN;
	if (errno == EPIPE && !s->is_pipe)
		runner_exit(128 + SIGPIPE); /* see stream_begin_pipes() */
	if (errno != EINTR)
		return -errno;
	watch_look();
	task_give_way();
	return 0;
}

/* Write all of it; *@done is kept up to date. */
static int write_all(struct stream *s, const char *data, size_t size,
		     size_t *done)
{
	ssize_t n = 0;

	while (*done < size && n >= 0) {
		n = write_some(s, data + *done, size - *done);
		if (n > 0)
			*done += (size_t)n;
	}
	return n < 0 ? (int)n : 0;
}

static int flush(struct stream *s)
{
	int r = write_all(s, s->buffer, s->end, &s->start);

	s->start = s->end = 0; /* once is enough to tell an error */
	return r;
}

static int write_direct(struct stream *s, const char *data, size_t size)
{
	size_t done = 0;

	return write_all(s, data, size, &done);
}

static int write_buffered(struct stream *s, const char *data, size_t size)
{
	int r = 0;

	if (s->mode == STREAM_UNBUFFERED)
		return write_direct(s, data, size);
	if (size > s->size - s->end)
		r = flush(s);
	if (r < 0)
		return r;
	if (size > s->size)
		return write_direct(s, data, size);
	memcpy(s->buffer + s->end, data, size);
	s->end += size;
	if (s->mode == STREAM_LINE && memchr(data, '\n', size))
		return flush(s);
	return 0;
}

/* 0, or -EBUSY: an event came while it was stuck, or a finalizer. */
static int begin(struct stream *s, const char *what)
{
	if (s->turn.user == task_current() || !task_take_turn(&s->turn, what))
		return -EBUSY;
	if (s->fd >= 0)
		return 0;
	task_give_turn(&s->turn); /* closed by another, meanwhile */
	return -EBADF;
}

int stream_flush(struct stream *s)
{
	int r;

	if (s->start == s->end && !s->turn.user)
		return 0;
	r = begin(s, "output");
	if (r < 0)
		return r;
	r = flush(s);
	task_give_turn(&s->turn);
	return r;
}

int stream_write(struct stream *s, const char *data, size_t size)
{
	int r;

	/* Unless another task is stuck there. */
	if (s == &runner.error && !runner.output.turn.user)
		stream_flush(&runner.output);
	r = begin(s, "output");
	if (r < 0)
		return r;
	r = write_buffered(s, data, size);
	task_give_turn(&s->turn);
	return r;
}

void stream_flush_last(struct stream *s)
{
	/* In a callback nobody can wait: what is taken at once. */
	if (s->turn.user || (watch_in_callback() && s->fd >= 0 &&
			     !watch_fd_ready(s->fd, POLLOUT)))
		return;
	stream_flush(s);
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

static ssize_t fill(struct stream *s)
{
	ssize_t n;
	int r;

	s->start = s->end = 0;
	r = s->demand ? ask(s) : 0;
	if (r < 0)
		return r == -EPIPE ? 0 : r;
	do {
		if (!watch_wait_fd(s->fd, POLLIN, "input"))
			return -EAGAIN;
		n = read(s->fd, s->buffer, s->size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return -errno;
	s->end = (size_t)n;
	return s->demand ? take_answer(s, n) : n;
}

ssize_t stream_fill(struct stream *s)
{
	ssize_t n;

	if (s->start == s->end || s->turn.user) {
		if (runner.output.mode == STREAM_LINE)
			stream_flush(&runner.output); /* a prompt */
		n = begin(s, "input");
		if (n < 0)
			return n;
		/* Another may have filled it while this one waited. */
		if (s->start == s->end)
			n = fill(s);
		task_give_turn(&s->turn);
		if (n <= 0 && s->start == s->end)
			return n;
	}
	return (ssize_t)(s->end - s->start);
}

int stream_close(struct stream *s)
{
	int r = s->buffer && !s->reads ? stream_flush(s) : 0;
	int fd = s->fd;

	if (fd < 0)
		return r; /* another task was quicker */
	if (close(fd) < 0 && r == 0)
		r = -errno;
	s->fd = -1;
	if (s->is_pipe)
		tell_pipe_closed(s->pipe, s->reads ? "reader" : "writer");
	else
		tell_stream_closed((unsigned)fd);
	return r;
}

/* The signal cannot be had for some descriptors only, so it is held back for
 * good. */
void stream_begin_pipes(void)
{
	static bool begun;
	sigset_t set;

	if (begun)
		return;
	begun = true;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
}
