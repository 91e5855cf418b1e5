/*
 * The zygote and its runners, as thoxd sees them.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/tap.h"
#include "runner/play.h"

static struct play_zygote zygote;
static struct play_result result;

static void run(const char *text)
{
	struct play_start s = { .text = text };

	play_run(&zygote, &s, &result);
	if (getenv("VERBOSE"))
		printf("# %x [%s] %s%s\n", (unsigned)result.status,
		       result.report, result.output, result.error);
}

static int exit_code(void)
{
	return WIFEXITED(result.status) ? WEXITSTATUS(result.status)
					: 128 + WTERMSIG(result.status);
}

/* Verify that a program's output and exit code arrive. */
static void test_a_program_prints_and_exits(void)
{
	run("print('hello', 1, 2.5) io.write('x') os.exit(7)");
	CHECK_STR(result.output, "hello\t1\t2.5\nx");
	CHECK_EQ(exit_code(), 7);
}

int main(void)
{
	char message[256];

	if (play_open(&zygote, NULL, NULL, message) < 0) {
		printf("Bail out! no zygote: %s\n", message);
		return 1;
	}
	RUN(test_a_program_prints_and_exits);
	play_close(&zygote);
	return tap_done();
}
