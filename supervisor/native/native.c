/*
 * Step 6, in a native process: attaching, and the turn of its loop.
 *
 * Everything waits in one epoll descriptor: the control link, every link, a
 * timer for the earliest deadline. Each turn takes at most TURN_EVENTS events
 * and one message for each, so no peer starves the others; what is left makes
 * the descriptor ready again.
 */

#include "native/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "native/connect.h"
#include "rpc/control.h"

#define TURN_EVENTS	64
#define CONTROL_QUEUE	(4U << 20)
#define OUT_KEEP_BYTES	65536U /* of n->out between messages */
#define REFUSAL_BYTES	256
#define NOTIFY_MAX_TEXT 512U

static _Thread_local char refusal[REFUSAL_BYTES];

const char *native_refusal(void)
{
	return refusal;
}

uint64_t native_now_ms(void)
{
	return clock_ns() / 1000000u;
}

/* --- sources ----------------------------------------------------------------
 */

static int source_set(int epoll_fd, int fd, void *ptr, uint32_t *events,
		      uint32_t wanted)
{
	struct epoll_event e = { .events = wanted, .data.ptr = ptr };
	int op = *events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (*events == wanted)
		return 0;
	if (wanted == 0)
		op = EPOLL_CTL_DEL;
	if (epoll_ctl(epoll_fd, op, fd, &e) < 0)
		return -errno;
	*events = wanted;
	return 0;
}

/* It may be freed now: what the batch still says of it is void. */
static void forget_event(struct native *n, const void *ptr)
{
	for (int i = 0; i < n->n_batch; i++)
		if (n->batch[i].data.ptr == ptr)
			n->batch[i].data.ptr = NULL;
}

int native_source_set(struct native *n, struct source *s, uint32_t events)
{
	if (events == 0)
		forget_event(n, s);
	return source_set(n->epoll_fd, s->fd, s, &s->events, events);
}

/* --- the control link -------------------------------------------------------
 */

struct mp_writer *native_begin(struct native *n)
{
	if (n->out.bad || n->out.size > OUT_KEEP_BYTES) {
		mp_writer_deinit(&n->out);
		mp_writer_init_heap(&n->out);
	}
	n->out.used = 0;
	return &n->out;
}

static void watch_control(struct native *n)
{
	uint32_t events = EPOLLIN;

	if (link_has_queued(&n->control))
		events |= EPOLLOUT;
	if (native_source_set(n, &n->control_source, events) < 0)
		n->error = -ENOMEM;
}

int native_tell(struct native *n)
{
	int r = n->error ? n->error : mp_writer_end(&n->out);

	if (r == 0)
		r = link_send(&n->control, n->out.data, n->out.used, NULL, 0);
	if (r < 0) {
		if (!n->error)
			n->error = r;
		return r;
	}
	watch_control(n);
	return 0;
}

/* 1: a message was taken. */
static int take_control(struct native *n)
{
	struct link_message m;
	int r;

	if (n->error)
		return n->error;
	r = link_receive(&n->control, false, &m);
	if (r > 0) {
		int handled = native_on_control(n, &m);

		link_message_deinit(&m);
		if (handled < 0)
			r = handled;
	}
	if (r < 0 && !n->error)
		n->error = r;
	return r;
}

void native_drain_control(struct native *n)
{
	if (n->draining)
		return;
	n->draining = true;
	while (take_control(n) > 0)
		;
	n->draining = false;
}

static void on_control(struct source *s, uint32_t events)
{
	struct native *n = container_of(s, struct native, control_source);

	if (events & EPOLLOUT) {
		int r = link_flush(&n->control);

		if (r < 0 && !n->error)
			n->error = r;
		if (!n->error)
			watch_control(n);
	}
	if (events & ~(uint32_t)EPOLLOUT)
		(void)take_control(n);
}

int native_notify(struct native *n, const char *what, const char *text)
{
	struct mp_writer *w = native_begin(n);

	if (text && strlen(text) > NOTIFY_MAX_TEXT)
		return -EMSGSIZE;
	mp_write_array(w, text ? 3 : 2);
	mp_write_uint(w, CONTROL_NOTIFY);
	mp_write_str(w, what);
	if (text)
		mp_write_str(w, text);
	return native_tell(n);
}

void native_on_signal(struct native *n,
		      void (*fn)(struct native *n, const char *signal,
				 void *user),
		      void *user)
{
	n->on_signal = fn;
	n->signal_user = user;
}

/* --- time -------------------------------------------------------------------
 */

/* The timer is moved to an earlier time only: a deadline whose answer came
 * costs no system call, but one idle wakening at most. */
void native_arm(struct native *n, uint64_t deadline_ms)
{
	struct itimerspec at = {
		.it_value = {
			.tv_sec = (time_t)(deadline_ms / 1000),
			.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
		},
	};

	if (deadline_ms == 0 || (n->armed_ms && n->armed_ms <= deadline_ms))
		return;
	if (timerfd_settime(n->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0)
		n->armed_ms = deadline_ms;
}

static void on_timer(struct source *s, uint32_t events)
{
	struct native *n = container_of(s, struct native, timer_source);
	uint64_t expired;

	(void)events;
	(void)!read(n->timer_fd, &expired, sizeof(expired));
	n->armed_ms = 0;
	native_on_timer(n);
}

/* --- the turn ---------------------------------------------------------------
 */

/* A watch of the user's is told from a source by the lowest bit. */
static void *tag_watch(struct native_watch *w)
{
	return (void *)((uintptr_t)w | 1);
}

int native_watch(struct native *n, struct native_watch *w, uint32_t events)
{
	uint32_t now = w->events;
	int r = source_set(n->epoll_fd, w->fd, tag_watch(w), &now, events);

	w->events = now;
	if (events == 0)
		forget_event(n, tag_watch(w));
	return r;
}

static void dispatch_event(const struct epoll_event *e)
{
	uintptr_t p = (uintptr_t)e->data.ptr;

	if (p & 1) {
		struct native_watch *w = (void *)(p & ~(uintptr_t)1);

		w->fn(w, e->events);
	} else if (p) {
		struct source *s = e->data.ptr;

		if (s->events)
			s->on_ready(s, e->events);
	}
}

static int turn(struct native *n, int timeout_ms)
{
	struct epoll_event events[TURN_EVENTS];
	int count;

	if (n->error)
		return n->error;
	count = epoll_wait(n->epoll_fd, events, TURN_EVENTS, timeout_ms);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	n->batch = events;
	n->n_batch = count;
	for (int i = 0; i < count && !n->error; i++)
		dispatch_event(&events[i]);
	n->n_batch = 0;
	native_collect(n);
	return n->error;
}

int native_fd(const struct native *n)
{
	return n->epoll_fd;
}

int native_dispatch(struct native *n)
{
	return turn(n, 0);
}

int native_wait(struct native *n, int timeout_ms)
{
	return turn(n, timeout_ms);
}

/* --- life -------------------------------------------------------------------
 */

static int add_sources(struct native *n)
{
	int r;

	n->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	n->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (n->epoll_fd < 0 || n->timer_fd < 0)
		return -errno;
	n->control_source.fd = n->control.fd;
	n->control_source.on_ready = on_control;
	n->timer_source.fd = n->timer_fd;
	n->timer_source.on_ready = on_timer;
	r = native_source_set(n, &n->control_source, EPOLLIN);
	if (r == 0)
		r = native_source_set(n, &n->timer_source, EPOLLIN);
	return r;
}

/* Takes what @l owns. */
static int native_new(struct link *l, struct native **ret)
{
	struct native *n = calloc(1, sizeof(*n));
	int fd = steal_fd(&l->fd);
	int r;

	link_deinit(l);
	if (!n) {
		fd_close(fd);
		return -ENOMEM;
	}
	n->epoll_fd = n->timer_fd = -1;
	link_init(&n->control, fd);
	n->control.queue_limit_bytes = CONTROL_QUEUE;
	list_init(&n->links);
	list_init(&n->garbage);
	list_init(&n->zero_calls);
	list_init(&n->deadlines);
	list_init(&n->shares);
	list_init(&n->asked);
	list_init(&n->contexts);
	list_init(&n->orphans);
	list_init(&n->names);
	list_init(&n->ears);
	list_init(&n->late);
	mp_writer_init_heap(&n->out);
	r = add_sources(n);
	if (r < 0) {
		native_free(n);
		return r;
	}
	*ret = n;
	return 0;
}

int native_adopt(int fd, struct native **ret)
{
	struct link l;

	link_init(&l, fd);
	return native_new(&l, ret);
}

static int send_attach(struct link *l, const char *name)
{
	uint8_t buf[512];
	struct mp_writer w;
	int r;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_ATTACH);
	mp_write_map(&w, 1);
	mp_write_str(&w, "name");
	mp_write_str(&w, name);
	r = mp_writer_end(&w);
	return r < 0 ? r : link_send_wait(l, w.data, w.used, NULL, 0);
}

static int take_attached(const struct link_message *m)
{
	struct native_control c;
	int r = native_control_parse(m->data, m->size, m->n_fds, &c);

	if (r < 0)
		return r;
	if (c.kind != CONTROL_REFUSED && (c.kind != CONTROL_REPLY || c.id != 0))
		return -EPROTO;
	if (c.kind == CONTROL_REPLY && c.status == STATUS_OK)
		return 0;
	if (c.message.size >= sizeof(refusal))
		c.message.size = sizeof(refusal) - 1;
	if (mp_bytes_copy(c.message, refusal, sizeof(refusal)) < 0)
		refusal[0] = '\0';
	return -EPERM;
}

int native_attach(struct link *l, const char *name, int timeout_ms,
		  struct native **ret)
{
	struct link_message m;
	int r;

	refusal[0] = '\0';
	r = send_attach(l, name);
	if (r == 0)
		r = connect_receive(l, timeout_ms, &m);
	if (r > 0) {
		r = take_attached(&m);
		link_message_deinit(&m);
	}
	if (r == 0)
		return native_new(l, ret);
	link_deinit(l);
	return r;
}

int native_open(const struct instance *in, const char *name, int timeout_ms,
		struct native **ret)
{
	struct link l;
	int fd, r;

	r = connect_instance(in, &fd);
	if (r < 0)
		return r;
	link_init(&l, fd);
	r = connect_check(fd);
	if (r == 0)
		r = connect_greet(&l);
	if (r == 0)
		return native_attach(&l, name, timeout_ms, ret);
	link_deinit(&l);
	return r;
}

static void free_calls(struct list *calls)
{
	while (!list_empty(calls))
		native_pending_free(
			list_first(calls, struct native_pending, list));
}

struct native *native_free(struct native *n)
{
	struct native_link *l, *after;

	if (!n)
		return NULL;
	n->freeing = true;
	if (n->error == 0)
		n->error = -ECONNRESET; /* nobody is told anything more */
	free_calls(&n->zero_calls);
	while (!list_empty(&n->links)) {
		l = list_first(&n->links, struct native_link, list);
		free_calls(&l->pending);
		native_link_end(l);
	}
	native_contexts_free(n);
	native_shares_drop(n);
	list_each(l, after, &n->garbage, list)
	{
		l->refs = 0;
	}
	native_collect(n);
	native_trace_free(n);
	link_deinit(&n->control);
	mp_writer_deinit(&n->out);
	fd_close(n->timer_fd);
	fd_close(n->epoll_fd);
	free(n);
	return NULL;
}

void native_freep(struct native **n)
{
	*n = native_free(*n);
}
