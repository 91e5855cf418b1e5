/*
 * Step 8, in a runner: being watched.
 *
 * With a name only its calls are told, and their answers and cancels: the
 * numbers of those that were told are kept in a ring, so that an answer of
 * another is not.
 */

#include "runner/trace.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "rpc/wire.h"
#include "runner/channel.h"
#include "runner/watch.h"

#define RECORD_BYTES 256
#define RING	     1024 /* calls whose answers are waited for */

bool trace_is_on;

static int socket_fd = -1;
static struct watch watch = { .fd = -1 };
static char name_traced[WIRE_NAME_BYTES];
static size_t name_size;
static uint64_t n_lost;

/* By number modulo its size: link and number of a call that was told. */
static struct {
	uint64_t link;
	uint32_t cid;
	bool out;
} ring[RING];

/* Nothing comes but the end, when whoever traced has gone. */
static bool on_ready(struct watch *w)
{
	static const struct mp_bytes none = { "", 0 };

	if (watch_fd_ready(w->fd, POLLIN))
		trace_set(false, none, -1);
	return false;
}

void trace_set(bool on, struct mp_bytes name, int fd)
{
	watch_remove(&watch);
	fd_close(steal_fd(&socket_fd));
	socket_fd = fd;
	trace_is_on = on && fd >= 0;
	n_lost = 0;
	memset(ring, 0, sizeof(ring));
	name_size = name.size <= sizeof(name_traced) ? name.size : 0;
	memcpy(name_traced, name.p, name_size);
	if (!trace_is_on || watch_add(&watch, fd, on_ready) < 0) {
		trace_is_on = false;
		socket_fd = fd_close(socket_fd);
	}
}

/* --- records ----------------------------------------------------------------
 */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void begin(struct mp_writer *w, uint8_t *buf, uint32_t items,
		  const char *what)
{
	mp_writer_init(w, buf, RECORD_BYTES);
	mp_write_array(w, 2 + items);
	mp_write_uint(w, now_us());
	mp_write_str(w, what);
}

/* False: it did not fit. */
static bool send_record(const struct mp_writer *w)
{
	static const struct mp_bytes none = { "", 0 };

	/* send(): only the control link may use sendmsg() */
	if (send(socket_fd, w->data, w->used, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno != EAGAIN && errno != EINTR)
		trace_set(false, none, -1); /* whoever traced has gone */
	return false;
}

static void tell_lost(void)
{
	uint8_t buf[RECORD_BYTES];
	struct mp_writer w;

	begin(&w, buf, 1, "lost");
	mp_write_uint(&w, n_lost);
	if (send_record(&w))
		n_lost = 0;
}

static void tell(const struct mp_writer *w)
{
	if (n_lost > 0)
		tell_lost();
	if (!trace_is_on)
		return;
	if (n_lost > 0 || mp_writer_end(w) < 0 || !send_record(w))
		n_lost++;
}

static void write_pid(struct mp_writer *w, const struct channel *c)
{
	if (c->peer && c->peer->pid)
		mp_write_int(w, c->peer->pid);
	else
		mp_write_nil(w);
}

/* --- which ------------------------------------------------------------------
 */

static bool is_traced(const char *name, size_t size)
{
	const struct mp_bytes b = { name, size };

	return wire_below(b, name_traced, name_size);
}

static void remember(uint64_t link, uint32_t cid, bool out)
{
	ring[cid % RING].link = link;
	ring[cid % RING].cid = cid;
	ring[cid % RING].out = out;
}

/* Was this call told? An answer goes the other way. */
static bool was_told(uint64_t link, uint32_t cid, bool out)
{
	return name_size == 0 ||
	       (ring[cid % RING].link == link && ring[cid % RING].cid == cid &&
		ring[cid % RING].out == out);
}

void trace_write_call(const struct channel *c, uint32_t cid, bool out,
		      const char *name, size_t size, size_t bytes)
{
	uint8_t buf[RECORD_BYTES];
	struct mp_writer w;

	if (!is_traced(name, size))
		return;
	remember(c->number, cid, out);
	begin(&w, buf, 6, "call");
	mp_write_uint(&w, c->number);
	mp_write_uint(&w, cid);
	mp_write_bool(&w, out);
	write_pid(&w, c);
	mp_write_strn(&w, name, size);
	mp_write_uint(&w, bytes);
	tell(&w);
}

void trace_write_answer(const struct channel *c, uint32_t cid, bool out,
			int status, uint64_t begun_ns, size_t bytes)
{
	uint8_t buf[RECORD_BYTES];
	struct mp_writer w;

	if (!was_told(c->number, cid, !out))
		return;
	begin(&w, buf, 6, "answer");
	mp_write_uint(&w, c->number);
	mp_write_uint(&w, cid);
	mp_write_bool(&w, out);
	mp_write_int(&w, status);
	mp_write_uint(&w, (clock_ns() - begun_ns) / 1000);
	mp_write_uint(&w, bytes);
	tell(&w);
}

void trace_write_push(const struct channel *c, bool out, struct mp_bytes name,
		      size_t bytes)
{
	uint8_t buf[RECORD_BYTES];
	struct mp_writer w;

	if (!is_traced(name.p, name.size))
		return;
	begin(&w, buf, 5, "push");
	mp_write_uint(&w, c->number);
	mp_write_bool(&w, out);
	write_pid(&w, c);
	mp_write_strn(&w, name.p, name.size);
	mp_write_uint(&w, bytes);
	tell(&w);
}

void trace_write_cancel(const struct channel *c, uint32_t cid, bool out)
{
	uint8_t buf[RECORD_BYTES];
	struct mp_writer w;

	if (!was_told(c->number, cid, out))
		return;
	begin(&w, buf, 3, "cancel");
	mp_write_uint(&w, c->number);
	mp_write_uint(&w, cid);
	mp_write_bool(&w, out);
	tell(&w);
}
