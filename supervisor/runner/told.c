/*
 * Step 7, in a runner: thoxd's word about contexts.
 */

#include "runner/told.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/event.h"
#include "runner/grants.h"
#include "runner/provide.h"
#include "runner/request.h"
#include "runner/route.h"
#include "runner/served.h"
#include "runner/syscalls.h"
#include "runner/tell.h"
#include "runner/trace.h"

bool told_is(int64_t kind)
{
	return kind >= CONTROL_OPENED && kind <= CONTROL_WANT_USE;
}

/* --- taking apart -----------------------------------------------------------
 */

static struct mp_bytes read_raw(struct mp_reader *r, enum mp_type type)
{
	if (mp_peek(r) != type)
		r->bad = true;
	return mp_read_raw(r);
}

static uint64_t read_answered(struct mp_reader *r, struct told *t)
{
	t->answers = true;
	return mp_read_uint(r);
}

static void read_key(struct mp_reader *r, struct mp_bytes key, struct told *t)
{
	if (mp_bytes_equal(key, "context"))
		t->context = mp_read_uint(r);
	else if (mp_bytes_equal(key, "name"))
		t->name = mp_read_str(r);
	else if (mp_bytes_equal(key, "pid"))
		t->pid = mp_read_int(r);
	else if (mp_bytes_equal(key, "program"))
		t->program = mp_read_str(r);
	else if (mp_bytes_equal(key, "service"))
		t->service = mp_read_str(r);
	else if (mp_bytes_equal(key, "grants"))
		t->grants = read_raw(r, MP_ARRAY);
	else if (mp_bytes_equal(key, "zero"))
		t->zero = mp_read_bool(r);
	else if (mp_bytes_equal(key, "resolves"))
		t->resolves = mp_read_bool(r);
	else if (mp_bytes_equal(key, "over"))
		t->over = mp_read_uint(r);
	else if (mp_bytes_equal(key, "file"))
		t->file = mp_read_bool(r);
	else if (mp_bytes_equal(key, "answers"))
		t->answered = read_answered(r, t);
	else
		mp_skip(r);
}

static void read_keys(struct mp_reader *r, struct told *t)
{
	for (uint32_t n = mp_read_map(r); n > 0 && !r->bad; n--)
		read_key(r, mp_read_str(r), t);
}

/* A status, then what an OK one brings, or a message. */
static void read_answer(struct mp_reader *r, struct told *t)
{
	t->status = mp_read_int(r);
	if (t->status != STATUS_OK)
		t->text = mp_read_str(r);
	else if (t->kind == CONTROL_REVOKED)
		t->links = read_raw(r, MP_ARRAY);
	else
		t->value = mp_read_uint(r);
}

/* An integer, or nil, or nothing at all. */
static bool read_optional(struct mp_reader *r, uint32_t *left, int64_t *ret)
{
	if (*left == 0)
		return false;
	--*left;
	if (mp_peek(r) == MP_NIL) {
		mp_read_nil(r);
		return false;
	}
	*ret = mp_read_int(r);
	return true;
}

/* @n items follow the kind. */
static void read_fields(struct mp_reader *r, uint32_t n, struct told *t)
{
	switch (t->kind) {
	case CONTROL_OPENED:
	case CONTROL_HOLD:
		t->number = mp_read_uint(r);
		read_keys(r, t);
		break;
	case CONTROL_SHARED:
	case CONTROL_REVOKED:
	case CONTROL_PIPE:
		t->number = mp_read_uint(r);
		read_answer(r, t);
		break;
	case CONTROL_FORGET:
	case CONTROL_MOVE:
		t->text = mp_read_str(r);
		break;
	case CONTROL_WANT_USE:
		t->number = mp_read_uint(r);
		break;
	case CONTROL_CHILD_ENDED:
		t->pid = mp_read_int(r);
		n--;
		t->has_code = read_optional(r, &n, &t->code);
		t->has_signal = read_optional(r, &n, &t->signal);
		break;
	case CONTROL_TRACE:
		t->on = mp_read_bool(r);
		if (n > 1)
			t->text = mp_read_str(r);
		break;
	default:
		r->bad = true;
	}
}

int told_parse(const void *data, size_t size, struct told *ret)
{
	struct mp_reader r;
	uint32_t n;

	memset(ret, 0, sizeof(*ret));
	mp_reader_init(&r, data, size);
	n = mp_read_array(&r);
	ret->kind = mp_read_int(&r);
	if (n < 2)
		return -EBADMSG;
	read_fields(&r, n - 1, ret);
	return mp_end(&r);
}

/* --- doing ------------------------------------------------------------------
 */

/* Somebody holds a context of ours, or calls a name of ours. */
static void take_opened(const struct told *t, struct link_message *raw)
{
	struct context *context = context_find(t->context);
	struct peer *peer = peer_get((pid_t)t->pid, t->program, t->service);
	int fd = link_message_take_fd(raw, 0);
	struct channel *c = NULL;

	if (!peer || (t->context && (!context || !context->owned))) {
		fd_close(fd); /* closed while it was on its way */
		tell_link_closed(t->number);
	} else {
		c = channel_open(t->context ? CHANNEL_OF_CONTEXT
					    : CHANNEL_OF_NAME,
				 t->number, fd, peer);
	}
	peer_unref(peer);
	if (!c)
		return;
	c->grants = t->grants.size ? grants_new(t->grants) : NULL;
	if (t->grants.size && !c->grants)
		channel_close(c, true); /* no grants would be all of them */
	else if (context)
		context_add_holder(context, c);
	else
		provide_add_caller(t->name, c);
}

/* What comes before the start message would lie where stdio is to be. */
static int out_of_the_way(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_MOVED_FD);
	close(fd);
	return moved;
}

static void take_hold(const struct told *t, struct link_message *raw)
{
	static const struct mp_bytes none = { "", 0 };
	struct peer *peer = peer_get((pid_t)t->pid, none, none);
	int fd = out_of_the_way(link_message_take_fd(raw, 0));
	struct channel *c = NULL;

	if (peer)
		c = channel_open(t->zero ? CHANNEL_ZERO : CHANNEL_HELD,
				 t->number, fd, peer);
	else
		fd_close(fd);
	peer_unref(peer);
	if (c) {
		c->resolves = t->resolves;
		c->over = t->over;
		if (t->file)
			c->file = out_of_the_way(link_message_take_fd(raw, 1));
	}
	if (t->zero)
		route_set_zero(c);
}

static void take_revoked(const struct told *t)
{
	struct mp_reader r;

	if (t->status == STATUS_OK) {
		mp_reader_init(&r, t->links.p, t->links.size);
		for (uint32_t n = mp_read_array(&r); n > 0 && !r.bad; n--) {
			struct channel *c =
				channel_find(mp_read_uint(&r), true);

			if (c && t->number)
				channel_close(c, false);
			else if (c) /* nobody here has asked for it */
				channel_lost(c, false);
		}
	}
	request_answer(t->number, (int)t->status, t->text, 0, NULL, 0);
}

static void take_pipe(const struct told *t, struct link_message *raw)
{
	int fds[2] = { link_message_take_fd(raw, 0),
		       link_message_take_fd(raw, 1) };

	request_answer(t->number, (int)t->status, t->text, t->value, fds, 2);
}

static void take(const struct told *t, struct link_message *raw)
{
	switch (t->kind) {
	case CONTROL_OPENED:
		take_opened(t, raw);
		if (t->answers)
			request_answer(t->answered, STATUS_OK, t->text,
				       t->number, NULL, 0);
		break;
	case CONTROL_HOLD:
		take_hold(t, raw);
		break;
	case CONTROL_SHARED:
		request_answer(t->number, (int)t->status, t->text, t->value,
			       NULL, 0);
		break;
	case CONTROL_REVOKED:
		take_revoked(t);
		break;
	case CONTROL_PIPE:
		take_pipe(t, raw);
		break;
	case CONTROL_FORGET:
		route_forget(t->text);
		break;
	case CONTROL_MOVE:
		provide_move(t->text);
		break;
	case CONTROL_WANT_USE:
		served_tell_use(t->number);
		break;
	case CONTROL_CHILD_ENDED:
		event_child_ended((pid_t)t->pid, t->has_code ? &t->code : NULL,
				  t->has_signal ? &t->signal : NULL);
		break;
	case CONTROL_TRACE:
		trace_set(t->on, t->text, link_message_take_fd(raw, 0));
		break;
	}
}

bool told_take(struct link_message *raw)
{
	struct told t;

	if (told_parse(raw->data, raw->size, &t) < 0)
		return false;
	take(&t, raw);
	return true;
}
