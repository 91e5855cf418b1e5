/* Step 3, in thoxctl top: what comes first. */

#include "cli/ctl_top_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/ctl_top_data.h"

static const char *const column_names[TOP_COLUMNS] = {
	[TOP_NAME] = "name",   [TOP_STATE] = "state",
	[TOP_CPU] = "cpu",     [TOP_MEMORY] = "memory",
	[TOP_CALLS] = "calls", [TOP_QUEUE] = "queue",
	[TOP_PID] = "pid",     [TOP_RESTARTS] = "restarts",
	[TOP_WHY] = "why",
};

/* --- columns -------------------------------------------------------------- */

int top_order_parse(const char *text, enum top_column *ret_column)
{
	for (enum top_column c = 0; c < TOP_WHY; c++)
		if (*text &&
		    strncmp(column_names[c], text, strlen(text)) == 0) {
			*ret_column = c;
			return 0;
		}
	return -EINVAL;
}

const char *top_column_name(enum top_column column)
{
	return column_names[column];
}

/* All but the last, which is text. */
enum top_column top_order_step(enum top_column column, int step)
{
	return (enum top_column)(((int)column + step + TOP_WHY) % TOP_WHY);
}

/* --- comparing ------------------------------------------------------------ */

/* What wants to be looked at comes first. */
static int rank(const struct top_row *row)
{
	static const char *const states[] = {
		"failed", "back-off", "starting", "stopping", "reloading",
		"ending", "paused",   "running",  "done",     "inactive",
	};

	if (row->is_template)
		return ARRAY_SIZE(states) + 1;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(states[i], row->state) == 0)
			return (int)i;
	return ARRAY_SIZE(states);
}

static int largest_first(double a, double b)
{
	return (a < b) - (a > b);
}

static int by_column(enum top_column column, const struct top_row *a,
		     const struct top_row *b)
{
	switch (column) {
	case TOP_STATE:
		return rank(a) - rank(b);
	case TOP_CPU:
		return largest_first(a->cpu_percent, b->cpu_percent);
	case TOP_MEMORY:
		return largest_first((double)a->memory_bytes,
				     (double)b->memory_bytes);
	case TOP_CALLS:
		return largest_first(a->calls_s, b->calls_s);
	case TOP_QUEUE:
		return largest_first((double)a->waiting, (double)b->waiting);
	case TOP_RESTARTS:
		return largest_first((double)a->restarts, (double)b->restarts);
	case TOP_PID:
		return largest_first(a->pid, b->pid);
	default:
		return strcmp(a->name, b->name);
	}
}

static int compare(const void *x, const void *y, void *user)
{
	const struct top_row *a = x, *b = y;
	const struct top_order *order = user;
	int r = by_column(order->column, a, b);

	if (order->reverse)
		r = -r;
	if (r == 0)
		r = strcmp(a->name, b->name);
	if (r == 0)
		r = (int)a->kind - (int)b->kind;
	return r ? r : (a->pid > b->pid) - (a->pid < b->pid);
}

void top_order_apply(struct top_data *t, struct top_order order)
{
	qsort_r(t->rows, t->n_rows, sizeof(*t->rows), compare, &order);
}
