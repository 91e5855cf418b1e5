#pragma once

/*
 * The calls that thoxd answers itself: `alarm`, `bind`, `process.run`, ….
 *
 * One table has every name with its handler and who may call it. A call comes
 * over a link to thoxd (zero.h): context 0, or a child's `up`, and is served
 * for the principal that the link acts as: its identity, its policy, its
 * children. A handler answers at once, or keeps the call and finishes it later.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "thoxd/policy.h"
#include "thoxd/principal.h"

struct holding;
struct native_call;
struct zero;

#define NATIVE_LATER	     (-1) /* instead of a status */
#define NATIVE_MESSAGE_BYTES 320

/* Who may make a call. */
enum native_who {
	NATIVE_ALWAYS, /* whatever the policy says */
	NATIVE_POLICY, /* whom the policy lets call the name */
};

struct native_call {
	struct server *server;
	struct zero *zero;	  /* the link that it came over */
	struct principal *as;	  /* for whom it is served */
	struct principal *holder; /* who called, and gets what is handed out */
	char name[WIRE_NAME_BYTES + 1];
	uint32_t cid;
	/* its arguments, while the handler runs: n_args items */
	struct mp_reader args;
	uint32_t n_args;
	/* of an answer that is OK: n_values items, one after another */
	struct mp_writer values;
	uint32_t n_values;
	/* of one that is not */
	char message[NATIVE_MESSAGE_BYTES];

	/* of a call that is kept: told when nobody waits any more (cancelled,
	 * its deadline passed, the caller is gone), before it is freed; the
	 * handler must not finish it then. May be NULL. */
	void (*on_drop)(struct native_call *c);
	void *user;	/* the handler's */
	ev_timer timer; /* the handler's: stopped with the call */

	/* zero.c's */
	struct list list;
	struct list rights; /* contexts that came in the arguments */
	ev_timer deadline;
	struct waiter waiter;
	int status;
	bool kept;
};

struct native_name {
	const char *name;
	/* A STATUS_…; NATIVE_LATER: native_finish() comes, perhaps at once. */
	int (*handle)(struct native_call *c);
	enum native_who who;
};

/* NULL: there is no such call. */
const struct native_name *native_find(struct mp_bytes name);
/* Is the name, or what lies above or below it, thoxd's own? Its part that is
 * (`process` of `process.run`) is told. */
bool native_reserved(struct mp_bytes name, struct mp_bytes *ret_prefix);

/* What went wrong, for the caller; returns @status. */
int native_complain(struct native_call *c, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Arguments that are not what they should be: STATUS_INVALID; @what is a
 * sentence's part, such as "a name is wanted". */
int native_invalid(struct native_call *c, const char *what);
/* STATUS_OK, or STATUS_DENIED and the rule. */
int native_check(struct native_call *c, enum policy_kind kind,
		 struct mp_bytes name);

/* Answer a call that was kept; it is freed. */
void native_finish(struct native_call *c, int status);

/*
 * Contexts in arguments: an item that is one is read as the right that thoxd
 * keeps for it (holding.h), NULL when it is none. The right goes with the
 * call unless it is taken.
 */
struct holding *native_read_context(struct native_call *c,
				    struct mp_reader *args);
void native_take_right(struct native_call *c, struct holding *right);
