#pragma once

/*
 * Who holds which context, and through whom: the tree of links.
 *
 * A context is one of its owner's own, or a name that it has bound. A holding
 * is somebody's way to it, and has a number, machine-wide and never again. It
 * is a
 *
 *	link	its two ends are with owner and holder; thoxd has none, but for
 *		the other end of a link to thoxd itself (zero.h)
 *	right	shared to thoxd, which makes a link of it when it hands it on
 *	trace	a link that is closed, remembered because others came through
 *		it: whoever it is withdrawn from, they lose theirs with it
 *
 * Guarantees: a holding ends with its owner; what came through one has no
 * more than its grant. Knows nothing of sockets (making.h) and messages
 * (share.h, zero.h).
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "thoxd/garbage.h"
#include "thoxd/principal.h"
#include "thoxd/table.h"

struct policy;
struct server;
struct zero;

struct context {
	struct server *server;
	struct principal *owner;
	uint64_t number; /* the owner's; 0: a bound name */
	struct table_entry entry;
	struct list of_owner;
	struct list holdings;
	unsigned pins;
	char name[];
};

/* What one principal has taken of another's room for links. */
struct claim {
	struct table_entry entry;
	uint64_t from, of; /* serials */
	unsigned n;
};

enum holding_state {
	HOLDING_LINK,
	HOLDING_RIGHT,
	HOLDING_TRACE,
};

struct holding {
	struct server *server;
	uint64_t number;
	enum holding_state state;
	bool routed; /* it is the answer to a name */
	bool marked;
	bool kept; /* at the keeper, adopt.h */
	struct table_entry entry;
	struct context *context; /* NULL: the other end is thoxd */
	struct zero *zero;	 /* then, of a link */
	struct principal *holder;
	struct principal *as; /* who the owner is told it is */
	struct policy *grant; /* a reference; NULL: everything */
	uint64_t over;	      /* the link that names it; 0: none */

	struct holding *through; /* NULL: from the owner itself */
	struct list came;	 /* what came through this one */
	struct list sibling;
	struct list of_context;
	struct list of_holder;
	struct list of_as;   /* when that is another */
	struct list of_call; /* a right's, in a zero's or a call's rights */
	struct claim *claims[2];
	struct garbage garbage;
};

struct holdings {
	uint64_t last_number;
	uint64_t last_forget;
	struct table by_number;
	struct table contexts;
	struct table claims;
	struct list starved; /* waiters, until descriptors can be made */
	ev_timer retry;
};

void holdings_init(struct server *s);
/* After so many lives of thoxd, whose links may live on with services: their
 * numbers are not used again. */
void holdings_begin(struct server *s, uint64_t restarts);

/* --- contexts ----------------------------------------------------------- */

/* The own one of this number, made when it is new, or one for a name that
 * @owner binds; NULL: no memory. It lives while somebody holds it, and until
 * it is put. */
struct context *context_get(struct principal *owner, uint64_t number);
struct context *context_of_name(struct principal *owner, struct mp_bytes name);
/* One of a name that is there, or NULL. */
struct context *context_find_name(const struct principal *owner,
				  struct mp_bytes name);
void context_put(struct context *c);
/* Tell all who were sent there for a name to ask again: CONTROL_FORGET. */
void context_forget(const struct context *c, struct mp_bytes prefix);

/* --- holdings ----------------------------------------------------------- */

/* NULL: no memory. Without a context: of a link to thoxd. @through, whose
 * grant is taken over unless @grant is given, may be NULL. */
struct holding *holding_new(struct server *s, enum holding_state state,
			    struct context *context, struct principal *holder,
			    struct principal *as, struct holding *through,
			    struct policy *grant);
/* One of an earlier thoxd's, whose number it has: of a link or a trace. */
struct holding *holding_restore(struct server *s, uint64_t number,
				enum holding_state state,
				struct context *context,
				struct principal *holder, struct principal *as,
				struct holding *through, struct policy *grant);
/* Nobody was told of it yet, or it is over for all: it and its traces go. What
 * came through it is as if it had come from before it. */
void holding_free(struct holding *h);
/* A link is closed at one end: a trace stays if others came through it. */
void holding_close(struct holding *h);
/* The owner closes its end: nobody has asked for it. */
void holding_withdraw(struct holding *h);
/* A right is handed on, and back when that failed. */
void holding_become_link(struct holding *right);
void holding_become_right(struct holding *link);
/* A right is of @to from now on. False: it has too many. */
bool holding_move(struct holding *right, struct principal *to);

/* Any, traces too; NULL: there is none of this number. */
struct holding *holding_find_any(struct server *s, uint64_t number);
/* A link or right; NULL: there is none of this number. */
struct holding *holding_find(struct server *s, uint64_t number);
bool holding_is_end(const struct holding *h, const struct principal *p);
/* Of a link: who has the other end than @p; NULL: thoxd. */
struct principal *holding_other(const struct holding *h,
				const struct principal *p);

/*
 * Is there room for @h, which is new, among the links of @of, at the wish of
 * @from? -ENOSPC: no, or @from took more than it leaves, so that nobody alone
 * can take all of somebody's room. Each holding has two such claims at most,
 * and gives them up at its end.
 */
int holding_claim(struct holding *h, const struct principal *from,
		  const struct principal *of);

/* --- what a principal says (principal.c) -------------------------------- */

/* Answered over the control link; a negative errno closes that. */
int holding_revoke(struct principal *p, uint64_t id, uint64_t context,
		   uint64_t pid);
void holding_closed(struct principal *p, uint64_t link);
void holding_context_closed(struct principal *p, uint64_t context);
/* All that it owns and holds ends, also what others hold in its name. */
void holding_principal_gone(struct principal *p);
