/* Step 8, in thox-logd: from a pipe to lines in a file. */

#include "logd/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "logd/journal.h"

#define TURN_BYTES 65536U
/* Every line of a turn may be empty, and so gets a head. */
#define OUTPUT_BYTES (1U << 20)
#define NOTE_BYTES   128U

struct stream_desk {
	int copy[2]; /* a pipe that tee() fills */
	int journal_fd;
	char input[TURN_BYTES];
	char output[OUTPUT_BYTES];
	size_t used;
	unsigned lines; /* in the output */
};

int stream_desk_new(int journal_fd, struct stream_desk **ret_desk)
{
	struct stream_desk *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->journal_fd = journal_fd;
	if (pipe2(d->copy, O_CLOEXEC | O_NONBLOCK) < 0) {
		int r = -errno;

		free(d);
		return r;
	}
	/* as many pages as a pipe of any stream may have in use */
	(void)fcntl(d->copy[0], F_SETPIPE_SZ, 1 << 20);
	*ret_desk = d;
	return 0;
}

struct stream *stream_new(uint64_t number, int fd, struct log_file *file)
{
	struct stream *s = calloc(1, sizeof(*s));
	int size = fcntl(fd, F_GETPIPE_SZ);

	if (!s)
		return NULL;
	list_init(&s->list);
	list_init(&s->ready);
	s->number = number;
	s->fd = fd;
	s->file = file;
	file->users++;
	/* A pipe may be full of half-used pages, and then never holds more. */
	s->line_bytes = size > 0 ? (size_t)size / 4 : 4096;
	if (s->line_bytes > LINE_TEXT_BYTES)
		s->line_bytes = LINE_TEXT_BYTES;
	return s;
}

struct stream *stream_free(struct stream *s)
{
	if (!s)
		return NULL;
	list_remove(&s->list);
	list_remove(&s->ready);
	s->file->users--;
	fd_close(s->fd);
	free(s);
	return NULL;
}

/* --- the rate ---------------------------------------------------------------
 */

static void refill(struct stream *s, uint64_t now_us)
{
	uint64_t most = s->rate_bytes; /* a second's worth at once */
	uint64_t passed_us = now_us - s->refilled_us;

	if (s->refilled_us == 0 || passed_us >= 1000000 ||
	    now_us < s->refilled_us) {
		s->allowance_bytes = most;
	} else {
		s->allowance_bytes += s->rate_bytes * passed_us / 1000000;
		if (s->allowance_bytes > most)
			s->allowance_bytes = most;
	}
	s->refilled_us = now_us;
}

uint64_t stream_wait_us(const struct stream *s, uint64_t now_us)
{
	uint64_t due_us = s->refilled_us + 50000;

	return s->rate_bytes && due_us > now_us ? due_us - now_us : 0;
}

/* --- the output -------------------------------------------------------------
 */

static void put(struct stream_desk *d, const void *data, size_t size)
{
	memcpy(d->output + d->used, data, size);
	d->used += size;
}

static void put_line(struct stream *s, struct stream_desk *d, const char *time,
		     const char *text, size_t size, enum line_level without)
{
	struct line line = { .pid = s->pid, .error = s->error };
	char head[LINE_HEAD_BYTES];

	memcpy(line.instance, s->instance, sizeof(line.instance));
	line.level = line_take_level(&text, &size, without);
	put(d, head, line_write_head(&line, time, head));
	put(d, text, size);
	put(d, "\n", 1);
	if (d->journal_fd >= 0) {
		line.text = text;
		line.size = size;
		journal_send(d->journal_fd, s->file->service, &line);
	}
	d->lines++;
}

static void put_note(struct stream *s, struct stream_desk *d, const char *time,
		     const char *format, unsigned long long n, const char *why)
{
	char text[NOTE_BYTES];
	int size;

	/* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral) */
	size = snprintf(text, sizeof(text), format, n, why);
	if (size > (int)sizeof(text) - 1)
		size = sizeof(text) - 1;
	put_line(s, d, time, text, (size_t)size, LINE_WARNING);
	d->lines--; /* nobody said it */
}

static bool has_room(const struct stream_desk *d, size_t size)
{
	return d->used + size + 3 * (LINE_HEAD_BYTES + NOTE_BYTES) <=
	       sizeof(d->output);
}

/* --- one turn ---------------------------------------------------------------
 */

/* Copy what the pipe has: the count, 0 for nothing, -EPIPE at the end. */
static ssize_t peek(struct stream *s, struct stream_desk *d)
{
	ssize_t n = tee(s->fd, d->copy[1], TURN_BYTES, SPLICE_F_NONBLOCK);

	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return fd_read_full(d->copy[0], d->input, (size_t)n);
}

/* The copy was written: take the bytes themselves out. */
static void consume(struct stream *s, struct stream_desk *d, size_t size)
{
	while (size > 0) {
		ssize_t n = read(s->fd, d->input,
				 size < TURN_BYTES ? size : TURN_BYTES);

		if (n <= 0)
			return; /* they were there: nobody else reads */
		size -= (size_t)n;
	}
}

/* The rest of a line that was cut: the count of its bytes here. */
static size_t skip_cut(struct stream *s, struct stream_desk *d,
		       const char *time, size_t size, bool at_end)
{
	const char *line_feed = memchr(d->input, '\n', size);
	size_t n = line_feed ? (size_t)(line_feed - d->input) : size;

	s->cut_bytes += n;
	if (!line_feed && !at_end)
		return n;
	put_note(s, d, time, "[the line before was cut: %llu more bytes]%s",
		 s->cut_bytes, "");
	s->cutting = false;
	s->cut_bytes = 0;
	return line_feed ? n + 1 : n;
}

/* Put the whole lines of the input out: the count of bytes they took. */
static size_t take_lines(struct stream *s, struct stream_desk *d,
			 const char *time, size_t size, bool at_end)
{
	size_t done = 0;

	if (s->cutting)
		done = skip_cut(s, d, time, size, at_end);
	while (done < size && has_room(d, size - done)) {
		const char *p = d->input + done;
		const char *line_feed = memchr(p, '\n', size - done);
		size_t n = line_feed ? (size_t)(line_feed - p) : size - done;

		if (n > s->line_bytes || (!line_feed && n == s->line_bytes)) {
			s->cutting = true;
			put_line(s, d, time, p, s->line_bytes, LINE_INFO);
			done += s->line_bytes;
			break;
		}
		if (!line_feed && !at_end)
			break;
		put_line(s, d, time, p, n, LINE_INFO);
		done += n + (line_feed ? 1 : 0);
	}
	return done;
}

static int write_out(struct stream *s, struct stream_desk *d, uint64_t now_us)
{
	struct log_file *f = s->file;
	int r;

	if (d->used == 0)
		return 0;
	r = file_append(f, d->output, d->used, now_us);
	if (r < 0)
		f->lost_lines += d->lines;
	else
		f->lost_lines = 0; /* told at the head of what was written */
	return r;
}

/* Does nobody write any more? What is in the pipe is then all. */
static bool is_hung_up(const struct stream *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void put_lost(struct stream *s, struct stream_desk *d, const char *time)
{
	if (s->file->lost_lines > 0)
		put_note(s, d, time, "[%llu lines were lost: %s]",
			 s->file->lost_lines, strerror(-s->file->problem));
}

static enum stream_state copy_lines(struct stream *s, struct stream_desk *d,
				    uint64_t now_us, size_t size,
				    int *ret_error)
{
	char time[LINE_TIME_BYTES];
	size_t done;

	line_write_time(now_us, time);
	d->used = d->lines = 0;
	put_lost(s, d, time);
	done = take_lines(s, d, time, size, false);
	if (done == 0 && size < TURN_BYTES && is_hung_up(s))
		done = take_lines(s, d, time, size, true);
	if (d->lines == 0 && !s->cut_bytes && done == 0)
		return STREAM_IDLE; /* the beginning of a line */
	*ret_error = write_out(s, d, now_us);
	consume(s, d, done);
	if (s->rate_bytes)
		s->allowance_bytes -=
			done < s->allowance_bytes ? done : s->allowance_bytes;
	return STREAM_MORE;
}

enum stream_state stream_turn(struct stream *s, struct stream_desk *d,
			      uint64_t now_us, int *ret_error)
{
	ssize_t n;

	*ret_error = 0;
	if (s->rate_bytes) {
		refill(s, now_us);
		if (s->allowance_bytes < s->rate_bytes / 20)
			return STREAM_SLOW;
	}
	n = peek(s, d);
	if (n == 0)
		return STREAM_IDLE;
	if (n < 0)
		return STREAM_ENDED;
	return copy_lines(s, d, now_us, (size_t)n, ret_error);
}
