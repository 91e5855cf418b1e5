/*
 * The peer of calls: messages over bare SOCK_SEQPACKET sockets, there and
 * back, between this process and others that only answer.
 *
 * usage: pingpong PROCESSES BYTES BACK COUNT ROUNDS
 * Asks each of PROCESSES in turn with BYTES, in records of 64 KiB at most, and
 * waits for BACK bytes. Prints for each round the microseconds of one of COUNT
 * messages, there and back.
 */

#include <sys/resource.h>
#include <sys/socket.h>

#include "spawn.h"

#define RECORD_BYTES 65536UL

static char buf[RECORD_BYTES];

static void send_all(int fd, size_t bytes)
{
	while (bytes > 0) {
		size_t n = bytes < RECORD_BYTES ? bytes : RECORD_BYTES;

		if (send(fd, buf, n, MSG_NOSIGNAL) != (ssize_t)n)
			die("send", errno);
		bytes -= n;
	}
}

/* False: the other end has gone. */
static int receive_all(int fd, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < 0)
			die("recv", errno);
		if (n == 0)
			return 0;
		bytes -= (size_t)n;
	}
	return 1;
}

static int start_answering(size_t bytes, size_t back)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die("socketpair", errno);
	pid = fork();
	if (pid < 0)
		die("fork", errno);
	if (pid > 0) {
		close(ends[1]);
		return ends[0];
	}
	close_range(3, (unsigned)ends[1] - 1, 0);
	while (receive_all(ends[1], bytes))
		send_all(ends[1], back);
	_exit(0);
}

int main(int argc, char *argv[])
{
	struct rlimit files = { 65536, 65536 };
	unsigned long processes, bytes, back, count, rounds;
	int *ends;

	if (argc != 6) {
		fprintf(stderr, "usage: pingpong PROCESSES BYTES BACK COUNT "
				"ROUNDS\n");
		return 2;
	}
	processes = strtoul(argv[1], NULL, 10);
	bytes = strtoul(argv[2], NULL, 10);
	back = strtoul(argv[3], NULL, 10);
	count = strtoul(argv[4], NULL, 10);
	rounds = strtoul(argv[5], NULL, 10);
	setrlimit(RLIMIT_NOFILE, &files);
	ends = calloc(processes, sizeof(*ends));
	if (!ends)
		die("calloc", errno);
	for (unsigned long i = 0; i < processes; i++)
		ends[i] = start_answering(bytes, back);
	for (unsigned long round = 0; round <= rounds; round++) {
		double begin = now_us();

		for (unsigned long i = 0; i < count; i++) {
			int fd = ends[i % processes];

			send_all(fd, bytes);
			if (!receive_all(fd, back))
				die("recv", ECONNRESET);
		}
		if (round > 0) /* the first warms up */
			printf("%.3f\n", (now_us() - begin) / (double)count);
	}
	free(ends);
	return 0;
}
