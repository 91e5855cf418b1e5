#pragma once

/*
 * What happens, for whoever wants to be told: `thoxctl events`.
 *
 * A subscriber has a socket, from which it gets a record for each event: a
 * map with `type` and `time_ms`, and what belongs to its type. Nobody waits
 * for a subscriber: what finds no room is dropped, and counted in a record of
 * the type `lost` before the next one.
 */

#include <stdbool.h>

#include "base/list.h"
#include "fs/store.h"
#include "rpc/mp.h"
#include "service/machine.h"

struct run;
struct run_end;
struct server;
struct service_instance;

#define EVENTS_SUBSCRIBERS_MAX 64U

struct events {
	struct list subscribers;
	unsigned n;
};

void events_init(struct events *e);
/* -EUSERS: there are too many. */
int events_subscribe(struct events *e, int *ret_fd);

/* type `service`: an instance changes its state */
void events_service(struct server *s, const struct service_instance *in,
		    enum machine_state from);
/* types `started` and `ended`: a process */
void events_started(struct server *s, const struct run *run);
void events_ended(struct server *s, const struct run *run,
		  const struct run_end *end);
/* types `published`, `rejected` and `removed`: a text of the store */
void events_store(struct server *s, enum store_dir dir,
		  const struct store_entry *entry);
