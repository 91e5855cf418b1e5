#pragma once

/*
 * What is left to thoxfs once it serves: its store, the built-in layer to
 * read, /proc to read (who writes), and a table of system calls.
 *
 * The verifier runs in a process of its own, started before; nothing can be
 * executed after this.
 */

#include <stdbool.h>

struct confine_options {
	const char *store_path;
	const char *builtin_path; /* NULL: none */
};

/* -ENOSYS or -EOPNOTSUPP: the kernel has no Landlock; names the layer that
 * failed in @ret_layer. */
int thoxfs_confine(const struct confine_options *options,
		   const char **ret_layer);

/* All but read, write and exit: for the teller. */
int thoxfs_confine_teller(void);
