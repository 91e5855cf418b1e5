/*
 * Step 9: a process talks to thoxd over its context 0.
 *
 * The socket's end, a broken message and the holder's own CONTROL_LINK_CLOSED
 * all close the holding, and the holding closes this. So each way of ending
 * goes through zero_close(), once.
 */

#include "thoxd/zero.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/adopt.h"
#include "thoxd/bus.h"
#include "thoxd/holding.h"
#include "thoxd/making.h"
#include "thoxd/native.h"
#include "thoxd/policy.h"
#include "thoxd/resolve.h"

#define LAST_WORDS_MAX 1024 /* more than a socket holds, mostly */

/* --- its end --------------------------------------------------------------
 */

static void zero_free(struct garbage *g)
{
	free(container_of(g, struct zero, garbage));
}

void zero_close(struct zero *z)
{
	z->holding = NULL;
	peer_close(&z->peer);
	while (!list_empty(&z->calls))
		native_drop(list_first(&z->calls, struct native_call, list));
	bus_zero_gone(z);
	while (!list_empty(&z->rights))
		holding_free(list_first(&z->rights, struct holding, of_call));
	list_remove(&z->of_as);
	z->as->n_zeros--;
	server_release(z->server, &z->garbage, zero_free);
}

static void on_gone(struct peer *p, int error)
{
	struct zero *z = container_of(p, struct zero, peer);

	(void)error; /* whoever breaks the rules loses the link, no more */
	if (z->holding)
		holding_close(z->holding);
}

/* --- what comes -----------------------------------------------------------
 */

static void on_listen(struct zero *z, const struct wire_message *m)
{
	if (m->on && !policy_admits(z->as->policy, POLICY_CALL, m->name, NULL))
		return;
	(void)bus_listen(z, m->name, m->on);
}

/* While the holder has not heard that this is another thoxd: what it will not
 * say again, and that it has heard. */
static bool comes_once(const struct zero *z, const struct wire_message *m)
{
	if (m->kind == WIRE_HELLO)
		return m->again == z->server->restarts;
	return m->kind == WIRE_PUSH || m->kind == WIRE_LISTEN;
}

static int on_message(struct peer *p, struct link_message *raw)
{
	struct zero *z = container_of(p, struct zero, peer);
	struct wire_message m;
	int r = wire_parse(raw->data, raw->size, &m);

	if (r < 0)
		return r;
	if (z->renewing && !comes_once(z, &m))
		return 0;
	if (z->last && m.kind != WIRE_HELLO && m.kind != WIRE_PUSH)
		return 0; /* nobody waits for it */
	if (z->greeted == (m.kind == WIRE_HELLO) && !z->renewing)
		return -EPROTO;
	switch (m.kind) {
	case WIRE_HELLO:
		z->greeted = true;
		z->renewing = p->link.resumed = false;
		z->message_bytes = m.message_bytes;
		return PEER_MORE;
	case WIRE_CALL:
		return native_call(z, &m);
	case WIRE_RESOLVE:
		return resolve(z, &m);
	case WIRE_CANCEL:
		native_cancel(z, m.cid);
		return 0;
	case WIRE_PUSH:
		bus_push(z, m.name, m.args);
		return 0;
	case WIRE_LISTEN:
		on_listen(z, &m);
		return 0;
	}
	/* answers: thoxd calls nobody; others: of a newer release */
	return 0;
}

static struct zero *next_unread(struct principal *p)
{
	struct holding *h, *after;

	list_each(h, after, &p->held,
		  of_holder) if (h->zero && !h->zero->last) return h->zero;
	return NULL;
}

void zero_last_words(struct principal *p)
{
	struct zero *z;

	/* What one says may close others: looked for anew each time. */
	while ((z = next_unread(p))) {
		z->last = true;
		peer_drain(&z->peer, LAST_WORDS_MAX);
	}
}

/* --- what goes ------------------------------------------------------------
 */

int zero_send(struct zero *z, const struct mp_writer *w)
{
	return peer_send(&z->peer, w, NULL, 0);
}

bool zero_busy(const struct zero *z)
{
	return !z->peer.closed && link_has_queued(&z->peer.link);
}

static void say_hello(struct zero *z)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_hello_again(&w, ZERO_MESSAGE_BYTES,
			       z->adopted ? z->server->restarts : 0);
	(void)zero_send(z, &w);
}

/* --- making one -----------------------------------------------------------
 */

/* Takes @fd. */
static void begin(struct zero *z, struct holding *h, int fd)
{
	z->server = h->server;
	z->holding = h;
	z->number = h->number;
	z->as = h->as;
	z->holder = h->holder;
	z->message_bytes = LINK_MESSAGE_BYTES;
	list_init(&z->calls);
	list_init(&z->listens);
	list_init(&z->rights);
	list_append(&z->as->zeros, &z->of_as);
	z->as->n_zeros++;
	peer_open(&z->peer, z->server->loop, fd, on_message, on_gone);
	z->peer.patient = true;
	z->peer.link.bytes_only = true;
	z->peer.link.limit_bytes = ZERO_MESSAGE_BYTES;
	z->peer.link.queue_limit_bytes = ZERO_QUEUE_BYTES;
	h->zero = z;
	say_hello(z);
}

/* The socket, of which the holder gets an end. */
static int open_zero(struct holding *h, bool zero)
{
	_cleanup_(fd_closep) int theirs = -1, ours = -1;
	struct zero *z;
	int pair[2];
	int r = making_pair(pair);

	if (r < 0)
		return r;
	theirs = pair[0];
	ours = pair[1];
	z = calloc(1, sizeof(*z));
	if (!z)
		return -ENOMEM;
	adopt_keep_link(h, ours, zero);
	making_point(h->holder, theirs);
	r = making_tell_holder(h, zero, theirs, -1);
	if (r < 0) {
		free(z);
		return r;
	}
	begin(z, h, steal_fd(&ours));
	return 0;
}

int zero_restore(struct holding *h, int *fd)
{
	struct zero *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	z->adopted = z->renewing = true;
	begin(z, h, steal_fd(fd));
	z->peer.link.resumed = true;
	return 0;
}

static int check_room(struct principal *holder, const struct principal *as,
		      struct principal **ret_wait)
{
	*ret_wait = NULL;
	if (!holder->control)
		return -EPIPE;
	if (principal_busy(holder)) {
		*ret_wait = holder;
		return -EAGAIN;
	}
	return as->n_zeros < PRINCIPAL_ZEROS_MAX ? 0 : -ENOSPC;
}

struct wish {
	struct principal *holder;
	struct principal *as;
	struct principal *wisher;
	struct holding *through;
	uint64_t over;
	bool zero;
};

static int make(const struct wish *wish, struct holding **ret_link,
		struct principal **ret_wait)
{
	struct holding *h;
	int r = check_room(wish->holder, wish->as, ret_wait);

	if (r < 0)
		return r;
	h = holding_new(wish->holder->server, HOLDING_LINK, NULL, wish->holder,
			wish->as, wish->through, NULL);
	if (!h)
		return -ENOMEM;
	h->over = wish->over;
	r = holding_claim(h, wish->wisher, wish->holder);
	r = r ? r : open_zero(h, wish->zero);
	if (r < 0) {
		holding_free(h);
		return r;
	}
	*ret_link = h;
	return 0;
}

int zero_make(struct principal *holder, struct principal *as, uint64_t over,
	      uint64_t *ret_number, struct principal **ret_wait)
{
	struct wish wish = {
		.holder = holder,
		.as = as,
		.wisher = holder,
		.over = over,
	};
	struct holding *h;
	int r = make(&wish, &h, ret_wait);

	if (r == 0)
		*ret_number = h->number;
	return r;
}

int zero_share(struct holding *held, struct principal *receiver, uint64_t over,
	       uint64_t *ret_number, struct principal **ret_wait)
{
	struct wish wish = {
		.holder = receiver,
		.as = held->as,
		.wisher = held->holder,
		.through = held,
		.over = over,
	};
	struct holding *h;
	int r = make(&wish, &h, ret_wait);

	if (r == 0)
		*ret_number = h->number;
	return r;
}

int zero_make_of_right(struct holding *right)
{
	struct principal *wait;
	int r = check_room(right->holder, right->as, &wait);

	if (r < 0)
		return r;
	holding_become_link(right);
	r = holding_claim(right, right->holder, right->holder);
	r = r ? r : open_zero(right, false);
	if (r < 0)
		holding_become_right(right);
	return r;
}

/* --- context 0 ------------------------------------------------------------
 */

struct zero_want {
	struct waiter waiter;
	struct principal *principal;
};

static int make_base(struct principal *p, struct principal **ret_wait)
{
	struct making m = {
		.context = p->base->context,
		.receiver = p,
		.as = p,
		.wisher = p,
		.through = p->base,
		.zero = true,
	};
	struct wish wish = {
		.holder = p,
		.as = p->base->as,
		.wisher = p,
		.through = p->base,
		.zero = true,
	};
	struct holding *h;
	int r = m.context ? making_link(&m, &h, ret_wait)
			  : make(&wish, &h, ret_wait);

	if (r == 0)
		p->zero = h;
	return r;
}

/* It cannot have one, such as what it was given that is gone: instead it gets
 * the end of a link that is closed. */
static int tell_dead(struct principal *p)
{
	struct holding *h;
	int pair[2];
	int r = making_pair(pair);

	if (r < 0)
		return r;
	fd_close(pair[1]);
	h = holding_new(p->server, HOLDING_LINK, NULL, p, p, NULL, NULL);
	r = h ? making_tell_holder(h, true, pair[0], -1) : -ENOMEM;
	fd_close(pair[0]);
	if (h)
		holding_free(h);
	return r;
}

static int make_zero(struct principal *p, struct principal **ret_wait)
{
	struct wish wish = {
		.holder = p,
		.as = p,
		.wisher = p,
		.zero = true,
	};
	int r;

	if (!p->based)
		r = make(&wish, &p->zero, ret_wait);
	else
		r = p->base ? make_base(p, ret_wait) : -EPIPE;
	if (r == -EAGAIN || r == 0)
		return r;
	*ret_wait = NULL;
	return tell_dead(p);
}

static int try_want(struct zero_want *want)
{
	struct principal *p = want->principal, *wait = NULL;
	int r = make_zero(p, &wait);

	if (r == -EAGAIN) {
		making_wait(p->server, wait, &want->waiter);
		return 0;
	}
	zero_principal_gone(p); /* it is over */
	return r;
}

static void on_go(struct waiter *w)
{
	/* what cannot be sent is the control link's own trouble */
	(void)try_want(container_of(w, struct zero_want, waiter));
}

/* One of an earlier thoxd's may have been made and never told of. */
static void forget_untold(struct principal *p)
{
	if (p->zero && p->zero->zero && p->zero->zero->renewing)
		holding_close(p->zero);
}

int zero_want(struct principal *p)
{
	forget_untold(p);
	if (p->zero || p->wants_zero)
		return -EPROTO;
	p->wants_zero = calloc(1, sizeof(*p->wants_zero));
	if (!p->wants_zero)
		return -ENOMEM;
	p->wants_zero->waiter.go = on_go;
	list_init(&p->wants_zero->waiter.list);
	p->wants_zero->principal = p;
	return try_want(p->wants_zero);
}

void zero_principal_gone(struct principal *p)
{
	if (!p->wants_zero)
		return;
	list_remove(&p->wants_zero->waiter.list);
	free(steal(&p->wants_zero));
}
