/*
 * When services are alive: each instance says so on a FIFO, as a line of its
 * PID and the time, in microseconds of the monotonic clock.
 *
 * usage: alive serve FIFO            an instance: says so, and stays
 *        alive revive FIFO N SECONDS [PID]
 *                                    kills the instance (of the first line, or
 *                                    PID) N times, SECONDS after its start;
 *                                    prints the time to the next
 *        alive count FIFO N COMMAND… starts it; prints the time to the Nth line
 *                                    its PID, and that of the line
 *        alive after FIFO COMMAND…   prints the time from the start of the
 *                                    command, which ends, to the next line
 *        alive lag FIFO N            prints how old each of N lines is
 *
 * Times in microseconds, one a line. Whoever measures keeps the FIFO open.
 */

#include <signal.h>

#include "spawn.h"

struct line {
	int pid;
	double us;
};

static struct line next_line(FILE *fifo)
{
	struct line l;
	char text[128];

	if (!fgets(text, sizeof(text), fifo))
		die("FIFO", errno);
	if (sscanf(text, "%d %lf", &l.pid, &l.us) != 2) {
		fprintf(stderr, "bench: alive: no such line: %s", text);
		exit(1);
	}
	return l;
}

/* Read and write, so that it does not end when no instance is there. */
static FILE *open_fifo(const char *path)
{
	FILE *fifo = fopen(path, "r+e");

	if (!fifo)
		die(path, errno);
	return fifo;
}

static _Noreturn void serve(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		die(path, errno);
	dprintf(fd, "%d %.0f\n", (int)getpid(), now_us());
	for (;;)
		pause();
}

static void revive(FILE *fifo, int rounds, double seconds, int pid)
{
	struct line is = { .pid = pid }, was;

	if (!pid)
		is = next_line(fifo);
	for (int i = 0; i < rounds; i++) {
		double begin;

		usleep((useconds_t)(seconds * 1e6));
		was = is;
		begin = now_us();
		if (kill(was.pid, SIGKILL) < 0)
			die("kill", errno);
		do
			is = next_line(fifo);
		while (is.pid == was.pid);
		printf("%.0f\n", is.us - begin);
		fflush(stdout);
	}
}

static void count(FILE *fifo, int n, char *command[])
{
	double begin = now_us();
	pid_t pid = spawn(command, -1, 1);
	struct line l = { 0 };

	for (int i = 0; i < n; i++)
		l = next_line(fifo);
	printf("%.0f %d %d\n", l.us - begin, (int)pid, l.pid);
}

static void after(FILE *fifo, char *command[])
{
	double begin = now_us();

	wait_for(spawn(command, -1, 0), command[0], 0);
	printf("%.0f\n", next_line(fifo).us - begin);
}

int main(int argc, char *argv[])
{
	const char *what = argc > 2 ? argv[1] : "";
	FILE *fifo;

	if (strcmp(what, "serve") == 0)
		serve(argv[2]);
	fifo = argc > 3 ? open_fifo(argv[2]) : NULL;
	if (fifo && strcmp(what, "revive") == 0 && argc > 4) {
		revive(fifo, atoi(argv[3]), atof(argv[4]),
		       argc > 5 ? atoi(argv[5]) : 0);
	} else if (fifo && strcmp(what, "count") == 0 && argc > 4) {
		count(fifo, atoi(argv[3]), argv + 4);
	} else if (fifo && strcmp(what, "after") == 0) {
		after(fifo, argv + 3);
	} else if (fifo && strcmp(what, "lag") == 0) {
		for (int i = atoi(argv[3]); i > 0; i--) {
			double us = next_line(fifo).us;

			printf("%.0f\n", now_us() - us);
		}
	} else {
		fprintf(stderr, "usage: see tests/bench/alive.c\n");
		return 2;
	}
	return 0;
}
