/*
 * Steps 4 to 9: a run, from its start to its result.
 *
 * The start message is encoded once, at acceptance. It goes to a waiting
 * runner in the same turn of the loop, before the starter is told anything,
 * so that both work at the same time.
 */

#include "thoxd/run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/child.h"
#include "thoxd/holding.h"
#include "thoxd/making.h"
#include "thoxd/program.h"
#include "thoxd/run_accept.h"
#include "thoxd/run_limit.h"
#include "thoxd/runner.h"
#include "thoxd/services/service.h"
#include "thoxd/zygote.h"

/* --- the end --------------------------------------------------------------
 */

/* Before its last words: a starter that cannot take them goes, and with it
 * its run, if it had one. */
static struct starter *part(struct run *run)
{
	struct starter *st = run->starter;

	if (st)
		st->run = NULL;
	run->starter = NULL;
	return st;
}

static void release(struct run *run)
{
	struct server *s = run->server;

	part(run);
	list_remove(&run->waiting);
	list_remove(&run->list);
	s->n_runs--;
	run_discard(run);
	server_check_end(s);
}

void starter_leave(struct starter *st)
{
	if (st->run)
		part(st->run);
}

void starter_leave_and_kill(struct starter *st, enum cause cause)
{
	struct run *run = st->run;

	if (!run)
		return;
	part(run);
	if (run->runner)
		run_kill(run, cause);
	else
		release(run);
}

static void refuse(struct server *s, struct starter *st, int status,
		   const char *message, const char *hint)
{
	s->counters.failed++;
	if (st)
		st->ops->refused(st, status, message, hint);
}

void run_refuse(struct run *run, int status, const char *message,
		const char *hint)
{
	refuse(run->server, part(run), status, message, hint);
	release(run);
}

static uint64_t wall_us(const struct run *run)
{
	double s = ev_now(run->server->loop) - run->started;

	return s > 0 ? (uint64_t)(s * 1e6) : 0;
}

static void log_end(const struct run *run, const struct process_exit *e,
		    const struct result *r)
{
	bool unusual = strcmp(r->reason, "sandbox") == 0 ||
		       strcmp(r->reason, "signal") == 0;

	if (unusual)
		log_warnx("end pid=%d name=%s version=%llu runtime='%s' "
			  "reason=%s: %s",
			  (int)e->pid, log_quote(run->name),
			  (unsigned long long)run->version, run->runtime,
			  r->reason, r->detail);
	else
		log_debug("end pid=%d name=%s reason=%s code=%d", (int)e->pid,
			  log_quote(run->name), r->reason, r->code);
}

void run_ended(struct run *run, const struct process_exit *e)
{
	struct result_facts facts = {
		.status = e->status,
		.cause = run->cause,
		.report = run->report,
		.report_detail = run->report_detail,
		.memory_bytes = run->memory_bytes,
		.cpu_ms = run->cpu_ms,
		.wall_ms = run->wall_ms,
	};
	struct result result;
	struct run_end end = {
		.exit = e,
		.result = &result,
		.wall_us = wall_us(run),
	};
	struct starter *st = part(run);

	bool hard;

	run->runner = NULL;
	result_classify(&facts, &result);
	for (unsigned i = 0; i < 3; i++) /* what it had open is over */
		run->fds[i] = fd_close(run->fds[i]);
	hard = run->orphan || result.signalled || run->cause != CAUSE_NONE;
	child_parent_gone(&run->principal, hard);
	events_ended(run->server, run, &end);
	if (st)
		st->ops->ended(st, run, &end);
	log_end(run, e, &result);
	release(run);
}

/* --- the beginning --------------------------------------------------------
 */

static void serve(struct run *run, const struct program *p)
{
	struct zygote_key key = {
		.runtime = p->runtime,
		.version = p->runtime_version,
		.id = p->runtime_id,
		.text_fd = p->runtime_fd,
	};
	const char *why;
	int r = zygote_serve(run->server, &key, run, &why);

	if (r < 0)
		run_refuse(run, STATUS_ERROR, r == -EAGAIN ? why : strerror(-r),
			   NULL);
}

static int check_room(const struct server *s, struct refusal *why)
{
	*why = (struct refusal){ .status = STATUS_ERROR };
	if (s->ending) {
		strcpy(why->message, "thox is shutting down");
		return -1;
	}
	if (s->n_runs < s->config.max_processes)
		return 0;
	why->status = STATUS_TOO_LARGE;
	strcpy(why->message,
	       "too many processes (max-processes in thoxd.conf)");
	return -1;
}

void run_start(struct server *s, const struct run_spec *q, int fds[4],
	       struct starter *st)
{
	struct program p = { .text_fd = -1, .runtime_fd = -1 };
	struct refusal why;
	struct run *run;

	if (check_room(s, &why) < 0 || program_open(s, q, &p, &why) < 0 ||
	    run_accept(s, q, fds, &p, &run, &why) < 0) {
		program_close(&p);
		refuse(s, st, why.status, why.message, why.hint);
		return;
	}
	run->starter = st;
	st->run = run;
	list_append(&s->runs, &run->list);
	s->n_runs++;
	if (p.notice[0] && st->ops->notice)
		st->ops->notice(st, p.notice);
	if (run->starter) /* it may have left at the notice */
		serve(run, &p);
	program_close(&p);
}

static int send_start(struct run *run)
{
	unsigned n_fds = run->fds[3] >= 0 ? 4 : 3;
	int r = peer_send(&run->runner->peer, &run->starting->message, run->fds,
			  n_fds);

	if (r == 0)
		run_drop_start(run);
	return r;
}

/* What the message names, its process is told of before. A context whose
 * owner has gone meanwhile is one that is closed. */
static void hand_over(struct run *run)
{
	struct run_starting *starting = run->starting;
	struct principal *wait;

	while (!list_empty(&starting->gifts)) {
		struct holding *right =
			list_first(&starting->gifts, struct holding, of_call);
		int r = making_link_of_right(right, &run->principal, &wait);

		if (r == -EAGAIN) {
			making_wait(run->server, wait, &starting->room);
			return;
		}
		list_remove(&right->of_call);
		if (r < 0)
			holding_free(right);
	}
	/* one that takes nothing is about to end, which is told */
	(void)send_start(run);
}

static void on_room(struct waiter *w)
{
	struct run *run = container_of(w, struct run_starting, room)->run;

	if (run->runner)
		hand_over(run);
}

int run_begin(struct run *run, struct runner *r)
{
	bool waits = !list_empty(&run->starting->gifts);
	int e = 0;

	run->runner = r;
	run->starting->room.go = on_room;
	if (!waits)
		e = send_start(run);
	if (e < 0) {
		run->runner = NULL;
		return e;
	}
	run->server->counters.starts++;
	if (r->process.pid > 0) {
		runner_limit(r, run->memory_bytes, run->tasks, run->cpu_ms);
		run_born(run, r->process.pid);
	}
	return 0;
}

static uint64_t time_of_day_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void run_born(struct run *run, pid_t pid)
{
	struct server *s = run->server;

	run->born = true;
	principal_begin(&run->principal, &run->runner->peer, pid,
			&run->runner->process);
	run->started = ev_now(s->loop);
	run->started_ms = time_of_day_ms();
	run_limits_begin(run);
	events_started(s, run);
	log_debug("start pid=%d name=%s version=%llu runtime='%s'", (int)pid,
		  log_quote(run->name), (unsigned long long)run->version,
		  run->runtime);
	if (run->starter && run->starter->ops->started)
		run->starter->ops->started(run->starter, run);
	if (run->starting && run->runner)
		hand_over(run);
}

void run_check_kill(struct run *run)
{
	if (run->cause != CAUSE_NONE)
		run_kill(run, run->cause);
}

/* --- meanwhile ------------------------------------------------------------
 */

void run_report(struct run *run, enum report report, uint64_t detail)
{
	run->report = report;
	run->report_detail = detail;
	/* after a trap it ends itself; whoever lives on is not asked again */
	if (report == REPORT_TRAP)
		run_kill(run, CAUSE_TRAP);
}

void run_evaluated(struct run *run, bool ok)
{
	struct starter *st = run->starter;

	if (st && st->ops->evaluated)
		st->ops->evaluated(st, ok);
}

pid_t run_pid(const struct run *run)
{
	return run->runner ? run->runner->process.pid : 0;
}

const char *run_state(const struct run *run)
{
	if (!run->born)
		return "starting";
	if (run->cause != CAUSE_NONE || run->terminating)
		return "ending";
	return run->paused ? "paused" : "running";
}

void run_kill(struct run *run, enum cause cause)
{
	if (run->cause == CAUSE_NONE)
		run->cause = cause;
	if (run->runner)
		(void)process_signal(&run->runner->process, SIGKILL);
}

void run_orphaned(struct run *run, bool hard)
{
	run->orphan = true;
	if (!run->runner)
		run_refuse(run, STATUS_ERROR, "its parent has ended", NULL);
	else if (hard || run_signal(run, RUN_TERMINATE, 0, 0) < 0)
		run_kill(run, CAUSE_KILLED);
}

void run_stream_closed(struct run *run, unsigned number)
{
	if (number < 3)
		run->fds[number] = fd_close(run->fds[number]);
	service_process_streams_changed(run);
}
