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
	struct mp_bytes name;	  /* in name_bytes */
	uint32_t cid;
	/* its arguments, while the handler runs: n_args items */
	struct mp_reader args;
	uint32_t n_args;
	/* of an answer that is OK: n_values items, one after another */
	struct mp_writer values;
	uint32_t n_values;
	/* of one that is not */
	char message[NATIVE_MESSAGE_BYTES];

	/* Of a call that is kept: told when nobody waits for it any more (it
	 * was cancelled, its deadline passed, the caller is gone), just before
	 * it is freed. May be NULL. */
	void (*on_drop)(struct native_call *c);
	bool again;	/* of resolve.c: a service was waited for */
	void *user;	/* the handler's */
	ev_timer timer; /* the handler's: stopped with the call */

	/* of native.c */
	struct list list;
	struct list rights; /* contexts that came in the arguments */
	ev_timer deadline;
	struct waiter waiter;
	int status;
	uint64_t links[WIRE_ROUTES_MAX]; /* that the answer names */
	unsigned n_links;
	char name_bytes[WIRE_NAME_BYTES];
};

struct native_name {
	const char *name;
	/* A STATUS_…, or NATIVE_LATER: it is kept, or was finished. */
	int (*handle)(struct native_call *c);
	enum native_who who;
};

/* NULL: there is no such call. */
const struct native_name *native_find(struct mp_bytes name);
/* Is @name thoxd's own, or below such a name? *ret_prefix is the part of it
 * that is (`process` of `process.run`). */
bool native_reserved(struct mp_bytes name, struct mp_bytes *ret_prefix);

/* --- for handlers -------------------------------------------------------- */

/* What went wrong, for the caller; returns @status. */
int native_complain(struct native_call *c, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* STATUS_OK, or STATUS_DENIED and the rule. */
int native_check(struct native_call *c, enum policy_kind kind,
		 struct mp_bytes name);
/* Answer a call that was kept; it is freed, unless it has to wait. */
void native_finish(struct native_call *c, int status);

/*
 * An argument that is a context: the right that thoxd keeps for it
 * (holding.h); NULL and a bad reader: it is none. Rights end with their call
 * but for those that are taken with holding_move().
 */
struct holding *native_read_context(struct native_call *c,
				    struct mp_reader *args);
/* A context among the values: a link that the holder was told of before. */
void native_write_link(struct native_call *c, uint64_t number);

/* --- for zero.c and resolve.c --------------------------------------------- */

/* A WIRE_CALL: 0, or a negative errno that closes the link. */
int native_call(struct zero *z, const struct wire_message *m);
/* One that is kept under this cid, or is answered by itself: NULL and
 * *ret_error when it cannot be. */
struct native_call *native_new(struct zero *z, const struct wire_message *m,
			       int *ret_error);
void native_cancel(struct zero *z, uint32_t cid);
/* Nobody waits for it: it is freed. */
void native_drop(struct native_call *c);
