/*
 * Step 9: a link is made and handed out.
 *
 * Whoever is told first may act first, and the holder's first message waits
 * in the socket until the owner has its end. When the owner cannot be told
 * any more, the holder has the end of a dead link, which its runner gives
 * back before any program sees it.
 */

#include "thoxd/making.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/adopt.h"
#include "thoxd/policy.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

#define RETRY_S 0.02 /* until descriptors are looked for again */

/* --- sockets --------------------------------------------------------------
 */

/* Conditions that pass: others use what there is. */
static int soften(int error)
{
	switch (error) {
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
	case -ETOOMANYREFS:
		return -EAGAIN;
	case -ECONNRESET:
		return -EPIPE;
	}
	return error;
}

/* Two of the largest records may be under way: more makes nothing faster, and
 * is memory of the kernel that nobody accounts for. */
int making_pair(int ret_fds[2])
{
	/* the kernel doubles it */
	static const int bytes = PRINCIPAL_LINK_BYTES / 2;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return soften(-errno);
	for (int i = 0; i < 2; i++)
		(void)setsockopt(ret_fds[i], SOL_SOCKET, SO_SNDBUF, &bytes,
				 sizeof(bytes));
	return 0;
}

/*
 * A process that was reaped has no PID any more that could be signalled; the
 * kernel then remembers the process, not the number.
 */
void making_point(const struct principal *p, int fd)
{
	if (!p->process || process_signal(p->process, 0) < 0)
		return;
	(void)fcntl(fd, F_SETOWN, p->process->pid);
	(void)fcntl(fd, F_SETFL, O_RDWR | O_ASYNC);
}

/* --- telling --------------------------------------------------------------
 */

int making_tell_holder(const struct holding *h, bool zero, int fd, int file)
{
	const int fds[] = { fd, file };
	const struct principal *owner = h->context ? h->context->owner : NULL;
	uint8_t buf[128];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_HOLD);
	mp_write_uint(&w, h->number);
	mp_write_map(&w, 1u + zero + (h->over != 0) + (file >= 0));
	if (owner) {
		mp_write_str(&w, "pid");
		mp_write_int(&w, owner->pid);
	} else {
		mp_write_str(&w, "resolves");
		mp_write_bool(&w, true);
	}
	if (zero) {
		mp_write_str(&w, "zero");
		mp_write_bool(&w, true);
	}
	if (h->over) {
		mp_write_str(&w, "over");
		mp_write_uint(&w, h->over);
	}
	if (file >= 0) {
		mp_write_str(&w, "file");
		mp_write_bool(&w, true);
	}
	return principal_send(h->holder, &w, fds, file >= 0 ? 2 : 1);
}

/* What another program of that name kept is not its. */
static uint64_t since_of(const struct principal *p)
{
	const struct server *s = p->server;
	uint64_t since = 0;

	(void)store_since(s->store, DIR_PROGRAMS, p->storage, p->version,
			  (int64_t)s->config.absence_ms * 1000000, &since);
	return since;
}

/* @answers: the id of what that answers, or NULL. */
static int tell_owner(const struct holding *h, const uint64_t *answers, int fd)
{
	const struct context *c = h->context;
	/* Who calls by the name has a storage; a context is one's already. */
	const char *storage =
		c->owner->daemon && !c->number ? h->as->storage : NULL;
	struct mp_writer grants, w;
	uint64_t bytes = storage ? h->as->storage_bytes : 0;
	uint64_t since = storage ? since_of(h->as) : 0;
	bool granted;
	int r;

	mp_writer_init_heap(&grants);
	granted = policy_write_grants(h->grant, c->name, &grants);
	mp_writer_init_heap(&w);
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_OPENED);
	mp_write_uint(&w, h->number);
	mp_write_map(&w, 1 + principal_identity_keys(h->as) + granted +
				 (answers != NULL) + (storage != NULL) +
				 (bytes > 0) + (since > 0));
	mp_write_str(&w, c->number ? "context" : "name");
	if (c->number)
		mp_write_uint(&w, c->number);
	else
		mp_write_str(&w, c->name);
	principal_write_identity(h->as, &w);
	if (answers) {
		mp_write_str(&w, "answers");
		mp_write_uint(&w, *answers);
	}
	if (storage) {
		mp_write_str(&w, "storage");
		mp_write_str(&w, storage);
	}
	if (bytes > 0) {
		mp_write_str(&w, "storage_bytes");
		mp_write_uint(&w, bytes);
	}
	if (since > 0) {
		mp_write_str(&w, "storage_since");
		mp_write_uint(&w, since);
	}
	if (granted) {
		mp_write_str(&w, "grants");
		mp_write_raw(&w, grants.data, grants.used);
	}
	r = mp_writer_end(&grants);
	r = r ? r : principal_send(c->owner, &w, &fd, 1);
	mp_writer_deinit(&grants);
	mp_writer_deinit(&w);
	return r;
}

static int hand_out(const struct holding *h, const struct making *m)
{
	_cleanup_(fd_closep) int theirs = -1, owners = -1;
	const uint64_t *answers = m->answers;
	int pair[2];
	int r = making_pair(pair);

	if (r < 0)
		return r;
	theirs = pair[0];
	owners = pair[1];
	making_point(h->holder, theirs);
	making_point(h->context->owner, owners);
	r = making_tell_holder(h, m->zero, theirs, m->file ? *m->file : -1);
	if (r < 0)
		return r;
	if (principal_busy(h->holder)) /* the message is still here */
		answers = NULL;
	r = tell_owner(h, answers, owners);
	if (r == 0 && answers)
		*m->answered = true;
	return r;
}

/* --- making ---------------------------------------------------------------
 */

/* Somebody who has to read first. */
static struct principal *blocked(struct principal *owner,
				 struct principal *receiver)
{
	if (principal_busy(receiver))
		return receiver;
	return owner && principal_busy(owner) ? owner : NULL;
}

static int claim_room(struct holding *h, const struct principal *wisher)
{
	int r = holding_claim(h, wisher, h->holder);

	if (r < 0)
		return r;
	if (h->through && h->through->holder->n_passed > PRINCIPAL_PASSED_MAX)
		return -EDQUOT;
	r = holding_claim(h, wisher, h->context->owner);
	return r == -ENOSPC ? -EUSERS : r;
}

int making_link(const struct making *m, struct holding **ret_link,
		struct principal **ret_wait)
{
	struct principal *owner = m->context->owner;
	struct principal *wait = blocked(owner, m->receiver);
	struct holding *h;
	int r;

	*ret_wait = wait;
	if (wait)
		return -EAGAIN;
	if (!owner->control || !m->receiver->control)
		return -EPIPE;
	h = holding_new(m->receiver->server, HOLDING_LINK, m->context,
			m->receiver, m->as, m->through, m->grant);
	if (!h)
		return -ENOMEM;
	h->over = m->over;
	h->routed = m->routed;
	r = claim_room(h, m->wisher);
	if (r == 0)
		adopt_keep_link(h, -1, m->zero);
	r = r ? r : soften(hand_out(h, m));
	if (r < 0) {
		holding_free(h);
		return r;
	}
	*ret_link = h;
	return 0;
}

/* Either the number stays, or the right. */
static int make_of_right(struct holding *right, struct principal *receiver)
{
	static const struct making plain;
	int r;

	holding_become_link(right);
	r = claim_room(right, receiver);
	if (r == 0)
		adopt_keep_link(right, -1, false);
	r = r ? r : soften(hand_out(right, &plain));
	if (r < 0)
		holding_become_right(right);
	return r;
}

int making_link_of_right(struct holding *right, struct principal *receiver,
			 struct principal **ret_wait)
{
	struct principal *owner = right->context ? right->context->owner : NULL;
	struct principal *wait = blocked(owner, receiver);

	*ret_wait = wait;
	if (wait)
		return -EAGAIN;
	if (!receiver->control || (owner && !owner->control))
		return -EPIPE;
	return owner ? make_of_right(right, receiver)
		     : zero_make_of_right(right);
}

int making_status(int error)
{
	switch (error) {
	case -EPIPE:
		return STATUS_CLOSED;
	case -ENOSPC:
	case -EUSERS:
	case -EDQUOT:
	case -E2BIG:
		return STATUS_TOO_LARGE;
	}
	return STATUS_ERROR;
}

const char *making_text(int error)
{
	switch (error) {
	case -EPIPE:
		return "its owner or its receiver is gone";
	case -ENOSPC:
		return "the receiver has no room for more links";
	case -EUSERS:
		return "the owner has no room for more links";
	case -EDQUOT:
		return "too many links came through this process";
	case -E2BIG:
		return "too many contexts are shared at once";
	case -ENOMEM:
		return "thoxd has no memory";
	}
	return "the link cannot be made";
}

/* --- waiting --------------------------------------------------------------
 */

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server *s = container_of(timer, struct server, holdings.retry);

	(void)events;
	ev_timer_stop(loop, timer);
	waiters_go(&s->holdings.starved);
}

void making_init(struct server *s)
{
	ev_timer_init(&s->holdings.retry, on_retry, RETRY_S, 0.);
}

void making_wait(struct server *s, struct principal *who, struct waiter *w)
{
	if (who) {
		principal_wait(who, w);
		return;
	}
	list_append(&s->holdings.starved, &w->list);
	if (!ev_is_active(&s->holdings.retry)) {
		ev_timer_set(&s->holdings.retry, RETRY_S, 0.);
		ev_timer_start(s->loop, &s->holdings.retry);
	}
}
