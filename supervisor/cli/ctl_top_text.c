/* Step 3, in thoxctl top: rows become text of a width. */

#include "cli/ctl_top_text.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/units.h"
#include "base/util.h"
#include "cli/ctl_top_data.h"

#define NAME_WIDTH_MIN 8U
#define NAME_WIDTH_MAX 40U
#define WHY_WIDTH_MIN  12U

/* --- what may be seen ----------------------------------------------------- */

/* The bytes of the character at @text, and the columns that it takes; 0: it
 * may not be shown. */
static size_t character(const char *text, size_t *ret_columns)
{
	mbstate_t state = { 0 };
	wchar_t c;
	size_t n = mbrtowc(&c, text, MB_LEN_MAX, &state);
	int columns;

	if (n == 0 || n > MB_LEN_MAX)
		return 0;
	columns = wcwidth(c);
	if (columns <= 0)
		return 0;
	*ret_columns = (size_t)columns;
	return n;
}

/* How many bytes of a character that may not be shown are passed over. */
static size_t skip(const char *text)
{
	mbstate_t state = { 0 };
	size_t n = mbrtowc(NULL, text, MB_LEN_MAX, &state);

	return n > 0 && n <= MB_LEN_MAX ? n : 1;
}

static const char *ellipsis(void)
{
	size_t columns;

	return character("…", &columns) == strlen("…") && columns == 1 ? "…"
								       : "~";
}

/* The columns of the whole text. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	while (*text) {
		size_t columns = 1, n = character(text, &columns);

		width += columns;
		text += n ? n : skip(text);
	}
	return width;
}

size_t top_text(const char *text, size_t width, char ret[TOP_TEXT_BYTES])
{
	bool cut = width_of(text) > width;
	size_t room = cut && width > 0 ? width - 1 : width;
	size_t used = 0, at = 0;

	while (*text && used < room && at + MB_LEN_MAX + 8 < TOP_TEXT_BYTES) {
		size_t columns = 1, n = character(text, &columns);

		if (used + columns > room)
			break;
		if (n)
			memcpy(ret + at, text, n);
		else
			ret[at] = '?';
		at += n ? n : 1;
		text += n ? n : skip(text);
		used += columns;
	}
	ret[at] = '\0';
	if (!cut || width == 0)
		return used;
	strcpy(ret + at, ellipsis());
	return used + 1;
}

/* --- cells ---------------------------------------------------------------- */

static const struct {
	const char *head;
	size_t width;  /* of a number */
	unsigned rank; /* those with a high one are left out first */
} columns[TOP_COLUMNS] = {
	[TOP_NAME] = { "NAME", 0, 0 },
	[TOP_STATE] = { "STATE", 10, 1 },
	[TOP_CPU] = { "CPU%", 6, 2 },
	[TOP_MEMORY] = { "MEMORY", 7, 3 },
	[TOP_CALLS] = { "CALLS/S", 7, 4 },
	[TOP_QUEUE] = { "QUEUE", 6, 5 },
	[TOP_RESTARTS] = { "RESTARTS", 8, 6 },
	[TOP_PID] = { "PID", 8, 7 },
	[TOP_WHY] = { "WHY", 0, 8 },
};

const char *top_head(enum top_column column)
{
	return columns[column].head;
}

bool top_is_number(enum top_column column)
{
	return column >= TOP_CPU && column <= TOP_PID;
}

/* At most six characters: `0.5`, `123`, `12.3K`, `4.5M`. */
static void rate_text(double rate, char ret[TOP_TEXT_BYTES])
{
	static const char units[] = "KMGT";
	size_t unit = 0;

	if (rate < 0) {
		strcpy(ret, "-");
		return;
	}
	if (rate > 0 && rate < 9.95) {
		snprintf(ret, TOP_TEXT_BYTES, "%.1f", rate);
		return;
	}
	if (rate < 9999.5) {
		snprintf(ret, TOP_TEXT_BYTES, "%.0f", rate);
		return;
	}
	for (rate /= 1000; rate >= 999.5 && units[unit + 1]; unit++)
		rate /= 1000;
	snprintf(ret, TOP_TEXT_BYTES, "%.1f%c", rate, units[unit]);
}

static void number_text(uint64_t number, char ret[TOP_TEXT_BYTES])
{
	snprintf(ret, TOP_TEXT_BYTES, "%" PRIu64, number);
}

static void percent_text(double percent, char ret[TOP_TEXT_BYTES])
{
	if (percent < 0)
		strcpy(ret, "-");
	else
		snprintf(ret, TOP_TEXT_BYTES, "%.1f", percent);
}

static void state_text(const struct top_row *row, char ret[TOP_TEXT_BYTES])
{
	if (row->is_template)
		strcpy(ret, "template");
	else if (row->wanted > 1)
		snprintf(ret, TOP_TEXT_BYTES, "%.100s %" PRIu64 "/%" PRIu64,
			 row->state, row->running, row->wanted);
	else
		snprintf(ret, TOP_TEXT_BYTES, "%.100s", row->state);
}

/* What has no process uses nothing, and is not called. */
static void process_text(const struct top_row *row, enum top_column column,
			 char ret[TOP_TEXT_BYTES])
{
	char text[UNITS_TEXT_BYTES];

	if (row->n_processes == 0)
		strcpy(ret, "-");
	else if (column == TOP_CPU)
		percent_text(row->cpu_percent, ret);
	else if (column == TOP_CALLS)
		rate_text(row->calls_s, ret);
	else if (column == TOP_QUEUE)
		number_text(row->waiting, ret);
	else if (column == TOP_PID)
		number_text((uint64_t)row->pid, ret);
	else {
		units_format_bytes(row->memory_bytes, text);
		snprintf(ret, TOP_TEXT_BYTES, "%s", text);
	}
}

void top_cell(const struct top_row *row, enum top_column column,
	      char ret[TOP_TEXT_BYTES])
{
	switch (column) {
	case TOP_NAME:
		snprintf(ret, TOP_TEXT_BYTES, "%s", row->name);
		break;
	case TOP_STATE:
		state_text(row, ret);
		break;
	case TOP_WHY:
		snprintf(ret, TOP_TEXT_BYTES, "%s", row->why);
		break;
	case TOP_RESTARTS:
		if (row->kind == TOP_SERVICE && !row->is_template)
			number_text(row->restarts, ret);
		else
			strcpy(ret, "-");
		break;
	default:
		process_text(row, column, ret);
	}
}

/* --- columns -------------------------------------------------------------- */

/* As wide as the widest of the rows, within bounds. */
static size_t measure(const struct top_data *t, enum top_column column,
		      size_t least, size_t most)
{
	char text[TOP_TEXT_BYTES];
	size_t width = least;

	for (size_t i = 0; i < t->n_rows && width < most; i++) {
		size_t n;

		top_cell(&t->rows[i], column, text);
		n = width_of(text);
		if (n > width)
			width = n;
	}
	return width < most ? width : most;
}

static size_t total(const size_t widths[TOP_COLUMNS])
{
	size_t sum = 0;

	for (enum top_column c = 0; c < TOP_COLUMNS; c++)
		if (widths[c])
			sum += widths[c] + (sum ? TOP_GAP : 0);
	return sum;
}

static enum top_column least_wanted(const size_t widths[TOP_COLUMNS])
{
	enum top_column least = TOP_NAME;

	for (enum top_column c = 0; c < TOP_COLUMNS; c++)
		if (widths[c] && columns[c].rank > columns[least].rank)
			least = c;
	return least;
}

void top_layout(const struct top_data *t, size_t width,
		size_t ret_widths[TOP_COLUMNS])
{
	size_t name = measure(t, TOP_NAME, NAME_WIDTH_MIN, NAME_WIDTH_MAX);
	size_t used;

	for (enum top_column c = 0; c < TOP_COLUMNS; c++)
		ret_widths[c] = columns[c].width;
	ret_widths[TOP_NAME] = name;
	if (name > width / 3 && name > NAME_WIDTH_MIN)
		ret_widths[TOP_NAME] =
			width / 3 > NAME_WIDTH_MIN ? width / 3 : NAME_WIDTH_MIN;
	ret_widths[TOP_STATE] = measure(t, TOP_STATE, columns[TOP_STATE].width,
					2 * columns[TOP_STATE].width);
	ret_widths[TOP_WHY] = WHY_WIDTH_MIN;
	while (total(ret_widths) > width && least_wanted(ret_widths))
		ret_widths[least_wanted(ret_widths)] = 0;
	used = total(ret_widths);
	if (used > width) {
		ret_widths[TOP_NAME] = width;
		return;
	}
	if (ret_widths[TOP_NAME] < name) { /* what is left is its own first */
		size_t more = name - ret_widths[TOP_NAME];

		more = more < width - used ? more : width - used;
		ret_widths[TOP_NAME] += more;
		used += more;
	}
	if (ret_widths[TOP_WHY])
		ret_widths[TOP_WHY] += width - used;
}

/* --- all of it ------------------------------------------------------------ */

struct count {
	unsigned services, running, failed, waiting;
};

static struct count count(const struct top_data *t)
{
	struct count c = { 0 };

	for (size_t i = 0; i < t->n_rows; i++) {
		const char *state = t->rows[i].state;

		if (t->rows[i].kind != TOP_SERVICE || t->rows[i].is_template)
			continue;
		c.services++;
		c.running += strcmp(state, "running") == 0 ||
			     strcmp(state, "reloading") == 0;
		c.failed += strcmp(state, "failed") == 0;
		c.waiting += strcmp(state, "back-off") == 0;
	}
	return c;
}

void top_summary(const struct top_data *t, char ret[TOP_TEXT_BYTES])
{
	struct count c = count(t);
	char memory[UNITS_TEXT_BYTES], cpu[TOP_TEXT_BYTES];
	char rate[TOP_TEXT_BYTES], bad[64] = "";
	size_t n = 0;

	if (c.failed)
		n = (size_t)snprintf(bad, sizeof(bad), ", %u failed", c.failed);
	if (c.waiting)
		snprintf(bad + n, sizeof(bad) - n, ", %u back-off", c.waiting);
	percent_text(t->total.cpu_percent, cpu);
	rate_text(t->total.calls_s, rate);
	units_format_bytes(t->total.memory_bytes, memory);
	snprintf(ret, TOP_TEXT_BYTES,
		 "%u service%s: %u running%s; %u process%s, CPU %.20s %%, "
		 "memory %s, %.20s calls/s, queue %" PRIu64,
		 c.services, c.services == 1 ? "" : "s", c.running, bad,
		 t->total.n_processes, t->total.n_processes == 1 ? "" : "es",
		 cpu, memory, rate, t->total.waiting);
}
