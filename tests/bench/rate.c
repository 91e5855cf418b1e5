/*
 * How many times a second a command can be started and waited for, by a
 * number of clients at once.
 *
 * usage: rate SECONDS CLIENTS COMMAND...
 * Prints `starts-per-second`. With SECONDS 0, COUNT=n in the environment is
 * the number of starts instead (a soak).
 */

#include "spawn.h"

static unsigned long run_until(double end_us, unsigned long most,
			       char *command[])
{
	unsigned long n = 0;

	while ((most ? n < most : now_us() < end_us)) {
		wait_for(spawn(command, -1, 0), command[0], 0);
		n++;
	}
	return n;
}

int main(int argc, char *argv[])
{
	const char *most = getenv("COUNT");
	double seconds, begin, took_us;
	unsigned long total = 0, n;
	int clients, results[2], status;

	if (argc < 4) {
		fprintf(stderr, "usage: rate SECONDS CLIENTS COMMAND...\n");
		return 2;
	}
	seconds = atof(argv[1]);
	clients = atoi(argv[2]);
	if (pipe(results) < 0)
		die("pipe", errno);
	unsetenv("COUNT");
	begin = now_us();
	for (int i = 0; i < clients; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork", errno);
		if (pid > 0)
			continue;
		n = run_until(begin + seconds * 1e6,
			      most ? strtoul(most, NULL, 10) /
					      (unsigned long)clients
				   : 0,
			      argv + 3);
		if (write(results[1], &n, sizeof(n)) != sizeof(n))
			_exit(1);
		_exit(0);
	}
	close(results[1]);
	while (read(results[0], &n, sizeof(n)) == sizeof(n))
		total += n;
	took_us = now_us() - begin;
	while (wait(&status) > 0)
		if (status != 0)
			return 1;
	printf("%.1f\n", (double)total * 1e6 / took_us);
	return 0;
}
