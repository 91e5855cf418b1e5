/*
 * Step 6, in a native process: what `thoxctl trace` prints of it.
 *
 * thoxd hands down a socket and takes it back; a record goes there for each
 * message (rpc/control.h has the forms). A reader that does not keep up loses
 * records, and is told how many.
 */

#include "native/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"

#define RECORD_BYTES 512

struct trace {
	struct native *native;
	struct source source;
	int fd;
	char name[WIRE_NAME_BYTES + 1]; /* "": every name */
	uint64_t lost;
};

struct record {
	uint8_t data[RECORD_BYTES];
	struct mp_writer w;
};

static uint64_t real_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void native_trace_free(struct native *n)
{
	if (!n->trace)
		return;
	(void)native_source_set(n, &n->trace->source, 0);
	fd_close(n->trace->fd);
	free(n->trace);
	n->trace = NULL;
}

/* Nothing is ever read from it: whoever traced is gone. */
static void on_gone(struct source *s, uint32_t events)
{
	(void)events;
	native_trace_free(container_of(s, struct trace, source)->native);
}

void native_trace_set(struct native *n, const struct native_control *m, int fd)
{
	native_trace_free(n);
	if (!m->on)
		return;
	n->trace = calloc(1, sizeof(*n->trace));
	if (!n->trace) {
		fd_close(fd);
		return;
	}
	n->trace->native = n;
	n->trace->fd = fd;
	n->trace->source.fd = fd;
	n->trace->source.on_ready = on_gone;
	(void)native_source_set(n, &n->trace->source, EPOLLRDHUP);
	if (m->has_name)
		(void)mp_bytes_copy(m->name, n->trace->name,
				    sizeof(n->trace->name));
}

static bool wanted(const struct native *n, struct mp_bytes name)
{
	return n->trace &&
	       wire_below(name, n->trace->name, strlen(n->trace->name));
}

static struct mp_writer *begin(struct record *r, unsigned items,
			       const char *what)
{
	mp_writer_init(&r->w, r->data, sizeof(r->data));
	mp_write_array(&r->w, items);
	mp_write_uint(&r->w, real_us());
	mp_write_str(&r->w, what);
	return &r->w;
}

static int put(struct trace *t, const struct mp_writer *w)
{
	ssize_t n = send(t->fd, w->data, w->used, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : 0;
}

static void finish(struct native *n, struct record *record)
{
	struct trace *t = n->trace;
	int r = 0;

	if (t->lost > 0) {
		struct record lost;

		mp_write_uint(begin(&lost, 3, "lost"), t->lost);
		r = put(t, &lost.w);
		if (r == 0)
			t->lost = 0;
	}
	if (r == 0)
		r = put(t, &record->w);
	if (r == -EPIPE || r == -ECONNRESET)
		native_trace_free(n);
	else if (r < 0)
		t->lost++;
}

static void write_pid(struct mp_writer *w, pid_t pid)
{
	if (pid)
		mp_write_int(w, pid);
	else
		mp_write_nil(w);
}

uint64_t native_trace_call(struct native_link *l, uint32_t cid, bool out,
			   struct mp_bytes name, size_t bytes)
{
	struct record r;

	if (!wanted(l->native, name))
		return 0;
	begin(&r, 8, "call");
	mp_write_uint(&r.w, l->number);
	mp_write_uint(&r.w, cid);
	mp_write_bool(&r.w, out);
	write_pid(&r.w, l->peer.pid);
	mp_write_strn(&r.w, name.p, name.size);
	mp_write_uint(&r.w, bytes);
	finish(l->native, &r);
	return clock_ns() / 1000u;
}

void native_trace_answer(struct native_link *l, uint32_t cid, bool out,
			 int status, uint64_t since_us, size_t bytes)
{
	struct record r;

	if (!l->native->trace || since_us == 0)
		return;
	begin(&r, 8, "answer");
	mp_write_uint(&r.w, l->number);
	mp_write_uint(&r.w, cid);
	mp_write_bool(&r.w, out);
	mp_write_int(&r.w, status);
	mp_write_uint(&r.w, clock_ns() / 1000u - since_us);
	mp_write_uint(&r.w, bytes);
	finish(l->native, &r);
}

void native_trace_push(struct native_link *l, bool out, pid_t pid,
		       struct mp_bytes name, size_t bytes)
{
	struct record r;

	if (!wanted(l->native, name))
		return;
	begin(&r, 7, "push");
	mp_write_uint(&r.w, l->number);
	mp_write_bool(&r.w, out);
	write_pid(&r.w, pid);
	mp_write_strn(&r.w, name.p, name.size);
	mp_write_uint(&r.w, bytes);
	finish(l->native, &r);
}

void native_trace_cancel(struct native_link *l, uint32_t cid, bool out,
			 uint64_t since_us)
{
	struct record r;

	if (!l->native->trace || since_us == 0)
		return;
	begin(&r, 5, "cancel");
	mp_write_uint(&r.w, l->number);
	mp_write_uint(&r.w, cid);
	mp_write_bool(&r.w, out);
	finish(l->native, &r);
}
