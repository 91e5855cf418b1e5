#pragma once

/*
 * Calls about services, for the table of native.c.
 *
 *	list()			those that this process may control
 *	status(name)		one of them
 *	start(name), stop(name), restart(name), reload(name)
 *				answered with its state when that is done; ERROR
 *				with the reason when it could not be
 *
 * A process may control the services that its policy lets it run.
 */

#include "thoxd/services/services.h"

struct native_call;
struct service;

int native_service_list(struct native_call *c);
int native_service_status(struct native_call *c);
int native_service_start(struct native_call *c);
int native_service_stop(struct native_call *c);
int native_service_restart(struct native_call *c);
int native_service_reload(struct native_call *c);

/* Calls that wait for @sv are looked at again; it is going to be freed. */
void native_service_look(struct services *m, const struct service *sv);
void native_service_forget(struct services *m, const struct service *sv);
