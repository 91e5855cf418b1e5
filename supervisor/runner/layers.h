#pragma once

/*
 * The sandbox of a zygote, which its runners inherit, layer by layer.
 *
 * Each required layer holds when layers_apply() returns 0; otherwise the
 * process must not go on. No sandbox, no start. seccomp is the last layer and
 * is taken on by the callers (syscalls.h), once they have loaded what they
 * need files for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct layers {
	/* as root: the dedicated uid and gid, whose maps @map gets written;
	 * 0: keep the user's, mapped to itself */
	uid_t uid;
	int (*map)(void *context);
	void *context;
	/* what the kernel offered */
	int landlock_abi;
	bool mdwe;
};

/* 0, or negative errno and the name of the layer that cannot be had. */
int layers_apply(struct layers *l, const char **ret_layer);

/* The names of the layers that hold after layers_apply(), in order: the i-th
 * or NULL after the last. */
const char *layers_name(const struct layers *l, size_t i);
