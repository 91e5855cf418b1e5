/*
 * Steps 3 and 9: what thoxd asks of its keeper, and what it hears.
 */

#include "thoxd/parent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/keeper.h"
#include "thoxd/server.h"

struct spawning {
	struct list list;
	uint64_t token;
	parent_spawned_fn fn; /* NULL: cancelled */
	void *user;
};

static struct spawning *take(struct parent *p, uint64_t token)
{
	struct spawning *s, *after;

	list_each(s, after, &p->spawning, list)
	{
		if (s->token == token) {
			list_remove(&s->list);
			return s;
		}
	}
	return NULL;
}

static void answered(struct parent *p, const struct keeper_message *k, int fd)
{
	struct spawning *s = take(p, k->token);
	int error = 0;

	if (k->kind == KEEPER_SPAWN_FAILED)
		error = k->error ? -k->error : -EIO;
	if (s && s->fn) {
		s->fn(s->user, k->pid, fd, error);
	} else {
		if (fd >= 0)
			syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		fd_close(fd);
	}
	free(s);
}

static int on_message(struct peer *peer, struct link_message *m)
{
	struct parent *p = container_of(peer, struct parent, peer);
	struct keeper_message k;
	int r = keeper_message_parse(m->data, m->size, m->n_fds, &k);

	if (r < 0)
		return r;
	switch (k.kind) {
	case KEEPER_SPAWNED:
	case KEEPER_SPAWN_FAILED:
		answered(p, &k, link_message_take_fd(m, 0));
		break;
	case KEEPER_EXITED:
		process_exited(&p->server->processes, &k.exit);
		break;
	case KEEPER_KEPT:
		server_kept(p->server, &k, m);
		break;
	case KEEPER_BEGIN:
		server_begin(p->server, k.state, k.restarts);
		break;
	}
	return 0;
}

static void on_gone(struct peer *peer, int error)
{
	struct parent *p = container_of(peer, struct parent, peer);

	server_orphaned(p->server, error);
}

void parent_init(struct parent *p, struct server *s)
{
	*p = (struct parent){ .server = s };
	list_init(&p->spawning);
	fd_set_cloexec(KEEPER_LINK_FD, 1);
	peer_open(&p->peer, s->loop, KEEPER_LINK_FD, on_message, on_gone);
	p->peer.link.queue_limit_bytes = 16U << 20;
}

static void write_spawn(struct mp_writer *w, uint64_t token,
			const struct parent_spawn *spawn)
{
	uint32_t n = 0;

	mp_write_array(w, 6);
	mp_write_uint(w, KEEPER_SPAWN);
	mp_write_uint(w, token);
	mp_write_str(w, spawn->role);
	while (spawn->args && spawn->args[n])
		n++;
	mp_write_array(w, n);
	for (uint32_t i = 0; i < n; i++)
		mp_write_str(w, spawn->args[i]);
	mp_write_array(w, spawn->n_fds);
	for (unsigned i = 0; i < spawn->n_fds; i++)
		mp_write_uint(w, (uint64_t)spawn->numbers[i]);
	mp_write_map(w, spawn->env_name ? 1 : 0);
	if (spawn->env_name) {
		mp_write_str(w, spawn->env_name);
		mp_write_str(w, spawn->env_value);
	}
}

int parent_spawn(struct parent *p, const struct parent_spawn *spawn,
		 parent_spawned_fn fn, void *user)
{
	struct spawning *s = calloc(1, sizeof(*s));
	struct mp_writer w;
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct spawning){ .token = ++p->last_token,
				.fn = fn,
				.user = user };
	mp_writer_init_heap(&w);
	write_spawn(&w, s->token, spawn);
	r = peer_send(&p->peer, &w, spawn->fds, spawn->n_fds);
	mp_writer_deinit(&w);
	if (r < 0) {
		free(s);
		return r;
	}
	list_append(&p->spawning, &s->list);
	return 0;
}

void parent_cancel(struct parent *p, void *user)
{
	struct spawning *s, *after;

	list_each(s, after, &p->spawning, list) if (s->user == user) s->fn =
		NULL;
}

/* These cannot be refused by anybody but a keeper that is gone, and that is
 * noticed by the link itself. */
static void tell(struct parent *p, unsigned kind, const void *data, size_t size)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, data ? 2 : 1);
	mp_write_uint(&w, kind);
	if (data && kind == KEEPER_STATE)
		mp_write_bin(&w, data, size);
	else if (data)
		mp_write_strn(&w, data, size);
	(void)peer_send(&p->peer, &w, NULL, 0);
	mp_writer_deinit(&w);
}

void parent_keep(struct parent *p, const char *name, const void *record,
		 size_t size, pid_t pid, const int *fds, unsigned n_fds)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, KEEPER_KEEP);
	mp_write_str(&w, name);
	mp_write_bin(&w, record, size);
	mp_write_uint(&w, (uint64_t)pid);
	(void)peer_send(&p->peer, &w, fds, n_fds);
	mp_writer_deinit(&w);
}

void parent_drop(struct parent *p, const char *name)
{
	tell(p, KEEPER_DROP, name, strlen(name));
}

void parent_reexec(struct parent *p)
{
	tell(p, KEEPER_REEXEC, NULL, 0);
}

void parent_flush(struct parent *p)
{
	struct pollfd fd = { .fd = p->peer.link.fd, .events = POLLOUT };

	while (!p->peer.closed && link_has_queued(&p->peer.link)) {
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return;
		if (link_flush(&p->peer.link) < 0)
			return; /* it is gone, and everything with it */
	}
}

void parent_state(struct parent *p, const void *data, size_t size)
{
	tell(p, KEEPER_STATE, data, size);
}

void parent_ready(struct parent *p)
{
	tell(p, KEEPER_READY, NULL, 0);
}

void parent_shutdown(struct parent *p)
{
	tell(p, KEEPER_SHUTDOWN, NULL, 0);
}

void parent_failed(struct parent *p, const char *message)
{
	tell(p, KEEPER_FAILED, message, strlen(message));
}
