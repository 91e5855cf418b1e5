/*
 * Step 8, in thox-logd: whose turn it is.
 *
 * Pipes are watched edge-triggered: a stream that said something is put into
 * the ring of those that are ready, and stays there until a turn of it found
 * nothing more. The beginning of a line, left in its pipe, wakes nobody.
 */

#include "logd/logd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "logd/message.h"
#include "logd/stream.h"
#include "rpc/link.h"
#include "rpc/logd.h"

#define EVENTS	    64
#define STREAMS_MAX 65536U
#define BUCKETS	    4096U /* a power of two */
#define SYNCS_MAX   16U
#define SYNC_TURNS  8U /* of a stream, at most, to read what a pipe holds */

struct sync {
	uint64_t token;
	unsigned turns; /* of all that had something when it came; 0: these
			 * are not known yet */
};

struct logd {
	struct link link;
	int epoll_fd;
	int root_fd;
	struct stream_desk *desk;
	struct list streams[BUCKETS]; /* by number */
	unsigned n_streams;
	struct list ready; /* their turn comes, in this order */
	struct list slow;  /* over their rate */
	struct list files;
	struct sync syncs[SYNCS_MAX]; /* to answer, the oldest first */
	unsigned n_syncs;
	bool ended;
};

static uint64_t time_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- telling thoxd ----------------------------------------------------------
 */

static void send_message(struct logd *d, const struct mp_writer *w)
{
	int r = mp_writer_end(w);

	if (r == 0)
		r = link_send_wait(&d->link, w->data, w->used, NULL, 0);
	if (r < 0)
		d->ended = true;
}

static void tell(struct logd *d, unsigned kind, uint64_t number)
{
	uint8_t buf[32];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, kind);
	mp_write_uint(&w, number);
	send_message(d, &w);
}

static void tell_problem(struct logd *d, struct log_file *f, int error)
{
	uint8_t buf[512];
	struct mp_writer w;

	if (f->problem == error)
		return;
	if (error)
		log_warnx("log of '%s' cannot be written: %s; its lines are "
			  "lost",
			  f->service, strerror(-error));
	else
		log_info("log of '%s' is written again", f->service);
	f->problem = error;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, LOGD_PROBLEM);
	mp_write_str(&w, f->service);
	mp_write_str(&w, error ? strerror(-error) : "");
	send_message(d, &w);
}

/* --- streams ----------------------------------------------------------------
 */

static struct stream *find(struct logd *d, uint64_t number)
{
	struct stream *s, *after;

	list_each(s, after, &d->streams[number % BUCKETS], list)
	{
		if (s->number == number)
			return s;
	}
	return NULL;
}

static void make_ready(struct logd *d, struct stream *s)
{
	list_remove(&s->ready);
	list_append(&d->ready, &s->ready);
}

static void drop(struct logd *d, struct stream *s)
{
	struct log_file *f = s->file;

	/* thoxd has the pipe, too, so closing it takes it out of nothing */
	(void)epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	stream_free(s);
	d->n_streams--;
	if (f->users == 0)
		file_free(f);
}

static struct log_file *find_file(struct logd *d, const char *service)
{
	struct log_file *f, *after;

	list_each(f, after, &d->files, list)
	{
		if (strcmp(f->service, service) == 0)
			return f;
	}
	return NULL;
}

static int take_file(struct logd *d, const struct logd_message *m,
		     struct log_file **ret_file)
{
	struct log_file *f = find_file(d, m->service);
	int r;

	if (!f) {
		r = file_open(d->root_fd, m->service, &f);
		if (r < 0)
			return r;
		list_append(&d->files, &f->list);
	}
	f->keep = m->keep;
	f->rotate_bytes = m->rotate_bytes;
	f->rotate_us = m->rotate_ms * 1000;
	*ret_file = f;
	return 0;
}

static int watch(struct logd *d, struct stream *s)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
				 .data.ptr = s };

	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0)
		return -errno;
	return 0;
}

static int open_stream(struct logd *d, const struct logd_message *m, int fd)
{
	struct log_file *f;
	struct stream *s;
	int r;

	if (d->n_streams >= STREAMS_MAX || find(d, m->stream)) {
		fd_close(fd);
		return -EPROTO;
	}
	fd_set_nonblocking(fd);
	r = take_file(d, m, &f);
	s = r == 0 ? stream_new(m->stream, fd, f) : NULL;
	if (!s) {
		fd_close(fd);
		return r < 0 ? r : -ENOMEM;
	}
	strcpy(s->instance, m->instance);
	s->error = m->error;
	s->rate_bytes = m->rate_bytes;
	list_append(&d->streams[s->number % BUCKETS], &s->list);
	d->n_streams++;
	return 0;
}

/* From the first on it is read. */
static int take_pid(struct logd *d, const struct logd_message *m)
{
	struct stream *s = find(d, m->stream);
	bool first;

	if (!s)
		return 0; /* it has ended */
	first = s->pid == 0;
	s->pid = m->pid;
	if (!first)
		return 0;
	make_ready(d, s);
	return watch(d, s);
}

static void take_turn(struct logd *d, struct stream *s)
{
	int error = 0;

	list_remove(&s->ready);
	switch (stream_turn(s, d->desk, time_us(CLOCK_REALTIME), &error)) {
	case STREAM_IDLE:
		return;
	case STREAM_MORE:
		tell_problem(d, s->file, error);
		make_ready(d, s);
		return;
	case STREAM_SLOW:
		list_append(&d->slow, &s->ready);
		return;
	case STREAM_ENDED:
		tell(d, LOGD_ENDED, s->number);
		drop(d, s);
		return;
	}
}

/* --- thoxd's messages -------------------------------------------------------
 */

static int take_sync(struct logd *d, uint64_t token)
{
	if (d->n_syncs == SYNCS_MAX)
		return -EPROTO;
	d->syncs[d->n_syncs++] = (struct sync){ .token = token };
	return 0;
}

static int on_message(struct logd *d, struct link_message *raw)
{
	struct logd_message m;
	int r = logd_message_parse(raw->data, raw->size, raw->n_fds, &m);

	if (r < 0)
		return r;
	switch (m.kind) {
	case LOGD_OPEN:
		r = open_stream(d, &m, link_message_take_fd(raw, 0));
		break;
	case LOGD_PID:
		r = take_pid(d, &m);
		break;
	case LOGD_SYNC:
		r = take_sync(d, m.token);
		break;
	}
	return r;
}

static void on_link(struct logd *d)
{
	struct link_message raw;
	int r = link_receive(&d->link, false, &raw);

	if (r > 0) {
		r = on_message(d, &raw);
		link_message_deinit(&raw);
		if (r < 0)
			log_warnx("a message of thoxd: %s", strerror(-r));
		r = r == -EBADMSG || r == -EPROTO ? r : 0;
	}
	if (r < 0)
		d->ended = true;
}

/*
 * What was written into a pipe before one was sent has been noticed when there
 * were no more events than these; it is in its file when nobody is ready, or
 * after so many turns: others may go on writing for ever.
 */
static void answer_syncs(struct logd *d, int events)
{
	bool idle = events == 0 && list_empty(&d->ready);
	unsigned done = 0;

	for (unsigned i = 0; i < d->n_syncs && events < EVENTS; i++)
		d->syncs[i].turns++;
	while (done < d->n_syncs &&
	       (idle || d->syncs[done].turns >= SYNC_TURNS))
		tell(d, LOGD_SYNCED, d->syncs[done++].token);
	d->n_syncs -= done;
	memmove(d->syncs, d->syncs + done, d->n_syncs * sizeof(d->syncs[0]));
}

/* --- the loop ---------------------------------------------------------------
 */

static void wake_slow(struct logd *d)
{
	uint64_t now_us = time_us(CLOCK_REALTIME);
	struct stream *s, *after;

	list_each(s, after, &d->slow, ready)
	{
		if (stream_wait_us(s, now_us) == 0)
			make_ready(d, s);
	}
}

static int wait_for_events(struct logd *d)
{
	struct epoll_event events[EVENTS];
	int wait_ms = -1, n;

	if (!list_empty(&d->ready) || d->n_syncs > 0)
		wait_ms = 0;
	else if (!list_empty(&d->slow))
		wait_ms = 50;
	n = epoll_pwait(d->epoll_fd, events, EVENTS, wait_ms, NULL);
	if (n < 0)
		return errno == EINTR ? EVENTS : -errno; /* there may be more */
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr)
			make_ready(d, events[i].data.ptr);
	for (int i = 0; i < n; i++)
		if (!events[i].data.ptr)
			on_link(d);
	return n;
}

/* One turn for each that was ready at the beginning of the round. */
static void round_of_turns(struct logd *d)
{
	struct list now;

	if (list_empty(&d->ready))
		return;
	now = d->ready; /* the ring goes over to a head of its own */
	now.next->prev = now.prev->next = &now;
	list_init(&d->ready);
	while (!list_empty(&now))
		take_turn(d, list_first(&now, struct stream, ready));
}

static int set_up(struct logd *d, int link_fd, int root_fd, int journal_fd)
{
	struct epoll_event e = { .events = EPOLLIN };
	int r;

	*d = (struct logd){ .root_fd = root_fd };
	link_init(&d->link, link_fd);
	list_init(&d->ready);
	list_init(&d->slow);
	list_init(&d->files);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&d->streams[i]);
	r = stream_desk_new(journal_fd, &d->desk);
	if (r < 0)
		return r;
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll_fd < 0 ||
	    epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, link_fd, &e) < 0)
		return -errno;
	return 0;
}

int logd_serve(int link_fd, int root_fd, int journal_fd)
{
	static struct logd d;
	int r = set_up(&d, link_fd, root_fd, journal_fd);

	while (r >= 0 && !d.ended) {
		wake_slow(&d);
		r = wait_for_events(&d);
		round_of_turns(&d);
		if (r >= 0)
			answer_syncs(&d, r);
	}
	return r < 0 ? r : 0;
}
