/*
 * Step 6, from thoxd's side: a runner is born, waits, runs, ends.
 *
 * thoxd makes the socket pair, so the link exists before the process: a start
 * may be sent before the birth is told. What is read from it is hostile.
 */

#include "thoxd/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/library.h"
#include "thoxd/message.h"
#include "thoxd/pidfd.h"
#include "thoxd/run.h"
#include "thoxd/zero.h"
#include "thoxd/zygote.h"

#define DRAIN_MAX 64 /* messages read after the exit was told */
/* What the process maps beside its program's memory: itself, its stacks, and
 * what malloc() cannot give back. */
#define ADDRESS_SLACK_BYTES (64ULL << 20)
#define STACKS_MAX	    (1U << 20) /* that room is made for */
#define LOST_S		    0.2	       /* to end after its control link did */

static struct runner *runner_of(struct peer *p)
{
	return container_of(p, struct runner, peer);
}

static void runner_free(struct garbage *g)
{
	free(container_of(g, struct runner, garbage));
}

struct runner_lost {
	struct runner *runner;
	ev_timer timer;
};

static void forget_lost(struct runner *r)
{
	if (r->lost)
		ev_timer_stop(r->zygote->server->loop, &r->lost->timer);
	free(r->lost);
	r->lost = NULL;
}

static void release(struct runner *r)
{
	struct zygote *z = r->zygote;

	list_remove(&r->list);
	forget_lost(r);
	peer_close(&r->peer);
	r->their_end = fd_close(r->their_end);
	process_remove(&z->server->processes, &r->process);
	z->n_runners--;
	server_release(z->server, &r->garbage, runner_free);
	zygote_runner_gone(z);
}

/* --- its messages ---------------------------------------------------------
 */

static int on_report(struct runner *r, const struct runner_message *m)
{
	if (r->run)
		run_report(r->run, m->report, m->detail);
	else
		log_warnx("runner pid=%d of '%s' reports trouble before it got "
			  "a program (report %d, detail %llu)",
			  (int)r->process.pid, r->zygote->runtime,
			  (int)m->report, (unsigned long long)m->detail);
	return 0;
}

static int on_message(struct peer *p, struct link_message *m)
{
	struct runner *r = runner_of(p);
	struct runner_message message;
	int e;

	if (r->renewing && runner_message_comes_again(m))
		return 0;
	if (r->run && principal_takes(m))
		return principal_message(&r->run->principal, m);
	e = runner_message_parse(m->data, m->size, m->n_fds, &message);
	if (e < 0)
		return e;
	switch (message.kind) {
	case CONTROL_RUNNER_READY:
		r->ready = true;
		return 0;
	case CONTROL_REPORT:
		return on_report(r, &message);
	case CONTROL_WANT_LIBRARY:
		if (!r->run)
			return -EPROTO; /* it has no program yet */
		return library_answer(r, message.id, message.name);
	case CONTROL_EVALUATE_DONE:
		if (!r->run)
			return -EPROTO;
		run_evaluated(r->run, message.ok);
		return 0;
	case CONTROL_AGAIN_HEARD:
		return peer_heard_again(p, &r->renewing, message.id,
					r->zygote->server->restarts);
	case CONTROL_STREAM_CLOSED:
		if (!r->run)
			return -EPROTO;
		run_stream_closed(r->run, message.number);
		return 0;
	}
	return -EPROTO;
}

static void kill_now(struct runner *r, enum cause cause)
{
	if (r->run)
		run_kill(r->run, cause);
	else
		(void)process_signal(&r->process, SIGKILL);
}

static void on_lost(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct runner *r =
		container_of(timer, struct runner_lost, timer)->runner;

	(void)loop;
	(void)events;
	/* one that has ended waits for the keeper to tell how, on a busy
	 * machine longer */
	if (!pidfd_has_ended(r->process.pidfd))
		kill_now(r, CAUSE_PROTOCOL);
}

/* A process closes its link by ending, which the keeper tells in a moment.
 * One that lives on without is none that anybody could talk to. */
static void on_gone(struct peer *p, int error)
{
	struct runner *r = runner_of(p);

	if (error == -ECONNRESET || error == -EPIPE)
		r->lost = calloc(1, sizeof(*r->lost));
	if (!r->lost) {
		kill_now(r, CAUSE_PROTOCOL);
		return;
	}
	r->lost->runner = r;
	ev_timer_init(&r->lost->timer, on_lost, LOST_S, 0.);
	ev_timer_start(r->zygote->server->loop, &r->lost->timer);
}

/* --- its life -------------------------------------------------------------
 */

static void open_link(struct runner *r, int fd)
{
	peer_open(&r->peer, r->zygote->server->loop, fd, on_message, on_gone);
	r->peer.link.limit_bytes = CONTROL_RUNNER_BYTES;
	r->peer.link.queue_limit_bytes = 2 * CONTROL_MESSAGE_BYTES;
}

int runner_fork(struct zygote *z, struct runner **ret_runner)
{
	_cleanup_(fd_closep) int theirs = -1;
	struct server *s = z->server;
	struct mp_writer w;
	struct runner *r;
	uint8_t buf[32];
	int pair[2], e;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	theirs = pair[1];
	r = calloc(1, sizeof(*r));
	if (!r) {
		fd_close(pair[0]);
		return -ENOMEM;
	}
	r->zygote = z;
	r->token = ++s->last_token;
	r->process.pidfd = -1;
	r->their_end = -1;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_FORK);
	mp_write_uint(&w, r->token);
	e = peer_send(&z->peer, &w, &theirs, 1);
	if (e < 0) {
		fd_close(pair[0]);
		free(r);
		return e;
	}
	r->their_end = steal_fd(&theirs);
	open_link(r, pair[0]);
	peer_hold(&r->peer); /* until it has a PID */
	list_append(&z->forking, &r->list);
	z->n_forking++;
	z->n_runners++;
	z->starts++;
	*ret_runner = r;
	return 0;
}

static void on_process_exit(struct process *p, const struct process_exit *exit)
{
	struct runner *r = container_of(p, struct runner, process);

	/* what it said last is still in the socket, and then its end */
	peer_drain(&r->peer, DRAIN_MAX);
	if (r->run) {
		zero_last_words(&r->run->principal);
		run_ended(steal(&r->run), exit);
	} else if (r->zygote->state != ZYGOTE_RETIRED) {
		log_warnx("waiting runner pid=%d of '%s' ended: wait status "
			  "0x%x",
			  (int)exit->pid, r->zygote->runtime,
			  (unsigned)exit->status);
	}
	if (r->pooled)
		r->zygote->n_pool--;
	release(r);
}

struct runner *runner_adopt(struct zygote *z, struct run *run, pid_t pid,
			    int *fds)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->zygote = z;
	r->run = run;
	r->their_end = -1;
	r->ready = r->renewing = true;
	r->memory_bytes = run->memory_bytes;
	r->tasks = run->tasks;
	r->cpu_ms = run->cpu_ms;
	list_init(&r->list);
	open_link(r, steal_fd(&fds[0]));
	r->peer.link.resumed = true;
	z->n_runners++;
	process_add(&z->server->processes, &r->process, pid, steal_fd(&fds[1]),
		    on_process_exit);
	return r;
}

/* Neither of a stranger nor of somebody of ours: a zygote that was taken over
 * must not choose whom thoxd limits and kills. */
static bool birth_is_true(struct runner *r, pid_t pid, int pidfd)
{
	struct server *s = r->zygote->server;

	if (pid == getpid() || process_lives(&s->processes, pid))
		return false;
	return pidfd_is_child(pidfd, pid, s->keeper_pid) ||
	       pidfd_has_ended(pidfd);
}

/*
 * What comes for it makes SIGIO from now on. Said here, on our copy of its end,
 * because whoever may say so himself may have strangers signalled. What was
 * sent before, it is told to look for.
 */
static void point_signals(struct runner *r, pid_t pid)
{
	uint8_t buf[16];
	struct mp_writer w;

	(void)fcntl(r->their_end, F_SETOWN, pid);
	r->their_end = fd_close(r->their_end);
	if (!r->run)
		return;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_EVENT);
	mp_write_str(&w, "wake");
	(void)peer_send(&r->peer, &w, NULL, 0);
}

int runner_forked(struct runner *r, pid_t pid, int pidfd)
{
	struct server *s = r->zygote->server;

	if (!birth_is_true(r, pid, pidfd)) {
		fd_close(pidfd);
		return -EPROTO;
	}
	point_signals(r, pid);
	list_remove(&r->list);
	r->zygote->n_forking--;
	if (r->run || r->abandoned) {
		list_init(&r->list);
	} else {
		list_append(&r->zygote->pool, &r->list);
		r->zygote->n_pool++;
		r->pooled = true;
	}
	/* for the limits, before anybody may reap it; and for the keeper */
	r->process.pid = pid;
	r->process.pidfd = pidfd;
	if (!r->abandoned)
		runner_limit(r,
			     r->run ? r->run->memory_bytes
				    : s->config.memory_bytes,
			     r->run ? r->run->tasks : s->config.tasks,
			     r->run ? r->run->cpu_ms : s->config.cpu_ms);
	if (r->run)
		run_born(r->run, pid);
	peer_resume(&r->peer);
	process_add(&s->processes, &r->process, pid, pidfd, on_process_exit);
	if (r->abandoned)
		(void)process_signal(&r->process, SIGKILL);
	else if (r->run)
		run_check_kill(r->run);
	return 0;
}

void runner_take(struct runner *r, struct run *run)
{
	if (r->pooled) {
		list_remove(&r->list);
		r->zygote->n_pool--;
		r->pooled = false;
	}
	r->run = run;
}

void runner_abandon(struct runner *r)
{
	r->run = NULL;
	r->abandoned = true;
	(void)process_signal(&r->process, SIGKILL);
}

void runner_drop(struct runner *r)
{
	r->zygote->n_forking--;
	release(r);
}

/* The hard limit stays: an ordinary user could not raise it again, and a
 * runner cannot change the soft one, since prlimit is not in its table. */
static void set_limit(struct runner *r, int resource, rlim_t soft)
{
	struct rlimit limit = { soft, RLIM_INFINITY };
	pid_t pid = r->process.pid;

	if (prlimit(pid, (enum __rlimit_resource)resource, &limit, NULL) == 0 ||
	    errno == ESRCH)
		return;
	log_warn("pid=%d: a limit cannot be set, so it is ended", (int)pid);
	kill_now(r, CAUSE_KILLED);
}

void runner_limit(struct runner *r, uint64_t memory_bytes, uint64_t tasks,
		  uint64_t cpu_ms)
{
	if (cpu_ms != r->cpu_ms) {
		/* thoxd's timer is finer and comes first */
		rlim_t seconds = cpu_ms / 1000 + 2;

		set_limit(r, RLIMIT_CPU, cpu_ms ? seconds : RLIM_INFINITY);
		r->cpu_ms = cpu_ms;
	}
#ifdef THOX_SANITIZED /* whose shadow takes terabytes */
	(void)memory_bytes;
	(void)tasks;
#else
	uint64_t stacks = tasks < STACKS_MAX ? tasks : STACKS_MAX;

	if (memory_bytes != r->memory_bytes || tasks != r->tasks) {
		rlim_t bytes = memory_bytes + memory_bytes / 2 +
			       stacks * CONTROL_TASK_STACK_BYTES +
			       ADDRESS_SLACK_BYTES;

		set_limit(r, RLIMIT_AS, memory_bytes ? bytes : RLIM_INFINITY);
		r->memory_bytes = memory_bytes;
		r->tasks = tasks;
	}
#endif
}

/* The least of all that it was ever handed, since it need not tell what it has
 * closed: where that is too little, thox-storaged writes for it. The kernel
 * remembers, beyond the life of a thoxd. */
int runner_bound_files(struct runner *r, uint64_t limit_bytes)
{
	struct rlimit limit;

	if (r->process.pid == 0 ||
	    prlimit(r->process.pid, RLIMIT_FSIZE, NULL, &limit) < 0)
		return -EPERM;
	if (limit_bytes < limit.rlim_cur)
		limit.rlim_cur = limit_bytes;
	if (prlimit(r->process.pid, RLIMIT_FSIZE, &limit, NULL) < 0)
		return -EPERM;
	return 0;
}
