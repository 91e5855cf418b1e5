#pragma once

/*
 * What a task has of calls and events: task->events.
 *
 * Made when it first needs one, and freed with the task: its calls are then
 * cancelled, and its requests have nobody any more.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct call;
struct event;
struct incoming;
struct job;
struct served;
struct task;

struct mailbox {
	struct task *task;
	struct list calls;	/* made by it, and not taken back yet */
	struct list answered;	/* those of them that are, in their order */
	struct list requests;	/* to thoxd */
	struct call *awaited;	/* it waits for this one's answer */
	struct served *serving; /* the call whose deadline its calls inherit */
	struct served *answering; /* contexts of its answer are being shared */
	struct incoming *reading; /* that is being made into Lua values */
	/* of handler.c, of a task that serves */
	bool worker, idle;
	struct job *job;

	/* of event.c */
	uint64_t cursor;   /* the first order that it has not looked at */
	uint64_t *skipped; /* the orders before that which it left, rising */
	unsigned n_skipped, skipped_size;
	struct list pulling;
	unsigned wants; /* types that it waits for; 0: it does not wait */
	unsigned names; /* the signals that it has waited for by name */
	bool told_to_terminate; /* by task_terminate() */
	struct event *looked_at;
};

/* Of the current task; raises for memory. */
struct mailbox *mailbox_get(lua_State *L);
/* Of a task that serves, before it runs: false: no memory. */
bool mailbox_make_worker(struct task *t);
/* NULL: it has none yet. */
struct mailbox *mailbox_of(const struct task *t);

/* For task_hooks: also for a task that has none. */
void mailbox_release(struct task *t);

/* Made into Lua values next: kept until the next one, or the task's end. */
void mailbox_read(struct mailbox *box, struct incoming *in);
