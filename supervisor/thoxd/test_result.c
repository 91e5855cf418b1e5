/* How ends are called, and that a lying runner cannot choose freely. */

#include "thoxd/result.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/exit.h"
#include "base/tap.h"
#include "base/util.h"

#define EXITED(code) ((code) << 8)

static struct result classify(int status, enum cause cause, enum report report)
{
	struct result_facts f = {
		.status = status,
		.cause = cause,
		.report = report,
		.report_detail = report == REPORT_TRAP ? SYS_openat : 0,
		.memory_bytes = 20U << 20,
		.cpu_ms = 1500,
		.wall_ms = 300,
	};
	struct result r;

	result_classify(&f, &r);
	return r;
}

/* Verify the word for each status, cause and report. */
static void test_reasons(void)
{
	static const struct {
		int status;
		enum cause cause;
		enum report report;
		const char *reason;
	} rows[] = {
		{ EXITED(0), CAUSE_NONE, REPORT_NONE, "exit" },
		{ EXITED(7), CAUSE_NONE, REPORT_NONE, "exit" },
		{ EXITED(1), CAUSE_NONE, REPORT_NONE, "exit" },
		{ EXITED(1), CAUSE_NONE, REPORT_ERROR, "error" },
		{ EXITED(130), CAUSE_NONE, REPORT_INTERRUPTED, "interrupted" },
		{ EXITED(143), CAUSE_NONE, REPORT_TERMINATED, "terminated" },
		{ EXITED(137), CAUSE_NONE, REPORT_MEMORY, "memory-limit" },
		{ SIGKILL, CAUSE_KILLED, REPORT_NONE, "killed" },
		{ SIGKILL, CAUSE_TERMINATED, REPORT_NONE, "terminated" },
		{ SIGKILL, CAUSE_WALL, REPORT_NONE, "wall-limit" },
		{ SIGKILL, CAUSE_CPU, REPORT_NONE, "cpu-limit" },
		{ SIGKILL, CAUSE_TRAP, REPORT_TRAP, "sandbox" },
		{ SIGKILL, CAUSE_PROTOCOL, REPORT_NONE, "sandbox" },
		{ SIGKILL, CAUSE_SHUTDOWN, REPORT_NONE, "killed" },
		{ SIGKILL, CAUSE_NONE, REPORT_NONE, "killed" },
		{ SIGXCPU, CAUSE_NONE, REPORT_NONE, "cpu-limit" },
		{ SIGSYS, CAUSE_NONE, REPORT_NONE, "sandbox" },
		{ SIGSYS, CAUSE_NONE, REPORT_TRAP, "sandbox" },
		{ SIGSEGV, CAUSE_NONE, REPORT_NONE, "signal" },
		{ SIGSEGV, CAUSE_NONE, REPORT_CRASH, "signal" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct result r =
			classify(rows[i].status, rows[i].cause, rows[i].report);

		CHECK_STR(r.reason, rows[i].reason);
	}
}

/* Verify that a report cannot make a success anything else. */
static void test_a_report_does_not_change_a_success(void)
{
	for (int report = REPORT_NONE; report <= REPORT_CRASH; report++)
		CHECK_STR(classify(EXITED(0), CAUSE_NONE, (enum report)report)
				  .reason,
			  "exit");
}

/* Verify that a process that ended by itself before the kill was not killed. */
static void test_a_kill_that_came_too_late(void)
{
	struct result r = classify(EXITED(3), CAUSE_WALL, REPORT_NONE);

	CHECK_STR(r.reason, "exit");
	CHECK_EQ(r.code, 3);
	CHECK(!r.signalled);
}

/* Verify that the detail names the limit or the call. */
static void test_details(void)
{
	struct result r = classify(SIGSYS, CAUSE_NONE, REPORT_TRAP);

	CHECK(strstr(r.detail, "openat"));
	r = classify(SIGKILL, CAUSE_WALL, REPORT_NONE);
	CHECK(strstr(r.detail, "300 ms"));
	r = classify(SIGKILL, CAUSE_CPU, REPORT_NONE);
	CHECK(strstr(r.detail, "1.5 s"));
	r = classify(EXITED(EXIT_MEMORY), CAUSE_NONE, REPORT_MEMORY);
	CHECK(strstr(r.detail, "20 MiB"));
	r = classify(SIGSEGV, CAUSE_NONE, REPORT_NONE);
	CHECK(strstr(r.detail, "SIGSEGV"));
	CHECK_EQ(r.code, SIGSEGV);
	CHECK(r.signalled);
}

int main(void)
{
	RUN(test_reasons);
	RUN(test_a_report_does_not_change_a_success);
	RUN(test_a_kill_that_came_too_late);
	RUN(test_details);
	return tap_done();
}
