/* How many lines a second a logger takes from four writers, none lost. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "rpc/link.h"
#include "rpc/logd.h"
#include "rpc/mp.h"

/*
 *	log-lines LINES DIR logd PATH         thox-logd, playing thoxd
 *	log-lines LINES DIR each COMMAND...   a logger for each writer, that
 *	                                      gets its directory as last argument
 *
 * Prints lines a second, from the first write until all loggers have ended,
 * and then how many lines are in the files.
 */
#define WRITERS	   4
#define LINE_BYTES 64

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* A write for each line, as a service does that flushes each. */
static _Noreturn void write_lines(int fd, int writer, long count)
{
	char line[LINE_BYTES + 1];

	for (long i = 0; i < count; i++) {
		int n = snprintf(line, sizeof(line), "writer %d line %ld ",
				 writer, i);

		memset(line + n, 'x', (size_t)(LINE_BYTES - 1 - n));
		line[LINE_BYTES - 1] = '\n';
		if (fd_write_all(fd, line, LINE_BYTES) < 0)
			_exit(1);
	}
	_exit(0);
}

static pid_t start(char **argv, int fd, int number)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (fd == number)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, number);
	execvp(argv[0], argv);
	fail(argv[0]);
}

static void start_writer(int fd, int writer, long count)
{
	pid_t pid = fork();

	if (pid == 0)
		write_lines(fd, writer, count);
	if (pid < 0)
		fail("fork");
	close(fd);
}

/* --- thox-logd --------------------------------------------------------------
 */

static void hand_over(struct link *l, int reader, int stream)
{
	uint8_t buf[256];
	struct mp_writer w;
	char service[16];

	snprintf(service, sizeof(service), "s%d", stream);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, LOGD_OPEN);
	mp_write_int(&w, stream);
	mp_write_map(&w, 3);
	mp_write_str(&w, "service");
	mp_write_str(&w, service);
	mp_write_str(&w, "keep");
	mp_write_uint(&w, 1000);
	mp_write_str(&w, "rotate_bytes");
	mp_write_uint(&w, 8 << 20);
	if (link_send_wait(l, buf, w.used, &reader, 1) < 0)
		fail("thox-logd");
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, LOGD_PID);
	mp_write_int(&w, stream);
	mp_write_int(&w, 1000 + stream);
	if (link_send_wait(l, buf, w.used, NULL, 0) < 0)
		fail("thox-logd");
}

static void wait_for_ends(struct link *l)
{
	struct link_message m;

	for (int i = 0; i < WRITERS; i++)
		if (link_receive(l, true, &m) <= 0)
			fail("thox-logd");
}

static double through_logd(long lines, char *dir, char *path)
{
	char *argv[] = { path, dir, NULL };
	int readers[WRITERS], writers[WRITERS], pair[2];
	struct link l;
	uint64_t begin;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		fail("socketpair");
	start(argv, pair[1], LOGD_LINK_FD);
	close(pair[1]);
	link_init(&l, pair[0]);
	for (int i = 0; i < WRITERS; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			fail("pipe2");
		fcntl(p[1], F_SETPIPE_SZ, 256 << 10);
		readers[i] = p[0];
		writers[i] = p[1];
		hand_over(&l, readers[i], i + 1);
		close(readers[i]);
	}
	begin = clock_ns();
	for (int i = 0; i < WRITERS; i++)
		start_writer(writers[i], i, lines / WRITERS);
	wait_for_ends(&l);
	begin = clock_ns() - begin;
	link_deinit(&l);
	return (double)begin / 1e9;
}

/* --- one logger each --------------------------------------------------------
 */

static double through_each(long lines, const char *dir, char **argv, int argc)
{
	char where[WRITERS][512];
	char *args[64];
	int writers[WRITERS];
	uint64_t begin;

	if (argc > 60)
		exit(2);
	for (int i = 0; i < WRITERS; i++) {
		int p[2];

		snprintf(where[i], sizeof(where[i]), "%s/s%d", dir, i + 1);
		if (mkdir(where[i], 0700) < 0 || pipe2(p, O_CLOEXEC) < 0)
			fail(where[i]);
		memcpy(args, argv, sizeof(*argv) * (size_t)argc);
		args[argc] = where[i];
		args[argc + 1] = NULL;
		start(args, p[0], STDIN_FILENO);
		close(p[0]);
		writers[i] = p[1];
	}
	begin = clock_ns();
	for (int i = 0; i < WRITERS; i++)
		start_writer(writers[i], i, lines / WRITERS);
	while (wait(NULL) > 0)
		;
	return (double)(clock_ns() - begin) / 1e9;
}

int main(int argc, char **argv)
{
	long lines = argc > 1 ? atol(argv[1]) : 0;
	double seconds;

	if (argc < 5 || lines < WRITERS) {
		fprintf(stderr, "usage: log-lines LINES DIR logd PATH\n"
				"       log-lines LINES DIR each COMMAND...\n");
		return 2;
	}
	lines -= lines % WRITERS;
	if (strcmp(argv[3], "logd") == 0)
		seconds = through_logd(lines, argv[2], argv[4]);
	else
		seconds = through_each(lines, argv[2], argv + 4, argc - 4);
	while (wait(NULL) > 0)
		;
	printf("%.0f lines/s of %ld\n", (double)lines / seconds, lines);
	return 0;
}
