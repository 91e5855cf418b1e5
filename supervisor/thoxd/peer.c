/*
 * Step 4 and all later ones: messages come in and go out.
 */

#include "thoxd/peer.h"

#include <errno.h>

#include "base/util.h"

static int wanted_events(const struct peer *p)
{
	bool waits = link_has_queued(&p->link);

	return (p->held || (p->patient && waits) ? 0 : EV_READ) |
	       (waits ? EV_WRITE : 0);
}

static void set_events(struct peer *p)
{
	int events = wanted_events(p);
	int now =
		ev_is_active(&p->io) ? p->io.events & (EV_READ | EV_WRITE) : 0;

	if (now == events)
		return;
	ev_io_stop(p->loop, &p->io);
	ev_io_set(&p->io, p->link.fd, events);
	if (events)
		ev_io_start(p->loop, &p->io);
}

static void gone(struct peer *p, int error)
{
	peer_close(p);
	p->on_gone(p, error);
}

void peer_read(struct peer *p)
{
	struct link_message m;
	int r;

	do {
		r = link_receive(&p->link, false, &m);
		if (r == 0)
			return;
		if (r > 0) {
			r = p->on_message(p, &m);
			link_message_deinit(&m);
		}
		if (p->closed)
			return;
		if (r < 0)
			gone(p, r);
	} while (r == PEER_MORE && (wanted_events(p) & EV_READ));
}

void peer_drain(struct peer *p, unsigned most)
{
	for (unsigned i = 0; i < most && !p->closed; i++)
		peer_read(p);
}

int peer_heard_again(struct peer *p, bool *renewing, uint64_t number,
		     uint64_t ours)
{
	if (!*renewing || number > ours)
		return -EPROTO;
	if (number == ours)
		*renewing = p->link.resumed = false;
	return 0;
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct peer *p = container_of(io, struct peer, io);

	(void)loop;
	if (events & EV_WRITE) {
		int r = link_flush(&p->link);

		if (r < 0) {
			gone(p, r);
			return;
		}
		set_events(p);
		if (!link_has_queued(&p->link) && p->on_flushed)
			p->on_flushed(p);
	}
	if ((events & EV_READ) && !p->closed)
		peer_read(p);
}

void peer_open(struct peer *p, struct ev_loop *loop, int fd,
	       peer_message_fn on_message, peer_gone_fn on_gone)
{
	*p = (struct peer){
		.loop = loop,
		.on_message = on_message,
		.on_gone = on_gone,
	};
	link_init(&p->link, fd);
	ev_io_init(&p->io, on_io, fd, EV_READ);
	ev_io_start(loop, &p->io);
}

void peer_hold(struct peer *p)
{
	p->held = true;
	set_events(p);
}

void peer_resume(struct peer *p)
{
	p->held = false;
	if (!p->closed)
		set_events(p);
}

void peer_close(struct peer *p)
{
	if (p->closed || !p->loop)
		return;
	p->closed = true;
	ev_io_stop(p->loop, &p->io);
	link_deinit(&p->link);
}

int peer_send(struct peer *p, const struct mp_writer *w, const int *fds,
	      unsigned n_fds)
{
	int r = mp_writer_end(w);

	if (r < 0)
		return r;
	if (p->closed || !p->loop)
		return -EPIPE;
	r = link_send(&p->link, w->data, w->used, fds, n_fds);
	if (r == 0)
		set_events(p);
	return r;
}
