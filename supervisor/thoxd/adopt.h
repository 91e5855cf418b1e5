#pragma once

/*
 * Services outlive thoxd.
 *
 * Each process of a service and thox-storaged, the names that it has bound,
 * the links that it has to others of them and to thoxd, and each instance that
 * ever left its first state are records at the keeper (record.h), with the
 * descriptors that belong to them; so is each rejection that the store does not
 * know of yet. They are given before anybody is told of what they say, and
 * taken back after: so the next thoxd may know of something that nobody else
 * knows, never the other way round.
 *
 * The next thoxd goes on with all of it. What does not fit together (a process
 * that no instance knows, an instance whose process is gone, a record that
 * cannot be read) ends in a restart of the service, by its rules.
 */

#include <stdbool.h>

#include "base/list.h"

struct holding;
struct keeper_message;
struct link_message;
struct provider;
struct rejection;
struct server;
struct service_instance;
struct service_process;
struct services;
struct storaged;

/* --- giving and taking back (adopt_keep.c) -------------------------------- */

/* Its key is its principal's, too, from the first time on. */
void adopt_keep_process(struct service_process *p);
void adopt_drop_process(struct services *m, struct service_process *p);

/* The same of thox-storaged, which outlives thoxd with what it holds. */
void adopt_keep_storaged(struct storaged *d);
void adopt_drop_storaged(struct storaged *d);

/* Now, or when the turn of the loop is over. */
void adopt_keep_instance(struct service_instance *in);
void adopt_instance_changed(struct service_instance *in);
void adopt_drop_instance(struct service_instance *in);
/* Those that have changed. */
void adopt_flush(struct services *m);

/* Nothing is kept of what concerns others than processes that are. @fd is
 * thoxd's own end, of one to thoxd, or -1. @zero: it is its context 0. */
void adopt_keep_link(struct holding *h, int fd, bool zero);
void adopt_drop_link(struct holding *h);

void adopt_keep_name(struct provider *p);
void adopt_drop_name(struct provider *p);

void adopt_keep_rejection(struct rejection *j);
void adopt_drop_rejection(struct rejection *j);

/* --- going on (adopt.c) --------------------------------------------------- */

/* What the keeper kept, before it says that thoxd begins. False: it is none of
 * these. */
bool adopt_take(struct server *s, const struct keeper_message *kept,
		struct link_message *m);
/* All services that are defined are known; nothing runs yet. */
void adopt_begin(struct services *m);
/* Everything else is begun: what happened meanwhile happens. */
void adopt_end(struct services *m);
