/*
 * Step 9: a process starts others, and looks after them.
 */

#include "thoxd/native_process.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "thoxd/child.h"
#include "thoxd/field.h"
#include "thoxd/native.h"
#include "thoxd/policy.h"
#include "thoxd/run.h"
#include "thoxd/server.h"
#include "thoxd/status.h"

int native_process_run(struct native_call *c)
{
	return child_run(c);
}

/* --- which ones -----------------------------------------------------------
 */

static bool may_know(const struct principal *who, const struct run *run)
{
	const struct principal *p = &run->principal;
	struct mp_bytes program = { p->program, strlen(p->program) };

	for (; p; p = p->parent)
		if (p == who)
			return true;
	return program.size > 0 &&
	       policy_admits(who->policy, POLICY_RUN, program, NULL);
}

/* NULL: there is none, or none for this process. */
static struct run *find(struct native_call *c, uint64_t pid)
{
	struct run *run, *after;

	list_each(run, after, &c->server->runs, list)
	{
		if (run_pid(run) > 0 && (uint64_t)run_pid(run) == pid)
			return may_know(c->as, run) ? run : NULL;
	}
	return NULL;
}

static int read_process(struct native_call *c, struct run **ret)
{
	uint64_t pid = mp_read_uint(&c->args);

	if (c->args.bad || c->n_args != 1)
		return native_complain(c, STATUS_INVALID, "a PID is wanted");
	*ret = find(c, pid);
	if (!*ret)
		return native_complain(c, STATUS_NOT_FOUND,
				       "this process has no process %llu",
				       (unsigned long long)pid);
	return STATUS_OK;
}

/* --- what they are --------------------------------------------------------
 */

static void seconds(struct mp_writer *w, const char *key, double value)
{
	mp_write_str(w, key);
	mp_write_double(w, value);
}

/* What there is to say, in a map of @more further keys. */
static void write_process(struct mp_writer *w, const struct run *run,
			  uint32_t more)
{
	const struct principal *p = &run->principal;

	mp_write_map(w, 4 + !!p->parent + !!p->program[0] + !!p->service[0] +
				more);
	field_number(w, "pid", (uint64_t)run_pid(run));
	field_text(w, "name", run->name);
	field_text(w, "runtime", run->runtime);
	field_text(w, "state", run_state(run));
	if (p->parent)
		field_number(w, "parent", (uint64_t)p->parent->pid);
	if (p->program[0])
		field_text(w, "program", p->program);
	if (p->service[0])
		field_text(w, "service", p->service);
}

static void write_limits(struct mp_writer *w, const struct run *run)
{
	mp_write_str(w, "limits");
	mp_write_map(w,
		     3 + !!run->memory_bytes + !!run->cpu_ms + !!run->wall_ms);
	field_number(w, "tasks", run->tasks);
	field_number(w, "descriptors", run->descriptors);
	field_number(w, "processes", run->processes);
	if (run->memory_bytes)
		field_number(w, "memory", run->memory_bytes);
	if (run->cpu_ms)
		seconds(w, "cpu", (double)run->cpu_ms / 1e3);
	if (run->wall_ms)
		seconds(w, "wall", (double)run->wall_ms / 1e3);
}

int native_process_info(struct native_call *c)
{
	struct run *run = run_of_principal(c->as);
	struct mp_writer *w = &c->values;
	pid_t pid;
	int r;

	if (c->n_args > 0) {
		r = read_process(c, &run);
		if (r != STATUS_OK)
			return r;
	} else if (!run) {
		return native_complain(c, STATUS_INVALID, "a PID is wanted");
	}
	pid = run_pid(run);
	write_process(w, run, 5);
	field_number(w, "version", run->version);
	seconds(w, "started", (double)run->started_ms / 1e3);
	seconds(w, "cpu", (double)status_cpu_us(pid) / 1e6);
	field_number(w, "memory", status_memory_bytes(pid));
	write_limits(w, run);
	c->n_values = 1;
	return STATUS_OK;
}

int native_process_list(struct native_call *c)
{
	struct run *run, *after;
	uint32_t n = 0;

	list_each(run, after, &c->server->runs, list) n +=
		run_pid(run) > 0 && may_know(c->as, run);
	mp_write_array(&c->values, n);
	c->n_values = 1;
	list_each(run, after, &c->server->runs,
		  list) if (run_pid(run) > 0 && may_know(c->as, run))
		write_process(&c->values, run, 0);
	return STATUS_OK;
}

/* --- their end ------------------------------------------------------------
 */

static int end(struct native_call *c, enum run_signal signal)
{
	struct run *run;
	int r = read_process(c, &run);

	if (r != STATUS_OK)
		return r;
	r = run_signal(run, signal, 0, 0);
	if (r < 0 && r != -ESRCH) /* it ends already */
		return native_complain(c, STATUS_ERROR, "%s", strerror(-r));
	return STATUS_OK;
}

int native_process_kill(struct native_call *c)
{
	return end(c, RUN_KILL);
}

int native_process_terminate(struct native_call *c)
{
	return end(c, RUN_TERMINATE);
}
