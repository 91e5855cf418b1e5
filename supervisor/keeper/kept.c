/*
 * Step 9, in the keeper: what the next thoxd goes on with.
 */

#include "keeper/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

struct kept_fd {
	struct kept_fd *next;
	int fd;
	char name[KEEPER_NAME_BYTES + 1];
};

static struct kept_fd **find(struct kept *k, const char *name)
{
	struct kept_fd **at = &k->first;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

int kept_add(struct kept *k, const char *name, int fd)
{
	struct kept_fd **at = find(k, name);

	if (!*at) {
		struct kept_fd *f = NULL;

		if (k->count < KEEPER_KEPT_MAX)
			f = calloc(1, sizeof(*f));
		if (!f) {
			fd_close(fd);
			return k->count < KEEPER_KEPT_MAX ? -ENOMEM : -ENOSPC;
		}
		strncpy(f->name, name, KEEPER_NAME_BYTES);
		f->fd = -1;
		*at = f;
		k->count++;
	}
	fd_close((*at)->fd);
	(*at)->fd = fd;
	return 0;
}

void kept_remove(struct kept *k, const char *name)
{
	struct kept_fd **at = find(k, name);
	struct kept_fd *f = *at;

	if (!f)
		return;
	*at = f->next;
	fd_close(f->fd);
	free(f);
	k->count--;
}

void kept_deinit(struct kept *k)
{
	while (k->first)
		kept_remove(k, k->first->name);
}

int kept_each(struct kept *k, kept_fn fn, void *user)
{
	int r = 0;

	for (struct kept_fd *f = k->first; f && r == 0; f = f->next)
		r = fn(f->name, f->fd, user);
	return r;
}
