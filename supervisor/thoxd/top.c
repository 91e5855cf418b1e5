/*
 * At any step: what everything that runs uses.
 *
 * Each look asks the kernel for the processor time of all, and looks closer at
 * some: that costs more, and the loop must not be held up by thousands. One that
 * has not said its use yet (it computes, or is stopped) is not asked again: what
 * waits for it would only grow.
 */

#include "thoxd/top.h"

#include "base/fd.h"
#include "base/util.h"
#include "rpc/mp.h"
#include "thoxd/background.h"
#include "thoxd/background_status.h"
#include "thoxd/field.h"
#include "thoxd/run.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/status.h"
#include "thoxd/status.h"

/* --- a closer look -------------------------------------------------------- */

static bool is_process(const struct run *run)
{
	return run && run_pid(run) > 0;
}

static void ask(struct run *run)
{
	struct principal *p = &run->principal;

	if (run->use_asked || !p->control || principal_busy(p))
		return;
	run->use_asked = principal_ask_use(p) == 0;
}

static void look_closer(struct run *run)
{
	run->seen_bytes = status_memory_bytes(run_pid(run));
	ask(run);
}

/* At those behind the ones that were looked at last. */
static void look_closer_at_some(struct server *s)
{
	unsigned first = s->top_next < s->n_runs ? s->top_next : 0, i = 0;
	struct run *run, *after;

	list_each(run, after, &s->runs, list)
	{
		if (is_process(run) &&
		    (i - first + s->n_runs) % s->n_runs < TOP_LOOKS_MAX)
			look_closer(run);
		i++;
	}
	s->top_next =
		first + TOP_LOOKS_MAX < s->n_runs ? first + TOP_LOOKS_MAX : 0;
}

/* --- a process ------------------------------------------------------------ */

static void write_process(struct mp_writer *w, struct run *run)
{
	pid_t pid = run_pid(run);

	if (run->seen_bytes == 0)
		look_closer(run);
	mp_write_map(w, 6);
	field_number(w, "pid", (uint64_t)pid);
	field_number(w, "cpu_us", status_cpu_us(pid));
	field_number(w, "memory_bytes", run->seen_bytes);
	field_number(w, "calls", run->use.calls);
	field_number(w, "waiting", run->use.waiting);
	field_number(w, "counted_us", run->use_ns / 1000);
}

/* Of a row with one process, or none yet. */
static void write_single(struct mp_writer *w, struct run *run)
{
	mp_write_str(w, "processes");
	mp_write_array(w, is_process(run));
	if (is_process(run))
		write_process(w, run);
}

/* --- rows ----------------------------------------------------------------- */

#define ROW_FIELDS 9

static unsigned count_processes(const struct service *sv)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sv->n_instances; i++)
		for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
			const struct service_process *p =
				sv->instances[i].process[slot];

			n += p && is_process(p->starter.run);
		}
	return n;
}

static void write_processes(struct mp_writer *w, const struct service *sv)
{
	mp_write_str(w, "processes");
	mp_write_array(w, count_processes(sv));
	for (unsigned i = 0; i < sv->n_instances; i++)
		for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
			const struct service_process *p =
				sv->instances[i].process[slot];

			if (p && is_process(p->starter.run))
				write_process(w, p->starter.run);
		}
}

static void write_service(struct mp_writer *w, const struct service *sv)
{
	mp_write_map(w, ROW_FIELDS);
	field_text(w, "kind", "service");
	service_status_write_short(w, sv);
	write_processes(w, sv);
}

static void write_other(struct mp_writer *w, const char *kind, const char *name,
			const char *state, struct run *run)
{
	mp_write_map(w, ROW_FIELDS);
	field_text(w, "kind", kind);
	field_text(w, "name", name);
	field_text(w, "state", state);
	field_text(w, "why", "");
	field_flag(w, "template", false);
	field_number(w, "restarts", 0);
	field_number(w, "wanted", 1);
	field_number(w, "running", is_process(run));
	write_single(w, run);
}

/* Has it a row of its own, or is it in that of what started it? */
static bool is_alone(const struct run *run)
{
	return !service_process_of(run) && !background_has(run);
}

static uint32_t count_rows(struct server *s)
{
	struct background *b, *next;
	struct run *run, *after;
	uint32_t n = s->services.n;

	list_each(b, next, &s->backgrounds, list) n++;
	list_each(run, after, &s->runs, list) n += is_alone(run);
	return n;
}

void top_write(struct mp_writer *w, struct server *s)
{
	struct background *b, *next;
	struct service *sv, *other;
	struct run *run, *after;

	look_closer_at_some(s);
	mp_write_map(w, 2);
	field_number(w, "time_us", clock_ns() / 1000);
	mp_write_str(w, "rows");
	mp_write_array(w, count_rows(s));
	list_each(sv, other, &s->services.all, list) write_service(w, sv);
	list_each(b, next, &s->backgrounds, list) write_other(
		w, "background", b->name, background_state(b), b->starter.run);
	list_each(run, after, &s->runs, list)
	{
		if (is_alone(run))
			write_other(w, "process", run->name, run_state(run),
				    run);
	}
}
