#pragma once

/*
 * The manager of services: which there are, which shall run, in which order.
 *
 * Definitions come from the store and are read anew when it changes. Starts
 * and stops are jobs (service/jobs.h) over the order of the definitions; what
 * a job does, the instances' machines do. Whoever asked is told when the jobs
 * that concern him have ended.
 *
 * Nothing here may free a service from within a job or an instance's event:
 * that, and all that begins new jobs, is deferred to the end of the turn.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fs/store.h"
#include "rpc/mp.h"
#include "service/jobs.h"
#include "service/machine.h"
#include "thoxd/table.h"

struct background;
struct client;
struct definition;
struct server;
struct service;
struct service_instance;
struct store_entry;
struct waiter;

/* Of service_schedule.c. */
struct services_clock {
	int fd; /* the kernel's timer; -1: none was needed yet */
	ev_io io;
	ev_timer settle;
	int64_t offset_ns; /* of the time of day, to see that it was set */
	struct list came;  /* what the file said */
};

struct services {
	struct server *server;
	struct order *order;
	struct jobs *jobs;
	struct table by_name;
	struct list all;
	unsigned n;
	struct list waits;   /* of requests, service_request.c */
	struct list asked;   /* of processes, native_service.c */
	struct list enabled; /* what was said of names, service_enabled.c */
	ev_timer deferred;
	struct services_clock clock;
	struct list taken;	/* of an earlier thoxd's, adopt.c */
	struct list changed;	/* instances, for the keeper */
	struct list rejections; /* owned; reject.h */
	ev_prepare flush;
	bool begun;
	bool ending;
};

/* life: the store is open at begin */
int services_init(struct services *m, struct server *s);
void services_begin(struct services *m);
void services_end(struct services *m); /* stop all, in order */

/* The store has changed. */
void services_follow(struct services *m, enum store_dir dir,
		     const struct store_entry *entry);

/*
 * The service of this name, found in the store when it is not known yet.
 * NULL: there is none.
 */
struct service *services_get(struct services *m, const char *name);
/* The same, of an earlier thoxd's: its definition may be gone. NULL: no
 * memory. */
struct service *services_restore(struct services *m, const char *name);
/* One that is known already, or NULL. */
struct service *services_find(struct services *m, const char *name);

/*
 * The jobs that an order means, for @roots; @ret_problem tells what is in the
 * way: -ELOOP, -ENOENT. services_apply() begins them.
 */
enum services_order {
	SERVICES_START,
	SERVICES_STOP,
	SERVICES_RESTART,
};
struct services_plan {
	struct order_plan stop;	 /* or stop and start again */
	struct order_plan start; /* what else must be there */
};
int services_plan(struct services *m, enum services_order order,
		  struct service *const *roots, size_t n,
		  struct services_plan *ret_plan,
		  struct order_problem *ret_problem);
int services_apply(struct services *m, enum services_order order,
		   const struct services_plan *plan,
		   struct order_problem *ret_problem);
void services_plan_deinit(struct services_plan *plan);
/* Both, for one; what is in the way is logged. */
void services_order_one(struct services *m, enum services_order order,
			struct service *sv);

/* service_schedule.c: times that have come are kept in the state directory;
 * begin() when all services are known. */
void services_clock_init(struct services *m);
void services_clock_begin(struct services *m);
void services_clock_end(struct services *m);

/* service_enabled.c: what `enable` and `disable` said is kept in the state
 * directory, and wins over the definition. */
bool services_enabled(const struct service *sv);
int services_enable(struct services *m, const char *name, bool on);
int services_enabled_load(struct services *m);
/* Names that are enabled, loaded or not. */
int services_each_enabled(struct services *m,
			  int (*fn)(struct services *m, const char *name));

/* Look at what waits for the end of the turn. */
void services_defer(struct services *m);

/* by the instances */
void services_instance_changed(struct service_instance *in,
			       enum machine_state from);
void services_settled(struct service *sv);
void services_over_limit(struct service *sv);

/*
 * service_call.c: a service that is started by the first call of what it
 * provides. 0: @w goes when there is something new of it, and then asks again
 * with @again; it is worth waiting so long, 0: for ever. -ENOENT: there is no
 * such service; -ECHILD: it cannot be had, and @ret_text says why.
 */
#define SERVICES_WHY_BYTES 320U
int services_call(struct services *m, struct mp_bytes name, bool again,
		  struct waiter *w, uint64_t *ret_patience_ms,
		  char ret_text[SERVICES_WHY_BYTES]);
/* Something of it has changed: its state, or a name that it has bound. */
void services_callers_wake(struct service *sv);
/* When the turn is over: start those that were called, let go who waits. */
void services_callers_look(struct services *m);
/* It is going to be freed. */
void services_callers_forget(struct service *sv);

/* service_request.c: waiting requests are looked at again */
void services_check_waits(struct services *m, struct service *sv);
void services_forget_waits(struct services *m, const struct service *sv);
void services_client_gone(struct services *m, struct client *c);
void services_background_gone(struct services *m, const struct background *b);

/* small things that all of it needs */
struct server *services_server(struct services *m);
struct store *services_store(struct services *m);
/* That version of the program that @d names; 0: the live one. */
int services_find_program(struct services *m, const struct definition *d,
			  uint64_t version, struct store_entry *ret_entry);
uint64_t services_time_ms(void); /* time of day */
double services_chance(void);	 /* at random from [0, 1) */
