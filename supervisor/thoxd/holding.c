/*
 * Step 9: the tree of who holds what.
 *
 *	owner's context
 *	├── link 7, of A
 *	│   ├── link 9, of B: A shared it
 *	│   └── trace 12, of C, which closed it
 *	│       └── link 15, of D
 *	└── right 16, of A: shared to thoxd, and not handed on yet
 *
 * A trace has something below it, else it goes; one whose holder has another
 * holding above it says nothing new and goes, too. So there are no more traces
 * than what PRINCIPAL_PASSED_MAX lets come through a principal.
 */

#include "thoxd/holding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/adopt.h"
#include "thoxd/making.h"
#include "thoxd/policy.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

#define LIFE_BITS    40 /* of a link's number: in one life of thoxd */
#define CLAIM_ALWAYS 8U /* links that anybody may have of anybody's room */

void holdings_init(struct server *s)
{
	struct holdings *h = &s->holdings;

	table_init(&h->by_number);
	table_init(&h->contexts);
	table_init(&h->claims);
	list_init(&h->starved);
	making_init(s);
}

void holdings_begin(struct server *s, uint64_t restarts)
{
	s->holdings.last_number = restarts << LIFE_BITS;
}

/* --- contexts -------------------------------------------------------------
 */

static uint64_t hash_two(uint64_t a, uint64_t b)
{
	uint64_t both[2] = { a, b };

	return table_hash(both, sizeof(both));
}

static struct context *context_find(const struct principal *owner,
				    uint64_t number)
{
	struct table_entry *e = table_find(&owner->server->holdings.contexts,
					   hash_two(owner->serial, number));

	for (; e; e = table_next(e)) {
		struct context *c = container_of(e, struct context, entry);

		if (c->owner == owner && c->number == number)
			return c;
	}
	return NULL;
}

static struct context *context_new(struct principal *owner, uint64_t number,
				   struct mp_bytes name)
{
	struct context *c = calloc(1, sizeof(*c) + name.size + 1);

	if (!c)
		return NULL;
	c->server = owner->server;
	c->owner = owner;
	c->number = number;
	if (name.size > 0)
		memcpy(c->name, name.p, name.size);
	c->pins = 1;
	list_init(&c->holdings);
	list_append(&owner->contexts, &c->of_owner);
	return c;
}

struct context *context_get(struct principal *owner, uint64_t number)
{
	struct context *c = context_find(owner, number);

	if (c) {
		c->pins++;
		return c;
	}
	c = context_new(owner, number, (struct mp_bytes){ "", 0 });
	if (c)
		table_add(&owner->server->holdings.contexts, &c->entry,
			  hash_two(owner->serial, number));
	return c;
}

static void context_check(struct context *c)
{
	if (c->pins > 0 || !list_empty(&c->holdings))
		return;
	if (c->number)
		table_remove(&c->server->holdings.contexts, &c->entry);
	list_remove(&c->of_owner);
	free(c);
}

void context_put(struct context *c)
{
	c->pins--;
	context_check(c);
}

struct context *context_find_name(const struct principal *owner,
				  struct mp_bytes name)
{
	struct context *c, *after;

	list_each(c, after, &owner->contexts, of_owner)
	{
		if (c->number == 0 && mp_bytes_equal(name, c->name))
			return c;
	}
	return NULL;
}

struct context *context_of_name(struct principal *owner, struct mp_bytes name)
{
	return context_new(owner, 0, name);
}

void context_forget(const struct context *c, struct mp_bytes prefix)
{
	uint64_t turn = ++c->server->holdings.last_forget;
	struct holding *h, *after;
	uint8_t buf[160];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_FORGET);
	mp_write_strn(&w, prefix.p, prefix.size);
	list_each(h, after, &c->holdings, of_context)
	{
		if (!h->routed || h->holder->forgot == turn)
			continue;
		h->holder->forgot = turn;
		(void)principal_send(h->holder, &w, NULL, 0);
	}
}

/* --- room -----------------------------------------------------------------
 */

static struct claim *claim_get(struct server *s, uint64_t from, uint64_t of)
{
	uint64_t hash = hash_two(from, of);
	struct table_entry *e = table_find(&s->holdings.claims, hash);
	struct claim *claim;

	for (; e; e = table_next(e)) {
		claim = container_of(e, struct claim, entry);
		if (claim->from == from && claim->of == of)
			return claim;
	}
	claim = calloc(1, sizeof(*claim));
	if (!claim)
		return NULL;
	claim->from = from;
	claim->of = of;
	table_add(&s->holdings.claims, &claim->entry, hash);
	return claim;
}

static void claim_put(struct server *s, struct claim *claim)
{
	if (!claim || --claim->n > 0)
		return;
	table_remove(&s->holdings.claims, &claim->entry);
	free(claim);
}

int holding_claim(struct holding *h, const struct principal *from,
		  const struct principal *of)
{
	struct claim **place = h->claims[0] ? &h->claims[1] : &h->claims[0];
	struct claim *claim;

	if (of->n_links > of->links_max)
		return -ENOSPC;
	if (from == of)
		return 0;
	claim = claim_get(h->server, from->serial, of->serial);
	if (!claim)
		return -ENOMEM;
	claim->n++;
	*place = claim;
	/* the claim itself is given up with the holding */
	return claim->n > CLAIM_ALWAYS && claim->n > of->links_max - of->n_links
		       ? -ENOSPC
		       : 0;
}

static void give_up_claims(struct holding *h)
{
	claim_put(h->server, h->claims[0]);
	claim_put(h->server, h->claims[1]);
	h->claims[0] = h->claims[1] = NULL;
}

/* --- one holding ----------------------------------------------------------
 */

static struct principal *owner_of(const struct holding *h)
{
	return h->context ? h->context->owner : NULL;
}

/* What its state costs its holder and its owner; undone by uncount(). */
static void count(struct holding *h, int n)
{
	struct principal *owner = owner_of(h);

	if (h->state == HOLDING_RIGHT)
		h->holder->n_rights = (uint16_t)(h->holder->n_rights + n);
	if (h->state != HOLDING_LINK)
		return;
	h->holder->n_links += (unsigned)n;
	if (owner)
		owner->n_links += (unsigned)n;
}

struct holding *holding_restore(struct server *s, uint64_t number,
				enum holding_state state,
				struct context *context,
				struct principal *holder, struct principal *as,
				struct holding *through, struct policy *grant)
{
	struct holding *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->server = s;
	h->number = number;
	h->state = state;
	h->context = context;
	h->holder = holder;
	h->as = as;
	h->through = through;
	h->grant = policy_ref(grant || !through ? grant : through->grant);
	list_init(&h->came);
	list_init(&h->sibling);
	list_init(&h->of_context);
	list_init(&h->of_as);
	list_init(&h->of_call);
	if (context)
		list_append(&context->holdings, &h->of_context);
	list_append(&holder->held, &h->of_holder);
	if (as != holder)
		list_append(&as->acting, &h->of_as);
	if (through) {
		list_append(&through->came, &h->sibling);
		through->holder->n_passed++;
	}
	table_add(&s->holdings.by_number, &h->entry, hash_two(h->number, 0));
	count(h, 1);
	return h;
}

struct holding *holding_new(struct server *s, enum holding_state state,
			    struct context *context, struct principal *holder,
			    struct principal *as, struct holding *through,
			    struct policy *grant)
{
	return holding_restore(s, ++s->holdings.last_number, state, context,
			       holder, as, through, grant);
}

static void leave_through(struct holding *h)
{
	if (!h->through)
		return;
	list_remove(&h->sibling);
	h->through->holder->n_passed--;
	h->through = NULL;
}

/* What came through it came through what is above it now. */
static void bypass(struct holding *h)
{
	struct holding *child, *after;

	list_each(child, after, &h->came, sibling)
	{
		leave_through(child);
		child->through = h->through;
		if (h->through) {
			list_append(&h->through->came, &child->sibling);
			h->through->holder->n_passed++;
		}
		if (child->kept)
			adopt_keep_link(child, -1, false);
	}
}

static void release(struct garbage *g)
{
	free(container_of(g, struct holding, garbage));
}

static void forget_in_holder(struct holding *h)
{
	struct principal *p = h->holder;

	if (p->zero == h)
		p->zero = NULL;
	if (p->base == h)
		p->base = NULL;
	if (p->store == h)
		p->store = NULL;
}

/* Out of everything but its context, whose turn comes with the caller. */
static struct holding *take_out(struct holding *h)
{
	struct holding *through = h->through;

	adopt_drop_link(h);
	bypass(h);
	leave_through(h);
	count(h, -1);
	give_up_claims(h);
	forget_in_holder(h);
	list_remove(&h->of_holder);
	list_remove(&h->of_as);
	list_remove(&h->of_call);
	list_remove(&h->of_context);
	table_remove(&h->server->holdings.by_number, &h->entry);
	h->grant = policy_unref(h->grant);
	return through;
}

/* Rights that were shared over it go with it, and their traces. */
static void close_zero(struct holding *h)
{
	if (h->zero)
		zero_close(steal(&h->zero));
}

void holding_free(struct holding *h)
{
	struct context *context = h->context;

	close_zero(h);
	while (h) {
		struct holding *through = take_out(h);

		server_release(h->server, &h->garbage, release);
		h = through;
		if (!h || h->state != HOLDING_TRACE || !list_empty(&h->came))
			break;
	}
	if (context)
		context_check(context);
}

static bool holds_above(const struct holding *h)
{
	for (const struct holding *up = h->through; up; up = up->through)
		if (up->holder == h->holder)
			return true;
	return false;
}

void holding_close(struct holding *h)
{
	close_zero(h);
	if (h->state != HOLDING_LINK || list_empty(&h->came) ||
	    holds_above(h)) {
		holding_free(h);
		return;
	}
	count(h, -1);
	give_up_claims(h);
	forget_in_holder(h);
	h->state = HOLDING_TRACE;
	h->routed = false;
	if (h->kept)
		adopt_keep_link(h, -1, false);
}

void holding_become_link(struct holding *right)
{
	count(right, -1);
	list_remove(&right->of_call);
	right->state = HOLDING_LINK;
	right->over = 0;
	count(right, 1);
}

void holding_become_right(struct holding *link)
{
	adopt_drop_link(link);
	count(link, -1);
	give_up_claims(link);
	link->state = HOLDING_RIGHT;
	count(link, 1);
}

bool holding_move(struct holding *right, struct principal *to)
{
	if (to->n_rights >= PRINCIPAL_RIGHTS_MAX)
		return false;
	count(right, -1);
	list_remove(&right->of_holder);
	list_remove(&right->of_as);
	list_remove(&right->of_call);
	if (right->as == right->holder && right->context)
		right->as = to;
	right->holder = to;
	list_append(&to->held, &right->of_holder);
	if (right->as != to)
		list_append(&right->as->acting, &right->of_as);
	count(right, 1);
	return true;
}

struct holding *holding_find_any(struct server *s, uint64_t number)
{
	struct table_entry *e =
		table_find(&s->holdings.by_number, hash_two(number, 0));

	for (; e; e = table_next(e)) {
		struct holding *h = container_of(e, struct holding, entry);

		if (h->number == number)
			return h;
	}
	return NULL;
}

struct holding *holding_find(struct server *s, uint64_t number)
{
	struct holding *h = holding_find_any(s, number);

	return h && h->state != HOLDING_TRACE ? h : NULL;
}

bool holding_is_end(const struct holding *h, const struct principal *p)
{
	return h->holder == p || owner_of(h) == p;
}

struct principal *holding_other(const struct holding *h,
				const struct principal *p)
{
	return h->holder == p ? owner_of(h) : h->holder;
}

/* --- what a principal says ------------------------------------------------
 */

/* The next one below @top, in any order that comes back: NULL. */
static struct holding *next_below(struct holding *h, const struct holding *top)
{
	if (!list_empty(&h->came))
		return list_first(&h->came, struct holding, sibling);
	while (h != top) {
		struct list *next = h->sibling.next;

		if (next != &h->through->came)
			return list_entry(next, struct holding, sibling);
		h = h->through;
	}
	return NULL;
}

static void mark(struct holding *top)
{
	for (struct holding *h = top; h; h = next_below(h, top))
		h->marked = true;
}

/* Mark what @pid holds of it, and all that came through that. */
static unsigned mark_withdrawn(const struct context *c, pid_t pid)
{
	struct holding *h, *after;
	unsigned n = 0;

	list_each(h, after, &c->holdings, of_context)
	{
		if (!h->marked && h->holder != c->owner &&
		    (h->holder->pid == pid || h->as->pid == pid))
			mark(h);
	}
	list_each(h, after, &c->holdings, of_context) n +=
		h->marked && h->state == HOLDING_LINK;
	return n;
}

/* From the newest on: what came through a holding is younger than it, and a
 * trace with nothing below it goes, too. */
static void free_marked(struct context *c)
{
	struct list *at = c->holdings.prev;

	c->pins++; /* it must outlive its holdings */
	while (at != &c->holdings) {
		struct holding *h = list_entry(at, struct holding, of_context);

		at = at->prev;
		if (!h->marked &&
		    !(h->state == HOLDING_TRACE && list_empty(&h->came)))
			continue;
		(void)take_out(h);
		server_release(h->server, &h->garbage, release);
	}
	context_put(c);
}

static int answer_revoke(struct principal *p, uint64_t id,
			 const struct context *c, unsigned n)
{
	struct holding *h, *after;
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_REVOKED);
	mp_write_uint(&w, id);
	mp_write_int(&w, STATUS_OK);
	mp_write_array(&w, n);
	if (c)
		list_each(h, after, &c->holdings,
			  of_context) if (h->marked && h->state == HOLDING_LINK)
			mp_write_uint(&w, h->number);
	r = principal_send(p, &w, NULL, 0);
	mp_writer_deinit(&w);
	return r;
}

/* Who holds nothing has nothing to lose: that is no error. */
int holding_revoke(struct principal *p, uint64_t id, uint64_t context,
		   uint64_t pid)
{
	struct context *c = context_find(p, context);
	int r;

	if (!c)
		return answer_revoke(p, id, NULL, 0);
	r = answer_revoke(p, id, c, mark_withdrawn(c, (pid_t)pid));
	free_marked(c);
	return r;
}

void holding_closed(struct principal *p, uint64_t link)
{
	struct holding *h = holding_find(p->server, link);

	if (h && holding_is_end(h, p))
		holding_close(h);
}

static void context_end(struct context *c)
{
	struct holding *h, *after;

	list_each(h, after, &c->holdings, of_context) h->marked = true;
	free_marked(c);
}

void holding_context_closed(struct principal *p, uint64_t context)
{
	struct context *c = context_find(p, context);

	if (c)
		context_end(c);
}

void holding_withdraw(struct holding *h)
{
	struct principal *owner = owner_of(h);
	uint8_t buf[32];
	struct mp_writer w;

	if (owner && h->state == HOLDING_LINK) {
		mp_writer_init(&w, buf, sizeof(buf));
		mp_write_array(&w, 4);
		mp_write_uint(&w, CONTROL_REVOKED);
		mp_write_uint(&w, 0);
		mp_write_int(&w, STATUS_OK);
		mp_write_array(&w, 1);
		mp_write_uint(&w, h->number);
		(void)principal_send(owner, &w, NULL, 0);
	}
	holding_free(h);
}

void holding_principal_gone(struct principal *p)
{
	while (!list_empty(&p->contexts))
		context_end(list_first(&p->contexts, struct context, of_owner));
	while (!list_empty(&p->acting))
		holding_withdraw(list_first(&p->acting, struct holding, of_as));
	while (!list_empty(&p->held))
		holding_free(list_first(&p->held, struct holding, of_holder));
}
