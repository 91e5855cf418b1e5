/*
 * Step 9: a push to a name goes to all who listen to it.
 *
 * Nobody waits for a listener: where its link has no room, the push is
 * dropped there and counted, and the next one that has room tells how many.
 * A listener gets contexts under numbers of its own, as links that are made
 * for it; where one cannot be made at once, it has no room either.
 */

#include "thoxd/bus.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/wire.h"
#include "thoxd/holding.h"
#include "thoxd/making.h"
#include "thoxd/native.h"
#include "thoxd/policy.h"
#include "thoxd/principal.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

#define PUSH_CONTEXTS_MAX 16U

struct listen {
	struct zero *zero;
	struct listen_name *name;
	struct list of_name;
	struct list of_zero;
};

struct listen_name {
	struct table_entry entry;
	struct list listens;
	size_t size;
	char name[];
};

/* --- who listens ----------------------------------------------------------
 */

static struct listen_name *find(struct server *s, struct mp_bytes name)
{
	struct table_entry *e =
		table_find(&s->bus.listens, table_hash(name.p, name.size));

	for (; e; e = table_next(e)) {
		struct listen_name *n =
			container_of(e, struct listen_name, entry);

		if (n->size == name.size &&
		    memcmp(n->name, name.p, name.size) == 0)
			return n;
	}
	return NULL;
}

static struct listen_name *name_new(struct server *s, struct mp_bytes name)
{
	struct listen_name *n = calloc(1, sizeof(*n) + name.size + 1);

	if (!n)
		return NULL;
	n->size = name.size;
	memcpy(n->name, name.p, name.size);
	list_init(&n->listens);
	table_add(&s->bus.listens, &n->entry, table_hash(name.p, name.size));
	return n;
}

static void name_check(struct server *s, struct listen_name *n)
{
	if (!list_empty(&n->listens))
		return;
	table_remove(&s->bus.listens, &n->entry);
	free(n);
}

static void listen_free(struct listen *l)
{
	list_remove(&l->of_name);
	list_remove(&l->of_zero);
	l->zero->as->n_listens--;
	name_check(l->zero->server, l->name);
	free(l);
}

static struct listen *find_listen(const struct zero *z, struct mp_bytes name)
{
	struct listen_name *n = find(z->server, name);
	struct listen *l, *after;

	if (!n)
		return NULL;
	list_each(l, after, &n->listens, of_name) if (l->zero == z) return l;
	return NULL;
}

static int listen_new(struct zero *z, struct mp_bytes name)
{
	struct listen_name *n;
	struct listen *l;

	if (z->as->n_listens >= PRINCIPAL_LISTENS_MAX)
		return -ENOSPC;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	n = find(z->server, name);
	n = n ? n : name_new(z->server, name);
	if (!n) {
		free(l);
		return -ENOMEM;
	}
	l->zero = z;
	l->name = n;
	list_append(&n->listens, &l->of_name);
	list_append(&z->listens, &l->of_zero);
	z->as->n_listens++;
	return 0;
}

int bus_listen(struct zero *z, struct mp_bytes name, bool on)
{
	struct listen *l = find_listen(z, name);

	if (!on && l)
		listen_free(l);
	return on && !l ? listen_new(z, name) : 0;
}

void bus_zero_gone(struct zero *z)
{
	while (!list_empty(&z->listens))
		listen_free(list_first(&z->listens, struct listen, of_zero));
}

/* --- a push ---------------------------------------------------------------
 */

struct push {
	const struct principal *from;
	struct principal *sharer;
	struct mp_bytes name;
	struct mp_bytes args;
	uint64_t number;
	/* contexts in the arguments, and a copy of these to put others in */
	struct wire_context found[PUSH_CONTEXTS_MAX];
	struct holding *rights[PUSH_CONTEXTS_MAX];
	unsigned n_found;
	uint8_t *copy;
	/* for the listener whose turn it is */
	struct holding *made[PUSH_CONTEXTS_MAX];
	unsigned n_made;
};

static int make(struct push *push, struct zero *z, const struct holding *right,
		uint64_t *ret_number)
{
	struct making m = {
		.context = right->context,
		.receiver = z->holder,
		.as = z->holder,
		.wisher = push->sharer,
		.through = right->through,
		.grant = right->grant,
		.over = z->number,
	};
	struct principal *wait;
	struct holding *link;
	int r;

	if (!right->context) /* context 0 is nothing to tell everybody */
		return -EPERM;
	r = making_link(&m, &link, &wait);
	if (r < 0)
		return r;
	push->made[push->n_made++] = link;
	*ret_number = link->number;
	return 0;
}

/* Put links of the listener's into the copy of the arguments. */
static int make_all(struct push *push, struct zero *z)
{
	push->n_made = 0;
	for (unsigned i = 0; i < push->n_found; i++) {
		uint64_t number;
		int r = make(push, z, push->rights[i], &number);

		if (r < 0)
			return r;
		number = htobe64(number);
		memcpy(push->copy + push->found[i].offset, &number,
		       sizeof(number));
	}
	return push->n_made && principal_busy(z->holder) ? -EAGAIN : 0;
}

static void unmake_all(struct push *push)
{
	for (unsigned i = 0; i < push->n_made; i++)
		holding_withdraw(push->made[i]);
}

static int send(struct push *push, struct zero *z)
{
	const void *args =
		push->n_found ? (const char *)push->copy : push->args.p;
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	wire_begin_push(&w, push->name.p, push->name.size, true);
	mp_write_raw(&w, args, push->args.size);
	mp_write_map(&w, principal_identity_keys(push->from) + (z->lost > 0));
	principal_write_identity(push->from, &w);
	if (z->lost > 0) {
		mp_write_str(&w, "lost");
		mp_write_uint(&w, z->lost);
	}
	r = w.used > z->message_bytes ? -EMSGSIZE : zero_send(z, &w);
	mp_writer_deinit(&w);
	return r;
}

static int try(struct push *push, struct zero *z)
{
	int r;

	if (zero_busy(z) || (push->n_found && principal_busy(z->holder)))
		return -EAGAIN;
	r = make_all(push, z);
	r = r ? r : send(push, z);
	if (r < 0)
		unmake_all(push);
	return r;
}

static void deliver(struct push *push, struct zero *z)
{
	if (z->seen == push->number || z->as == push->from)
		return; /* it listens twice, or pushed itself */
	z->seen = push->number;
	if (!policy_admits(z->as->policy, POLICY_CALL, push->name, NULL))
		return;
	if (try(push, z) < 0)
		z->lost++;
	else
		z->lost = 0;
}

static void deliver_all(struct push *push, struct server *s)
{
	struct mp_bytes above = push->name;

	for (;;) {
		struct listen_name *n = find(s, above);
		struct listen *l, *after;

		if (n)
			list_each(l, after, &n->listens, of_name)
				deliver(push, l->zero);
		while (above.size > 0 && above.p[--above.size] != '.')
			;
		if (above.size == 0)
			return;
	}
}

/* The contexts that it names must be shared with thoxd over this link. */
static int find_contexts(struct push *push, struct zero *z)
{
	int n = wire_find_contexts(push->args, push->found, PUSH_CONTEXTS_MAX);

	for (int i = 0; i < n; i++) {
		struct holding *h =
			holding_find(z->server, push->found[i].number);

		if (!h || h->state != HOLDING_RIGHT || h->holder != z->holder ||
		    h->over != z->number)
			return -ENOENT;
		push->rights[i] = h;
	}
	if (n < 0)
		return n;
	push->n_found = (unsigned)n;
	if (n == 0)
		return 0;
	push->copy = malloc(push->args.size);
	if (!push->copy)
		return -ENOMEM;
	memcpy(push->copy, push->args.p, push->args.size);
	return 0;
}

/* A right serves one message. */
static void drop_rights(const struct push *push, struct server *s)
{
	for (unsigned i = 0; i < push->n_found; i++) {
		struct holding *h = holding_find(s, push->found[i].number);

		if (h) /* named twice: it is gone already */
			holding_free(h);
	}
}

static bool admitted(const struct zero *z, struct mp_bytes name)
{
	struct mp_bytes prefix;

	return !native_reserved(name, &prefix) &&
	       policy_admits(z->as->policy, POLICY_CALL, name, NULL);
}

/* A push has no answer, so one that is refused is just not passed on. */
void bus_push(struct zero *z, struct mp_bytes name, struct mp_bytes args)
{
	struct server *s = z->server;
	struct push push = {
		.from = z->as,
		.sharer = z->holder,
		.name = name,
		.args = args,
		.number = ++s->bus.last_push,
	};

	if (find_contexts(&push, z) == 0 && admitted(z, name))
		deliver_all(&push, s);
	drop_rights(&push, s);
	free(push.copy);
}
