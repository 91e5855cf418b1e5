/*
 * Step 9, for services: a run goes on under another thoxd.
 *
 * It is accepted like any other, with what the record says in place of a look
 * into the store, and then has its process at once.
 */

#include "thoxd/run_adopt.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "thoxd/run_accept.h"
#include "thoxd/run_limit.h"
#include "thoxd/runner.h"
#include "thoxd/zygote.h"

static uint64_t or_none(uint64_t limit)
{
	return limit ? limit : RUN_NO_LIMIT;
}

static struct run_spec spec_of(const struct record_process *r,
			       const char *service, struct policy *policy)
{
	return (struct run_spec){
		.service = service,
		.policy = policy,
		.memory_bytes = or_none(r->memory_bytes),
		.cpu_ms = or_none(r->cpu_ms),
		.wall_ms = RUN_NO_LIMIT,
		.grace_ms = RUN_NO_LIMIT,
		.tasks = or_none(r->tasks),
		.descriptors = or_none(r->descriptors),
		.processes = or_none(r->processes),
	};
}

static int accept(struct server *s, const struct record_process *r,
		  const char *service, struct policy *policy, int *fds,
		  struct run **ret_run)
{
	struct run_spec spec = spec_of(r, service, policy);
	struct program program = { .version = r->version,
				   .stored = r->itself,
				   .text_fd = -1,
				   .runtime_fd = -1 };
	int io[4] = { -1, -1, -1, -1 };
	struct refusal why;
	int at = 2;

	strcpy(program.name, r->program);
	strcpy(program.runtime, r->runtime);
	for (unsigned i = 0; i < 3; i++)
		if (r->has[i])
			io[i] = fd_set_aside(steal_fd(&fds[at++]));
	if (run_accept(s, &spec, io, &program, ret_run, &why) == 0)
		return 0;
	for (unsigned i = 0; i < 3; i++)
		fd_close(io[i]);
	log_warnx("a process cannot be taken over: %s", why.message);
	return -ENOMEM;
}

/* By the wall's clock, which is the one that both thoxds have. */
static double seconds_since(uint64_t ms)
{
	struct timespec now;
	double s;

	clock_gettime(CLOCK_REALTIME, &now);
	s = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)ms / 1000;
	return s > 0 ? s : 0;
}

int run_adopt(struct server *s, const struct record_process *r,
	      const char *service, struct policy *policy, pid_t pid, int *fds,
	      struct starter *st)
{
	struct zygote *z = zygote_adopted(s, r->runtime, r->uid);
	struct run *run;
	int e = z ? accept(s, r, service, policy, fds, &run) : -ENOMEM;

	if (e < 0)
		return e;
	run_drop_start(run);
	run->runner = runner_adopt(z, run, pid, fds);
	if (!run->runner) {
		run_discard(run);
		return -ENOMEM;
	}
	run->starter = st;
	st->run = run;
	list_append(&s->runs, &run->list);
	s->n_runs++;
	run->born = true;
	principal_begin(&run->principal, &run->runner->peer, pid,
			&run->runner->process);
	run->started = ev_now(s->loop) - seconds_since(r->started_ms);
	run->started_ms = r->started_ms;
	run_limits_begin(run);
	return 0;
}
