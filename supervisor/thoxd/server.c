/*
 * Steps 4 to 9, the whole: thoxd begins, is told of changes, ends.
 *
 * The end goes through these stations: no new clients; services stop in their
 * order, other runs are asked to terminate and killed after the grace time;
 * zygotes; the mount; then the keeper is told, which ends the rest and thoxd last.
 */

#include "thoxd/server.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/keeper.h"
#include "thoxd/adopt.h"
#include "thoxd/client.h"
#include "thoxd/request.h"
#include "thoxd/run.h"
#include "thoxd/services/reject.h"
#include "thoxd/services/service.h"
#include "thoxd/zygote.h"

#define TIDY_S 5.0
#define END_S  12.0 /* the whole end; the keeper waits a little longer */

/* --- releasing ------------------------------------------------------------
 */

void server_release(struct server *s, struct garbage *g,
		    void (*free_fn)(struct garbage *g))
{
	g->free = free_fn;
	g->next = s->garbage;
	s->garbage = g;
}

static void on_release(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct server *s = container_of(prepare, struct server, release);

	(void)loop;
	(void)events;
	while (s->garbage) {
		struct garbage *g = s->garbage;

		s->garbage = g->next;
		g->free(g);
	}
}

/* --- the store's changes --------------------------------------------------
 */

struct changes {
	struct server *server;
	bool runtimes;
};

static int on_event(enum store_dir dir, const struct store_entry *entry,
		    void *user)
{
	struct changes *c = user;

	if (dir == DIR_RUNTIMES)
		c->runtimes = true;
	events_store(c->server, dir, entry);
	services_follow(&c->server->services, dir, entry);
	return 0;
}

void server_follow_store(struct server *s)
{
	struct changes c = { .server = s };

	(void)store_follow(s->store, on_event, &c);
	if (c.runtimes)
		zygote_check_versions(s);
}

static void on_watch(struct ev_loop *loop, ev_io *io, int events)
{
	struct server *s = container_of(io, struct server, watch);
	char buf[4096] __attribute__((aligned(8)));

	(void)loop;
	(void)events;
	/* what it says does not matter, only that it says something */
	if (read(io->fd, buf, sizeof(buf)) < 0 && errno != EAGAIN)
		return;
	server_follow_store(s);
}

static void watch_store(struct server *s)
{
	const char *path = store_watch_path(s->store);
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || !path ||
	    inotify_add_watch(fd, path, IN_MODIFY | IN_MOVED_TO | IN_CREATE) <
		    0) {
		log_warn("cannot watch the store, ignoring");
		fd_close(fd);
		return;
	}
	ev_io_init(&s->watch, on_watch, fd, EV_READ);
	ev_io_start(s->loop, &s->watch);
}

/* --- what the next thoxd shall know ---------------------------------------
 */

/* [starts, zygotes, mount point or ""] */
void server_save(struct server *s)
{
	uint8_t buf[PATH_MAX + 64];
	struct mp_writer w;
	bool mounted = s->mount.state == MOUNT_SERVED;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, s->counters.starts);
	mp_write_uint(&w, s->counters.zygotes);
	mp_write_str(&w, mounted ? s->mount.point : "");
	if (mp_writer_end(&w) == 0)
		parent_state(&s->parent, w.data, w.used);
}

static void restore(struct server *s, struct mp_bytes state)
{
	struct mp_reader r;
	uint64_t starts, zygotes;
	struct mp_bytes point;
	char text[PATH_MAX];

	if (state.size == 0)
		return;
	mp_reader_init(&r, state.p, state.size);
	(void)mp_read_array(&r);
	starts = mp_read_uint(&r);
	zygotes = mp_read_uint(&r);
	point = mp_read_str(&r);
	if (mp_end(&r) < 0) {
		log_warnx("the state of an earlier thoxd is damaged, ignoring");
		return;
	}
	s->counters.starts = starts;
	s->counters.zygotes = zygotes;
	if (point.size > 0 && mp_bytes_copy(point, text, sizeof(text)) == 0)
		mount_restore(&s->mount, text);
}

/* --- the beginning --------------------------------------------------------
 */

static ino_t control_inode(const struct server *s)
{
	char path[PATH_MAX + 16];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" INSTANCE_CONTROL, s->instance->run);
	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

/* Without its socket's name nobody can ever reach it again, not even to end
 * it: whoever removed the directory meant the instance, too. */
static void check_reachable(struct server *s)
{
	if (s->ending || s->control_ino == 0 ||
	    control_inode(s) == s->control_ino)
		return;
	log_warnx("the control socket in %s was removed; ending",
		  s->instance->run);
	server_shutdown(s);
}

static void on_tidy(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server *s = container_of(timer, struct server, tidy);

	(void)loop;
	(void)events;
	zygote_tidy(s);
	check_reachable(s);
	if (s->counters.starts != s->saved_starts) {
		s->saved_starts = s->counters.starts;
		server_save(s);
		s->tidied = false;
	}
	/* what many starts at once needed, or taking services over, and nobody
	 * has now */
	if (!s->tidied)
		malloc_trim(0);
	s->tidied = true;
}

void server_kept(struct server *s, const struct keeper_message *kept,
		 struct link_message *m)
{
	if (strcmp(kept->name, "fuse") == 0 && m->n_fds == 1) {
		mount_take_kept(&s->mount, link_message_take_fd(m, 0));
		return;
	}
	if (strncmp(kept->name, LOGS_KEPT, strlen(LOGS_KEPT)) == 0) {
		logs_take_kept(&s->logs, kept, m);
		return;
	}
	if (adopt_take(s, kept, m))
		return;
	log_warnx("the keeper keeps '%s', which nobody knows", kept->name);
	parent_drop(&s->parent, kept->name);
}

void server_begin(struct server *s, struct mp_bytes state, uint64_t restarts)
{
	s->restarts = restarts;
	holdings_begin(s, restarts);
	s->last_key = s->holdings.last_number; /* never used before either */
	restore(s, state);
	watch_store(s);
	client_listen(s, KEEPER_CONTROL_FD);
	s->control_ino = control_inode(s);
	/* or somebody mounted it by hand, before thoxd died */
	if (s->config.mount || s->mount.fuse_fd >= 0)
		(void)mount_start(&s->mount, NULL);
	logs_begin(&s->logs);
	zygote_preload(s);
	services_begin(&s->services);
	ev_timer_again(s->loop, &s->tidy);
	s->begun = true;
	server_check_ready(s);
	log_info("thoxd %s serves %s (store %s)%s", PACKAGE_VERSION,
		 s->instance->run, s->instance->store,
		 restarts ? ", again" : "");
}

/* Clients are served from the first turn on. The starter is told when the
 * first program would not wait, and a `cp` find the mount. */
void server_check_ready(struct server *s)
{
	struct zygote *z = zygote_native(s);

	if (s->ready || !s->begun || !mount_settled(&s->mount) ||
	    (z && z->state == ZYGOTE_LOADING))
		return;
	s->ready = true;
	parent_ready(&s->parent);
}

void server_mount_settled(struct server *s)
{
	request_mount_settled(s);
	server_check_ready(s);
	server_check_end(s);
}

/* --- the end --------------------------------------------------------------
 */

static void on_end(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server *s = container_of(timer, struct server, end_timer);

	(void)events;
	log_warnx("the end takes too long: %u runs, %s; going on", s->n_runs,
		  mount_settled(&s->mount) ? "unmounted" : "still mounted");
	parent_shutdown(&s->parent);
	ev_timer_stop(loop, timer);
}

void server_shutdown(struct server *s)
{
	struct run *run, *after;

	if (s->ending)
		return;
	log_info("shutting down: %u runs", s->n_runs);
	s->ending = true;
	client_stop_listening(s);
	ev_timer_start(s->loop, &s->end_timer);
	services_end(&s->services);
	list_each(run, after, &s->runs, list)
	{
		if (!service_process_of(run))
			(void)run_signal(run, RUN_TERMINATE, 0, 0);
	}
	server_check_end(s);
}

void server_check_end(struct server *s)
{
	if (!s->ending || s->n_runs > 0 || s->ended)
		return;
	if (!s->unmounted) {
		s->unmounted = true;
		zygote_end_all(s);
		mount_stop(&s->mount);
		storaged_end(&s->storaged);
	}
	if (s->mount.state != MOUNT_NONE || !logs_settled(&s->logs) ||
	    !storaged_settled(&s->storaged) ||
	    !rejections_settled(&s->services) || s->ended)
		return;
	s->ended = true;
	logs_end(&s->logs);
	ev_timer_stop(s->loop, &s->end_timer);
	parent_shutdown(&s->parent);
}

void server_reexec(struct server *s)
{
	log_info("ending, to be executed anew");
	s->reexec = true;
	client_stop_listening(s);
	ev_break(s->loop, EVBREAK_ALL);
}

/* What waits for room in their sockets, as far as there is some: the rest is
 * asked for again. */
static void flush_links(struct server *s)
{
	struct principal *p, *after;
	struct client *c, *next;

	list_each(p, after, &s->principals, list)
	{
		if (p->control && !p->control->closed)
			(void)link_flush(&p->control->link);
	}
	list_each(c, next, &s->clients, list)
	{
		if (!c->peer.closed)
			(void)link_flush(&c->peer.link);
	}
}

void server_leave(struct server *s)
{
	if (!s->reexec || s->ended)
		return;
	adopt_flush(&s->services);
	server_save(s);
	parent_reexec(&s->parent);
	parent_flush(&s->parent);
	flush_links(s);
}

/* Without the keeper nobody reaps, and nobody starts thoxd again: end what
 * is known, and what only the keeper would have ended. */
void server_orphaned(struct server *s, int error)
{
	struct run *run, *after;

	log_warnx("the keeper is gone (%s), ending", strerror(-error));
	list_each(run, after, &s->runs, list) run_kill(run, CAUSE_SHUTDOWN);
	zygote_end_all(s);
	mount_abandon(&s->mount);
	s->exit_code = 1;
	ev_break(s->loop, EVBREAK_ALL);
}

void server_init(struct server *s, const struct instance *instance)
{
	*s = (struct server){
		.instance = instance,
		.loop = ev_default_loop(EVFLAG_NOENV),
		.reserve_fd = -1,
		.keeper_pid = getppid(),
		.started_ns = clock_ns(),
	};
	list_init(&s->clients);
	events_init(&s->events);
	list_init(&s->zygotes);
	list_init(&s->failures);
	list_init(&s->runs);
	list_init(&s->backgrounds);
	list_init(&s->mount_requests);
	list_init(&s->logs_requests);
	list_init(&s->principals);
	holdings_init(s);
	bus_init(s);
	ev_prepare_init(&s->release, on_release);
	ev_prepare_start(s->loop, &s->release);
	ev_timer_init(&s->tidy, on_tidy, 0., TIDY_S);
	ev_timer_init(&s->end_timer, on_end, END_S, 0.);
	mount_init(&s->mount, s);
	logs_init(&s->logs, s);
	storaged_init(&s->storaged, s);
}
