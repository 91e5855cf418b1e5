#pragma once

/*
 * Functions of a program that serve calls and pushes, each in a task of its
 * own: what the libraries `daemon` and `net` are made of.
 *
 * A function is for a name, and what lies below it, on a context of this
 * process, or on the bus. The tasks are kept for later calls; as many run as
 * the limit says, and what comes meanwhile waits its turn.
 */

#include <lua.h>
#include <stdbool.h>

struct context;
struct event;
struct mailbox;
struct served;

/* The library `thox`, in package.preload; in the zygote. */
void handler_open(lua_State *L);

/* --- what happens ----------------------------------------------------------
 * True: a function takes it.
 */
bool handler_serve(struct served *s);
bool handler_push(struct event *e);
bool handler_terminate(void);
void handler_last_holder_gone(struct context *c);
void handler_context_closed(struct context *c);

/* Does the process go on without its main function? For task_hooks. */
bool handler_serving(void);

/* For the mailbox of a task that serves: the task has ended. */
void handler_worker_ended(struct mailbox *box);
