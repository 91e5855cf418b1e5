#pragma once

/*
 * Descriptors that outlive thoxd, by name. The table owns them.
 */

#include "rpc/keeper.h"

struct kept {
	struct kept_fd *first;
	unsigned count;
};

/* Takes @fd, whatever it returns; a name that is there is replaced.
 * -ENOMEM, or -ENOSPC over KEEPER_KEPT_MAX. */
int kept_add(struct kept *k, const char *name, int fd);
void kept_remove(struct kept *k, const char *name);
void kept_deinit(struct kept *k);

typedef int (*kept_fn)(const char *name, int fd, void *user);
int kept_each(struct kept *k, kept_fn fn, void *user);
