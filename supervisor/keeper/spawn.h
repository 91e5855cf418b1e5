#pragma once

/*
 * Start an executable with exactly these descriptors.
 *
 * The child is the caller's: it dies with the caller (PR_SET_PDEATHSIG,
 * unless @survives), has no signal blocked or ignored, /dev/null for stdin
 * and the caller's stderr for stdout and stderr; beyond these only @fds, each
 * at its number.
 */

#include <stdbool.h>
#include <sys/types.h>

struct spawn {
	const char *path; /* absolute */
	char *const *args;
	char *const *env;
	const int *fds;	    /* all CLOEXEC, stay the caller's */
	const int *numbers; /* 0, or 3 to 63; none twice */
	unsigned n_fds;	    /* at most SPAWN_FDS_MAX */
	bool survives;
};

#define SPAWN_FDS_MAX 8U

/* Waits for the exec, so an executable that is not there is an error here:
 * negative errno. */
int spawn(const struct spawn *s, pid_t *ret_pid);
