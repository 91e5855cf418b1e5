/* Step 10, in thoxd: who keeps what programs keep. */

#include "thoxd/storaged.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/storaged.h"
#include "rpc/wire.h"
#include "thoxd/adopt.h"
#include "thoxd/message.h"
#include "thoxd/server.h"

#define AGAIN_S 2.0 /* after one that ended before it served */

/* --- names ----------------------------------------------------------------
 */

bool storaged_provides(struct mp_bytes name)
{
	return wire_below(name, STORAGED_NAME, strlen(STORAGED_NAME));
}

bool storaged_own(struct mp_bytes name)
{
	return storaged_provides(name) &&
	       !wire_below(name, STORAGED_OPEN, strlen(STORAGED_OPEN)) &&
	       !wire_below(name, STORAGED_ADMIN, strlen(STORAGED_ADMIN));
}

/* --- its end --------------------------------------------------------------
 */

static void over(struct storaged *d)
{
	struct server *s = d->server;

	if (d->begun)
		principal_end(&d->principal);
	adopt_drop_storaged(d);
	peer_close(&d->peer);
	if (!d->bound)
		d->failed = ev_now(s->loop);
	d->running = d->begun = d->bound = d->renewing = false;
	waiters_go(&d->waiters);
	server_check_end(s);
}

static void on_process_exit(struct process *p, const struct process_exit *exit)
{
	struct storaged *d = container_of(p, struct storaged, process);

	if (!d->server->ending)
		log_warnx("thox-storaged pid=%d ended (wait status 0x%x); "
			  "the next call starts it again",
			  (int)exit->pid, (unsigned)exit->status);
	over(d);
}

/* --- its life -------------------------------------------------------------
 */

static int on_message(struct peer *p, struct link_message *m)
{
	struct storaged *d = container_of(p, struct storaged, peer);
	struct runner_message said;

	if (d->renewing && runner_message_comes_again(m))
		return 0;
	if (principal_takes(m))
		return principal_message(&d->principal, m);
	if (runner_message_parse(m->data, m->size, m->n_fds, &said) < 0 ||
	    said.kind != CONTROL_AGAIN_HEARD)
		return -EPROTO;
	return peer_heard_again(p, &d->renewing, said.id, d->server->restarts);
}

static void on_gone(struct peer *p, int error)
{
	struct storaged *d = container_of(p, struct storaged, peer);

	if (error != -ECONNRESET && error != -EPIPE)
		log_warnx("thox-storaged sent what is no message; it is ended");
	(void)process_signal(&d->process, SIGKILL);
}

static void on_bound(struct principal *p, const char *name)
{
	struct storaged *d = container_of(p, struct storaged, principal);

	(void)name;
	d->bound = true;
	waiters_go(&d->waiters);
}

static const struct principal_ops ops = { .bound = on_bound };

/* False: it has ended already. */
static bool begin(struct storaged *d, pid_t pid, int pidfd)
{
	struct principal *p = &d->principal;

	process_add(&d->server->processes, &d->process, pid, pidfd,
		    on_process_exit);
	if (d->process.pid == 0)
		return false;
	principal_init(p, d->server, &ops, 0, 0);
	p->program = "thox-storaged";
	p->daemon = true;
	p->links_max = STORAGED_LINKS_MAX;
	principal_begin(p, &d->peer, pid, NULL);
	d->begun = true;
	return true;
}

static void on_spawned(void *user, pid_t pid, int pidfd, int error)
{
	struct storaged *d = user;

	if (error < 0) {
		log_warnx("thox-storaged cannot be started: %s",
			  strerror(-error));
		over(d);
		return;
	}
	if (!begin(d, pid, pidfd))
		return;
	adopt_keep_storaged(d);
	peer_resume(&d->peer);
}

static int start(struct storaged *d)
{
	_cleanup_(fd_closep) int theirs = -1;
	static const int number = STORAGED_LINK_FD;
	struct server *s = d->server;
	const char *args[] = { s->instance->store, NULL };
	struct parent_spawn spawn = { .role = "storaged",
				      .args = args,
				      .fds = &theirs,
				      .numbers = &number,
				      .n_fds = 1 };
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	theirs = pair[1];
	peer_open(&d->peer, s->loop, pair[0], on_message, on_gone);
	/* It may speak before the keeper has told who it is. */
	peer_hold(&d->peer);
	r = parent_spawn(&s->parent, &spawn, on_spawned, d);
	if (r < 0) {
		peer_close(&d->peer);
		return r;
	}
	d->running = true;
	d->started = ev_now(s->loop);
	return 0;
}

/* --- of an earlier thoxd's ------------------------------------------------
 */

void storaged_adopt(struct storaged *d, uint64_t key, pid_t pid, int *fds)
{
	d->running = d->renewing = true;
	d->principal.kept = key; /* to be dropped, should it have ended */
	peer_open(&d->peer, d->server->loop, steal_fd(&fds[0]), on_message,
		  on_gone);
	d->peer.link.resumed = true;
	if (begin(d, pid, steal_fd(&fds[1])))
		d->principal.kept = key;
}

bool storaged_adopted(struct storaged *d)
{
	if (!d->begun)
		return false;
	d->bound = !list_empty(&d->principal.providers);
	/* its call to bind the name was lost with the last thoxd */
	if (!d->bound)
		(void)process_signal(&d->process, SIGKILL);
	return d->bound;
}

int storaged_wait(struct storaged *d, struct waiter *w)
{
	double now = ev_now(d->server->loop);
	int r;

	if (d->server->ending)
		return -ECHILD;
	if (!d->running) {
		if (d->failed > 0 && now - d->failed < AGAIN_S)
			return -ECHILD;
		r = start(d);
		if (r < 0) {
			log_warnx("thox-storaged cannot be started: %s",
				  strerror(-r));
			d->failed = now;
			return -ECHILD;
		}
	}
	list_append(&d->waiters, &w->list);
	return 0;
}

void storaged_init(struct storaged *d, struct server *s)
{
	*d = (struct storaged){ .server = s };
	d->process.pidfd = -1;
	list_init(&d->waiters);
}

void storaged_end(struct storaged *d)
{
	if (!d->running)
		return;
	if (d->begun)
		principal_end(&d->principal);
	d->begun = false;
	/* The keeper has our end of its link, too: it ends when both are closed. */
	adopt_drop_storaged(d);
	peer_close(&d->peer);
	waiters_go(&d->waiters);
}

bool storaged_settled(const struct storaged *d)
{
	return !d->running;
}
