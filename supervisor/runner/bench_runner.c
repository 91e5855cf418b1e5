/*
 * Figures of the zygote and its runners alone, without thoxd.
 *
 *	bench_runner start COUNT [RUNTIME-FILE]   one start after the other
 *	bench_runner idle COUNT                   memory while in io.read
 *	bench_runner run FILE [ARG...]            one program, for its time
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runner/play.h"

static struct play_zygote zygote;

static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	if (fd < 0 || fstat(fd, &st) < 0)
		abort();
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || fd_read_full(fd, text, (size_t)st.st_size) < 0)
		abort();
	close(fd);
	return text;
}

static void open_zygote(const char *runtime_path)
{
	char message[256];
	char *text = runtime_path ? read_file(runtime_path) : NULL;

	if (play_open(&zygote, text, NULL, message) < 0) {
		fprintf(stderr, "%s\n", message);
		exit(1);
	}
	free(text);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* From the start message to the reaped process, with a ready runner. */
static void bench_start(int count, const char *runtime_path)
{
	uint64_t *times = calloc((size_t)count, sizeof(*times));
	struct play_start s = { .text = "print('hello')" };

	open_zygote(runtime_path);
	for (int i = 0; i < count; i++) {
		static struct play_result result;
		struct play_runner r;
		uint64_t begin;

		memset(&result, 0, sizeof(result));
		if (play_fork(&zygote, &r) < 0)
			abort();
		usleep(2000); /* it gets ready */
		begin = clock_ns();
		play_start(&r, &s);
		waitpid(r.pid, NULL, 0);
		times[i] = clock_ns() - begin;
		fd_close(r.output);
		fd_close(r.error);
		fd_close(r.input);
		link_deinit(&r.link);
	}
	qsort(times, (size_t)count, sizeof(*times), by_value);
	printf("start to reaped: median %llu us, least %llu us\n",
	       (unsigned long long)times[count / 2] / 1000,
	       (unsigned long long)times[0] / 1000);
	free(times);
}

static long pss_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %ld kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static void bench_idle(int count)
{
	struct play_runner *r = calloc((size_t)count, sizeof(*r));
	static struct play_result result;
	long sum = 0;

	open_zygote(NULL);
	for (int i = 0; i < count; i++) {
		struct play_start s = { .text = "print('hi') io.stdout:flush() "
						"io.read()" };

		if (play_fork(&zygote, &r[i]) < 0)
			abort();
		play_start(&r[i], &s);
		memset(&result, 0, sizeof(result));
		play_wait_output(&r[i], "hi", &result);
	}
	usleep(100000);
	for (int i = 0; i < count; i++)
		sum += pss_kib(r[i].pid);
	printf("%d runners in io.read: %ld KiB Pss each; zygote %ld KiB\n",
	       count, sum / count, pss_kib(zygote.pid));
	for (int i = 0; i < count; i++) {
		fd_close(r[i].input);
		waitpid(r[i].pid, NULL, 0);
	}
	free(r);
}

static int bench_run(int argc, char *argv[])
{
	const char *args[32] = { NULL };
	struct play_start s = {
		.name = argv[0],
		.text = read_file(argv[0]),
		.args = args,
		.keep_stdio = true,
		.memory_bytes = 1U << 30,
	};
	struct play_runner r;
	int status;

	for (int i = 1; i < argc && i < 31; i++)
		args[i - 1] = argv[i];
	open_zygote(NULL);
	if (play_fork(&zygote, &r) < 0)
		abort();
	play_start(&r, &s);
	waitpid(r.pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char *argv[])
{
	if (argc > 2 && strcmp(argv[1], "start") == 0)
		bench_start(atoi(argv[2]), argv[3]);
	else if (argc > 2 && strcmp(argv[1], "idle") == 0)
		bench_idle(atoi(argv[2]));
	else if (argc > 2 && strcmp(argv[1], "run") == 0)
		return bench_run(argc - 2, argv + 2);
	else
		return 2;
	return 0;
}
