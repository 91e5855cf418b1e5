#pragma once

/*
 * Runs in the background: `thox-exec -d`.
 *
 * Such a run is a service that nobody has defined: it has a name, its output
 * goes to the logs, and it is gone when it ends. It is its client's until it
 * serves (its main function has returned, or it has bound a name, or says
 * that it is ready); from then on nobody's.
 */

#include <stdbool.h>

#include "base/list.h"
#include "fs/name.h"
#include "rpc/mp.h"
#include "thoxd/run.h"

struct client;
struct server;

#define BACKGROUND_NAME_BYTES (2 * NAME_MAX_BYTES + 2) /* NAME:INSTANCE */

struct background {
	struct starter starter;
	struct server *server;
	struct client *client; /* NULL: it has its answer, or has left */
	struct list list;      /* in the server's backgrounds */
	uint64_t streams[2];   /* of its output, in the logs */
	char name[BACKGROUND_NAME_BYTES];
	struct garbage garbage;
};

/* Start @spec for @c, under @service or a name of its own (size 0). The
 * client hears of everything, and may be gone when this returns. */
void background_start(struct client *c, const struct run_spec *spec,
		      struct mp_bytes service, int *text_fd);

/* @c is gone: so is its run, unless it serves. */
void background_client_gone(struct background *b);

/* Ask it to end; in time it is made to. Whoever waits for that hears of it by
 * services_background_gone(). */
void background_stop(struct background *b);

/* Is this run one? */
bool background_has(const struct run *run);

/* NULL: none is called so. */
struct background *background_find(struct server *s, const char *name);
