/*
 * Steps 4 and 8: how much a run may use, and who ends it when it does.
 */

#include "thoxd/run_limit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define CPU_CHECK_S 0.02 /* the finest look at a process's CPU time */

/* --- how much -------------------------------------------------------------
 */

/* 0: none */
struct limits {
	uint64_t memory_bytes;
	uint64_t cpu_ms;
	uint64_t wall_ms;
	uint64_t tasks;
	uint64_t descriptors;
	uint64_t processes;
};

static struct limits defaults(const struct config *c)
{
	return (struct limits){
		.memory_bytes = c->memory_bytes,
		.cpu_ms = c->cpu_ms,
		.wall_ms = c->wall_ms,
		.tasks = c->tasks,
		.descriptors = c->descriptors,
		.processes = c->processes,
	};
}

static struct limits of_run(const struct run *run)
{
	return (struct limits){
		.memory_bytes = run->memory_bytes,
		.cpu_ms = run->cpu_ms,
		.wall_ms = run->wall_ms,
		.tasks = run->tasks,
		.descriptors = run->descriptors,
		.processes = run->processes,
	};
}

/* @usual is the default, and where @bounds the most. */
static uint64_t limit(uint64_t wanted, uint64_t usual, bool bounds)
{
	if (wanted == 0)
		return usual;
	if (bounds && usual != 0 && wanted > usual)
		return usual;
	return wanted == RUN_NO_LIMIT ? 0 : wanted;
}

/* --- time -----------------------------------------------------------------
 */

/* A service has no such limits: its run goes without. */
struct run_timers {
	struct run *run;
	ev_timer wall;
	ev_timer cpu;
	ev_timer grace;
};

static void on_wall(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	run_kill(container_of(timer, struct run_timers, wall)->run, CAUSE_WALL);
}

/* A process uses at most as much CPU time as time passes, so the next look
 * is due when it could have used up what it has left. */
static void on_cpu(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct run *run = container_of(timer, struct run_timers, cpu)->run;
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
	run_kill(container_of(timer, struct run_timers, grace)->run,
		 CAUSE_TERMINATED);
}

static int make_timers(struct run *run)
{
	struct run_timers *t;

	if (!run->wall_ms && !run->cpu_ms && !run->grace_ms)
		return 0;
	t = run->timers = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->run = run;
	ev_timer_init(&t->wall, on_wall, (double)run->wall_ms / 1000, 0.);
	ev_timer_init(&t->cpu, on_cpu, (double)run->cpu_ms / 1000, 0.);
	ev_timer_init(&t->grace, on_grace, (double)run->grace_ms / 1000, 0.);
	return 0;
}

/* --- for a run ------------------------------------------------------------
 */

/* Most have no children, and need no budget for any. */
static int make_budget(struct run *run)
{
	return run->budget
		       ? 0
		       : budget_new(run->counted, run->processes, &run->budget);
}

static int count(struct run *run, struct run *parent, uint64_t *ret_most)
{
	int r = make_budget(parent);

	if (r == 0)
		r = budget_take(parent->budget, ret_most);
	if (r < 0)
		return r;
	run->counted = parent->budget;
	/* at once: it may be too deep, and its limit not what it asked for */
	r = make_budget(run);
	if (r == 0)
		run->processes = budget_limit(run->budget);
	return r;
}

int run_limits_init(struct run *run, const struct run_spec *q,
		    uint64_t *ret_most)
{
	struct run *parent = q->parent ? run_of_principal(q->parent) : NULL;
	const struct config *c = &run->server->config;
	struct limits usual = parent ? of_run(parent) : defaults(c);
	bool bounds = parent != NULL;
	int r;

	run->memory_bytes = limit(q->memory_bytes, usual.memory_bytes, bounds);
	run->cpu_ms = limit(q->cpu_ms, usual.cpu_ms, bounds);
	run->wall_ms = limit(q->wall_ms, usual.wall_ms, bounds);
	run->grace_ms = limit(q->grace_ms, c->grace_ms, false);
	run->tasks = limit(q->tasks, usual.tasks, bounds);
	run->descriptors = limit(q->descriptors, usual.descriptors, bounds);
	run->processes = limit(q->processes, usual.processes, bounds);
	r = make_timers(run);
	return r == 0 && parent ? count(run, parent, ret_most) : r;
}

void run_limits_begin(struct run *run)
{
	struct ev_loop *loop = run->server->loop;

	if (run->wall_ms)
		ev_timer_start(loop, &run->timers->wall);
	if (run->cpu_ms)
		ev_timer_start(loop, &run->timers->cpu);
}

void run_limits_grace(struct run *run)
{
	if (run->grace_ms && !ev_is_active(&run->timers->grace))
		ev_timer_start(run->server->loop, &run->timers->grace);
}

void run_limits_end(struct run *run)
{
	struct ev_loop *loop = run->server->loop;

	if (run->timers) {
		ev_timer_stop(loop, &run->timers->wall);
		ev_timer_stop(loop, &run->timers->cpu);
		ev_timer_stop(loop, &run->timers->grace);
		free(run->timers);
		run->timers = NULL;
	}
	budget_give(run->counted);
	run->counted = NULL;
	run->budget = budget_unref(run->budget);
}
