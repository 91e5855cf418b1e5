#pragma once

/*
 * What the drivers of the measurements share: a clock, a child started by
 * posix_spawn() with its standard input and output at /dev/null, its end.
 * A driver that cannot measure ends at once; a wrong exit code is one.
 */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static inline double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

_Noreturn static inline void die(const char *what, int error)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(error));
	exit(1);
}

/* @input_fd < 0: /dev/null. Standard error is /dev/null when @quiet. */
static inline pid_t spawn(char *const command[], int input_fd, int quiet)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	if (input_fd < 0)
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null",
						 O_RDONLY, 0);
	else
		posix_spawn_file_actions_adddup2(&actions, input_fd, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (quiet)
		posix_spawn_file_actions_adddup2(&actions, 1, 2);
	r = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		die(command[0], r);
	return pid;
}

static inline void wait_for(pid_t pid, const char *what, int code)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid", errno);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code) {
		fprintf(stderr, "bench: %s: wait status 0x%x, not code %d\n",
			what, (unsigned)status, code);
		exit(1);
	}
}
