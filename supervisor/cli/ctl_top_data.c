/*
 * Step 3, in thoxctl top: two moments make rates.
 *
 * Processes are compared, not services: a service that was restarted begins
 * anew with a process of no past. Each process's calls have a time of their
 * own, when it told them: a rate is right however seldom it was asked.
 */

#include "cli/ctl_top_data.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* A count that is older says nothing of now. */
#define STALE_US 60000000U

/* --- reading -------------------------------------------------------------- */

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static uint64_t number_of(const json_t *row, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(row, key));

	return n > 0 ? (uint64_t)n : 0;
}

static enum top_kind kind_of(const json_t *row)
{
	const char *kind = text_of(row, "kind");

	if (strcmp(kind, "service") == 0)
		return TOP_SERVICE;
	return strcmp(kind, "background") == 0 ? TOP_BACKGROUND : TOP_PROCESS;
}

static void read_process(const json_t *value, struct top_process *ret)
{
	*ret = (struct top_process){
		.pid = (pid_t)number_of(value, "pid"),
		.cpu_us = number_of(value, "cpu_us"),
		.memory_bytes = number_of(value, "memory_bytes"),
		.calls = number_of(value, "calls"),
		.waiting = number_of(value, "waiting"),
		.counted_us = number_of(value, "counted_us"),
		.cpu_percent = TOP_UNKNOWN,
		.calls_s = TOP_UNKNOWN,
	};
}

/* --- what has become ------------------------------------------------------ */

static int by_pid(const void *a, const void *b)
{
	const struct top_process *p = a, *q = b;

	return (p->pid > q->pid) - (p->pid < q->pid);
}

static const struct top_process *find(const struct top_data *t,
				      const struct top_process *p)
{
	return t->n_processes == 0 ? NULL
				   : bsearch(p, t->processes, t->n_processes,
					     sizeof(*p), by_pid);
}

/* One that was not there before has begun since. */
static double cpu_percent(const struct top_data *before, uint64_t time_us,
			  const struct top_process *p,
			  const struct top_process *old)
{
	uint64_t used_us = p->cpu_us;

	if (before->time_us == 0 || time_us <= before->time_us)
		return TOP_UNKNOWN;
	if (old && old->cpu_us <= p->cpu_us)
		used_us -= old->cpu_us;
	return (double)used_us * 100 / (double)(time_us - before->time_us);
}

static double calls_s(uint64_t time_us, const struct top_process *p,
		      const struct top_process *old)
{
	if (!old || old->counted_us == 0 || p->counted_us < old->counted_us ||
	    p->counted_us + STALE_US < time_us)
		return TOP_UNKNOWN;
	if (p->counted_us == old->counted_us) /* nothing new */
		return old->calls_s;
	if (p->calls < old->calls || p->counted_us > old->counted_us + STALE_US)
		return TOP_UNKNOWN;
	return (double)(p->calls - old->calls) * 1e6 /
	       (double)(p->counted_us - old->counted_us);
}

/* Of sums that are not known yet nothing is known. */
static void add(double *sum, double part)
{
	if (part < 0)
		return;
	*sum = (*sum < 0 ? 0 : *sum) + part;
}

static void add_process(struct top_row *row, const struct top_process *p)
{
	if (row->n_processes++ == 0)
		row->pid = p->pid;
	row->memory_bytes += p->memory_bytes;
	row->waiting += p->waiting;
	add(&row->cpu_percent, p->cpu_percent);
	add(&row->calls_s, p->calls_s);
}

static void add_row(struct top_row *total, const struct top_row *row)
{
	total->n_processes += row->n_processes;
	total->memory_bytes += row->memory_bytes;
	total->waiting += row->waiting;
	total->restarts += row->restarts;
	add(&total->cpu_percent, row->cpu_percent);
	add(&total->calls_s, row->calls_s);
}

/* --- a moment ------------------------------------------------------------- */

static void read_row(const json_t *value, struct top_row *ret)
{
	*ret = (struct top_row){
		.name = text_of(value, "name"),
		.state = text_of(value, "state"),
		.why = text_of(value, "why"),
		.kind = kind_of(value),
		.is_template = json_is_true(json_object_get(value, "template")),
		.restarts = number_of(value, "restarts"),
		.wanted = number_of(value, "wanted"),
		.running = number_of(value, "running"),
		.cpu_percent = TOP_UNKNOWN,
		.calls_s = TOP_UNKNOWN,
	};
}

static void take_row(const struct top_data *before, struct top_data *now,
		     const json_t *value)
{
	struct top_row *row = &now->rows[now->n_rows++];
	json_t *process;
	size_t i;

	read_row(value, row);
	json_array_foreach(json_object_get(value, "processes"), i, process)
	{
		struct top_process *p = &now->processes[now->n_processes++];
		const struct top_process *old;

		read_process(process, p);
		old = find(before, p);
		p->cpu_percent = cpu_percent(before, now->time_us, p, old);
		p->calls_s = calls_s(now->time_us, p, old);
		add_process(row, p);
	}
	add_row(&now->total, row);
}

static bool is_wanted(const struct top_wanted *wanted, const char *name)
{
	size_t base = strcspn(name, ":");

	for (int i = 0; i < wanted->n; i++) {
		const char *one = wanted->names[i];

		if (fnmatch(one, name, 0) == 0 ||
		    (strlen(one) == base && memcmp(one, name, base) == 0))
			return true;
	}
	return wanted->n == 0;
}

static bool is_moment(const json_t *value)
{
	const json_t *rows = json_object_get(value, "rows");

	return json_is_array(rows) && number_of(value, "time_us") > 0;
}

static size_t count_processes(const json_t *rows)
{
	size_t n = 0, i;
	json_t *row;

	json_array_foreach((json_t *)rows, i, row) n +=
		json_array_size(json_object_get(row, "processes"));
	return n;
}

/* Room for all; never for nothing, which calloc() may answer by NULL. */
static int make_room(struct top_data *t, const json_t *rows)
{
	t->rows = calloc(json_array_size(rows) + 1, sizeof(*t->rows));
	t->processes = calloc(count_processes(rows) + 1, sizeof(*t->processes));
	return t->rows && t->processes ? 0 : -ENOMEM;
}

int top_data_take(struct top_data *t, const struct top_wanted *wanted,
		  json_t *value)
{
	struct top_data now = {
		.value = value,
		.time_us = number_of(value, "time_us"),
		.total = { .cpu_percent = TOP_UNKNOWN, .calls_s = TOP_UNKNOWN },
	};
	const json_t *rows = json_object_get(value, "rows");
	json_t *row;
	size_t i;
	int r = is_moment(value) ? make_room(&now, rows) : -EBADMSG;

	if (r < 0) {
		top_data_deinit(&now);
		return r;
	}
	json_array_foreach((json_t *)rows, i, row)
	{
		if (is_wanted(wanted, text_of(row, "name")))
			take_row(t, &now, row);
	}
	qsort(now.processes, now.n_processes, sizeof(*now.processes), by_pid);
	top_data_deinit(t);
	*t = now;
	return 0;
}

void top_data_forget(struct top_data *t)
{
	t->time_us = 0;
	t->n_processes = 0;
}

void top_data_deinit(struct top_data *t)
{
	json_decref(t->value);
	free(t->rows);
	free(t->processes);
	*t = (struct top_data){ 0 };
}
