#pragma once

/*
 * For tests: runs without runners. The test plays the keeper, the zygotes and
 * the runners: each run has a real process, which only waits, and the runner's
 * end of its control link, which is an actor's (test_actor.h). The store is
 * real and in a temporary directory.
 */

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "thoxd/parent.h"
#include "thoxd/run.h"
#include "thoxd/test_actor.h"

#define PLAYED_MAX 64

/* A runner, or the zygote that it came of. */
struct played {
	struct actor actor; /* its links; it has no principal */
	pid_t pid;
	bool zygote;
	bool started;  /* its start message came */
	bool woken;    /* it was told to look */
	bool notified; /* that it shall end */
	uint8_t start[8192];
	size_t start_size;
	int fds[4];
	struct told held; /* before it started */
};

static struct link keeper; /* its end */
static struct played *played[PLAYED_MAX];
static unsigned n_played;
static char store_path[64];

/* --- processes ------------------------------------------------------------
 */

static inline pid_t wait_for_ever(int *ret_pidfd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(0, ~0U, 0);
		while (getppid() == parent)
			pause();
		_exit(1);
	}
	*ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	fd_set_cloexec(*ret_pidfd, 1);
	return pid;
}

static inline struct played *play(int fd, bool zygote, int *ret_pidfd)
{
	struct played *p = calloc(1, sizeof(*p));

	if (!p || n_played == PLAYED_MAX)
		abort();
	link_init(&p->actor.link, fd);
	link_init(&p->actor.zero, -1);
	for (unsigned i = 0; i < 4; i++)
		p->fds[i] = -1;
	p->zygote = zygote;
	p->pid = wait_for_ever(ret_pidfd);
	played[n_played++] = p;
	return p;
}

/* [kind, token, pid] + pidfd, from the keeper or a zygote */
static inline void tell_birth(struct link *l, unsigned kind, uint64_t token,
			      pid_t pid, int pidfd)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, kind);
	mp_write_uint(&w, token);
	mp_write_uint(&w, (uint64_t)pid);
	(void)link_send(l, w.data, w.used, &pidfd, 1);
	fd_close(pidfd);
}

static inline void tell_zygote_ready(struct link *l)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_ZYGOTE_READY);
	mp_write_map(&w, 0);
	(void)link_send(l, w.data, w.used, NULL, 0);
}

/* --- what thoxd asks for --------------------------------------------------
 */

static inline void serve_keeper(struct link_message *m)
{
	struct mp_reader r;
	struct played *p;
	uint64_t token;
	int pidfd;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	if (mp_read_uint(&r) != KEEPER_SPAWN)
		return;
	token = mp_read_uint(&r);
	p = play(link_message_take_fd(m, 0), true, &pidfd);
	tell_birth(&keeper, KEEPER_SPAWNED, token, p->pid, pidfd);
	tell_zygote_ready(&p->actor.link);
}

static inline void serve_zygote(struct played *z, struct link_message *m)
{
	struct mp_reader r;
	struct played *p;
	uint64_t token;
	int pidfd;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	if (mp_read_uint(&r) != CONTROL_FORK)
		return;
	token = mp_read_uint(&r);
	p = play(link_message_take_fd(m, 0), false, &pidfd);
	tell_birth(&z->actor.link, CONTROL_FORKED, token, p->pid, pidfd);
}

static inline void take_start(struct played *p, struct link_message *m)
{
	struct mp_reader r;
	uint64_t kind;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	kind = mp_read_uint(&r);
	if (kind == CONTROL_EVENT) {
		struct mp_bytes event = mp_read_str(&r);

		p->woken |= mp_bytes_equal(event, "wake");
		p->notified |= mp_bytes_equal(event, "terminate");
	}
	if (kind == CONTROL_HOLD) {
		mp_reader_init(&r, m->data, m->size);
		read_told(&r, &p->held);
		p->held.fd = link_message_take_fd(m, 0);
	}
	if (kind != CONTROL_START || m->size > sizeof(p->start))
		return;
	memcpy(p->start, m->data, m->size);
	p->start_size = m->size;
	p->started = true;
	for (unsigned i = 0; i < 4; i++)
		p->fds[i] = link_message_take_fd(m, i);
}

/* Of a runner that has not started; then the test reads what comes. */
static inline bool serve_one(struct played *p)
{
	struct link_message m;

	if ((p->started && p->woken) ||
	    link_receive(&p->actor.link, false, &m) != 1)
		return false;
	if (p->zygote)
		serve_zygote(p, &m);
	else
		take_start(p, &m);
	link_message_deinit(&m);
	return true;
}

/* Everybody is served until nobody wants anything. */
static inline void turn_all(void)
{
	struct link_message m;
	bool more = true;

	while (more) {
		more = false;
		turn();
		if (link_receive(&keeper, false, &m) == 1) {
			serve_keeper(&m);
			link_message_deinit(&m);
			more = true;
		}
		for (unsigned i = 0; i < n_played; i++)
			more |= serve_one(played[i]);
	}
}

/* --- ends -----------------------------------------------------------------
 */

/* The keeper reaped it: how, wait(2) tells. */
static inline void tell_exit(struct played *p)
{
	uint8_t buf[64];
	struct mp_writer w;
	int status = 0;

	waitpid(p->pid, &status, 0);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 6);
	mp_write_uint(&w, KEEPER_EXITED);
	mp_write_uint(&w, (uint64_t)p->pid);
	mp_write_uint(&w, (uint64_t)(p->notified ? 0 : status));
	for (unsigned i = 0; i < 3; i++)
		mp_write_uint(&w, 0);
	p->pid = 0;
	link_deinit(&p->actor.link);
	link_deinit(&p->actor.zero);
	link_init(&p->actor.link, -1);
	(void)link_send(&keeper, w.data, w.used, NULL, 0);
	turn_all();
}

/* It ends by itself: with code 0. */
static inline void end_played(struct played *p)
{
	p->notified = true;
	kill(p->pid, SIGKILL);
	tell_exit(p);
}

static inline bool has_ended(const struct played *p, int timeout_ms)
{
	int pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	bool ended = poll(&end, 1, timeout_ms) == 1;

	fd_close(pidfd);
	return ended;
}

/* It is being killed; the kernel takes its time. */
static inline bool dies(const struct played *p)
{
	return has_ended(p, 10000);
}

/* The newest one that has started. */
static inline struct played *newest(void)
{
	for (unsigned i = n_played; i-- > 0;)
		if (!played[i]->zygote && played[i]->pid && played[i]->started)
			return played[i];
	return NULL;
}

/* --- what it was started with ---------------------------------------------
 */

static inline struct mp_bytes start_value(const struct played *p,
					  const char *key)
{
	struct mp_bytes found = { "", 0 };
	struct mp_reader r;
	uint32_t n;

	mp_reader_init(&r, p->start, p->start_size);
	(void)mp_read_array(&r);
	(void)mp_read_uint(&r);
	n = mp_read_map(&r);
	while (n-- > 0 && !r.bad) {
		bool wanted = mp_bytes_equal(mp_read_str(&r), key);
		struct mp_bytes value = mp_read_raw(&r);

		if (wanted)
			found = value;
	}
	return found;
}

static inline uint64_t start_number(const struct played *p, const char *key)
{
	struct mp_bytes value = start_value(p, key);
	struct mp_reader r;

	mp_reader_init(&r, value.p, value.size);
	return mp_read_uint(&r);
}

/* --- the store ------------------------------------------------------------
 */

static inline void put_text(enum store_dir dir, const char *name,
			    const char *text, const char *confined)
{
	struct store_change change = {
		.event = STORE_PUBLISHED,
		.dir = dir,
		.name = name,
	};
	struct store_text *t = NULL;

	strcpy(change.writer.confined, confined);
	if (store_text_from_bytes(server.store, dir, name, text, strlen(text),
				  &t) < 0)
		abort();
	change.text = t;
	if (store_commit(server.store, &change, 1) < 0 || change.result < 0)
		abort();
	store_text_free(t);
}

/* --- the beginning and the end --------------------------------------------
 */

static inline void begin_runs(void)
{
	struct store_options options = { .flags =
						 STORE_CREATE | STORE_RELAXED };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	/* before the loop takes the number that the keeper's link has */
	link_init(&keeper, fcntl(pair[1], F_DUPFD_CLOEXEC, 10));
	fd_close(pair[1]);
	if (pair[0] != KEEPER_LINK_FD) {
		dup2(pair[0], KEEPER_LINK_FD);
		fd_close(pair[0]);
	}
	begin_server();
	signal(SIGCHLD, SIG_DFL); /* the loop would reap */
	signal(SIGIO, SIG_IGN);	  /* links are pointed at who waits */
	config_init(&server.config, &instance_of_tests);
	server.config.pool = 0;
	server.keeper_pid = getpid();
	strcpy(store_path, "/tmp/thox-test.XXXXXX");
	if (!mkdtemp(store_path) ||
	    store_open(store_path, &options, &server.store) < 0)
		abort();
	parent_init(&server.parent, &server);
}

static inline void end_runs(void)
{
	char command[128];

	for (unsigned i = 0; i < n_played; i++)
		if (played[i]->pid) {
			kill(played[i]->pid, SIGKILL);
			tell_exit(played[i]); /* which serves them all */
		}
	for (unsigned i = 0; i < n_played; i++) {
		for (unsigned k = 0; k < 4; k++)
			fd_close(played[i]->fds[k]);
		free(played[i]);
	}
	n_played = 0;
	turn();
	store_free(server.store);
	snprintf(command, sizeof(command), "rm -rf %s", store_path);
	if (system(command) != 0)
		abort();
}
