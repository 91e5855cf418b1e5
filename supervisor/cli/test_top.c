/* thoxctl top: moments become rates, orders are total, text is harmless. */

#include "cli/ctl_top_data.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "cli/ctl_top_order.h"
#include "cli/ctl_top_text.h"

static const struct top_wanted all = { 0 };

static int take_wanted(struct top_data *t, const struct top_wanted *wanted,
		       const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	return value ? top_data_take(t, wanted, value) : -ENOENT;
}

static int take(struct top_data *t, const char *text)
{
	return take_wanted(t, &all, text);
}

/* A moment of one service with one process. */
static const char *moment(unsigned time_s, unsigned pid, unsigned cpu_ms,
			  unsigned calls, unsigned counted_s)
{
	static char text[512];

	snprintf(text, sizeof(text),
		 "{\"time_us\":%u000000,\"rows\":[{\"name\":\"a\","
		 "\"kind\":\"service\",\"state\":\"running\",\"wanted\":1,"
		 "\"processes\":[{\"pid\":%u,\"cpu_us\":%u,"
		 "\"memory_bytes\":2048,\"calls\":%u,\"waiting\":3,"
		 "\"counted_us\":%u000000}]}]}",
		 time_s, pid, cpu_ms * 1000, calls, counted_s);
	return text;
}

/* --- rates ---------------------------------------------------------------- */

/* Verify that one moment says nothing of rates, and that two do. */
static void test_two_moments_make_rates(void)
{
	struct top_data t = { 0 };

	CHECK_EQ(take(&t, moment(10, 7, 1000, 50, 9)), 0);
	CHECK_EQ(t.n_rows, 1);
	CHECK(t.rows[0].cpu_percent < 0 && t.rows[0].calls_s < 0);
	CHECK_EQ(t.rows[0].memory_bytes, 2048);
	CHECK_EQ(t.rows[0].waiting, 3);
	CHECK_EQ(t.rows[0].pid, 7);
	CHECK_EQ(take(&t, moment(12, 7, 2000, 90, 11)), 0);
	CHECK_EQ(t.rows[0].cpu_percent, 50);
	CHECK_EQ(t.rows[0].calls_s, 20);
	CHECK_EQ(t.total.cpu_percent, 50);
	CHECK_EQ(t.total.calls_s, 20);
	top_data_deinit(&t);
}

/* Verify that a rate stays while the process has told nothing new, goes when
 * that was long ago, and that an old count is not compared with a new one. */
static void test_rates_go_by_the_time_of_the_count(void)
{
	struct top_data t = { 0 };

	CHECK_EQ(take(&t, moment(10, 7, 0, 50, 9)), 0);
	CHECK_EQ(take(&t, moment(12, 7, 0, 90, 11)), 0);
	CHECK_EQ(take(&t, moment(14, 7, 0, 90, 11)), 0);
	CHECK_EQ(t.rows[0].calls_s, 20);
	CHECK_EQ(take(&t, moment(16, 7, 0, 102, 15)), 0);
	CHECK_EQ(t.rows[0].calls_s, 3);
	CHECK_EQ(take(&t, moment(90, 7, 0, 102, 15)), 0);
	CHECK(t.rows[0].calls_s < 0);
	CHECK_EQ(take(&t, moment(92, 7, 0, 900, 91)), 0);
	CHECK(t.rows[0].calls_s < 0);
	top_data_deinit(&t);
}

/* Verify that another process of a service is not compared with the former,
 * that all it has used counts, and that a process which was born with the
 * number of one that has gone does not count backwards. */
static void test_a_restart_begins_anew(void)
{
	struct top_data t = { 0 };

	CHECK_EQ(take(&t, moment(10, 7, 9000, 5000, 9)), 0);
	CHECK_EQ(take(&t, moment(12, 8, 1000, 10, 11)), 0);
	CHECK_EQ(t.rows[0].cpu_percent, 50);
	CHECK(t.rows[0].calls_s < 0);
	CHECK_EQ(take(&t, moment(14, 8, 200, 5, 13)), 0);
	CHECK_EQ(t.rows[0].cpu_percent, 10);
	CHECK(t.rows[0].calls_s < 0);
	top_data_deinit(&t);
}

/* Verify that nothing is compared across a change of thoxd. */
static void test_what_is_forgotten_is_not_compared(void)
{
	struct top_data t = { 0 };

	CHECK_EQ(take(&t, moment(10, 7, 1000, 50, 9)), 0);
	top_data_forget(&t);
	CHECK_EQ(t.n_rows, 1);
	CHECK_EQ(take(&t, moment(12, 7, 2000, 90, 11)), 0);
	CHECK(t.rows[0].cpu_percent < 0 && t.rows[0].calls_s < 0);
	top_data_deinit(&t);
}

/* Verify that a service has the sums of its processes. */
static void test_processes_are_summed(void)
{
	static const char *const texts[] = {
		"{\"time_us\":1000000,\"rows\":[{\"name\":\"a\",\"wanted\":2,"
		"\"processes\":[{\"pid\":9,\"cpu_us\":0,\"memory_bytes\":5},"
		"{\"pid\":4,\"cpu_us\":0,\"memory_bytes\":6}]},"
		"{\"name\":\"b\",\"processes\":[]}]}",
		"{\"time_us\":2000000,\"rows\":[{\"name\":\"a\",\"wanted\":2,"
		"\"processes\":[{\"pid\":9,\"cpu_us\":250000,"
		"\"memory_bytes\":5},{\"pid\":4,\"cpu_us\":500000,"
		"\"memory_bytes\":6}]},{\"name\":\"b\",\"processes\":[]}]}",
	};
	struct top_data t = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		CHECK_EQ(take(&t, texts[i]), 0);
	CHECK_EQ(t.rows[0].n_processes, 2);
	CHECK_EQ(t.rows[0].pid, 9);
	CHECK_EQ(t.rows[0].cpu_percent, 75);
	CHECK_EQ(t.rows[0].memory_bytes, 11);
	CHECK(t.rows[1].cpu_percent < 0);
	CHECK_EQ(t.total.n_processes, 2);
	top_data_deinit(&t);
}

/* Verify that what is no moment is refused and the one before stays, and that
 * values of the wrong kinds are none. */
static void test_what_is_no_moment_is_refused(void)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"time_us\":5}",
		"{\"rows\":[]}",
		"{\"time_us\":0,\"rows\":[]}",
		"{\"time_us\":-5,\"rows\":[]}",
		"{\"time_us\":5,\"rows\":{}}",
	};
	struct top_data t = { 0 };

	CHECK_EQ(take(&t, moment(10, 7, 1000, 50, 9)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(take(&t, bad[i]), -EBADMSG);
	CHECK_EQ(t.n_rows, 1);
	CHECK_EQ(take(&t,
		      "{\"time_us\":11,\"rows\":[7,{\"name\":1,\"processes\":"
		      "[8,{\"pid\":\"x\"}]},{\"processes\":{\"a\":1}}]}"),
		 0);
	CHECK_EQ(t.n_rows, 3);
	CHECK_STR(t.rows[1].name, "");
	CHECK_EQ(t.rows[1].n_processes, 2);
	CHECK_EQ(t.rows[2].n_processes, 0);
	top_data_deinit(&t);
}

/* Verify that names, patterns and names without their instance choose rows. */
static void test_names_choose_rows(void)
{
	static const char text[] =
		"{\"time_us\":1,\"rows\":[{\"name\":\"web\"},{\"name\":"
		"\"web-2\"},{\"name\":\"worker:blue\"},{\"name\":\"work\"}]}";
	static const struct {
		const char *name;
		size_t n;
	} cases[] = {
		{ "web", 1 },	      { "web*", 2 },	{ "worker", 1 },
		{ "worker:blue", 1 }, { "worker:", 0 }, { "no", 0 },
		{ "*", 4 },
	};
	struct top_data t = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *names[] = { (char *)(uintptr_t)cases[i].name };
		struct top_wanted wanted = { names, 1 };

		CHECK_EQ(take_wanted(&t, &wanted, text), 0);
		CHECK_EQ(t.n_rows, cases[i].n);
	}
	top_data_deinit(&t);
}

/* --- orders --------------------------------------------------------------- */

static void fill(struct top_data *t)
{
	static const struct top_row rows[] = {
		{ .name = "b",
		  .state = "running",
		  .cpu_percent = 5,
		  .calls_s = TOP_UNKNOWN,
		  .pid = 3,
		  .memory_bytes = 7 },
		{ .name = "a",
		  .state = "failed",
		  .cpu_percent = TOP_UNKNOWN,
		  .calls_s = 0,
		  .pid = 0,
		  .restarts = 9 },
		{ .name = "c",
		  .state = "inactive",
		  .cpu_percent = 70,
		  .calls_s = 12,
		  .pid = 2,
		  .waiting = 4 },
		{ .name = "c",
		  .state = "running",
		  .cpu_percent = 5,
		  .calls_s = 0.5,
		  .pid = 1,
		  .kind = TOP_PROCESS },
	};

	t->rows = calloc(ARRAY_SIZE(rows), sizeof(*rows));
	assert(t->rows);
	memcpy(t->rows, rows, sizeof(rows));
	t->n_rows = ARRAY_SIZE(rows);
}

static const char *order_of(const struct top_data *t)
{
	static char text[32];
	size_t n = 0;

	for (size_t i = 0; i < t->n_rows; i++)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "%s%s", t->rows[i].name,
			t->rows[i].kind == TOP_PROCESS ? "'" : "");
	return text;
}

/* Verify each column's order, with what is not known last, in both
 * directions, and that equal rows go by name. */
static void test_every_column_sorts(void)
{
	static const struct {
		enum top_column column;
		const char *order, *reverse;
	} cases[] = {
		{ TOP_NAME, "abcc'", "cc'ba" },
		{ TOP_STATE, "abc'c", "cbc'a" },
		{ TOP_CPU, "cbc'a", "abc'c" },
		{ TOP_MEMORY, "bacc'", "acc'b" },
		{ TOP_CALLS, "cc'ab", "bac'c" },
		{ TOP_QUEUE, "cabc'", "abc'c" },
		{ TOP_RESTARTS, "abcc'", "bcc'a" },
		{ TOP_PID, "bcc'a", "ac'cb" },
	};
	struct top_data t = { 0 };

	fill(&t);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct top_order order = { .column = cases[i].column };

		top_order_apply(&t, order);
		CHECK_STR(order_of(&t), cases[i].order);
		order.reverse = true;
		top_order_apply(&t, order);
		CHECK_STR(order_of(&t), cases[i].reverse);
	}
	top_data_deinit(&t);
}

/* Verify that columns are found by their names and what these begin with, and
 * that stepping goes round all that can be sorted by. */
static void test_columns_have_names(void)
{
	enum top_column column = TOP_NAME;

	for (enum top_column c = 0; c < TOP_WHY; c++) {
		CHECK_EQ(top_order_parse(top_column_name(c), &column), 0);
		CHECK_EQ(column, c);
		CHECK_EQ(top_order_step(top_order_step(c, 1), -1), c);
	}
	CHECK_EQ(top_order_parse("mem", &column), 0);
	CHECK_EQ(column, TOP_MEMORY);
	CHECK_EQ(top_order_parse("", &column), -EINVAL);
	CHECK_EQ(top_order_parse("why", &column), -EINVAL);
	CHECK_EQ(top_order_parse("cpux", &column), -EINVAL);
	CHECK_EQ(top_order_step(TOP_NAME, -1), TOP_PID);
	CHECK_EQ(top_order_step(TOP_PID, 1), TOP_NAME);
}

/* --- text ----------------------------------------------------------------- */

/* Verify that nothing reaches a terminal that does more than to stand there. */
static void test_text_is_harmless(void)
{
	static const struct {
		const char *text;
		size_t width;
		const char *shown;
		size_t used;
	} cases[] = {
		{ "plain", 10, "plain", 5 },
		{ "plain", 5, "plain", 5 },
		{ "plain", 4, "pla…", 4 },
		{ "plain", 1, "…", 1 },
		{ "plain", 0, "", 0 },
		{ "\033[31mred\n", 20, "?[31mred?", 9 },
		{ "a\xc2\x9b"
		  "2Jb",
		  20, "a?2Jb", 5 }, /* a C1 control */
		{ "a\xe2\x80\xae"
		  "b",
		  20, "a?b", 3 },	      /* right to left */
		{ "e\xcc\x81", 20, "e?", 2 }, /* joins the letter */
		{ "\xff\xc3", 20, "??", 2 },  /* no UTF-8 */
		{ "\x7f", 20, "?", 1 },
		{ "ä€", 20, "ä€", 2 },
		{ "日本", 20, "日本", 4 },
		{ "日本語", 4, "日…", 3 }, /* no half characters */
	};
	char shown[TOP_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t used = top_text(cases[i].text, cases[i].width, shown);

		CHECK_STR(shown, cases[i].shown);
		CHECK_EQ(used, cases[i].used);
	}
}

/* Verify that a text longer than any line is cut, not written over the end. */
static void test_long_text_is_cut(void)
{
	char text[3000], shown[TOP_TEXT_BYTES];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	top_text(text, 5000, shown);
	CHECK(strlen(shown) < TOP_TEXT_BYTES);
	CHECK_EQ(top_text(text, 80, shown), 80);
}

/* Verify how cells read. */
static void test_cells_are_short(void)
{
	struct top_row row = { .name = "n",
			       .state = "running",
			       .n_processes = 1,
			       .cpu_percent = 12.34,
			       .memory_bytes = 3U << 20,
			       .wanted = 4,
			       .running = 3,
			       .waiting = 17,
			       .pid = 42 };
	static const struct {
		double rate;
		const char *text;
	} rates[] = {
		{ TOP_UNKNOWN, "-" }, { 0, "0" },	   { 9.94, "9.9" },
		{ 9.96, "10" },	      { 9999, "9999" },	   { 10000, "10.0K" },
		{ 999400, "999.4K" }, { 1000000, "1.0M" },
	};
	char text[TOP_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		row.calls_s = rates[i].rate;
		top_cell(&row, TOP_CALLS, text);
		CHECK_STR(text, rates[i].text);
	}
	top_cell(&row, TOP_STATE, text);
	CHECK_STR(text, "running 3/4");
	top_cell(&row, TOP_CPU, text);
	CHECK_STR(text, "12.3");
	top_cell(&row, TOP_MEMORY, text);
	CHECK_STR(text, "3M");
	top_cell(&row, TOP_QUEUE, text);
	CHECK_STR(text, "17");
	row.n_processes = 0;
	top_cell(&row, TOP_CPU, text);
	CHECK_STR(text, "-");
	row.is_template = true;
	top_cell(&row, TOP_STATE, text);
	CHECK_STR(text, "template");
}

/* Verify that columns fit into every width, that the name is always there, and
 * that a column which is left out comes back when there is more room. */
static void test_columns_fit(void)
{
	static const struct top_row row = { .name = "a-name-of-some-length",
					    .state = "reloading",
					    .why = "" };
	struct top_data t = { .rows = (struct top_row *)(uintptr_t)&row,
			      .n_rows = 1 };
	unsigned before = 0;

	for (size_t width = 1; width < 300; width++) {
		size_t widths[TOP_COLUMNS], sum = 0;
		unsigned n = 0;

		top_layout(&t, width, widths);
		for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
			n += widths[c] > 0;
			sum += widths[c] ? widths[c] + (sum ? TOP_GAP : 0) : 0;
		}
		CHECK(widths[TOP_NAME] > 0);
		CHECK(sum <= width);
		CHECK(n >= before);
		before = n;
	}
	CHECK_EQ(before, TOP_COLUMNS);
}

int main(void)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	RUN(test_two_moments_make_rates);
	RUN(test_rates_go_by_the_time_of_the_count);
	RUN(test_a_restart_begins_anew);
	RUN(test_what_is_forgotten_is_not_compared);
	RUN(test_processes_are_summed);
	RUN(test_what_is_no_moment_is_refused);
	RUN(test_names_choose_rows);
	RUN(test_every_column_sorts);
	RUN(test_columns_have_names);
	RUN(test_text_is_harmless);
	RUN(test_long_text_is_cut);
	RUN(test_cells_are_short);
	RUN(test_columns_fit);
	return tap_done();
}
