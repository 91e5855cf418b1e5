#pragma once

/*
 * Tasks that run the functions that serve (handler.h): one job at a time, each
 * in a task of its own. The tasks are kept for later jobs; as many run as the
 * limit says, and what comes meanwhile waits its turn.
 */

#include <stdbool.h>

struct context;
struct event;
struct handler;
struct mailbox;
struct served;

/* The call is answered by what the function returns or raises. */
void worker_serve(struct handler *h, struct served *s);
/* A push, or word of a listener. False: too many wait. */
bool worker_take(struct handler *h, struct event *e);
/* What has neither; @c may be NULL. False: no memory. */
bool worker_tell(struct handler *h, struct context *c);

/* The answer to a call that went through (relay.h) has what only a task can
 * send: @s->passed. */
void worker_pass(struct served *s);

bool worker_busy(void);
/* Those that wait for a job look whether there can be any. */
void worker_dismiss(void);

/* For the mailbox of a task that serves: the task has ended. */
void worker_ended(struct mailbox *box);
