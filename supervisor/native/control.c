/* Step 6, in a native process: what thoxd says is done. */

#include "native/private.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "rpc/control.h"

static void on_signal(struct native *n, struct mp_bytes name)
{
	char signal[32];

	if (n->on_signal && mp_bytes_copy(name, signal, sizeof(signal)) == 0)
		n->on_signal(n, signal, n->signal_user);
}

static int on_hold(struct native *n, const struct native_control *m, int fd)
{
	struct native_link *l;
	int r = native_link_open(n, m, fd, true, &l);

	if (r == 0 && m->zero)
		native_on_zero(n, l);
	return r;
}

static int on_opened(struct native *n, const struct native_control *m, int fd)
{
	struct native_link *l;
	int r = native_link_open(n, m, fd, false, &l);

	if (r == 0)
		native_on_opened(l);
	if (m->answers)
		native_on_shared(n, m);
	return r;
}

/* A link that cannot be had is thoxd's to know, and no reason to end. */
static int refuse(struct native *n, uint64_t number, int r)
{
	struct mp_writer *w = native_begin(n);

	if (r == 0 || r == -EPROTO)
		return r;
	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_LINK_CLOSED);
	mp_write_uint(w, number);
	return native_tell(n);
}

/* This is another thoxd: what the last one may not have read is asked again.
 * Links between processes are what they were; that to thoxd has ended. */
static int renew(struct native *n, uint64_t number)
{
	struct mp_writer *w = native_begin(n);
	int r;

	link_forget_partial(&n->control);
	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_AGAIN_HEARD);
	mp_write_uint(w, number);
	r = native_tell(n);
	if (r == 0)
		r = native_shares_again(n);
	if (r == 0)
		r = native_revocations_again(n);
	if (r < 0 || !n->zero_wanted || n->zero)
		return r;
	n->zero_wanted = false;
	return native_want_zero(n);
}

int native_on_control(struct native *n, struct link_message *raw)
{
	struct native_control m;
	int r = native_control_parse(raw->data, raw->size, raw->n_fds, &m);

	if (r < 0)
		return r;
	switch (m.kind) {
	case CONTROL_HOLD:
		r = on_hold(n, &m, link_message_take_fd(raw, 0));
		return refuse(n, m.link, r);
	case CONTROL_OPENED:
		r = on_opened(n, &m, link_message_take_fd(raw, 0));
		return refuse(n, m.link, r);
	case CONTROL_AGAIN:
		return renew(n, m.id);
	case CONTROL_SHARED:
		native_on_shared(n, &m);
		break;
	case CONTROL_REVOKED:
		native_on_revoked(n, &m);
		break;
	case CONTROL_FORGET:
		native_routes_forget(n, m.name);
		break;
	case CONTROL_MOVE:
		native_on_move(n, m.name);
		break;
	case CONTROL_TRACE:
		native_trace_set(n, &m, link_message_take_fd(raw, 0));
		break;
	case CONTROL_EVENT:
		on_signal(n, m.name);
		break;
	case CONTROL_REFUSED:
		return -ECONNRESET; /* its last message */
	default:
		break; /* hello, notices, children: nothing to do */
	}
	return n->error;
}
