#pragma once

/*
 * thoxd's side of the link to its keeper, which starts and reaps for it.
 *
 * A spawn is answered by a callback: a process with its pidfd, or an error.
 * Who asked and is gone meanwhile cancels by its user pointer, and a process
 * that comes then is killed.
 */

#include <sys/types.h>

#include "base/list.h"
#include "thoxd/message.h"
#include "thoxd/peer.h"

struct server;

/* @pidfd is the callee's; @error is 0 or a negative errno (then no process). */
typedef void (*parent_spawned_fn)(void *user, pid_t pid, int pidfd, int error);

struct parent {
	struct peer peer;
	struct server *server;
	uint64_t last_token;
	struct list spawning;
};

struct parent_spawn {
	const char *role;
	const char *const *args; /* ends with NULL; may be NULL */
	const char *env_name;	 /* one addition, or NULL */
	const char *env_value;
	const int *fds;
	const int *numbers;
	unsigned n_fds;
};

/* Over KEEPER_LINK_FD. The end of this link is the end of thoxd. */
void parent_init(struct parent *p, struct server *s);

int parent_spawn(struct parent *p, const struct parent_spawn *spawn,
		 parent_spawned_fn fn, void *user);
void parent_cancel(struct parent *p, void *user);

/* Copies of the descriptors go to the keeper, with a record (@size may be 0)
 * and a child that shall live on when thoxd dies (0: none). */
void parent_keep(struct parent *p, const char *name, const void *record,
		 size_t size, pid_t pid, const int *fds, unsigned n_fds);
void parent_drop(struct parent *p, const char *name);
void parent_state(struct parent *p, const void *data, size_t size);
void parent_ready(struct parent *p);
/* thoxd exits next, to be started anew. */
void parent_reexec(struct parent *p);
/* Wait until the keeper has all that was sent to it. */
void parent_flush(struct parent *p);
/* The last message: the keeper ends all. */
void parent_shutdown(struct parent *p);
/* Say why thoxd cannot serve; before the loop runs. */
void parent_failed(struct parent *p, const char *message);
