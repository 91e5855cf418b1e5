/*
 * Keeps a number of copies of a command alive, all reading one pipe that
 * nobody writes to.
 *
 * usage: crowd COUNT COMMAND...
 * Prints their PIDs, one a line, then reads standard input: at its end the
 * pipe is closed, and all of them are waited for.
 */

#include <signal.h>
#include <sys/resource.h>

#include "spawn.h"

int main(int argc, char *argv[])
{
	int count = argc > 2 ? atoi(argv[1]) : 0, input[2], status;
	struct rlimit files = { 65536, 65536 };
	char byte;

	if (count < 1) {
		fprintf(stderr, "usage: crowd COUNT COMMAND...\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files); /* as far as it goes */
	if (pipe2(input, O_CLOEXEC) < 0)
		die("pipe", errno);
	for (int i = 0; i < count; i++)
		printf("%d\n", (int)spawn(argv + 2, input[0], 0));
	fflush(stdout);
	close(input[0]);
	while (read(0, &byte, 1) > 0)
		;
	close(input[1]);
	while (wait(&status) > 0)
		;
	return 0;
}
