/*
 * Step 4: a connection, what it asks, what it is told.
 */

#include "thoxd/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/attach.h"
#include "thoxd/background.h"
#include "thoxd/message.h"
#include "thoxd/policy.h"
#include "thoxd/request.h"
#include "thoxd/zygote.h"

#define DONE_S	5.0 /* for a client to go after its last message */
#define SWEEP_S 1.0

static void client_free(struct garbage *g)
{
	free(container_of(g, struct client, garbage));
}

static void release(struct client *c)
{
	struct server *s = c->server;

	starter_leave_and_kill(&c->starter, CAUSE_KILLED);
	if (c->background)
		background_client_gone(steal(&c->background));
	request_client_gone(c);
	c->attached = attached_free(c->attached);
	peer_close(&c->peer);
	list_remove(&c->list);
	s->n_clients--;
	if (!c->greeted)
		s->n_new_clients--;
	server_release(s, &c->garbage, client_free);
	zygotes_refill(s);
	server_check_end(s);
}

/* --- what it is told ------------------------------------------------------
 */

static void send_message(struct client *c, const struct mp_writer *w, int fd)
{
	int r;

	if (c->peer.closed)
		return;
	r = peer_send(&c->peer, w, &fd, fd >= 0);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		log_warnx("client pid=%d cannot be told: %s", (int)c->pid,
			  strerror(-r));
	if (r < 0)
		release(c);
}

static void send_hello(struct client *c)
{
	uint8_t buf[64];
	struct mp_writer w;

	c->owed_hello = false;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_HELLO);
	mp_write_uint(&w, CONTROL_VERSION);
	mp_write_str(&w, "thox " PACKAGE_VERSION);
	send_message(c, &w, -1);
}

void client_send_fd(struct client *c, const struct mp_writer *w, int fd)
{
	if (c->owed_hello)
		send_hello(c);
	send_message(c, w, fd);
}

void client_send(struct client *c, const struct mp_writer *w)
{
	client_send_fd(c, w, -1);
}

void client_send_last(struct client *c, const struct mp_writer *w)
{
	c->owed_hello = false;
	send_message(c, w, -1);
}

static void write_refused(struct mp_writer *w, int status, const char *message,
			  const char *hint)
{
	bool hinted = hint && hint[0];

	mp_write_array(w, hinted ? 4 : 3);
	mp_write_uint(w, CONTROL_REFUSED);
	mp_write_int(w, status);
	mp_write_str(w, message);
	if (hinted)
		mp_write_str(w, hint);
}

void client_send_refused(struct client *c, int status, const char *message,
			 const char *hint)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	write_refused(&w, status, message, hint);
	client_send(c, &w);
	mp_writer_deinit(&w);
}

/* It is the client that closes: a socket closed with something unread in it
 * would take the last message back. */
void client_done(struct client *c)
{
	c->done = true;
	c->since = ev_now(c->server->loop);
}

/* --- what it says ---------------------------------------------------------
 */

static int on_hello(struct client *c, const struct client_message *m)
{
	if (c->greeted)
		return -EPROTO;
	c->greeted = true;
	c->server->n_new_clients--;
	c->peer.link.limit_bytes = CONTROL_MESSAGE_BYTES + LINK_RECORD_BYTES;
	c->owed_hello = true;
	if (!c->arrives)
		send_hello(c);
	if (m->version != CONTROL_VERSION && !c->peer.closed) {
		client_send_refused(c, STATUS_INVALID,
				    "this thoxd speaks version 1 of the "
				    "control protocol; restart it after an "
				    "update (thoxctl shutdown)",
				    NULL);
		client_done(c);
	}
	return PEER_MORE; /* what it wants comes right behind */
}

static void start_background(struct client *c, const struct run_spec *spec,
			     struct mp_bytes service, struct link_message *raw)
{
	/* its streams are others than the client's */
	int text_fd = link_message_take_fd(raw, 3);

	background_start(c, spec, service, &text_fd);
	fd_close(text_fd);
}

static int on_run(struct client *c, const struct client_message *m,
		  struct link_message *raw)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	struct run_spec spec = m->run;

	if (c->starter.run || c->background)
		return -EPROTO; /* one run for a connection */
	if (policy_narrow(c->server->exec, "the options of thox-exec", m->allow,
			  m->deny, &policy) < 0) {
		client_send_refused(c, STATUS_INVALID,
				    "what it may is no set of patterns, or too "
				    "many",
				    NULL);
		client_done(c);
		return 0;
	}
	spec.policy = policy;
	if (m->background)
		start_background(c, &spec, m->service, raw);
	else
		client_run(c, &spec, raw);
	return 0;
}

static int on_signal(struct client *c, const struct client_message *m)
{
	struct run *run =
		c->background ? c->background->starter.run : c->starter.run;

	if (run) /* it may have ended meanwhile */
		(void)run_signal(run, m->signal, m->rows, m->columns);
	return 0;
}

static int on_eval(struct client *c, const struct client_message *m)
{
	return c->starter.run ? run_eval(c->starter.run, m->text) : -EPROTO;
}

static int on_message(struct peer *p, struct link_message *raw)
{
	struct client *c = container_of(p, struct client, peer);
	struct client_message m;
	int r;

	if (c->done)
		return 0;
	if (c->attached && principal_takes(raw))
		return principal_message(attached_principal(c->attached), raw);
	r = client_message_parse(raw->data, raw->size, raw->n_fds, &m);
	if (r < 0)
		return r;
	if (!c->greeted && m.kind != CONTROL_HELLO)
		return -EPROTO;
	switch (m.kind) {
	case CONTROL_HELLO:
		return on_hello(c, &m);
	case CONTROL_RUN:
		return on_run(c, &m, raw);
	case CONTROL_SIGNAL:
		return on_signal(c, &m);
	case CONTROL_EVAL:
		return on_eval(c, &m);
	case CONTROL_ATTACH:
		return attach(c, m.name);
	case CONTROL_REQUEST:
		request_handle(c, m.id, m.verb, m.arguments);
		return 0;
	}
	return -EPROTO;
}

static void on_gone(struct peer *p, int error)
{
	struct client *c = container_of(p, struct client, peer);

	if (error != -ECONNRESET && error != -EPIPE)
		log_warnx("client pid=%d uid=%u: %s, closing it", (int)c->pid,
			  (unsigned)c->uid,
			  error == -EPROTO || error == -EBADMSG
				  ? "not a message of the control protocol"
				  : strerror(-error));
	release(c);
}

/* --- who comes ------------------------------------------------------------
 */

static void refuse_fd(struct server *s, int fd, int status, const char *message)
{
	uint8_t buf[512];
	struct mp_writer w;
	struct link l;

	s->counters.refused_connections++;
	mp_writer_init(&w, buf, sizeof(buf));
	write_refused(&w, status, message, NULL);
	link_init(&l, fd);
	(void)link_send(&l, w.data, w.used, NULL, 0);
	link_deinit(&l);
}

static bool may_come(int fd, struct ucred *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &size) == 0 &&
	       (ret->uid == geteuid() || ret->uid == 0);
}

/* The oldest of those that say nothing makes room. */
static void evict_silent(struct server *s)
{
	struct client *c, *after;

	list_each(c, after, &s->clients, list)
	{
		if (c->greeted)
			continue;
		s->counters.refused_connections++;
		client_send_refused(c, STATUS_TOO_LARGE,
				    "too many silent connections", NULL);
		if (!c->peer.closed)
			release(c);
		return;
	}
}

static void client_new(struct server *s, int fd, const struct ucred *who)
{
	struct client *c;

	if (s->n_clients >= s->config.max_connections) {
		refuse_fd(s, fd, STATUS_TOO_LARGE,
			  "too many connections (max-connections in "
			  "thoxd.conf)");
		return;
	}
	if (s->n_new_clients >= CLIENT_NEW_MAX)
		evict_silent(s);
	c = calloc(1, sizeof(*c));
	if (!c) {
		refuse_fd(s, fd, STATUS_ERROR, strerror(ENOMEM));
		return;
	}
	c->server = s;
	c->uid = who->uid;
	c->pid = who->pid;
	c->since = ev_now(s->loop);
	peer_open(&c->peer, s->loop, fd, on_message, on_gone);
	c->peer.link.limit_bytes = CLIENT_SILENT_BYTES;
	list_append(&s->clients, &c->list);
	s->n_clients++;
	s->n_new_clients++;
	s->counters.connections++;
	if (!ev_is_active(&s->hello_timer))
		ev_timer_again(s->loop, &s->hello_timer);
	/* Its first words are often there already. What it wants goes first:
	 * to be greeted wakes it for nothing. Who waits for a program's end is
	 * greeted by on_sweep(), if that has not come by then. */
	c->arrives = true;
	peer_read(&c->peer);
	c->arrives = false;
	if (c->owed_hello && !c->starter.run)
		send_hello(c);
}

/* Without a free descriptor nothing can be accepted, and the queue would wake
 * the loop for ever: the reserve is given up to say no. */
static void refuse_one(struct server *s)
{
	int fd;

	s->reserve_fd = fd_close(s->reserve_fd);
	fd = accept4(s->accept.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		refuse_fd(s, fd, STATUS_TOO_LARGE,
			  "thoxd has no free descriptor");
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct server *s = container_of(io, struct server, accept);
	struct ucred who;
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)loop;
	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(s);
		return;
	}
	if (!may_come(fd, &who)) {
		refuse_fd(s, fd, STATUS_DENIED,
			  "this instance belongs to another user");
		return;
	}
	client_new(s, fd, &who);
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server *s = container_of(timer, struct server, hello_timer);
	struct client *c, *after;

	(void)events;
	list_each(c, after, &s->clients, list)
	{
		double age_s = ev_now(loop) - c->since;

		if ((!c->greeted && age_s > CLIENT_HELLO_S) ||
		    (c->done && age_s > DONE_S))
			release(c);
		else if (c->owed_hello)
			send_hello(c);
	}
	if (list_empty(&s->clients))
		ev_timer_stop(loop, timer);
}

void client_listen(struct server *s, int fd)
{
	fd_set_cloexec(fd, 1);
	fd_set_nonblocking(fd);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ev_timer_init(&s->hello_timer, on_sweep, 0., SWEEP_S);
	ev_io_init(&s->accept, on_accept, fd, EV_READ);
	ev_io_start(s->loop, &s->accept);
}

void client_stop_listening(struct server *s)
{
	ev_io_stop(s->loop, &s->accept);
}
