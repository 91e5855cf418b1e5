#pragma once

/*
 * Rejections: a version of a program that failed in its service is taken back.
 *
 * What the store shows changes in the worker, since that waits for a disk. From
 * the moment that a version is rejected no service starts it any more, and the
 * keeper knows of it until the store does: so a thoxd that dies in between
 * neither forgets a rejection nor makes it twice. One for which the store has
 * no room stays, and is tried again with the next start that it concerns.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fs/store.h"
#include "service/machine.h"
#include "thoxd/record.h"
#include "thoxd/worker.h"

struct server;
struct service_instance;
struct services;

/* Owned by the manager's list; while its job is with the worker, its own. */
struct rejection {
	struct list list;
	struct server *server;
	struct record_rejection record;
	bool working;
	int result; /* of its job */
	struct job job;
};

/* The version that @in went over to is no good, for that reason: the program
 * is to be the one before again, and the other is kept as refused. */
void service_reject(struct service_instance *in, enum machine_reason why);

/* The version that services start in place of @live; 0: it is that. */
uint64_t rejection_instead(struct services *m, const struct store_entry *live);

/* One of an earlier thoxd's goes on. -ENOMEM. */
int rejection_restore(struct services *m, const struct record_rejection *r);

/* The store knows of all, as far as it can. */
bool rejections_settled(const struct services *m);
