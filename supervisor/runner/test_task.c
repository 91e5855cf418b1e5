/*
 * Tasks: turns, pre-emption, ends, and what they do with each other.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/tap.h"
#include "runner/play.h"

static struct play_zygote zygote;
static struct play_runner runner;
static struct play_result result;

static void show(void)
{
	if (getenv("VERBOSE"))
		printf("# status %x, report [%s %lld], out [%s], err [%s]\n",
		       (unsigned)result.status, result.report,
		       (long long)result.detail, result.output, result.error);
}

static void begin(const struct play_start *s)
{
	memset(&result, 0, sizeof(result));
	if (play_fork(&zygote, &runner) < 0)
		abort();
	play_start(&runner, s);
}

static void finish(void)
{
	play_wait(&runner, NULL, &result);
	show();
}

static void run_start(const struct play_start *s)
{
	play_run(&zygote, s, &result);
	show();
}

/* With `task` at hand. */
__attribute__((unused)) static void run(const char *text)
{
	char program[8192];

	snprintf(program, sizeof(program), "local task = require 'task' %s",
		 text);
	run_start(&(struct play_start){ .text = program, .name = "hello" });
}

static int exit_code(void)
{
	return WIFEXITED(result.status) ? WEXITSTATUS(result.status)
					: 128 + WTERMSIG(result.status);
}

static char *read_text(const char *name)
{
	const char *dir = getenv("THOX_SOURCE_DIR");
	char path[4096];
	struct stat st;
	char *text;
	int fd;

	snprintf(path, sizeof(path), "%s/tests/tasks/%s", dir ? dir : "..",
		 name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		abort();
	}
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || fd_read_full(fd, text, (size_t)st.st_size) < 0)
		abort();
	close(fd);
	return text;
}

/* --- pre-emption ------------------------------------------------------------
 */

/* One message after the other, so that each signals on its own. */
static pid_t disturb(void)
{
	pid_t pid = fork();

	while (pid == 0) {
		play_event(&runner, "wake", 0, 0);
		usleep(10);
	}
	return pid;
}

/* Verify that a program that is stopped 100,000 times, inside of everything
 * that can be stopped, computes what it computes alone. */
static void test_preempted_everywhere(void)
{
	const char *count = getenv("PREEMPTIONS");
	const char *const args[] = { count ? count : "100000", NULL };
	char *text = read_text("constructs.lua");
	pid_t pid;

	begin(&(struct play_start){ .text = text, .args = args });
	free(text);
	CHECK(play_wait_output(&runner, "ready", &result));
	pid = disturb();
	finish();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("# %s", result.error);
	CHECK_STR(result.output, "ready\ndone\n");
	CHECK_EQ(exit_code(), 0);
}

int main(void)
{
	char message[256];

	if (play_open(&zygote, NULL, NULL, message) < 0) {
		printf("Bail out! no zygote: %s\n", message);
		return 1;
	}
	RUN(test_preempted_everywhere);
	play_close(&zygote);
	return tap_done();
}
