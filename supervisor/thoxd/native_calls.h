#pragma once

/*
 * The handlers of thoxd's own calls, for the table of native.c.
 */

struct native_call;

int native_alarm(struct native_call *c);    /* alarm(seconds) */
int native_bind(struct native_call *c);	    /* bind(name [, {fallback}]) */
int native_bus_list(struct native_call *c); /* bus.list() */
int native_clock(struct native_call *c);    /* clock() */
int native_randint(struct native_call *c);  /* random.randint(min, max) */
int native_random(struct native_call *c);   /* random.random() */
int native_unbind(struct native_call *c);   /* unbind(name) */
