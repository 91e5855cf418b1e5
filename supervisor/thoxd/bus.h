#pragma once

/*
 * The bus: names, who provides them, who listens to them.
 *
 * A name is provided by one principal, or by several instances of one service;
 * fallbacks serve while no other provider is there. A call's provider is that
 * of the longest prefix of its name at a dot, so a look-up costs as much as
 * the name has parts, however many names there are. thoxd's own names
 * (native.h) and what lies below them cannot be bound, and those of its daemons
 * by these alone.
 *
 * A principal that is only to take over later (`in_waiting`) binds names as
 * others do, but serves nobody before bus_take_over() or bus_promote().
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "thoxd/table.h"

struct context;
struct principal;
struct server;
struct zero;

struct bus {
	struct table names;
	struct table listens;
	struct list all; /* names, in the order of their first binding */
	unsigned n_providers;
	uint64_t last_push;
};

/* A principal's binding of a name. */
struct provider {
	struct bus_name *name;
	struct principal *principal;
	struct context *context;
	bool fallback;
	bool waits;    /* serves nobody yet */
	uint64_t kept; /* its key at the keeper, adopt.h; 0: none */
	struct list of_name;
	struct list of_principal;
};

struct bus_name {
	struct table_entry entry;
	struct list list;
	struct list primary;   /* providers */
	struct list fallbacks; /* likewise */
	struct list waiting;   /* likewise, of both kinds */
	size_t size;
	char name[];
};

void bus_init(struct server *s);

/*
 * 0, or: -EEXIST another provides it (*ret_who), -EALREADY @p itself does,
 * -EPERM it is thox's own, -ENOSPC @p has bound too many, -ENOMEM. Policy is
 * the caller's to check.
 */
int bus_bind(struct principal *p, struct mp_bytes name, bool fallback,
	     const struct principal **ret_who);
int bus_unbind(struct principal *p, struct mp_bytes name); /* -ENOENT */
/* What an earlier thoxd knew of one; nobody is told. -EEXIST, -ENOMEM. */
int bus_restore(struct principal *p, struct mp_bytes name, bool fallback,
		bool waits, uint64_t kept);
/* Whoever was sent to a provider of its names asks again. */
void bus_forget(const struct principal *p);
void bus_principal_gone(struct principal *p);

/* Another instance serves from now on: @from, which keeps its links until it
 * has left them, is told CONTROL_MOVE. @to need not have bound the name.
 * -ENOENT: @from has not; -ENOSPC, -ENOMEM. */
int bus_take_over(struct mp_bytes name, struct principal *from,
		  struct principal *to);

/* It serves the name no more, and nobody does in its stead: its callers are
 * told to leave. -ENOENT. */
int bus_leave(struct mp_bytes name, struct principal *from);

/* What it has bound while it waited serves from now on, and so does what it
 * will bind. */
void bus_promote(struct principal *p);

/* Somebody else than @p and its service provides what @name lies below: NULL,
 * or that name. Calls of @name would be taken from there. */
const struct bus_name *bus_below_other(const struct principal *p,
				       struct mp_bytes name);

/* The name that provides @name: itself or above it; NULL: nobody does. */
struct bus_name *bus_lookup(struct server *s, struct mp_bytes name);
/* Has it bound this very name, in waiting or not? */
bool bus_has_bound(const struct principal *p, struct mp_bytes name);
/* Those of its providers that serve now: not empty. */
struct list *bus_providers(struct bus_name *n);

/* An array of {name, pid, program, service, fallback}. */
void bus_write_list(const struct server *s, struct mp_writer *w);

/* --- pushes (push.c) ------------------------------------------------------ */

/* Pushes of @name and below it are wanted on @z, or not. -ENOSPC, -ENOMEM. */
int bus_listen(struct zero *z, struct mp_bytes name, bool on);
void bus_zero_gone(struct zero *z);
/* To all who listen, but not to @z's principal itself. */
void bus_push(struct zero *z, struct mp_bytes name, struct mp_bytes args);
