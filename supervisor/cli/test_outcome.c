/* Outcomes: every end of a run and its exit code. */

#include "cli/outcome.h"

#include <errno.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "rpc/status.h"

/* Verify the table of the man page, one row each. */
static void test_exit_codes(void)
{
	static const struct {
		const char *reason;
		int code; /* -1: died of @signal */
		int signal;
		int exit_code;
	} rows[] = {
		{ "exit", 0, 0, 0 },
		{ "exit", 7, 0, 7 },
		{ "exit", 255, 0, 255 },
		{ "error", 1, 0, 1 },
		{ "signal", -1, 11, 139 },
		{ "signal", -1, 13, 141 },
		{ "interrupted", 130, 0, 130 },
		{ "interrupted", 1, 0, 130 },
		{ "terminated", -1, 9, 143 },
		{ "killed", -1, 9, 137 },
		{ "memory-limit", 1, 0, 137 },
		{ "cpu-limit", -1, 9, 124 },
		{ "wall-limit", -1, 9, 124 },
		{ "sandbox", -1, 31, 159 },
		{ "of-a-newer-thoxd", 3, 0, 3 },
		{ "of-a-newer-thoxd", -1, 15, 143 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct outcome o = {
			.has_code = rows[i].code >= 0,
			.code = rows[i].code,
			.has_signal = rows[i].code < 0,
			.signal = rows[i].signal,
		};

		strcpy(o.reason, rows[i].reason);
		CHECK_EQ(outcome_exit_code(&o), rows[i].exit_code);
	}
}

/* Verify that a run that never began says by its code whose fault it was. */
static void test_refusals(void)
{
	static const struct {
		enum status status;
		int exit_code;
	} rows[] = {
		{ STATUS_NOT_FOUND, 127 }, { STATUS_DENIED, 126 },
		{ STATUS_INVALID, 126 },   { STATUS_TOO_LARGE, 126 },
		{ STATUS_ERROR, 125 },	   { STATUS_TIMEOUT, 125 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct outcome o = { .refused = true,
				     .status = rows[i].status };

		CHECK_EQ(outcome_exit_code(&o), rows[i].exit_code);
	}
}

static void write_result(struct mp_writer *w)
{
	mp_write_map(w, 6);
	mp_write_str(w, "signal");
	mp_write_uint(w, 9);
	mp_write_str(w, "reason");
	mp_write_str(w, "memory-limit");
	mp_write_str(w, "something new");
	mp_write_array(w, 1);
	mp_write_str(w, "to be ignored");
	mp_write_str(w, "name");
	mp_write_str(w, "hello");
	mp_write_str(w, "version");
	mp_write_uint(w, 3);
	mp_write_str(w, "memory_bytes");
	mp_write_uint(w, 1 << 20);
}

/* Verify that a result is read, and that keys of a newer thoxd do no harm. */
static void test_a_result_is_read(void)
{
	uint8_t buf[256];
	struct mp_writer w;
	struct mp_reader r;
	struct outcome o;

	mp_writer_init(&w, buf, sizeof(buf));
	write_result(&w);
	mp_reader_init(&r, buf, w.used);
	CHECK(outcome_parse_result(&r, &o) == 0);
	CHECK(o.has_signal && !o.has_code);
	CHECK_EQ(o.signal, 9);
	CHECK_STR(o.reason, "memory-limit");
	CHECK_STR(o.name, "hello");
	CHECK_EQ(o.version, 3);
	CHECK_EQ(o.memory_bytes, 1 << 20);
}

/* Verify that every cut of it is an error, not a crash. */
static void test_a_short_result_is_an_error(void)
{
	uint8_t buf[256];
	struct mp_writer w;
	struct mp_reader r;
	struct outcome o;

	mp_writer_init(&w, buf, sizeof(buf));
	write_result(&w);
	for (size_t n = 0; n < w.used; n++) {
		mp_reader_init(&r, buf, n);
		CHECK(outcome_parse_result(&r, &o) == -EBADMSG);
	}
}

int main(void)
{
	RUN(test_exit_codes);
	RUN(test_refusals);
	RUN(test_a_result_is_read);
	RUN(test_a_short_result_is_an_error);
	return tap_done();
}
