/* The tree of links: sharing, withdrawing, closing, death, and lies. */

#include "thoxd/holding.h"

#include "base/fd.h"
#include "base/tap.h"
#include "thoxd/test_actor.h"

static struct actor *owner, *a, *b, *c;

/* The owner's context 1 is held by @a, over a link of its own making: as if a
 * name had been resolved. What names it is number 0. */
static uint64_t hold_first(struct actor *of, uint64_t context,
			   struct actor *receiver)
{
	struct context *shared = context_get(&of->principal, context);
	struct holding *h =
		holding_new(&server, HOLDING_LINK, shared, &receiver->principal,
			    &receiver->principal, NULL, NULL);

	context_put(shared);
	return h->number;
}

static void set_up(void)
{
	begin_server();
	owner = actor_new("owner", 10);
	a = actor_new("a", 11);
	b = actor_new("b", 12);
	c = actor_new("c", 13);
}

/* Nothing is left of anything when all are gone. */
static bool tear_down(void)
{
	struct holdings *h = &server.holdings;

	actor_end(owner);
	actor_end(a);
	actor_end(b);
	actor_end(c);
	return h->by_number.count == 0 && h->contexts.count == 0 &&
	       h->claims.count == 0 && list_empty(&server.principals) &&
	       list_empty(&h->starved);
}

/* @from shares what it has with who is at the other end of @to: the link's
 * number, 0 when it was refused. */
static uint64_t share(struct actor *from, unsigned kind, uint64_t what,
		      uint64_t to)
{
	struct told t;

	SAY(from, kind, 77, what, to);
	t = hear(from);
	while (t.kind && t.kind != CONTROL_SHARED) {
		fd_close(t.fd);
		t = hear(from);
	}
	if (t.kind != CONTROL_SHARED || t.id != 77 || t.status != STATUS_OK)
		return 0;
	return t.number;
}

/* Verify that a shared context is two connected ends, told to both with who
 * the other is, before the sharer hears the number. */
static void test_share(void)
{
	struct told hold, opened, shared;
	uint64_t to;

	set_up();
	to = hold_first(owner, 1, a);
	SAY(owner, CONTROL_SHARE_OWN, 5, 2, to);
	hold = hear(a);
	CHECK_EQ(hold.kind, CONTROL_HOLD);
	CHECK_EQ(hold.pid, 10);
	CHECK_EQ(hold.over, to);
	CHECK(!hold.zero && !hold.resolves);
	opened = hear(owner);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_EQ(opened.id, hold.id);
	CHECK_EQ(opened.context, 2);
	CHECK_EQ(opened.pid, 11);
	CHECK_STR(opened.program, "a");
	CHECK(!opened.has_grants);
	CHECK(connected(hold.fd, opened.fd));
	CHECK(connected(opened.fd, hold.fd));
	shared = hear(owner);
	CHECK_EQ(shared.kind, CONTROL_SHARED);
	CHECK_EQ(shared.id, 5);
	CHECK_EQ(shared.number, hold.id);
	fd_close(hold.fd);
	CHECK(ended(opened.fd)); /* thoxd keeps no copy */
	fd_close(opened.fd);
	CHECK(tear_down());
}

/* [81, id, context, to, {joined = true}] */
static void share_joined(struct actor *from, uint64_t id, uint64_t context,
			 uint64_t to)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 5);
	mp_write_uint(&w, CONTROL_SHARE_OWN);
	mp_write_uint(&w, id);
	mp_write_uint(&w, context);
	mp_write_uint(&w, to);
	mp_write_map(&w, 1);
	mp_write_str(&w, "joined");
	mp_write_bool(&w, true);
	(void)link_send(&from->link, w.data, w.used, NULL, 0);
	turn();
}

/* Verify that who wishes so is answered with its end, once the receiver has
 * been sent his, and of failures as ever. */
static void test_share_joined(void)
{
	struct told hold, opened, shared;
	uint64_t to;

	set_up();
	to = hold_first(owner, 1, a);
	share_joined(owner, 5, 2, to);
	hold = hear(a);
	CHECK_EQ(hold.kind, CONTROL_HOLD);
	opened = hear(owner);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_EQ(opened.id, hold.id);
	CHECK_EQ(opened.context, 2);
	CHECK_EQ(opened.answers, 5);
	CHECK_EQ(hear(owner).kind, 0);
	CHECK_EQ(owner->principal.n_shares, 0);
	fd_close(hold.fd);
	fd_close(opened.fd);
	share_joined(owner, 6, 2, 4711);
	shared = hear(owner);
	CHECK_EQ(shared.kind, CONTROL_SHARED);
	CHECK_EQ(shared.id, 6);
	CHECK_EQ(shared.status, STATUS_CLOSED);
	CHECK(tear_down());
}

/* Verify that nobody can name what is not his own. */
static void test_lies(void)
{
	uint64_t to, of_b;

	set_up();
	to = hold_first(owner, 1, a);
	of_b = hold_first(owner, 1, b);
	CHECK_EQ(share(b, CONTROL_SHARE_OWN, 1, to), 0); /* another's link */
	CHECK_EQ(share(a, CONTROL_SHARE_HELD, of_b, to), 0);
	CHECK_EQ(share(a, CONTROL_SHARE_HELD, 4711, to), 0);
	CHECK_EQ(share(a, CONTROL_SHARE_OWN, 1, 4711), 0);
	SAY(c, CONTROL_LINK_CLOSED, to);
	SAY(c, CONTROL_CONTEXT_CLOSED, 1);
	SAY(c, CONTROL_REVOKE, 9, 1, 11);
	CHECK_EQ(hear(c).n_numbers, 0);
	CHECK(holding_find(&server, to) && holding_find(&server, of_b));
	/* the owner may not pass on as held what is merely his */
	CHECK_EQ(share(owner, CONTROL_SHARE_HELD, to, of_b), 0);
	CHECK_EQ(hear(a).kind, 0);
	CHECK_EQ(hear(b).kind, 0);
	CHECK(!a->gone && !b->gone && !c->gone && !owner->gone);
	CHECK(tear_down());
}

/* Verify that broken messages end the link, and numbers of nobody do not. */
static void test_broken_messages(void)
{
	set_up();
	SAY(a, CONTROL_LINK_CLOSED, 12345);
	CHECK(!a->gone);
	SAY(a, CONTROL_SHARE_OWN, 1, 0, 5); /* contexts begin at 1 */
	CHECK(a->gone);
	SAY(b, CONTROL_SHARE_OWN, 1, 2);
	CHECK(b->gone);
	SAY(c, CONTROL_HOLD, 1); /* what only thoxd says */
	CHECK(c->gone);
	CHECK(tear_down());
}

/* owner -> a -> b -> c, all of context 1 */
static uint64_t first, second, third;

static void make_chain(void)
{
	uint64_t a_to_b, b_to_c;

	set_up();
	first = hold_first(owner, 1, a);
	a_to_b = hold_first(a, 1, b);
	b_to_c = hold_first(b, 1, c);
	second = share(a, CONTROL_SHARE_HELD, first, a_to_b);
	third = share(b, CONTROL_SHARE_HELD, second, b_to_c);
	while (hear(owner).kind || hear(b).kind || hear(c).kind)
		;
}

static struct told withdraw(uint64_t pid)
{
	SAY(owner, CONTROL_REVOKE, 3, 1, pid);
	return hear(owner);
}

/* Verify that who loses a context takes those with it who got it through him,
 * and nobody else. */
static void test_revoke(void)
{
	struct told t;
	uint64_t other;

	make_chain();
	CHECK(first && second && third);
	other = hold_first(owner, 1, c); /* c has another, from the owner */
	t = withdraw(12);
	CHECK_EQ(t.kind, CONTROL_REVOKED);
	CHECK_EQ(t.id, 3);
	CHECK_EQ(t.n_numbers, 2);
	CHECK_EQ(t.numbers[0] + t.numbers[1], second + third);
	CHECK(holding_find(&server, first) && holding_find(&server, other));
	CHECK(!holding_find(&server, second) && !holding_find(&server, third));
	t = withdraw(12);
	CHECK_EQ(t.n_numbers, 0);
	t = withdraw(11);
	CHECK_EQ(t.n_numbers, 1);
	CHECK_EQ(t.numbers[0], first);
	CHECK(tear_down());
}

/* Verify that closing one's own link takes nothing from those behind it, and
 * that they can still be reached through it. */
static void test_revoke_through_a_closed_link(void)
{
	struct told t;

	make_chain();
	SAY(b, CONTROL_LINK_CLOSED, second);
	CHECK(!holding_find(&server, second));
	CHECK(holding_find(&server, third));
	t = withdraw(12);
	CHECK_EQ(t.n_numbers, 1);
	CHECK_EQ(t.numbers[0], third);
	CHECK(tear_down());
}

/* Verify that traces go with the last that came through them, and with their
 * holder. */
static void test_traces_end(void)
{
	size_t before;

	make_chain();
	before = server.holdings.by_number.count;
	SAY(a, CONTROL_LINK_CLOSED, first);
	SAY(b, CONTROL_LINK_CLOSED, second);
	CHECK_EQ(server.holdings.by_number.count, before);
	SAY(c, CONTROL_LINK_CLOSED, third);
	CHECK_EQ(server.holdings.by_number.count, before - 3);
	CHECK(tear_down());

	make_chain();
	SAY(b, CONTROL_LINK_CLOSED, second);
	principal_end(&b->principal);
	CHECK(holding_find(&server, third)); /* what it gave stays given */
	CHECK_EQ(withdraw(11).n_numbers, 2);
	CHECK(tear_down());
}

/* Verify that passing back and forth leaves no more behind than there are
 * holders. */
static void test_back_and_forth(void)
{
	uint64_t a_to_b, b_to_a, link;
	size_t before;

	set_up();
	a_to_b = hold_first(a, 1, b);
	b_to_a = hold_first(b, 1, a);
	link = hold_first(owner, 1, a);
	before = server.holdings.by_number.count;
	for (int i = 0; i < 100; i++) {
		uint64_t next = share(a, CONTROL_SHARE_HELD, link, a_to_b);

		CHECK(next);
		SAY(a, CONTROL_LINK_CLOSED, link);
		link = share(b, CONTROL_SHARE_HELD, next, b_to_a);
		CHECK(link);
		SAY(b, CONTROL_LINK_CLOSED, next);
		while (hear(owner).kind || hear(a).kind || hear(b).kind)
			;
	}
	CHECK(server.holdings.by_number.count <= before + 2);
	CHECK_EQ(withdraw(12).n_numbers, 1);
	CHECK(!holding_find(&server, link));
	CHECK(tear_down());
}

/* Verify that an owner's word closes a context for all, and its death all of
 * its contexts. */
static void test_the_owner_ends(void)
{
	uint64_t other;

	make_chain();
	other = hold_first(owner, 2, c);
	SAY(owner, CONTROL_CONTEXT_CLOSED, 1);
	CHECK(!holding_find(&server, first) && !holding_find(&server, third));
	CHECK(holding_find(&server, other));
	CHECK_EQ(share(a, CONTROL_SHARE_HELD, first, first), 0);
	principal_end(&owner->principal);
	CHECK(!holding_find(&server, other));
	CHECK_EQ(c->principal.n_links, 1); /* what b shares with it */
	CHECK(tear_down());
}

/* Verify that a grant goes on with what is passed on. */
static void test_grants_go_on(void)
{
	struct policy *p;
	struct told t;
	uint64_t a_to_b;

	set_up();
	CHECK_EQ(policy_new(NULL, "x", &p), 0);
	CHECK_EQ(policy_deny(p, POLICY_CALL, "fs.write", 8), 0);
	first = hold_first(owner, 1, a);
	holding_find(&server, first)->grant = p;
	a_to_b = hold_first(a, 1, b);
	CHECK(share(a, CONTROL_SHARE_HELD, first, a_to_b));
	t = hear(owner);
	CHECK_EQ(t.kind, CONTROL_OPENED);
	CHECK(t.has_grants);
	CHECK(memmem(t.grants, t.grants_size, "fs.write", 8));
	CHECK(tear_down());
}

/* Until what is sent to @who has to wait. */
static void stuff(struct actor *who)
{
	static const char filler[1500];

	while (!principal_busy(&who->principal)) {
		struct mp_writer w;

		mp_writer_init(&w, said, sizeof(said));
		mp_write_array(&w, 2);
		mp_write_uint(&w, CONTROL_FORGET);
		mp_write_strn(&w, filler, sizeof(filler));
		if (principal_send(&who->principal, &w, NULL, 0) < 0)
			abort();
	}
}

static unsigned drain(struct actor *who, struct told *ret_hold)
{
	unsigned n = 0;

	for (int i = 0; i < 2000; i++) {
		struct told t = hear(who);

		if (!t.kind)
			break;
		if (t.kind == CONTROL_HOLD) {
			*ret_hold = t;
			n++;
		}
		turn();
	}
	return n;
}

/* Verify that a share waits for a receiver that does not read, makes nothing
 * meanwhile, and goes on when it reads. */
static void test_a_receiver_that_does_not_read(void)
{
	struct told t, hold = { 0 };
	uint64_t to;

	set_up();
	to = hold_first(owner, 1, a);
	stuff(a);
	SAY(owner, CONTROL_SHARE_OWN, 5, 2, to);
	SAY(owner, CONTROL_SHARE_OWN, 6, 3, to);
	CHECK_EQ(hear(owner).kind, 0);
	CHECK_EQ(owner->principal.n_shares, 2);
	CHECK_EQ(server.holdings.by_number.count, 1);
	CHECK_EQ(drain(a, &hold), 2);
	for (int i = 0; i < 2; i++) {
		t = hear(owner);
		CHECK_EQ(t.kind, CONTROL_OPENED);
		t = hear(owner);
		CHECK_EQ(t.kind, CONTROL_SHARED);
		CHECK_EQ(t.status, STATUS_OK);
		CHECK_EQ(t.id, 5 + i);
	}
	CHECK_EQ(t.number, hold.id);
	CHECK_EQ(owner->principal.n_shares, 0);
	CHECK(tear_down());
}

/* Verify that a share that waits ends with the receiver, the sharer and the
 * link that it goes over. */
static void test_waiting_shares_end(void)
{
	struct told t;
	uint64_t to;

	set_up();
	to = hold_first(owner, 1, a);
	stuff(a);
	SAY(owner, CONTROL_SHARE_OWN, 5, 2, to);
	principal_end(&a->principal);
	t = hear(owner);
	CHECK_EQ(t.kind, CONTROL_SHARED);
	CHECK_EQ(t.status, STATUS_CLOSED);
	CHECK(tear_down());

	set_up();
	to = hold_first(owner, 1, a);
	stuff(a);
	SAY(owner, CONTROL_SHARE_OWN, 5, 2, to);
	principal_end(&owner->principal);
	CHECK(list_empty(&a->principal.waiters));
	CHECK(tear_down());

	set_up();
	to = hold_first(owner, 1, a);
	stuff(a);
	SAY(owner, CONTROL_SHARE_OWN, 5, 2, to);
	SAY(owner, CONTROL_LINK_CLOSED, to);
	(void)drain(a, &t);
	t = hear(owner);
	CHECK_EQ(t.status, STATUS_CLOSED);
	CHECK(tear_down());
}

/* Verify that one sharer cannot take all of somebody's room. */
static void test_room_is_shared(void)
{
	uint64_t of_owner, of_b;
	unsigned n = 0;

	set_up();
	a->principal.links_max = 100;
	of_owner = hold_first(owner, 1, a);
	of_b = hold_first(b, 1, a);
	while (share(owner, CONTROL_SHARE_OWN, 2, of_owner)) {
		while (hear(a).kind)
			;
		n++;
	}
	CHECK(n >= 40 && n <= 60);
	while (share(b, CONTROL_SHARE_OWN, 2, of_b))
		while (hear(a).kind)
			;
	CHECK(a->principal.n_links < 100);
	SAY(a, CONTROL_LINK_CLOSED, of_b);
	/* what it gives back may be taken again */
	SAY(owner, CONTROL_CONTEXT_CLOSED, 2);
	CHECK(share(owner, CONTROL_SHARE_OWN, 2, of_owner));
	CHECK(tear_down());
}

/* Verify that a process at the end of its own room is told so. */
static void test_own_room(void)
{
	struct told t;
	uint64_t to;

	set_up();
	owner->principal.links_max = 1;
	to = hold_first(owner, 1, a);
	SAY(owner, CONTROL_SHARE_OWN, 5, 2, to);
	(void)hear(a);
	t = hear(owner);
	CHECK_EQ(t.kind, CONTROL_SHARED);
	CHECK_EQ(t.status, STATUS_TOO_LARGE);
	CHECK_STR(t.text, "the owner has no room for more links");
	CHECK_EQ(hear(a).kind, 0);
	CHECK(tear_down());
}

/* Verify that there may be a thousand contexts, and many more one after
 * another, with nothing left. */
static void test_a_thousand(void)
{
	static int fds[1000];
	uint64_t to;

	set_up();
	to = hold_first(owner, 1, a);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		struct told hold;

		CHECK(share(owner, CONTROL_SHARE_OWN, 2 + i, to));
		hold = hear(a);
		CHECK_EQ(hold.kind, CONTROL_HOLD);
		fds[i] = hold.fd;
	}
	CHECK_EQ(a->principal.n_links, 1 + ARRAY_SIZE(fds));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t link = share(owner, CONTROL_SHARE_OWN, 5000, to);

		CHECK(link);
		fd_close(hear(a).fd);
		SAY(a, CONTROL_LINK_CLOSED, link);
	}
	CHECK_EQ(a->principal.n_links, 1 + ARRAY_SIZE(fds));
	CHECK(tear_down());
}

/* --- any order of things --------------------------------------------------
 */

#define CROWD 6

static struct actor *crowd[CROWD];
static uint64_t numbers[64]; /* of links, living or not */
static unsigned n_numbers;
static uint64_t state = 88172645463325252ULL;

static unsigned any(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % below);
}

static void hear_all(struct actor *who)
{
	struct told t;

	while (t = hear(who), t.kind) {
		fd_close(t.fd);
		if (t.kind == CONTROL_HOLD || t.kind == CONTROL_OPENED)
			numbers[n_numbers++ % ARRAY_SIZE(numbers)] = t.id;
	}
}

static void do_something(void)
{
	unsigned who = any(CROWD);
	struct actor *x = crowd[who];
	uint64_t one = numbers[any(ARRAY_SIZE(numbers))];
	uint64_t other = numbers[any(ARRAY_SIZE(numbers))];
	uint64_t context = 1 + any(3);

	switch (any(12)) {
	case 0:
	case 1:
	case 2:
		SAY(x, CONTROL_SHARE_OWN, 1, context, other ? other : 1);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		SAY(x, CONTROL_SHARE_HELD, 1, one ? one : 1, other ? other : 1);
		break;
	case 7:
	case 8:
		SAY(x, CONTROL_LINK_CLOSED, one ? one : 1);
		break;
	case 9:
		SAY(x, CONTROL_REVOKE, 1, context, 100 + any(CROWD));
		break;
	case 10:
		if (any(4) == 0)
			SAY(x, CONTROL_CONTEXT_CLOSED, context);
		break;
	default:
		if (any(20) > 0)
			break;
		actor_end(x);
		crowd[who] = actor_new("crowd", (pid_t)(100 + who));
	}
	for (unsigned i = 0; i < CROWD; i++)
		hear_all(crowd[i]);
}

/* What a principal is said to have is what it has. */
static bool counts_are_right(const struct principal *p)
{
	unsigned links = 0, rights = 0, passed = 0;
	struct holding *h, *after, *child, *next;
	struct context *context, *other;

	list_each(h, after, &p->held, of_holder)
	{
		links += h->state == HOLDING_LINK;
		rights += h->state == HOLDING_RIGHT;
		list_each(child, next, &h->came, sibling)
		{
			passed++;
			if (child->through != h || child->context != h->context)
				return false;
		}
		if (h->state == HOLDING_TRACE && list_empty(&h->came))
			return false;
	}
	list_each(context, other, &p->contexts, of_owner)
		list_each(h, after, &context->holdings, of_context) links +=
		h->state == HOLDING_LINK;
	return links == p->n_links && rights == p->n_rights &&
	       passed == p->n_passed;
}

/* Verify that whatever is said in whatever order, all counts stay right, no
 * trace is left over, and nothing stays in the end. */
static void test_any_order(void)
{
	set_up();
	memset(numbers, 0, sizeof(numbers));
	for (unsigned i = 0; i < CROWD; i++)
		crowd[i] = actor_new("crowd", (pid_t)(100 + i));
	for (unsigned step = 0; step < 30000; step++) {
		if (step % 50 == 0) {
			unsigned from = any(CROWD), to = any(CROWD);

			numbers[n_numbers++ % ARRAY_SIZE(numbers)] =
				hold_first(crowd[from], 1, crowd[to]);
		}
		do_something();
		for (unsigned i = 0; i < CROWD; i++) {
			CHECK(!crowd[i]->gone);
			CHECK(counts_are_right(&crowd[i]->principal));
		}
	}
	for (unsigned i = 0; i < CROWD; i++)
		actor_end(crowd[i]);
	CHECK(tear_down());
}

int main(void)
{
	fd_raise_limit();
	RUN(test_share);
	RUN(test_share_joined);
	RUN(test_lies);
	RUN(test_broken_messages);
	RUN(test_revoke);
	RUN(test_revoke_through_a_closed_link);
	RUN(test_traces_end);
	RUN(test_back_and_forth);
	RUN(test_the_owner_ends);
	RUN(test_grants_go_on);
	RUN(test_a_receiver_that_does_not_read);
	RUN(test_waiting_shares_end);
	RUN(test_room_is_shared);
	RUN(test_own_room);
	RUN(test_a_thousand);
	RUN(test_any_order);
	return tap_done();
}
