/*
 * Measures: plain pread() and pwrite() of a file that is there.
 *
 * usage: stream FILE read|write BYTES PIECE PASSES ROUNDS
 *
 * A round is several passes over all BYTES. Prints the best one in megabytes a
 * second.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pass(int fd, bool reads, char *piece, size_t size, size_t bytes)
{
	for (size_t at = 0; at + size <= bytes; at += size) {
		ssize_t n = reads ? pread(fd, piece, size, (off_t)at)
				  : pwrite(fd, piece, size, (off_t)at);

		if (n != (ssize_t)size)
			die(reads ? "read" : "write");
	}
}

int main(int argc, char **argv)
{
	size_t bytes, size;
	double best = 0;
	char *piece;
	bool reads;
	int fd, passes, rounds;

	if (argc != 7) {
		fprintf(stderr, "usage: stream FILE read|write BYTES PIECE "
				"PASSES ROUNDS\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	reads = strcmp(argv[2], "read") == 0;
	bytes = strtoul(argv[3], NULL, 10);
	size = strtoul(argv[4], NULL, 10);
	passes = atoi(argv[5]);
	rounds = atoi(argv[6]);
	piece = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
	if (fd < 0 || !piece || size == 0)
		die(argv[1]);
	memset(piece, 'x', size);
	while (rounds-- > 0) {
		uint64_t begin_ns = clock_ns();
		double mbs;

		for (int i = 0; i < passes; i++)
			pass(fd, reads, piece, size, bytes);
		mbs = (double)bytes * passes * 1e3 /
		      (double)(clock_ns() - begin_ns);
		if (mbs > best)
			best = mbs;
	}
	printf("%.0f\n", best);
	free(piece);
	fd_close(fd);
	return 0;
}
