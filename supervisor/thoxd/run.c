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
#include "thoxd/program.h"
#include "thoxd/runner.h"
#include "thoxd/zygote.h"

#define CPU_CHECK_S 0.02 /* the finest look at a process's CPU time */

/* --- the end --------------------------------------------------------------
 */

static void run_free(struct garbage *g)
{
	free(container_of(g, struct run, garbage));
}

static void drop_start(struct run *run)
{
	mp_writer_deinit(&run->start);
	for (size_t i = 0; i < ARRAY_SIZE(run->fds); i++)
		run->fds[i] = fd_close(run->fds[i]);
}

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
	principal_end(&run->principal);
	drop_start(run);
	ev_timer_stop(s->loop, &run->wall);
	ev_timer_stop(s->loop, &run->cpu);
	ev_timer_stop(s->loop, &run->grace);
	list_remove(&run->waiting);
	list_remove(&run->list);
	s->n_runs--;
	server_release(s, &run->garbage, run_free);
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

	run->runner = NULL;
	result_classify(&facts, &result);
	if (st)
		st->ops->ended(st, run, &end);
	log_end(run, e, &result);
	release(run);
}

/* --- the beginning --------------------------------------------------------
 */

static void write_start(struct run *run, const struct run_spec *q)
{
	struct mp_writer *w = &run->start;
	static const uint8_t empty_array = 0x90, empty_map = 0x80;

	mp_writer_init_heap(w);
	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_START);
	mp_write_map(w, run->service[0] ? 15 : 14);
	if (run->service[0]) {
		mp_write_str(w, "service");
		mp_write_str(w, run->service);
	}
	mp_write_str(w, "name");
	mp_write_str(w, run->name);
	mp_write_str(w, "version");
	mp_write_uint(w, run->version);
	mp_write_str(w, "args");
	mp_write_raw(w, q->args.size ? (const void *)q->args.p : &empty_array,
		     q->args.size ? q->args.size : 1);
	mp_write_str(w, "env");
	mp_write_raw(w, q->env.size ? (const void *)q->env.p : &empty_map,
		     q->env.size ? q->env.size : 1);
	mp_write_str(w, "memory_bytes");
	mp_write_uint(w, run->memory_bytes);
	mp_write_str(w, "cpu_ms");
	mp_write_uint(w, run->cpu_ms);
	mp_write_str(w, "tasks");
	mp_write_uint(w, run->tasks);
	mp_write_str(w, "descriptors");
	mp_write_uint(w, run->descriptors);
	mp_write_str(w, "label");
	mp_write_str(w, run->server->label);
	mp_write_str(w, "demand_stdin");
	mp_write_bool(w, q->demand_stdin);
	mp_write_str(w, "interactive");
	mp_write_bool(w, q->interactive);
	mp_write_str(w, "expression");
	mp_write_bool(w, q->expression);
	mp_write_str(w, "rows");
	mp_write_uint(w, q->rows);
	mp_write_str(w, "columns");
	mp_write_uint(w, q->columns);
}

static void on_wall(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	run_kill(container_of(timer, struct run, wall), CAUSE_WALL);
}

/* A process uses at most as much CPU time as time passes, so the next look
 * is due when it could have used up what it has left. */
static void on_cpu(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct run *run = container_of(timer, struct run, cpu);
	double left_s = (double)run->cpu_ms / 1000;
	struct timespec used;
	clockid_t clock;

	(void)events;
	if (clock_getcpuclockid(run_pid(run), &clock) != 0 ||
	    clock_gettime(clock, &used) < 0)
		return; /* it has ended */
	left_s -= (double)used.tv_sec + (double)used.tv_nsec / 1e9;
	if (left_s <= 0) {
		run_kill(run, CAUSE_CPU);
		return;
	}
	ev_timer_set(timer, left_s < CPU_CHECK_S ? CPU_CHECK_S : left_s, 0.);
	ev_timer_start(loop, timer);
}

static void on_grace(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	run_kill(container_of(timer, struct run, grace), CAUSE_TERMINATED);
}

static void init_principal(struct run *run, const struct run_spec *q,
			   bool stored)
{
	struct principal *p = &run->principal;

	principal_init(p, run->server, NULL, run->memory_bytes,
		       run->descriptors);
	p->program = run->name;
	p->service = run->service;
	p->storage = stored ? run->name : NULL;
	p->version = run->version;
	principal_set_policy(p, q->policy);
}

static uint64_t limit(uint64_t said, uint64_t usual)
{
	return said == RUN_NO_LIMIT ? 0 : said ? said : usual;
}

static struct run *run_alloc(struct server *s, const struct run_spec *q,
			     const struct program *p)
{
	const struct config *config = &s->config;
	const char *service = q->service ? q->service : "";
	size_t name_size = strlen(p->name) + 1;
	size_t runtime_size = strlen(p->runtime) + 1;
	struct run *run = calloc(1, sizeof(*run) + name_size + runtime_size +
					    strlen(service) + 1);

	if (!run)
		return NULL;
	run->name = strcpy(run->texts, p->name);
	run->runtime = strcpy(run->texts + name_size, p->runtime);
	run->service = strcpy(run->texts + name_size + runtime_size, service);
	run->server = s;
	list_init(&run->waiting);
	run->version = p->version;
	run->memory_bytes = limit(q->memory_bytes, config->memory_bytes);
	run->cpu_ms = limit(q->cpu_ms, config->cpu_ms);
	run->wall_ms = limit(q->wall_ms, config->wall_ms);
	run->grace_ms = limit(q->grace_ms, config->grace_ms);
	run->tasks = q->tasks ? q->tasks : config->tasks;
	run->descriptors =
		q->descriptors ? q->descriptors : config->descriptors;
	run->interactive = q->interactive;
	/* a text may be called anything */
	init_principal(run, q, p->text_fd >= 0);
	ev_timer_init(&run->wall, on_wall, (double)run->wall_ms / 1000, 0.);
	ev_timer_init(&run->cpu, on_cpu, (double)run->cpu_ms / 1000, 0.);
	ev_timer_init(&run->grace, on_grace, (double)run->grace_ms / 1000, 0.);
	return run;
}

/* A program of the store comes with its text; what else was handed over stays
 * the caller's. */
static void take_fds(struct run *run, int fds[4], struct program *p)
{
	for (unsigned i = 0; i < 3; i++)
		run->fds[i] = steal_fd(&fds[i]);
	run->fds[3] = steal_fd(p->text_fd >= 0 ? &p->text_fd : &fds[3]);
}

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

void run_start(struct server *s, const struct run_spec *q, int fds[4],
	       struct starter *st)
{
	struct refusal why;
	struct program p;
	struct run *run;

	if (s->ending) {
		refuse(s, st, STATUS_ERROR, "thox is shutting down", NULL);
		return;
	}
	if (s->n_runs >= s->config.max_processes) {
		refuse(s, st, STATUS_TOO_LARGE,
		       "too many processes (max-processes in thoxd.conf)",
		       NULL);
		return;
	}
	if (program_open(s, q, &p, &why) < 0) {
		refuse(s, st, why.status, why.message, why.hint);
		return;
	}
	run = run_alloc(s, q, &p);
	if (!run) {
		program_close(&p);
		refuse(s, st, STATUS_ERROR, strerror(ENOMEM), NULL);
		return;
	}
	take_fds(run, fds, &p);
	write_start(run, q);
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

int run_begin(struct run *run, struct runner *r)
{
	unsigned n_fds = run->fds[3] >= 0 ? 4 : 3;
	int e = peer_send(&r->peer, &run->start, run->fds, n_fds);

	if (e < 0)
		return e;
	drop_start(run);
	run->runner = r;
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
	if (run->wall_ms)
		ev_timer_start(s->loop, &run->wall);
	if (run->cpu_ms)
		ev_timer_start(s->loop, &run->cpu);
	log_debug("start pid=%d name=%s version=%llu runtime='%s'", (int)pid,
		  log_quote(run->name), (unsigned long long)run->version,
		  run->runtime);
	if (run->starter)
		run->starter->ops->started(run->starter, run);
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
