/*
 * Steps 3 and 9: the keeper's life.
 *
 * One poll loop over two descriptors: the signals and the link to thoxd. What
 * is to be done next follows from the state alone:
 *
 *	SERVING   thoxd runs                     its death -> CLEANING
 *	CLEANING  the others are being killed    nobody left -> WAITING
 *	WAITING   the back-off passes            time -> SERVING
 *	STOPPING  thoxd was asked to shut down   its word, death, time -> ENDING
 *	ENDING    all are being killed, thoxd last   nobody left -> DONE
 */

#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "keeper/children.h"
#include "keeper/kept.h"
#include "keeper/message.h"
#include "keeper/notify.h"
#include "keeper/spawn.h"
#include "rpc/control.h"
#include "rpc/mp.h"

#define MS_NS	     1000000ULL
#define SWEEP_NS     (20 * MS_NS)    /* between two rounds of killing */
#define STOP_NS	     (15000 * MS_NS) /* for thoxd to shut down by itself */
#define SWEEP_MAX_NS (5000 * MS_NS)  /* for a process to die of SIGKILL */
#define STABLE_NS    (5000 * MS_NS)  /* a life that was long enough */
#define BACKOFF_NS   (100 * MS_NS)
#define BACKOFF_MAX  8 /* doublings: 12.8 s */

enum state {
	SERVING,
	CLEANING,
	WAITING,
	STOPPING,
	ENDING,
	DONE,
};

static const char *const state_name[] = {
	[SERVING] = "serving",	 [CLEANING] = "cleaning", [WAITING] = "waiting",
	[STOPPING] = "stopping", [ENDING] = "ending",	  [DONE] = "done",
};

struct zygote {
	struct zygote *next;
	pid_t pid;
};

struct keeper {
	const struct keeper_options *options;
	enum state state;
	uint64_t deadline_ns; /* of the state; 0: none */
	int signal_fd;
	int ready_fd;
	int exit_code;
	ino_t control_ino; /* of the control socket's name */

	pid_t thoxd;
	struct link link;
	bool linked;
	bool was_ready; /* some thoxd of this keeper was */
	uint64_t started_ns;
	uint64_t restarts;
	unsigned rapid_deaths;
	bool reexec; /* its death was announced, and is none */

	struct zygote *zygotes; /* they are killed first: they make others */
	struct kept kept;
	uint8_t *saved; /* thoxd's state */
	size_t saved_size;
};

static void enter(struct keeper *k, enum state to, uint64_t wait_ns)
{
	log_debug("keeper: %s -> %s", state_name[k->state], state_name[to]);
	k->state = to;
	k->deadline_ns = wait_ns ? clock_ns() + wait_ns : 0;
}

/* --- the starter ----------------------------------------------------------
 */

static void tell_starter(struct keeper *k, const char *text, size_t size)
{
	if (k->ready_fd < 0)
		return;
	(void)fd_write_all(k->ready_fd, text, size);
	if (k->ready_fd == STDOUT_FILENO) /* keep the number taken */
		dup2(STDERR_FILENO, STDOUT_FILENO);
	else
		fd_close(k->ready_fd);
	k->ready_fd = -1;
}

/* --- sending to thoxd -----------------------------------------------------
 */

static void unlink_thoxd(struct keeper *k)
{
	if (k->linked)
		link_deinit(&k->link);
	k->linked = false;
}

static void send_fds_to_thoxd(struct keeper *k, struct mp_writer *w,
			      const int *fds, unsigned n_fds)
{
	int r = mp_writer_end(w);

	if (!k->linked)
		return;
	if (r == 0)
		r = link_send(&k->link, w->data, w->used, fds, n_fds);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		/* it must not go on with a hole in what it knows */
		log_warnx("thoxd cannot be told of an event: %s; it is ended",
			  strerror(-r));
		if (k->thoxd > 0)
			kill(k->thoxd, SIGKILL);
		unlink_thoxd(k);
	}
}

static void send_to_thoxd(struct keeper *k, struct mp_writer *w, int fd)
{
	send_fds_to_thoxd(k, w, &fd, fd >= 0);
}

static void send_exited(struct keeper *k, pid_t pid, int status,
			const struct rusage *u)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 6);
	mp_write_uint(&w, KEEPER_EXITED);
	mp_write_uint(&w, (uint64_t)pid);
	mp_write_uint(&w, (uint64_t)(unsigned)status);
	mp_write_uint(&w, (uint64_t)u->ru_utime.tv_sec * 1000000u +
				  (uint64_t)u->ru_utime.tv_usec);
	mp_write_uint(&w, (uint64_t)u->ru_stime.tv_sec * 1000000u +
				  (uint64_t)u->ru_stime.tv_usec);
	mp_write_uint(&w, (uint64_t)u->ru_maxrss * 1024u);
	send_to_thoxd(k, &w, -1);
}

static int send_kept(const struct kept_entry *e, void *user)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, KEEPER_KEPT);
	mp_write_str(&w, e->name);
	mp_write_bin(&w, e->record, e->record_size);
	mp_write_uint(&w, (uint64_t)e->pid);
	send_fds_to_thoxd(user, &w, e->fds, e->n_fds);
	mp_writer_deinit(&w);
	return 0;
}

static int send_kept_exit(const struct kept_entry *e, void *user)
{
	if (e->exited)
		send_exited(user, e->pid, e->status, &e->usage);
	return 0;
}

static void send_begin(struct keeper *k)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 3);
	mp_write_uint(&w, KEEPER_BEGIN);
	mp_write_bin(&w, k->saved, k->saved_size);
	mp_write_uint(&w, k->restarts);
	send_to_thoxd(k, &w, -1);
	mp_writer_deinit(&w);
}

/* --- starting thoxd -------------------------------------------------------
 */

static int start_thoxd(struct keeper *k)
{
	_cleanup_(fd_closep) int theirs = -1;
	static const int numbers[] = { KEEPER_LINK_FD, KEEPER_CONTROL_FD };
	char path[PATH_MAX];
	char *args[] = { path, k->options->system ? (char *)"--system" : NULL,
			 NULL };
	int pair[2], fds[2], r;

	snprintf(path, sizeof(path), "%s/thoxd", instance_libexec_dir());
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	theirs = pair[1];
	fds[0] = theirs;
	fds[1] = k->options->control_fd;
	r = spawn(&(struct spawn){ .path = path,
				   .args = args,
				   .env = k->options->env,
				   .fds = fds,
				   .numbers = numbers,
				   .n_fds = 2,
				   .survives = true },
		  &k->thoxd);
	if (r < 0) {
		fd_close(pair[0]);
		log_warnx("cannot start %s: %s", path, strerror(-r));
		return r;
	}
	link_init(&k->link, pair[0]);
	k->link.queue_limit_bytes = 64U << 20; /* an hour of exits */
	k->linked = true;
	k->started_ns = clock_ns();
	log_debug("thoxd is process %d", (int)k->thoxd);
	kept_each(&k->kept, send_kept, k);
	send_begin(k);
	kept_each(&k->kept, send_kept_exit, k);
	return 0;
}

/* Which socket the control socket's name means now; 0: none. */
static ino_t control_inode(const struct keeper *k, bool remove_it)
{
	_cleanup_(fd_closep) int dirfd = -1;
	char path[INSTANCE_SOCKET_BYTES];
	struct stat st;

	if (instance_socket_path(k->options->instance->run, INSTANCE_CONTROL,
				 path, &dirfd) < 0 ||
	    lstat(path, &st) < 0)
		return 0;
	if (remove_it)
		unlink(path);
	return st.st_ino;
}

static void begin_end(struct keeper *k)
{
	/* Whoever comes from now on finds nobody, and starts a new keeper. One
	 * that has its socket there already, since somebody removed the
	 * directory, keeps it. */
	if (k->control_ino && control_inode(k, false) == k->control_ino)
		control_inode(k, true);
	notify("STOPPING=1");
	enter(k, ENDING, SWEEP_MAX_NS);
}

static void fail(struct keeper *k, const char *text, size_t size)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%.*s\n",
			 (int)(size < 1000 ? size : 1000), text);

	tell_starter(k, line, (size_t)n);
	k->exit_code = 1;
	begin_end(k);
}

static void serve(struct keeper *k)
{
	int r = start_thoxd(k);

	if (r == 0) {
		enter(k, SERVING, 0);
	} else if (!k->was_ready) {
		char text[PATH_MAX + 64];
		int n = snprintf(text, sizeof(text),
				 "cannot start %s/thoxd: %s",
				 instance_libexec_dir(), strerror(-r));

		fail(k, text, (size_t)n);
	} else {
		enter(k, WAITING, BACKOFF_NS << BACKOFF_MAX);
	}
}

/* --- what thoxd asks ------------------------------------------------------
 */

static void remember_zygote(struct keeper *k, pid_t pid)
{
	struct zygote *z = calloc(1, sizeof(*z));

	if (!z)
		return; /* then it is killed with the others */
	z->pid = pid;
	z->next = k->zygotes;
	k->zygotes = z;
}

static void forget_zygote(struct keeper *k, pid_t pid)
{
	for (struct zygote **at = &k->zygotes; *at; at = &(*at)->next) {
		struct zygote *z = *at;

		if (z->pid != pid)
			continue;
		*at = z->next;
		free(z);
		return;
	}
}

static int find_tool(const char *name, char path[PATH_MAX])
{
	static const char *const dirs[] = { "/usr/bin", "/bin", "/usr/sbin",
					    "/usr/local/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, PATH_MAX, "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static int find_role(const char *role, char path[PATH_MAX])
{
	static const char *const roles[][2] = {
		{ "zygote", "thox-zygote" },
		{ "thoxfs", "thoxfs" },
		{ "logd", "thox-logd" },
		{ "storaged", "thox-storaged" },
	};

	if (strcmp(role, "fusermount3") == 0)
		return find_tool(role, path);
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (strcmp(role, roles[i][0]) != 0)
			continue;
		snprintf(path, PATH_MAX, "%s/%s", instance_libexec_dir(),
			 roles[i][1]);
		return 0;
	}
	return -EINVAL;
}

/* A zygote gets nothing of the instance's environment: its children run what
 * nobody trusts. */
static int spawn_role(struct keeper *k, struct keeper_request *q,
		      struct link_message *m, pid_t *ret_pid)
{
	char path[PATH_MAX];
	char *env[64 + KEEPER_ENV_MAX + 1];
	bool zygote = strcmp(q->role, "zygote") == 0;
	size_t n = 0;
	int r = find_role(q->role, path);

	if (r < 0)
		return r;
	for (char **e = k->options->env; *e && n < 64; e++)
		if (!zygote || strstr(*e, "SAN_OPTIONS="))
			env[n++] = *e;
	for (char **e = q->env; *e; e++)
		env[n++] = *e;
	env[n] = NULL;
	q->args[0] = path;
	r = spawn(&(struct spawn){ .path = path,
				   .args = q->args,
				   .env = env,
				   .fds = m->fds,
				   .numbers = q->numbers,
				   .n_fds = q->n_numbers },
		  ret_pid);
	if (r == 0 && zygote)
		remember_zygote(k, *ret_pid);
	return r;
}

static void do_spawn(struct keeper *k, struct keeper_request *q,
		     struct link_message *m)
{
	_cleanup_(fd_closep) int pidfd = -1;
	uint8_t buf[64];
	struct mp_writer w;
	pid_t pid = -1;
	int r = spawn_role(k, q, m, &pid);

	if (r == 0) {
		/* not reaped before this returns to the loop */
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0) {
			r = -errno;
			kill(pid, SIGKILL);
		}
	}
	if (r < 0)
		log_warnx("cannot start a %s: %s", log_quote(q->role),
			  strerror(-r));
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, r == 0 ? KEEPER_SPAWNED : KEEPER_SPAWN_FAILED);
	mp_write_uint(&w, q->token);
	mp_write_uint(&w, (uint64_t)(r == 0 ? pid : -r));
	send_to_thoxd(k, &w, pidfd);
}

static void do_state(struct keeper *k, const struct keeper_request *q)
{
	uint8_t *copy = malloc(q->bytes_size + 1);

	if (!copy)
		return; /* the next thoxd starts with an older one */
	memcpy(copy, q->bytes, q->bytes_size);
	free(k->saved);
	k->saved = copy;
	k->saved_size = q->bytes_size;
}

static void do_ready(struct keeper *k)
{
	k->was_ready = true;
	tell_starter(k, CONTROL_READY, strlen(CONTROL_READY));
	notify("READY=1");
}

static void do_failed(struct keeper *k, const struct keeper_request *q)
{
	if (!k->was_ready)
		fail(k, q->bytes, q->bytes_size);
}

static void handle(struct keeper *k, struct keeper_request *q,
		   struct link_message *m)
{
	int r = 0;

	switch (q->kind) {
	case KEEPER_SPAWN:
		if (k->thoxd > 0 &&
		    (k->state == SERVING || k->state == STOPPING))
			do_spawn(k, q, m);
		break;
	case KEEPER_KEEP:
		r = kept_add(&k->kept, q->name, q->bytes, q->bytes_size, q->pid,
			     m->fds, m->n_fds);
		if (r < 0)
			log_warnx("cannot keep %s: %s", log_quote(q->name),
				  strerror(-r));
		break;
	case KEEPER_DROP:
		kept_remove(&k->kept, q->name);
		break;
	case KEEPER_STATE:
		do_state(k, q);
		break;
	case KEEPER_READY:
		do_ready(k);
		break;
	case KEEPER_FAILED:
		do_failed(k, q);
		break;
	case KEEPER_SHUTDOWN:
		if (k->state != ENDING)
			begin_end(k);
		break;
	case KEEPER_REEXEC:
		k->reexec = true;
		break;
	}
}

/* 1: one was handled; 0: there is none; or a negative errno. */
static int take_message(struct keeper *k)
{
	struct keeper_request q;
	struct link_message m;
	int r = link_receive(&k->link, false, &m);

	if (r <= 0)
		return r;
	r = keeper_request_parse(m.data, m.size, m.n_fds, &q);
	if (r == 0) {
		handle(k, &q, &m);
		keeper_request_deinit(&q);
	}
	link_message_deinit(&m);
	return r < 0 ? r : 1;
}

static void on_link(struct keeper *k)
{
	int r = take_message(k);

	if (r < 0) {
		/* gone, or out of its mind: its death is what counts */
		if (r != -ECONNRESET)
			log_warnx("thoxd sent what is no message (%s); it is "
				  "ended",
				  strerror(-r));
		kill(k->thoxd, SIGKILL);
		unlink_thoxd(k);
	}
}

/* --- deaths ---------------------------------------------------------------
 */

static void log_thoxd_death(int status, uint64_t delay_ns)
{
	char how[64], when[64] = "";

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "died of signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "exited with code %d",
			 WEXITSTATUS(status));
	if (delay_ns)
		snprintf(when, sizeof(when), ", in %.1f s",
			 (double)delay_ns / 1e9);
	log_warnx("thoxd %s; it is started again%s", how, when);
}

static void thoxd_died(struct keeper *k, int status)
{
	uint64_t delay_ns = 0;

	k->thoxd = 0;
	/* what it had given to be kept is kept */
	while (k->linked && take_message(k) > 0)
		;
	unlink_thoxd(k);
	if (k->state == ENDING)
		return;
	if (k->state == STOPPING) {
		begin_end(k);
		return;
	}
	if (!k->was_ready) {
		static const char text[] =
			"thoxd ended before it was ready; see the log";

		log_warnx("%s (wait status %d)", text, status);
		fail(k, text, strlen(text));
		return;
	}
	if (k->reexec || clock_ns() - k->started_ns >= STABLE_NS)
		k->rapid_deaths = 0;
	else if (k->rapid_deaths < BACKOFF_MAX)
		k->rapid_deaths++;
	if (k->rapid_deaths > 1)
		delay_ns = BACKOFF_NS << (k->rapid_deaths - 1);
	if (k->reexec)
		log_info("thoxd is executed anew");
	else
		log_thoxd_death(status, delay_ns);
	k->reexec = false;
	k->restarts++;
	enter(k, CLEANING, SWEEP_MAX_NS);
}

static bool chosen_zygote(pid_t pid, void *user)
{
	struct keeper *k = user;

	for (struct zygote *z = k->zygotes; z; z = z->next)
		if (z->pid == pid)
			return true;
	return false;
}

/* At the end of all nobody is spared. */
static bool chosen_other(pid_t pid, void *user)
{
	struct keeper *k = user;

	return pid != k->thoxd &&
	       (k->state == ENDING || !kept_lives(&k->kept, pid));
}

/* @which as in wait4(). Whether one was reaped; if not, errno says why. */
static bool reap_one(struct keeper *k, pid_t which)
{
	struct rusage u;
	int status;
	pid_t pid = wait4(which, &status, WNOHANG | __WALL, &u);

	if (pid == 0)
		errno = EAGAIN;
	if (pid <= 0)
		return false;
	if (pid == k->thoxd) {
		thoxd_died(k, status);
		return true;
	}
	send_exited(k, pid, status, &u); /* somebody waits for it */
	forget_zygote(k, pid);
	kept_exited(&k->kept, pid, status, &u);
	return true;
}

/* Reap all that ended. True when there is no child at all. */
static bool reap(struct keeper *k)
{
	while (reap_one(k, -1))
		;
	return errno == ECHILD;
}

static void nobody_left(struct keeper *k)
{
	if (k->state == ENDING)
		enter(k, DONE, 0);
	else if (k->rapid_deaths > 1)
		enter(k, WAITING, BACKOFF_NS << (k->rapid_deaths - 1));
	else
		serve(k);
}

/* One round of killing: zygotes, when there are none all others, when there
 * are none (or they do not die) thoxd. Where thoxd died, those that are kept
 * live on. */
static void sweep(struct keeper *k)
{
	bool late = k->deadline_ns && clock_ns() >= k->deadline_ns;
	int n = children_kill(chosen_zygote, k);

	if (n == 0)
		n = children_kill(chosen_other, k);
	if (late && n != 0)
		log_warnx("%d processes do not die of SIGKILL; going on", n);
	if ((n == 0 || late) && k->state == ENDING && k->thoxd > 0)
		kill(k->thoxd, SIGKILL);
	if (reap(k) || late || (n == 0 && k->state == CLEANING))
		nobody_left(k);
}

static void stop(struct keeper *k)
{
	if (k->state == SERVING) {
		log_info("shutting down");
		notify("STOPPING=1");
		kill(k->thoxd, SIGTERM);
		enter(k, STOPPING, STOP_NS);
	} else if (k->state == CLEANING || k->state == WAITING) {
		begin_end(k);
	}
}

/*
 * Many deaths are one signal, which names one of them. That one is told first:
 * to look for any other the kernel goes through all children, and there may
 * be thousands.
 */
static void on_signal(struct keeper *k)
{
	struct signalfd_siginfo info[4];
	ssize_t n = read(k->signal_fd, info, sizeof(info));

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(info[0]); i++) {
		if (info[i].ssi_signo != SIGCHLD)
			stop(k);
		else if (info[i].ssi_pid > 0)
			(void)reap_one(k, (pid_t)info[i].ssi_pid);
	}
	reap(k);
}

static void on_deadline(struct keeper *k)
{
	if (k->state == WAITING) {
		serve(k);
	} else if (k->state == STOPPING) {
		log_warnx("thoxd does not shut down; it is ended");
		begin_end(k);
	}
}

/* --- the loop -------------------------------------------------------------
 */

static int poll_ms(const struct keeper *k)
{
	uint64_t now = clock_ns(), wait_ns;

	if (k->state == CLEANING || k->state == ENDING)
		return SWEEP_NS / MS_NS;
	if (!k->deadline_ns)
		return -1;
	wait_ns = k->deadline_ns > now ? k->deadline_ns - now : 0;
	return (int)((wait_ns + MS_NS - 1) / MS_NS);
}

static void turn(struct keeper *k)
{
	struct pollfd fds[2] = {
		{ .fd = k->signal_fd, .events = POLLIN },
		{ .fd = k->linked ? k->link.fd : -1, .events = POLLIN },
	};

	if (k->linked && link_has_queued(&k->link))
		fds[1].events |= POLLOUT;
	if (poll(fds, 2, poll_ms(k)) < 0 && errno != EINTR)
		log_fatal("poll");
	if (fds[1].revents & POLLOUT)
		(void)link_flush(&k->link);
	/* thoxd's words before its death: they may say why */
	if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
		on_link(k);
	if (fds[0].revents)
		on_signal(k);
	if (k->deadline_ns && clock_ns() >= k->deadline_ns)
		on_deadline(k);
	if (k->state == CLEANING || k->state == ENDING)
		sweep(k);
}

int keeper_run(const struct keeper_options *options)
{
	struct keeper k = {
		.options = options,
		.ready_fd = options->ready_fd,
		.signal_fd = -1,
	};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	k.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k.signal_fd < 0)
		log_fatal("signalfd");
	k.control_ino = control_inode(&k, false);
	serve(&k);
	while (k.state != DONE)
		turn(&k);
	unlink_thoxd(&k);
	kept_deinit(&k.kept);
	free(k.saved);
	fd_close(k.signal_fd);
	return k.exit_code;
}
