/*
 * Step 3, in thoxctl top: reports one after another, for who is no terminal.
 *
 * A thoxd that is replaced in between is asked again; one that has ended, by
 * intention, ends the reports.
 */

#include "cli/ctl_top.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/client.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_attach.h"
#include "cli/ctl_top_text.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"

struct batch {
	struct top *top;
	struct link link;
	bool connected;
	int signals;
	bool over; /* by a signal */
};

/* --- a report ------------------------------------------------------------- */

/* What is not known is null. */
static json_t *rate(double value)
{
	return value < 0 ? json_null() : json_real(round(value * 10) / 10);
}

static json_t *row_json(const struct top_row *row)
{
	static const char *const kinds[] = {
		[TOP_SERVICE] = "service",
		[TOP_BACKGROUND] = "background",
		[TOP_PROCESS] = "process",
	};

	return json_pack(
		"{ss ss ss ss sb so so sI sI sI sI sI sI sI}", "name",
		row->name, "kind", kinds[row->kind], "state", row->state, "why",
		row->why, "template", row->is_template, "cpu_percent",
		rate(row->cpu_percent), "calls_per_second", rate(row->calls_s),
		"memory_bytes", (json_int_t)row->memory_bytes, "queue",
		(json_int_t)row->waiting, "restarts", (json_int_t)row->restarts,
		"instances_wanted", (json_int_t)row->wanted,
		"instances_running", (json_int_t)row->running, "processes",
		(json_int_t)row->n_processes, "pid", (json_int_t)row->pid);
}

static json_t *rows_json(const struct top_data *t)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < t->n_rows; i++)
		json_array_append_new(rows, row_json(&t->rows[i]));
	return rows;
}

static void print_json(const struct top_data *t)
{
	json_t *report = json_pack(
		"{so so sI sI so}", "cpu_percent", rate(t->total.cpu_percent),
		"calls_per_second", rate(t->total.calls_s), "memory_bytes",
		(json_int_t)t->total.memory_bytes, "queue",
		(json_int_t)t->total.waiting, "rows", rows_json(t));

	json_dumpf(report, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(report);
}

/* The same texts as on the screen, for a table that fits to them. */
static json_t *table_row(const struct top_row *row)
{
	json_t *texts = json_object();
	char text[TOP_TEXT_BYTES];

	for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
		top_cell(row, c, text);
		json_object_set_new(texts, top_column_name(c),
				    value_string(text, strlen(text)));
	}
	return texts;
}

static void print_table(const struct top_data *t)
{
	struct column columns[TOP_COLUMNS + 1] = { 0 };
	char summary[TOP_TEXT_BYTES];
	json_t *rows = json_array();

	for (enum top_column c = 0; c < TOP_COLUMNS; c++)
		columns[c] = (struct column){
			.head = top_head(c),
			.key = top_column_name(c),
			.right = top_is_number(c),
			.shrinks = c == TOP_NAME || c == TOP_WHY,
		};
	for (size_t i = 0; i < t->n_rows; i++)
		json_array_append_new(rows, table_row(&t->rows[i]));
	top_summary(t, summary);
	puts(summary);
	table_print(columns, rows);
	json_decref(rows);
}

static void print(struct top *top, bool first)
{
	top_order_apply(&top->data, top->order);
	if (top->ctl->json) {
		print_json(&top->data);
	} else {
		if (!first)
			putchar('\n');
		print_table(&top->data);
	}
	fflush(stdout);
}

/* --- moments -------------------------------------------------------------- */

static void disconnect(struct batch *b)
{
	if (b->connected)
		link_deinit(&b->link);
	b->connected = false;
}

/* The first time the command's way, which may start an instance; later none
 * that somebody has ended. */
static int connect_again(struct batch *b)
{
	int r = client_open(&b->top->ctl->in, false, &b->link);

	b->connected = r == 0;
	if (r == 0)
		return CTL_OK;
	say("no instance runs at %s any more", b->top->ctl->in.run);
	return CTL_NOT_RUNNING;
}

static int ask(struct batch *b)
{
	json_t *value;
	int r = ctl_ask(&b->link, "top", json_object(), &value, NULL);

	if (r == CTL_OK &&
	    top_data_take(&b->top->data, &b->top->wanted, value) < 0) {
		say("thoxd sent what is not understood");
		return CTL_FAILED;
	}
	return r;
}

static int take_moment(struct batch *b)
{
	int r = ask(b);

	if (r != CTL_FAILED)
		return r;
	disconnect(b);
	r = connect_again(b);
	return r == CTL_OK ? ask(b) : r;
}

static void rest(struct batch *b, uint64_t ms)
{
	struct pollfd p = { .fd = b->signals, .events = POLLIN };

	b->over = poll(&p, 1, (int)ms) != 0;
}

static int report_all(struct batch *b)
{
	struct top *top = b->top;
	int r = CTL_OK;

	for (unsigned i = 0; i < TOP_FIRST_MOMENTS && !b->over; i++) {
		r = r == CTL_OK ? take_moment(b) : r;
		if (r == CTL_OK)
			rest(b, TOP_FIRST_MS);
	}
	for (uint64_t n = 0; r == CTL_OK && !b->over; n++) {
		r = take_moment(b);
		if (r == CTL_OK)
			print(top, n == 0);
		if (ferror(stdout) || (top->count && n + 1 >= top->count))
			break;
		if (r == CTL_OK)
			rest(b, top->delay_ms);
	}
	if (r == CTL_OK && !b->over && top->wanted.n && !top->data.n_rows) {
		say("nothing is called so");
		return CTL_NO_SUCH;
	}
	return r;
}

int top_batch(struct top *top)
{
	struct batch b = { .top = top, .signals = -1 };
	int r = ctl_connect(top->ctl, &b.link);

	if (r != CTL_OK)
		return r;
	b.connected = true;
	b.signals = ctl_end_signals();
	if (b.signals < 0)
		r = ctl_fail("signals", -errno);
	else
		r = report_all(&b);
	fd_close(b.signals);
	disconnect(&b);
	return r;
}
