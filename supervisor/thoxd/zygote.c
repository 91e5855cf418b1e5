/*
 * Step 5: a zygote is started, forks, and is replaced.
 *
 *	LOADING -> READY -> RETIRED
 *
 * Every way to RETIRED leads through retire(): the process is killed, who
 * waited is told, the pool is given up. The struct goes when the process and
 * all its runners are gone.
 */

#include "thoxd/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/message.h"
#include "thoxd/orphan.h"
#include "thoxd/run.h"
#include "thoxd/runner.h"

#define REFILL_S      0.002  /* idle for so long: fill the pool */
#define GIVEN_S	      0.0002 /* a start is under way so long, if not longer */
#define FAILURE_S     1.0    /* not tried again for so long, at first */
#define FAILURE_MAX_S 60.0
#define MESSAGE_BYTES 512
/* CPU time that a zygote may use: to load, and for each start. */
#define CPU_LOAD_S  30.0
#define CPU_START_S 0.005

/* A runtime that failed: not tried again until its time. */
struct failure {
	struct list list;
	char runtime[NAME_MAX_BYTES + 1];
	uint64_t id;
	double until;
	double delay_s;
	char message[MESSAGE_BYTES];
};

static struct zygote *zygote_of(struct peer *p)
{
	return container_of(p, struct zygote, peer);
}

/* --- failures -------------------------------------------------------------
 */

static struct failure *find_failure(struct server *s, const char *runtime,
				    uint64_t id)
{
	struct failure *f, *after;

	list_each(f, after, &s->failures,
		  list) if (f->id == id &&
			    strcmp(f->runtime, runtime) == 0) return f;
	return NULL;
}

static void remember_failure(struct zygote *z, const char *message)
{
	struct server *s = z->server;
	struct failure *f = find_failure(s, z->runtime, z->id);

	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return;
		strcpy(f->runtime, z->runtime);
		f->id = z->id;
		list_append(&s->failures, &f->list);
	}
	f->delay_s = f->delay_s > 0 ? f->delay_s * 2 : FAILURE_S;
	if (f->delay_s > FAILURE_MAX_S)
		f->delay_s = FAILURE_MAX_S;
	f->until = ev_now(s->loop) + f->delay_s;
	snprintf(f->message, sizeof(f->message), "%s", message);
}

static void forget_failure(struct server *s, const char *runtime, uint64_t id)
{
	struct failure *f = find_failure(s, runtime, id);

	if (!f)
		return;
	list_remove(&f->list);
	free(f);
}

/* --- the end --------------------------------------------------------------
 */

static void zygote_free(struct garbage *g)
{
	struct zygote *z = container_of(g, struct zygote, garbage);

	free(z->lua);
	free(z->layers);
	free(z);
}

static void check_gone(struct zygote *z)
{
	if (z->state != ZYGOTE_RETIRED || z->n_runners > 0 ||
	    z->process.pid != 0 || list_empty(&z->list))
		return;
	list_remove(&z->list);
	server_release(z->server, &z->garbage, zygote_free);
	server_check_end(z->server);
}

void zygote_runner_gone(struct zygote *z)
{
	check_gone(z);
}

static void refuse_waiting(struct zygote *z, const char *message)
{
	struct runner *r, *after;
	struct run *run;

	while (!list_empty(&z->waiting)) {
		run = list_first(&z->waiting, struct run, waiting);
		list_remove(&run->waiting);
		run_refuse(run, STATUS_ERROR, message, NULL);
	}
	list_each(r, after, &z->forking, list)
	{
		if (r->run)
			run_refuse(steal(&r->run), STATUS_ERROR, message, NULL);
		runner_drop(r);
	}
}

/* @message: what whoever waits for it is told. */
static void retire(struct zygote *z, const char *message)
{
	struct runner *r, *after;

	if (z->state == ZYGOTE_RETIRED)
		return;
	log_debug("zygote pid=%d of '%s' retires: %s", (int)z->process.pid,
		  z->runtime, message);
	z->state = ZYGOTE_RETIRED;
	ev_timer_stop(z->server->loop, &z->answer);
	ev_timer_stop(z->server->loop, &z->refill);
	parent_cancel(&z->server->parent, z);
	(void)process_signal(&z->process, SIGKILL);
	peer_close(&z->peer);
	refuse_waiting(z, message);
	list_each(r, after, &z->pool, list) runner_abandon(r);
	check_gone(z);
}

/* It failed: its runtime is left alone for a while if it never was ready. */
static void fail_process(struct zygote *z, pid_t pid, const char *message)
{
	if (z->state == ZYGOTE_RETIRED)
		return;
	log_warnx("zygote pid=%d of runtime '%s': %s", (int)pid, z->runtime,
		  message);
	if (z->state == ZYGOTE_LOADING)
		remember_failure(z, message);
	retire(z, message);
	server_check_ready(z->server);
}

static void fail(struct zygote *z, const char *message)
{
	fail_process(z, z->process.pid, message);
}

static void on_process_exit(struct process *p, const struct process_exit *exit)
{
	struct zygote *z = container_of(p, struct zygote, process);
	char message[128];

	orphans_kill(z->server, z->user_ns);
	if (WIFSIGNALED(exit->status))
		snprintf(message, sizeof(message),
			 "the zygote of runtime '%.40s' died of signal %d (%s)",
			 z->runtime, WTERMSIG(exit->status),
			 strsignal(WTERMSIG(exit->status)));
	else
		snprintf(message, sizeof(message),
			 "the zygote of runtime '%.40s' exited with code %d",
			 z->runtime, WEXITSTATUS(exit->status));
	/* it may have said why, and that is still in the socket */
	if (z->state != ZYGOTE_RETIRED)
		peer_drain(&z->peer, 8);
	fail_process(z, exit->pid, message);
	check_gone(z);
}

/* --- the birth ------------------------------------------------------------
 */

static int write_file(pid_t pid, const char *name, const char *text)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_write_all(fd, text, strlen(text));
}

/* One id, mapped to itself: its own as root, else the user's. */
static int write_maps(const struct zygote *z)
{
	char uid[64], gid[64];
	unsigned u = z->uid ? z->uid : geteuid();
	unsigned g = z->uid ? z->uid : getegid();
	int r = 0;

	snprintf(uid, sizeof(uid), "%u %u 1\n", u, u);
	snprintf(gid, sizeof(gid), "%u %u 1\n", g, g);
	r = write_file(z->process.pid, "setgroups", "deny");
	r = r ? r : write_file(z->process.pid, "uid_map", uid);
	return r ? r : write_file(z->process.pid, "gid_map", gid);
}

static void map(struct zygote *z)
{
	char message[128];
	uint8_t buf[8];
	struct mp_writer w;
	int r = write_maps(z);

	if (r < 0) {
		snprintf(message, sizeof(message),
			 "cannot map the ids of the user namespace: %s",
			 strerror(-r));
		fail(z, message);
		return;
	}
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 1);
	mp_write_uint(&w, CONTROL_MAPPED);
	(void)peer_send(&z->peer, &w, NULL, 0);
}

static void on_spawned(void *user, pid_t pid, int pidfd, int error)
{
	struct zygote *z = user;
	char message[128];

	if (error < 0) {
		snprintf(message, sizeof(message),
			 "the zygote cannot be started: %s", strerror(-error));
		fail(z, message);
		return;
	}
	process_add(&z->server->processes, &z->process, pid, pidfd,
		    on_process_exit);
	/* what it sent already was not read: it had no pid yet */
	peer_resume(&z->peer);
}

static int send_setup(struct zygote *z, int text_fd)
{
	struct mp_writer w;
	uint8_t buf[512];

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_SETUP);
	mp_write_map(&w, 4);
	mp_write_str(&w, "runtime");
	mp_write_str(&w, z->runtime);
	mp_write_str(&w, "version");
	mp_write_uint(&w, z->version);
	mp_write_str(&w, "uid");
	mp_write_uint(&w, z->uid);
	mp_write_str(&w, "memory_bytes");
	mp_write_uint(&w, z->server->config.zygote_memory_bytes);
	return peer_send(&z->peer, &w, &text_fd, text_fd >= 0);
}

static bool uid_in_use(struct server *s, uid_t uid)
{
	struct zygote *z, *after;

	list_each(z, after, &s->zygotes, list) if (z->uid == uid) return true;
	return false;
}

/*
 * Where to begin in the range: the kernel counts by uid what processes have in
 * flight, so two instances of root should not share one by being alike.
 */
static uid_t first_uid(const struct config *c)
{
	uint32_t chance = 0;

	(void)!getrandom(&chance, sizeof(chance), 0);
	return c->uid_first + chance % (c->uid_last - c->uid_first + 1);
}

/* An ordinary user's zygotes keep the user's uid. */
static int choose_uid(struct server *s, uid_t *ret_uid)
{
	const struct config *c = &s->config;
	uid_t count = c->uid_last - c->uid_first + 1;

	*ret_uid = 0;
	if (geteuid() != 0)
		return 0;
	if (s->last_uid == 0)
		s->last_uid = first_uid(c);
	for (uid_t i = 0; i < count; i++) {
		s->last_uid++;
		if (s->last_uid < c->uid_first || s->last_uid > c->uid_last)
			s->last_uid = c->uid_first;
		if (!uid_in_use(s, s->last_uid)) {
			*ret_uid = s->last_uid;
			return 0;
		}
	}
	return -EUSERS;
}

static int on_message(struct peer *p, struct link_message *m);

static void on_gone(struct peer *p, int error)
{
	struct zygote *z = zygote_of(p);

	if (error != -ECONNRESET && error != -EPIPE)
		fail(z, "the zygote sent what is not a message");
	else /* its exit, which is told in a moment, says why */
		(void)process_signal(&z->process, SIGKILL);
}

static void on_answer_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct zygote *z = container_of(timer, struct zygote, answer);

	(void)loop;
	(void)events;
	fail(z, z->state == ZYGOTE_LOADING ? "the runtime did not load in time"
					   : "the zygote does not answer");
}

static void on_refill(struct ev_loop *loop, ev_timer *timer, int events);

static struct zygote *zygote_alloc(struct server *s,
				   const struct zygote_key *key)
{
	struct zygote *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	z->server = s;
	snprintf(z->runtime, sizeof(z->runtime), "%s", key->runtime);
	z->version = key->version;
	z->id = key->id;
	z->process.pidfd = -1;
	z->born = z->last_used = ev_now(s->loop);
	list_init(&z->waiting);
	list_init(&z->forking);
	list_init(&z->pool);
	ev_timer_init(&z->answer, on_answer_late, 0.,
		      (double)s->config.zygote_answer_ms / 1000);
	ev_timer_init(&z->refill, on_refill, 0., REFILL_S);
	ev_set_priority(&z->refill, EV_MINPRI);
	return z;
}

static int zygote_new(struct server *s, const struct zygote_key *key,
		      struct zygote **ret_zygote)
{
	_cleanup_(fd_closep) int theirs = -1;
	static const int number = 3;
	struct parent_spawn spawn = { .role = "zygote",
				      .numbers = &number,
				      .n_fds = 1 };
	struct zygote *z;
	int pair[2], r;

	z = zygote_alloc(s, key);
	if (!z)
		return -ENOMEM;
	r = choose_uid(s, &z->uid);
	if (r == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = -errno;
	if (r < 0) {
		free(z);
		return r;
	}
	theirs = pair[1];
	spawn.fds = &theirs;
	peer_open(&z->peer, s->loop, pair[0], on_message, on_gone);
	peer_hold(&z->peer);
	z->peer.link.limit_bytes = LINK_RECORD_BYTES;
	r = send_setup(z, key->text_fd);
	r = r ? r : parent_spawn(&s->parent, &spawn, on_spawned, z);
	if (r < 0) {
		peer_close(&z->peer);
		free(z);
		return r;
	}
	list_append(&s->zygotes, &z->list);
	ev_timer_again(s->loop, &z->answer);
	s->counters.zygotes++;
	*ret_zygote = z;
	return 0;
}

struct zygote *zygote_adopted(struct server *s, const char *runtime, uid_t uid)
{
	struct zygote_key key = { .runtime = runtime, .text_fd = -1 };
	struct zygote *z, *after;

	list_each(z, after, &s->zygotes, list)
	{
		if (z->adopted && z->uid == uid &&
		    strcmp(z->runtime, runtime) == 0)
			return z;
	}
	z = zygote_alloc(s, &key);
	if (!z)
		return NULL;
	z->state = ZYGOTE_RETIRED;
	z->adopted = true;
	z->uid = uid;
	list_append(&s->zygotes, &z->list);
	return z;
}

/* --- serving --------------------------------------------------------------
 */

/* A runner that waits is taken, else one is asked for; either gets the start
 * at once. */
static void give(struct zygote *z, struct run *run)
{
	struct server *s = z->server;
	struct runner *r;
	int e;

	z->last_used = ev_now(s->loop);
	ev_timer_again(s->loop, &z->refill);
	while (!list_empty(&z->pool)) {
		r = list_first(&z->pool, struct runner, list);
		runner_take(r, run);
		if (run_begin(run, r) == 0) {
			s->counters.pooled++;
			return;
		}
		runner_abandon(r); /* it died while it waited */
	}
	e = runner_fork(z, &r);
	if (e == 0) {
		if (z->n_forking == 1)
			ev_timer_again(s->loop, &z->answer);
		runner_take(r, run);
		e = run_begin(run, r);
		if (e < 0)
			runner_abandon(r);
	}
	if (e < 0)
		run_refuse(run, STATUS_ERROR, strerror(-e), NULL);
}

static void retire_when_done(struct zygote *z)
{
	if (z->stale && z->n_forking == 0 && list_empty(&z->waiting))
		retire(z, "another takes its place");
}

static void replace_others(struct zygote *z)
{
	struct zygote *other, *after;

	list_each(other, after, &z->server->zygotes, list)
	{
		if (other == z || strcmp(other->runtime, z->runtime) != 0)
			continue;
		other->stale = true;
		retire_when_done(other);
	}
}

static void on_refill(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct zygote *z = container_of(timer, struct zygote, refill);
	struct runner *r;

	(void)events;
	if (z->state != ZYGOTE_READY || z->replaced || z->stale) {
		ev_timer_stop(loop, timer);
		return;
	}
	if (z->n_forking > 0)
		return; /* a start is under way: not now */
	ev_timer_stop(loop, timer);
	while (z->n_pool + z->n_forking < z->server->config.pool)
		if (runner_fork(z, &r) < 0)
			break;
	if (z->n_forking > 0)
		ev_timer_again(loop, &z->answer);
}

void zygotes_refill(struct server *s)
{
	struct zygote *z, *after;

	list_each(z, after, &s->zygotes, list)
	{
		if (z->state != ZYGOTE_READY || !ev_is_active(&z->refill) ||
		    ev_now(s->loop) - z->last_used < GIVEN_S)
			continue;
		ev_timer_stop(s->loop, &z->refill);
		ev_timer_set(&z->refill, 0., REFILL_S);
		ev_timer_start(s->loop, &z->refill);
	}
}

static int take_description(struct zygote *z, const struct zygote_message *m)
{
	z->lua = strndup(m->lua.size ? m->lua.p : "", m->lua.size);
	z->landlock_abi = m->landlock_abi;
	z->mdwe = m->mdwe;
	z->layers = malloc(m->layers.size + 1);
	if (!z->lua || !z->layers)
		return -ENOMEM;
	if (m->layers.size > 0)
		memcpy(z->layers, m->layers.p, m->layers.size);
	z->layers_size = m->layers.size;
	return 0;
}

static int on_ready(struct zygote *z, const struct zygote_message *m)
{
	struct run *run;
	int r;

	if (z->state != ZYGOTE_LOADING)
		return -EPROTO;
	r = take_description(z, m);
	if (r < 0)
		return r;
	orphans_note_namespace(z->process.pid, z->user_ns, sizeof(z->user_ns));
	z->state = ZYGOTE_READY;
	ev_timer_stop(z->server->loop, &z->answer);
	ev_timer_again(z->server->loop, &z->refill);
	forget_failure(z->server, z->runtime, z->id);
	replace_others(z);
	log_debug("zygote pid=%d of '%s' version %llu is ready",
		  (int)z->process.pid, z->runtime,
		  (unsigned long long)z->version);
	while (!list_empty(&z->waiting)) {
		run = list_first(&z->waiting, struct run, waiting);
		list_remove(&run->waiting);
		give(z, run);
	}
	retire_when_done(z);
	server_check_ready(z->server);
	return 0;
}

static struct runner *find_forking(struct zygote *z, uint64_t token)
{
	struct runner *r, *after;

	list_each(r, after, &z->forking, list) if (r->token == token) return r;
	return NULL;
}

static int on_forked(struct zygote *z, const struct zygote_message *m, int fd)
{
	struct server *s = z->server;
	struct runner *r = find_forking(z, m->token);
	int e;

	if (!r) {
		fd_close(fd);
		return -EPROTO;
	}
	e = runner_forked(r, m->pid, fd);
	if (z->n_forking > 0)
		ev_timer_again(s->loop, &z->answer);
	else
		ev_timer_stop(s->loop, &z->answer);
	retire_when_done(z);
	return e;
}

static int on_fork_failed(struct zygote *z, const struct zygote_message *m)
{
	struct runner *r = find_forking(z, m->token);
	char message[128];

	if (!r)
		return -EPROTO;
	snprintf(message, sizeof(message), "no process can be made: %s",
		 strerror(m->error));
	if (r->run)
		run_refuse(steal(&r->run), STATUS_ERROR, message, NULL);
	else
		log_warnx("zygote pid=%d of '%s': %s", (int)z->process.pid,
			  z->runtime, message);
	runner_drop(r);
	if (z->n_forking == 0)
		ev_timer_stop(z->server->loop, &z->answer);
	retire_when_done(z);
	return 0;
}

/* Its text is foreign: quoted, and cut. */
static void on_failed(struct zygote *z, const struct zygote_message *m)
{
	char text[MESSAGE_BYTES / 2], message[MESSAGE_BYTES];
	bool layer = mp_bytes_equal(m->what, "layer");

	snprintf(text, sizeof(text), "%.*s", (int)m->message.size,
		 m->message.p);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	if (layer)
		snprintf(message, sizeof(message),
			 "the sandbox cannot be made: %s", text);
	else
		snprintf(message, sizeof(message),
			 "runtime '%s' cannot be loaded: %s", z->runtime, text);
	fail(z, message);
}

static int on_message(struct peer *p, struct link_message *m)
{
	struct zygote *z = zygote_of(p);
	struct zygote_message message;
	int r = zygote_message_parse(m->data, m->size, m->n_fds, &message);

	if (r < 0)
		return r;
	switch (message.kind) {
	case CONTROL_MAP:
		if (z->state != ZYGOTE_LOADING)
			return -EPROTO;
		map(z);
		return 0;
	case CONTROL_ZYGOTE_READY:
		return on_ready(z, &message);
	case CONTROL_FORKED:
		return on_forked(z, &message, link_message_take_fd(m, 0));
	case CONTROL_FORK_FAILED:
		return on_fork_failed(z, &message);
	case CONTROL_ZYGOTE_FAILED:
		on_failed(z, &message);
		return 0;
	}
	return -EPROTO;
}

/* --- who serves -----------------------------------------------------------
 */

/* The best there is: ready before loading. */
static struct zygote *find(struct server *s, const struct zygote_key *key)
{
	struct zygote *z, *after, *best = NULL;

	list_each(z, after, &s->zygotes, list)
	{
		if (z->state == ZYGOTE_RETIRED || z->stale ||
		    z->id != key->id || strcmp(z->runtime, key->runtime) != 0)
			continue;
		if (!best || z->state == ZYGOTE_READY)
			best = z;
	}
	return best;
}

static void replace_when_old(struct zygote *z, const struct zygote_key *key)
{
	const struct config *c = &z->server->config;
	struct zygote *next;

	if (z->state != ZYGOTE_READY || z->replaced)
		return;
	if (z->starts < c->zygote_starts &&
	    ev_now(z->server->loop) - z->born < (double)c->zygote_age_ms / 1000)
		return;
	z->replaced = zygote_new(z->server, key, &next) == 0;
}

int zygote_serve(struct server *s, const struct zygote_key *key,
		 struct run *run, const char **ret_why)
{
	struct zygote *z = find(s, key);
	int r;

	if (!z) {
		struct failure *f = find_failure(s, key->runtime, key->id);

		if (f && ev_now(s->loop) < f->until) {
			*ret_why = f->message;
			return -EAGAIN;
		}
		r = zygote_new(s, key, &z);
		if (r < 0)
			return r;
	}
	if (z->state == ZYGOTE_LOADING) {
		list_append(&z->waiting, &run->waiting);
		return 0;
	}
	replace_when_old(z, key);
	give(z, run);
	return 0;
}

static const struct zygote_key native = { "native", 0, 0, -1 };

void zygote_preload(struct server *s)
{
	struct zygote *z;
	int r = find(s, &native) ? 0 : zygote_new(s, &native, &z);

	if (r < 0)
		log_warnx("cannot start a zygote: %s", strerror(-r));
}

struct zygote *zygote_native(struct server *s)
{
	return find(s, &native);
}

void zygote_write_failures(struct mp_writer *w, struct server *s)
{
	struct failure *f, *after;
	uint32_t n = 0;

	list_each(f, after, &s->failures, list) n++;
	mp_write_array(w, n);
	list_each(f, after, &s->failures, list)
	{
		double left_s = f->until - ev_now(s->loop);

		mp_write_map(w, 3);
		mp_write_str(w, "runtime");
		mp_write_str(w, f->runtime);
		mp_write_str(w, "message");
		mp_write_str(w, f->message);
		mp_write_str(w, "retry_ms");
		mp_write_uint(w, left_s > 0 ? (uint64_t)(left_s * 1000) : 0);
	}
}

void zygote_check_versions(struct server *s)
{
	struct zygote *z, *after;

	list_each(z, after, &s->zygotes, list)
	{
		struct name_ref ref = { .kind = REF_LIVE };
		struct store_entry entry;

		if (z->id == 0 || z->state == ZYGOTE_RETIRED)
			continue;
		strcpy(ref.name, z->runtime);
		if (store_read(s->store, DIR_RUNTIMES, &ref, &entry, NULL) ==
			    0 &&
		    entry.id == z->id)
			continue;
		z->stale = true;
		retire_when_done(z);
	}
}

static double cpu_seconds(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &used) < 0)
		return 0;
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

void zygote_tidy(struct server *s)
{
	double idle_s = (double)s->config.zygote_idle_ms / 1000;
	struct zygote *z, *after;

	list_each(z, after, &s->zygotes, list)
	{
		if (z->state == ZYGOTE_RETIRED || z->process.pid == 0)
			continue;
		if (cpu_seconds(z->process.pid) >
		    CPU_LOAD_S + CPU_START_S * (double)z->starts)
			fail(z, "the zygote used too much CPU time");
		else if (z->state == ZYGOTE_READY && z->id != 0 &&
			 z->n_forking == 0 &&
			 ev_now(s->loop) - z->last_used > idle_s)
			retire(z, "nobody needs it");
	}
}

void zygote_end_all(struct server *s)
{
	struct zygote *z, *after;

	list_each(z, after, &s->zygotes, list)
		retire(z, "thox is shutting down");
}
