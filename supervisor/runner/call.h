#pragma once

/*
 * Calls that this process makes: sent, answered or given up.
 *
 * A call belongs to its task until it is released, by taking its answer. It is
 * answered once: by the callee, or from here with TIMEOUT, CANCELLED, CLOSED
 * and what else goes wrong on the way, so that whoever waits sees one kind of
 * answer only.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/link.h"
#include "rpc/wire.h"
#include "runner/timer.h"

#define CALL_MESSAGE_BYTES 192

struct channel;
struct context;
struct incoming;
struct mailbox;
struct served;
struct task;

struct call {
	uint32_t cid;
	struct task *task; /* NULL: of no task, but relayed */
	struct served *relayed;
	struct list mine;	 /* of its mailbox: calls or answered */
	struct channel *channel; /* NULL: not sent, or answered */
	struct list list;	 /* of the channel */
	struct timer timer;
	uint64_t begun_ns, deadline_ns; /* TIMER_NEVER: none */
	bool resolve;			/* WIRE_RESOLVE, of route.c */
	bool answered;
	bool lends;  /* contexts to thoxd, perhaps */
	bool starts; /* a child, which is counted (child.h) */
	int status;
	uint64_t order;		 /* of the answer, among events */
	struct incoming *answer; /* NULL: from here, with @message */
	uint8_t *copy;		 /* owned: of one to thoxd, to send it again */
	size_t copy_bytes;
	char message[CALL_MESSAGE_BYTES];
};

/* What is to be called, and how. */
struct call_target {
	bool closed;		 /* the context is */
	struct context *context; /* NULL: context 0 */
	const char *name;	 /* on Lua's stack, checked */
	size_t name_size;
	uint64_t deadline_ns; /* TIMER_NEVER: only what is inherited */
};

/*
 * Call with the @n arguments from slot @first on. What cannot be sent raises;
 * everything else that goes wrong is the call's answer. May wait for context
 * 0, the name's provider, room on the link.
 */
struct call *call_make(lua_State *L, const struct call_target *target,
		       int first, int n);
/* A call without arguments of a program's, by route.c; sent by the caller. */
struct call *call_new(lua_State *L, uint64_t deadline_ns);
/* The same for what goes through (relay.h), and NULL where there are too many:
 * no task waits for it, and it has no timer. */
struct call *call_new_relayed(struct served *s);
/* It is on its way over @c, as this message; NULL: it cannot be sent again. */
void call_sent(struct call *call, struct channel *c, const void *data,
	       size_t size);

/* Wait until it is answered, or until @deadline_ns: false. */
bool call_wait(lua_State *L, struct call *call, uint64_t deadline_ns);
/* Push its status and values: their number. Releases it. */
int call_push_answer(lua_State *L, struct call *call);
/* Push its values as one table; it stays. */
void call_push_packed(lua_State *L, struct call *call);
/* Push its values: their number, or -1 and an error object, not raised; @name
 * is the object's. Releases it. */
int call_push_values(lua_State *L, struct call *call, const char *name);

/* One of a task; NULL: none such, any more. */
struct call *call_find(uint64_t cid);
/* Nobody wants the answer any more, and the callee is told. */
void call_cancel(struct call *call, int status, const char *message);
void call_release(struct call *call);

/* From here: nothing when it is answered already. */
void call_fail(struct call *call, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* --- what happens ---------------------------------------------------------- */
void call_on_answer(struct channel *c, struct link_message *raw,
		    const struct wire_message *m);
void call_channel_closed(struct channel *c);
/* Another thoxd is at its end. */
void call_send_again(struct channel *c);
void call_forget_task(struct mailbox *box);
