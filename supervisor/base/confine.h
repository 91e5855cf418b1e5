#pragma once

/*
 * What is left to a process once it has everything that it needs: files below
 * some paths (Landlock), and a table of system calls (seccomp).
 *
 * Nothing can be executed after it. Takes nothing from what is open already.
 */

#include <stdbool.h>
#include <stddef.h>

enum confine_access {
	CONFINE_READ,
	CONFINE_WRITE, /* and read, make, rename, remove; no devices */
};

struct confine_path {
	const char *path; /* a directory: all below it */
	enum confine_access access;
	bool optional; /* need not be there */
};

struct confine_call {
	int nr;
	const char *who; /* asks the kernel for it */
};

/*
 * No new privileges, then the two. -ENOSYS or -EOPNOTSUPP: the kernel has no
 * Landlock. Names the layer that failed in @ret_layer.
 */
int confine(const struct confine_path *paths, size_t n_paths,
	    const struct confine_call *calls, size_t n_calls,
	    const char **ret_layer);

/* No new privileges, and the table of calls alone. */
int confine_calls(const struct confine_call *calls, size_t n_calls);
