#pragma once

/*
 * Events, and which task gets them: API.md, "Who gets an event".
 *
 * One list has all events that no function serves. Each concerns the tasks
 * that were there when it came; each task takes those that its filter admits,
 * in their order, and may come back later for those that it left. An event
 * goes when all have taken it or ended. A call concerns those that begin
 * later, too, until one has taken it: who starts a child and then the task
 * that serves it loses none. An answer is not in the list: it concerns its
 * own task alone.
 *
 * The list is bounded: at the bound the oldest is dropped for the tasks that
 * have not come for it, and a push is counted (`lost`). A call is never
 * dropped; it goes when it is answered.
 */

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "rpc/link.h"
#include "rpc/mp.h"
#include "rpc/wire.h"

struct channel;
struct context;
struct incoming;
struct mailbox;
struct peer;
struct served;
struct task;

enum event_type {
	EV_CALL,
	EV_ANSWER,
	EV_OPEN,
	EV_CLOSE,
	EV_PUSH,
	EV_LOST,
	EV_LISTEN,
	EV_CANCEL,
	EV_ALARM,
	EV_TERMINATE,
	EV_INTERRUPT,
	EV_RELOAD,
	EV_EXIT,
	EV_OWN, /* of os.queue() */
	EV_COUNT,
};
#define EV_BIT(type) (1U << (type))
#define EV_ALL	     (EV_BIT(EV_COUNT) - 1)

extern const char *const event_type_name[EV_COUNT]; /* NULL: EV_OWN */

struct event {
	struct list list;
	bool listed;
	unsigned refs; /* the list's, and of those who look at it */
	unsigned left; /* tasks that have not taken it */
	uint64_t order;
	uint32_t newest_task; /* when it came */
	enum event_type type;
	size_t bytes;
	/* what it tells, as far as its type has it; references are held */
	struct context *context;
	struct peer *peer;
	struct served *served;
	struct incoming *in;
	char *name;
	size_t name_size;
	uint64_t number; /* cid, alarm, count */
	pid_t pid;
	int64_t code, signal; /* -1: not that way */
	bool on;
	int own; /* of os.queue(): the table, in the registry */
};

/* --- what happens ----------------------------------------------------------
 * From callbacks: these do not raise; where there is no memory an event is
 * lost.
 */
void event_called(struct served *s);
void event_call_answered(struct served *s); /* nothing is left of it */
void event_cancelled(struct served *s);
void event_answered(struct mailbox *box);
void event_of_context(enum event_type type, struct context *c,
		      struct peer *peer);
void event_on_push(struct channel *c, struct link_message *raw,
		   const struct wire_message *m);
/* A push that did not come, @count of them. */
void event_lost(struct context *c, struct mp_bytes name, uint64_t count);
void event_on_listen(struct channel *c, struct mp_bytes name, bool on);
void event_alarm(uint64_t id);
/* One of both is there. */
void event_child_ended(pid_t pid, const int64_t *code, const int64_t *signal);

/* TERMINATE, INTERRUPT, RELOAD, from outside. False: nobody in this program
 * waits for it by name, and its default is to be done. */
bool event_signal(enum event_type type);

/* Of os.queue(): -ENOBUFS, -ENOMEM. @own is the list's if it is taken. */
int event_queue(int own);

/* --- for the task that pulls ------------------------------------------------
 */

/* The first event after @after (NULL: of all) that concerns the mailbox's task
 * and is of one of the types of @wants; NULL: there is none. */
struct event *event_peek(struct mailbox *box, unsigned wants,
			 const struct event *after);
/* The task takes it, or leaves it for later. */
void event_take(struct mailbox *box, struct event *e);
void event_leave(struct mailbox *box, struct event *e);
struct event *event_ref(struct event *e);
struct event *event_unref(struct event *e); /* NULL, also for it */

/* Between these it waits for these types, and is woken by them. */
void event_pull_begin(struct mailbox *box, unsigned wants);
void event_pull_end(struct mailbox *box);

uint64_t event_next_order(void);

/* --- for mailboxes ---------------------------------------------------------- */
void event_name_signals(struct mailbox *box, unsigned types);
void event_task_ended(struct task *t, struct mailbox *box);
bool event_terminate_task(struct task *t); /* for task_hooks */
