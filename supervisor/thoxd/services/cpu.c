/*
 * Step 8, for services: no more of the processors than a definition gives.
 *
 * The process's CPU clock is looked at ten times a second while it works, and
 * once a second while it does not. What it took beyond its part is a debt, for
 * which it is stopped until its part has made up for it. Without control
 * groups, which a user's instance may not have, nothing finer is to be had.
 */

#include <stdlib.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/status.h"

#define LOOK_S	 0.1
#define RELAX_S	 1.0
#define SPARE_US 100000.0 /* that may be saved up for later */

static struct ev_loop *loop_of(const struct service_process *p)
{
	return services_server(p->instance->service->services)->loop;
}

static void look_after(struct service_process *p, double seconds)
{
	ev_timer_stop(loop_of(p), &p->cpu->timer);
	ev_timer_set(&p->cpu->timer, seconds, 0.);
	ev_timer_start(loop_of(p), &p->cpu->timer);
}

/* What it has used since the last look. */
static double account(struct service_process *p)
{
	struct service_cpu *cpu = p->cpu;
	uint64_t now_ns = clock_ns(), used_us = status_cpu_us(p->pid);
	double used = (double)(used_us - cpu->used_us);
	double part = (double)(now_ns - cpu->looked_ns) / 1000 *
		      (double)p->config->definition->cpu_percent / 100;

	cpu->used_us = used_us;
	cpu->looked_ns = now_ns;
	cpu->debt_us += used - part;
	if (cpu->debt_us < -SPARE_US)
		cpu->debt_us = -SPARE_US;
	return used;
}

static void hold(struct service_process *p, bool on)
{
	if (p->cpu->held == on)
		return;
	if (run_signal(p->starter.run, on ? RUN_PAUSE : RUN_RESUME, 0, 0) == 0)
		p->cpu->held = on;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service_process *p =
		container_of(timer, struct service_cpu, timer)->process;
	const struct run *run = p->starter.run;
	double used;

	(void)loop;
	(void)events;
	if (!run)
		return;
	used = account(p);
	if (run->terminating) /* it has its own time for that */
		hold(p, false);
	else if (p->cpu->held ||
		 !run->paused) /* else somebody has stopped it */
		hold(p, p->cpu->debt_us > 0);
	look_after(p, used > 0 || p->cpu->held ? LOOK_S : RELAX_S);
}

void service_cpu_begin(struct service_process *p)
{
	uint64_t percent = p->config->definition->cpu_percent;

	if (percent == 0 || percent == DEFINITION_NONE)
		return;
	if (!p->cpu)
		p->cpu = calloc(1, sizeof(*p->cpu));
	if (!p->cpu) {
		log_warnx("service %s: no memory to watch its CPU time",
			  p->instance->service->name);
		return;
	}
	p->cpu->process = p;
	ev_timer_init(&p->cpu->timer, on_timer, 0., 0.);
	p->cpu->looked_ns = clock_ns();
	p->cpu->used_us = status_cpu_us(p->pid);
	/* One that is taken over was stopped by a former thoxd's like. */
	p->cpu->held = p->starter.run->paused;
	look_after(p, LOOK_S);
}

void service_cpu_end(struct service_process *p)
{
	if (!p->cpu)
		return;
	ev_timer_stop(loop_of(p), &p->cpu->timer);
	free(p->cpu);
	p->cpu = NULL;
}
