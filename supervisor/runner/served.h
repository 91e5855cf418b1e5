#pragma once

/*
 * Calls that this process has received, until they are answered.
 *
 * Each is answered once. It may be given up before by its caller: whoever
 * serves it is told (an event, request.cancelled()), and an answer then goes
 * nowhere. How many may wait is bounded, in all and for each caller: at the
 * bound its links are not read, so the caller waits and nobody else notices.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/link.h"
#include "rpc/wire.h"
#include "runner/timer.h"

struct channel;
struct context;
struct event;
struct incoming;
struct peer;

struct served {
	unsigned refs;
	uint32_t cid; /* in this process; 0: answered */
	uint32_t their_cid;
	struct channel *channel; /* NULL: the caller has gone, or is answered */
	struct list list;	 /* of the channel */
	struct context *context; /* a reference; NULL: of a bound name */
	struct peer *peer;
	struct incoming *in; /* name and arguments; NULL: it goes through */
	struct timer timer;
	uint64_t deadline_ns; /* TIMER_NEVER: none */
	uint64_t begun_ns;
	bool cancelled; /* nobody waits for the answer */
	bool taken;	/* a task has it, or a function serves it */
	bool by_function;
	bool answering;		 /* a task does, and waits for that */
	bool ahead;		 /* counted in its context's n_ahead */
	uint32_t forwarded;	 /* a call of ours that is given up with it */
	struct incoming *passed; /* the answer to that; NULL: none */
	struct call *relay;	 /* it goes through as this one (relay.h) */
	struct event *event;	 /* while it waits for a task */
};

struct served *served_find(uint64_t cid); /* NULL: none such, or answered */
struct served *served_ref(struct served *s);
struct served *served_unref(struct served *s); /* NULL, also for it */

/*
 * Answer with the @n values from slot @first on. True: it was sent. What
 * cannot be sent raises, and the call is still to be answered. One over a
 * limit is answered TOO_LARGE: false, and the reason is pushed.
 */
bool served_answer(lua_State *L, struct served *s, int status, int first,
		   int n);
/* The same with a message; does not raise. */
void served_fail(struct served *s, int status, const char *message,
		 size_t size);

/* It has been sent on, or need not be: later ones may go their own way. */
void served_went_on(struct served *s);

/* For relay.h: of a call that nothing is kept of. NULL: no memory. Until it is
 * counted it can be dropped, as if it had not come. */
struct served *served_open(struct channel *c, const struct wire_message *m);
void served_count(struct served *s);
void served_drop(struct served *s);
/* Its answer, a whole message with room before it. */
void served_post(struct served *s, int status, uint8_t *data, size_t size);

/* For a mailbox: the task that was answering has ended. */
void served_abandon(struct served *s);

/* Its task has taken it: calls that the task makes inherit its deadline. */
struct mailbox;
void served_take(struct served *s, struct mailbox *box);

/* For thoxd: CONTROL_USE. */
void served_tell_use(uint64_t id);

/* --- what happens ---------------------------------------------------------- */
void served_on_call(struct channel *c, struct link_message *raw,
		    const struct wire_message *m);
void served_on_cancel(struct channel *c, const struct wire_message *m);
void served_on_resolve(struct channel *c, const struct wire_message *m);
void served_channel_closed(struct channel *c);
