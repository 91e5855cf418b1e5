/* Context 0: names, who provides them, thoxd's own calls, pushes. */

#include "thoxd/bus.h"

#include "base/tap.h"
#include "thoxd/native.h"
#include "thoxd/test_actor.h"

static struct actor *a, *b, *c;

static void set_up(void)
{
	begin_server();
	a = actor_new("a", 11);
	b = actor_new("b", 12);
	c = actor_new("c", 13);
	if (!actor_zero(a) || !actor_zero(b) || !actor_zero(c))
		abort();
}

static bool tear_down(void)
{
	actor_end(a);
	actor_end(b);
	actor_end(c);
	return server.holdings.by_number.count == 0 &&
	       server.holdings.claims.count == 0 &&
	       server.bus.names.count == 0 && server.bus.listens.count == 0 &&
	       server.bus.n_providers == 0 && list_empty(&server.bus.all) &&
	       list_empty(&server.principals);
}

static int status_of(const struct heard *h)
{
	return h->there && h->m.kind == WIRE_ANSWER ? (int)h->m.status : -1;
}

static int bind_name(struct actor *who, const char *name)
{
	return status_of(call_name(who, 1, "bind", name));
}

static int bind_fallback(struct actor *who, const char *name)
{
	struct mp_writer *w = begin_call(1, "bind", 2);

	mp_write_str(w, name);
	mp_write_map(w, 1);
	mp_write_str(w, "fallback");
	mp_write_bool(w, true);
	send_zero(who, w);
	return status_of(hear_zero(who));
}

/* Verify that a name leads to a link between who asks and who provides it. */
static void test_resolve(void)
{
	struct told hold, opened;
	const struct heard *h;

	set_up();
	b->principal.service = "greeter";
	CHECK_EQ(bind_name(a, "greeter"), STATUS_OK);
	h = ask(b, 7, "greeter.greet");
	CHECK_EQ(status_of(h), STATUS_OK);
	CHECK_EQ(h->m.cid, 7);
	CHECK_STR(heard_text(h), "greeter");
	CHECK_EQ(h->n_contexts, 1);
	hold = hear(b);
	CHECK_EQ(hold.kind, CONTROL_HOLD);
	CHECK_EQ(hold.id, h->contexts[0].number);
	CHECK_EQ(hold.pid, 11);
	CHECK_EQ(hold.over, b->zero_number);
	opened = hear(a);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_STR(opened.name, "greeter");
	CHECK_STR(opened.program, "b");
	CHECK_STR(opened.service, "greeter");
	CHECK_EQ(opened.pid, 12);
	CHECK(!opened.has_grants);
	CHECK(connected(hold.fd, opened.fd));
	fd_close(hold.fd);
	fd_close(opened.fd);
	CHECK(tear_down());
}

/* Verify that the longest prefix at a dot provides, and nobody else. */
static void test_longest_prefix(void)
{
	set_up();
	CHECK_EQ(bind_name(a, "s"), STATUS_OK);
	CHECK_EQ(bind_name(b, "s.keys"), STATUS_OK);
	CHECK_STR(heard_text(ask(c, 1, "s")), "s");
	CHECK_STR(heard_text(ask(c, 2, "s.get")), "s");
	CHECK_STR(heard_text(ask(c, 3, "s.keys.get")), "s.keys");
	CHECK_STR(heard_text(ask(c, 4, "s.keysx")), "s");
	CHECK_EQ(status_of(ask(c, 5, "sx.keys")), STATUS_NOT_FOUND);
	CHECK_EQ(call_name(a, 9, "unbind", "s")->m.status, STATUS_OK);
	CHECK_EQ(status_of(ask(c, 6, "s.get")), STATUS_NOT_FOUND);
	CHECK_EQ(call_name(a, 9, "unbind", "s.keys")->m.status,
		 STATUS_NOT_FOUND); /* another's */
	CHECK(tear_down());
}

/* Verify who may bind: nobody what is taken or thoxd's own, instances of a
 * service beside each other. */
static void test_bind(void)
{
	const struct heard *h;

	set_up();
	CHECK_EQ(bind_name(a, "x"), STATUS_OK);
	CHECK_EQ(bind_name(a, "x"), STATUS_ERROR);
	h = call_name(b, 1, "bind", "x");
	CHECK_EQ(status_of(h), STATUS_ERROR);
	CHECK_STR(heard_text(h), "x is bound already, by a (process 11)");
	CHECK_EQ(bind_name(a, "process"), STATUS_DENIED);
	CHECK_EQ(bind_name(a, "process.mine"), STATUS_DENIED);
	CHECK_EQ(bind_name(a, "clock"), STATUS_DENIED);
	CHECK_EQ(bind_name(a, "clocks"), STATUS_OK);
	CHECK_EQ(bind_name(a, "storage.keys"), STATUS_DENIED);
	CHECK_EQ(bind_name(a, "storages"), STATUS_OK);
	a->principal.daemon = true;
	CHECK_EQ(bind_name(a, "storage"), STATUS_OK);
	CHECK_EQ(bind_name(a, "a..b"), STATUS_INVALID);
	CHECK_EQ(bind_name(a, ""), STATUS_INVALID);
	b->principal.service = "worker:1";
	c->principal.service = "worker:2";
	CHECK_EQ(bind_name(b, "work"), STATUS_OK);
	CHECK_EQ(bind_name(c, "work"), STATUS_OK);
	CHECK_EQ(bind_name(a, "work"), STATUS_ERROR);
	h = ask(a, 5, "work.now");
	CHECK_EQ(h->n_contexts, 2);
	CHECK(tear_down());
}

/* Verify that what lies below another's name is not free, but for whom somebody
 * has thought of it. */
static void test_below_others(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL, *q = NULL;
	const struct heard *h;

	set_up();
	CHECK_EQ(policy_new(NULL, "p", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_BIND, true, "**"), 0);
	CHECK_EQ(policy_new(NULL, "q", &q), 0);
	CHECK_EQ(policy_parse_list(q, POLICY_BIND, true, "shop.till"), 0);
	CHECK_EQ(bind_name(a, "shop"), STATUS_OK);
	principal_set_policy(&b->principal, p);
	h = call_name(b, 1, "bind", "shop.till");
	CHECK_EQ(status_of(h), STATUS_ERROR);
	CHECK_STR(heard_text(h),
		  "shop.till lies below shop, which another process provides");
	CHECK_EQ(bind_name(b, "shop.till.left"), STATUS_ERROR);
	CHECK_EQ(bind_name(b, "shops"), STATUS_OK);
	principal_set_policy(&a->principal, p);
	CHECK_EQ(bind_name(a, "shop.door"), STATUS_OK);
	principal_set_policy(&c->principal, q);
	CHECK_EQ(bind_name(c, "shop.till"), STATUS_OK);
	CHECK(tear_down());
}

/* Verify that a fallback serves while nobody else does, and who was sent to
 * it hears of a better one. */
static void test_fallback(void)
{
	struct told t;

	set_up();
	CHECK_EQ(bind_fallback(a, "shelf"), STATUS_OK);
	CHECK_EQ(bind_fallback(b, "shelf"), STATUS_ERROR);
	CHECK_EQ(status_of(ask(c, 1, "shelf.get")), STATUS_OK);
	CHECK_EQ(hear(c).pid, 11);
	CHECK_EQ(bind_name(b, "shelf"), STATUS_OK);
	t = hear(c);
	CHECK_EQ(t.kind, CONTROL_FORGET);
	CHECK_STR(t.name, "shelf");
	CHECK_EQ(status_of(ask(c, 2, "shelf.get")), STATUS_OK);
	CHECK_EQ(hear(c).pid, 12);
	principal_end(&b->principal);
	CHECK_EQ(status_of(ask(c, 3, "shelf.get")), STATUS_OK);
	CHECK_EQ(hear(c).pid, 11);
	CHECK(tear_down());
}

/* Verify that a longer name is told to those who were sent to the shorter, and
 * to nobody else. */
static void test_forget(void)
{
	struct told t;

	set_up();
	CHECK_EQ(bind_name(a, "s"), STATUS_OK);
	CHECK_EQ(status_of(ask(b, 1, "s.keys.get")), STATUS_OK);
	CHECK_EQ(hear(b).kind, CONTROL_HOLD);
	CHECK_EQ(bind_name(c, "s.keys"), STATUS_OK);
	t = hear(b);
	CHECK_EQ(t.kind, CONTROL_FORGET);
	CHECK_STR(t.name, "s.keys");
	CHECK_EQ(hear(b).kind, 0);
	CHECK_EQ(hear(c).kind, 0);
	CHECK_EQ(call_name(a, 9, "unbind", "s")->m.status, STATUS_OK);
	CHECK_STR(hear(b).name, "s");
	CHECK(tear_down());
}

/* Verify that a name is taken over: callers ask again, the old one is told to
 * move, the new one is found. */
static void test_take_over(void)
{
	struct mp_bytes name = { "n", 1 };
	struct told t;

	set_up();
	CHECK_EQ(bind_name(a, "n"), STATUS_OK);
	CHECK_EQ(status_of(ask(c, 1, "n")), STATUS_OK);
	CHECK_EQ(hear(c).pid, 11);
	(void)hear(a);
	CHECK_EQ(bus_take_over(name, &b->principal, &c->principal), -ENOENT);
	CHECK_EQ(bus_take_over(name, &a->principal, &b->principal), 0);
	CHECK_EQ(hear(c).kind, CONTROL_FORGET);
	t = hear(a);
	CHECK_EQ(t.kind, CONTROL_MOVE);
	CHECK_STR(t.name, "n");
	CHECK_EQ(status_of(ask(c, 2, "n")), STATUS_OK);
	CHECK_EQ(hear(c).pid, 12);
	CHECK_EQ(a->principal.n_bindings, 0);
	CHECK(tear_down());
}

/* Verify that whoever waits to take over serves nobody before that, and keeps
 * others from the name. */
static void test_in_waiting(void)
{
	struct mp_bytes name = { "n", 1 }, other = { "m.x", 3 };
	struct told t;

	set_up();
	a->principal.service = b->principal.service = "n";
	b->principal.in_waiting = true;
	CHECK_EQ(bind_name(a, "n"), STATUS_OK);
	CHECK_EQ(bind_name(b, "n"), STATUS_OK);
	CHECK_EQ(bind_name(b, "n"), STATUS_ERROR);
	CHECK_EQ(bind_name(b, "m.x"), STATUS_OK);
	CHECK(bus_has_bound(&b->principal, other));
	CHECK(!bus_has_bound(&a->principal, other));
	CHECK_EQ(server.bus.n_providers, 1);
	CHECK_EQ(ask(c, 1, "n")->n_contexts, 1);
	CHECK_EQ(hear(c).pid, 11);
	(void)hear(a);
	CHECK_EQ(status_of(ask(c, 2, "m.x")), STATUS_NOT_FOUND);
	CHECK_EQ(bind_name(c, "m"), STATUS_OK);
	CHECK_STR(heard_text(ask(a, 3, "m.x")), "m");
	(void)hear(a);
	(void)hear(c);
	CHECK_EQ(bind_name(c, "m.x"), STATUS_ERROR);

	CHECK_EQ(bus_take_over(name, &a->principal, &b->principal), 0);
	CHECK_EQ(hear(c).kind, CONTROL_FORGET);
	CHECK_EQ(hear(a).kind, CONTROL_MOVE);
	CHECK_EQ(ask(c, 4, "n")->n_contexts, 1);
	CHECK_EQ(hear(c).pid, 12);
	bus_promote(&b->principal);
	t = hear(a); /* which was sent to m */
	CHECK_EQ(t.kind, CONTROL_FORGET);
	CHECK_STR(t.name, "m.x");
	CHECK_STR(heard_text(ask(c, 5, "m.x")), "m.x");

	/* and back, to one that has not bound it any more */
	CHECK_EQ(bus_take_over(name, &b->principal, &a->principal), 0);
	CHECK_EQ(ask(c, 6, "n")->n_contexts, 1);
	CHECK(tear_down());
}

/* Verify that one that waits in vain leaves nothing. */
static void test_in_waiting_ends(void)
{
	set_up();
	a->principal.in_waiting = true;
	CHECK_EQ(bind_name(a, "n"), STATUS_OK);
	principal_end(&a->principal);
	CHECK_EQ(server.bus.names.count, 0);
	CHECK_EQ(bind_name(b, "n"), STATUS_OK);
	CHECK(tear_down());
}

/* Verify that a provider which is gone, but not known to be, is not found. */
static void test_a_dead_provider(void)
{
	const struct heard *h;

	set_up();
	CHECK_EQ(bind_name(a, "n"), STATUS_OK);
	link_deinit(&a->link); /* as a process does that ends */
	h = ask(b, 1, "n");
	CHECK_EQ(status_of(h), STATUS_NOT_FOUND);
	CHECK(tear_down());
}

/* Verify that policy is checked where a name is asked for, and the link
 * carries the rest of it. */
static void test_policy(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	const struct heard *h;
	struct told t;

	set_up();
	CHECK_EQ(policy_new(NULL, "its parent", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_CALL, false,
				   "fs.write secret.** bus.list"),
		 0);
	CHECK_EQ(policy_parse_list(p, POLICY_BIND, true, "mine.**"), 0);
	principal_set_policy(&b->principal, p);
	CHECK_EQ(bind_name(a, "fs"), STATUS_OK);
	CHECK_EQ(bind_name(a, "secret"), STATUS_OK);
	h = ask(b, 1, "fs.write");
	CHECK_EQ(status_of(h), STATUS_DENIED);
	CHECK_STR(heard_text(h), "rule \"deny call fs.write\" of its parent");
	CHECK_EQ(status_of(ask(b, 2, "secret")), STATUS_DENIED);
	CHECK_EQ(status_of(ask(b, 3, "fs.read")), STATUS_OK);
	t = hear(a);
	CHECK_EQ(t.kind, CONTROL_OPENED);
	CHECK(t.has_grants);
	CHECK(memmem(t.grants, t.grants_size, "fs.write", 8));
	CHECK(!memmem(t.grants, t.grants_size, "secret", 6));
	h = call_name(b, 4, "bind", "other");
	CHECK_EQ(status_of(h), STATUS_DENIED);
	CHECK_STR(heard_text(h),
		  "no rule \"allow bind\" of its parent admits other");
	CHECK_EQ(bind_name(b, "mine"), STATUS_OK);
	CHECK_EQ(status_of(call_name(b, 5, "bus.list", NULL)), STATUS_DENIED);
	CHECK_EQ(status_of(call_name(b, 6, "clock", NULL)), STATUS_OK);
	CHECK(tear_down());
}

/* Verify that asking over and over takes only so much of a provider's room. */
static void test_asking_without_end(void)
{
	unsigned n = 0;

	set_up();
	a->principal.links_max = 60;
	CHECK_EQ(bind_name(a, "n"), STATUS_OK);
	while (status_of(ask(b, n, "n")) == STATUS_OK) {
		fd_close(hear(b).fd);
		fd_close(hear(a).fd);
		n++;
	}
	CHECK(n > 20 && n < 40);
	CHECK_EQ(status_of(ask(c, 1, "n")), STATUS_OK);
	CHECK(tear_down());
}

/* --- thoxd's own calls ----------------------------------------------------
 */

/* Verify what the small calls answer. */
static void test_own_calls(void)
{
	struct mp_writer *w;
	const struct heard *h;
	struct mp_reader r;

	set_up();
	CHECK_STR(heard_text(ask(a, 1, "random.random")), "random");
	h = call_name(a, 2, "random.random", NULL);
	CHECK_EQ(status_of(h), STATUS_OK);
	mp_reader_init(&r, h->m.args.p, h->m.args.size);
	CHECK_EQ(mp_read_array(&r), 1);
	double value = mp_read_double(&r);
	CHECK(!r.bad && value >= 0 && value < 1);

	for (int i = 0; i < 200; i++) {
		w = begin_call(3, "random.randint", 2);
		mp_write_int(w, -3);
		mp_write_int(w, 2);
		send_zero(a, w);
		h = hear_zero(a);
		mp_reader_init(&r, h->m.args.p, h->m.args.size);
		(void)mp_read_array(&r);
		int64_t n = mp_read_int(&r);
		CHECK(!r.bad && n >= -3 && n < 2);
	}
	w = begin_call(4, "random.randint", 2);
	mp_write_int(w, 2);
	mp_write_int(w, 2);
	send_zero(a, w);
	CHECK_EQ(status_of(hear_zero(a)), STATUS_INVALID);
	w = begin_call(5, "random.randint", 2);
	mp_write_int(w, INT64_MIN);
	mp_write_int(w, INT64_MAX);
	send_zero(a, w);
	CHECK_EQ(status_of(hear_zero(a)), STATUS_OK);
	CHECK_EQ(status_of(call_name(a, 6, "process.fly", NULL)),
		 STATUS_NOT_FOUND);
	CHECK_EQ(status_of(call_name(a, 7, "nobodys", NULL)), STATUS_NOT_FOUND);
	CHECK(tear_down());
}

static void wait_for(struct actor *who, const struct heard **ret)
{
	for (int i = 0; i < 2000; i++) {
		*ret = hear_zero(who);
		if ((*ret)->there)
			return;
		ev_run(server.loop, EVRUN_ONCE);
	}
}

static void alarm_in(struct actor *who, uint32_t cid, double seconds,
		     uint64_t deadline_ms)
{
	struct mp_writer w;

	mp_writer_init(&w, said, sizeof(said));
	wire_begin_call(&w, cid, "alarm", 5, deadline_ms);
	mp_write_array(&w, 1);
	mp_write_double(&w, seconds);
	wire_end_call(&w, deadline_ms);
	send_zero(who, &w);
}

/* Verify that an alarm is answered when its time has come, not before. */
static void test_alarm(void)
{
	uint64_t before = clock_ns();
	const struct heard *h;

	set_up();
	alarm_in(a, 1, 0.05, 0);
	wait_for(a, &h);
	CHECK_EQ(status_of(h), STATUS_OK);
	CHECK(clock_ns() - before >= 50000000);
	alarm_in(a, 2, -1, 0);
	CHECK_EQ(status_of(hear_zero(a)), STATUS_INVALID);
	alarm_in(a, 2, 1e300, 0);
	CHECK_EQ(status_of(hear_zero(a)), STATUS_INVALID);
	CHECK(tear_down());
}

/* Verify that a kept call ends at its deadline, by a cancel, with its link. */
static void test_kept_calls_end(void)
{
	const struct heard *h;
	struct mp_writer w;

	set_up();
	alarm_in(a, 1, 1000, clock_ns() / 1000000 + 20);
	wait_for(a, &h);
	CHECK_EQ(status_of(h), STATUS_TIMEOUT);
	CHECK_EQ(h->m.cid, 1);
	alarm_in(a, 2, 1000, 0);
	mp_writer_init(&w, said, sizeof(said));
	wire_write_cancel(&w, 2);
	send_zero(a, &w);
	CHECK(list_empty(&a->principal.zero->zero->calls));
	alarm_in(a, 3, 1000, 0);
	CHECK_EQ(a->principal.zero->zero->n_calls, 1);
	CHECK(tear_down()); /* without a timer left */
	CHECK_EQ(ev_pending_count(server.loop), 0);
}

/* Verify that a cid that is pending cannot be used, and that so many calls
 * may wait and no more. */
static void test_limits_of_calls(void)
{
	set_up();
	alarm_in(a, 1, 1000, 0);
	alarm_in(a, 1, 1000, 0);
	CHECK(ended(a->zero.fd));
	for (uint32_t i = 0; i < ZERO_CALLS_MAX; i++)
		alarm_in(b, i, 1000, 0);
	CHECK_EQ(b->principal.zero->zero->n_calls, ZERO_CALLS_MAX);
	alarm_in(b, 99999, 1000, 0);
	CHECK_EQ(status_of(hear_zero(b)), STATUS_TOO_LARGE);
	CHECK(tear_down());
}

/* Verify that hello comes first, and once, and that a broken message costs
 * the link, which can be had again. */
static void test_broken_messages(void)
{
	struct mp_writer w;

	set_up();
	mp_writer_init(&w, said, sizeof(said));
	wire_write_hello(&w, 5);
	send_zero(a, &w);
	CHECK(ended(a->zero.fd));
	CHECK(!a->gone && !a->principal.zero);
	CHECK(actor_zero(a));
	CHECK_EQ(bind_name(a, "again"), STATUS_OK);
	send(a->zero.fd, "\0\xc1", 2, 0);
	turn();
	CHECK(ended(a->zero.fd));
	CHECK(!a->gone);
	CHECK(tear_down());
}

/* Verify that thoxd reads nothing more from who takes no answers. */
static void test_back_pressure(void)
{
	unsigned sent = 0;

	set_up();
	for (; sent < 100000; sent++) {
		struct mp_writer *w = begin_call(sent, "clock", 0);

		if (link_has_queued(&a->zero))
			break;
		(void)link_send(&a->zero, w->data, w->used, NULL, 0);
		turn();
	}
	CHECK(sent < 100000);
	CHECK(a->principal.zero->zero->peer.link.queued_bytes < 1000);
	for (unsigned i = 0; i < sent; i++) {
		const struct heard *h;

		(void)link_flush(&a->zero);
		turn();
		h = hear_zero(a);
		CHECK_EQ(status_of(h), STATUS_OK);
		CHECK_EQ(h->m.cid, i);
	}
	CHECK(tear_down());
}

/* --- pushes ---------------------------------------------------------------
 */

/* Verify that pushes reach all who listen to the name or above, but not the
 * sender, with who sent it. */
static void test_push(void)
{
	const struct heard *h;

	set_up();
	listen_to(a, "chat", true);
	listen_to(b, "chat.room", true);
	listen_to(b, "chat", true); /* twice: once is told */
	listen_to(c, "chat.room", true);
	push_text(c, "chat.room.1", "hi");
	h = hear_zero(a);
	CHECK(h->there && h->m.kind == WIRE_PUSH);
	CHECK(mp_bytes_equal(h->m.name, "chat.room.1"));
	CHECK_STR(heard_text(h), "hi");
	CHECK(memmem(h->m.info.p, h->m.info.size, "pid\x0d", 4));
	CHECK(hear_zero(b)->there);
	CHECK(!hear_zero(b)->there);
	CHECK(!hear_zero(c)->there);
	listen_to(a, "chat", false);
	push_text(c, "chat.room.1", "hi");
	CHECK(!hear_zero(a)->there);
	push_text(c, "chatter", "hi");
	push_text(c, "process.x", "hi");
	(void)hear_zero(b);
	CHECK(!hear_zero(b)->there);
	CHECK(tear_down());
}

/* Verify that what one pushed before it ended is passed on, though its link was
 * not read any more, and that a call of the dead is not begun. */
static void test_last_words(void)
{
	struct mp_writer w;

	set_up();
	listen_to(a, "chat", true);
	mp_writer_init(&w, said, sizeof(said));
	wire_begin_push(&w, "chat", 4, false);
	mp_write_array(&w, 0);
	CHECK_EQ(link_send(&b->zero, w.data, w.used, NULL, 0), 0);
	mp_writer_init(&w, said, sizeof(said));
	wire_begin_call(&w, 1, "bind", 4, 0);
	mp_write_array(&w, 1);
	mp_write_str(&w, "mine");
	CHECK_EQ(link_send(&b->zero, w.data, w.used, NULL, 0), 0);
	link_deinit(&b->zero);
	zero_last_words(&b->principal);
	CHECK(hear_zero(a)->there);
	CHECK_EQ(b->principal.n_zeros, 0);
	CHECK_EQ(bind_name(c, "mine"), STATUS_OK);
	CHECK(tear_down());
}

/* Verify that policy holds for pushing and for listening, also below a name
 * that may be listened to. */
static void test_push_policy(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;

	set_up();
	CHECK_EQ(policy_new(NULL, "x", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_CALL, false, "chat.secret"), 0);
	principal_set_policy(&a->principal, p);
	listen_to(a, "chat", true);
	listen_to(a, "chat.secret", true);
	listen_to(b, "chat", true);
	push_text(b, "chat.secret", "x");
	CHECK(!hear_zero(a)->there);
	push_text(b, "chat.open", "x");
	CHECK(hear_zero(a)->there);
	push_text(a, "chat.secret", "x");
	CHECK(!hear_zero(b)->there);
	push_text(a, "chat.open", "x");
	CHECK(hear_zero(b)->there);
	CHECK(tear_down());
}

/* The number after `lost` in what thoxd says of a push; 0: none. */
static uint64_t lost(const struct heard *h)
{
	struct mp_reader r;
	uint64_t value = 0;

	mp_reader_init(&r, h->m.info.p, h->m.info.size);
	for (uint32_t n = mp_read_map(&r); n > 0; n--) {
		if (mp_bytes_equal(mp_read_str(&r), "lost"))
			value = mp_read_uint(&r);
		else
			mp_skip(&r);
	}
	return value;
}

/* Verify that a listener that does not read loses pushes, hears how many, and
 * keeps nobody waiting. */
static void test_a_slow_listener(void)
{
	const struct heard *h;
	uint64_t heard = 0, counted = 0;

	set_up();
	listen_to(a, "n", true);
	listen_to(b, "n", true);
	for (int i = 0; i < 3000; i++) {
		push_text(c, "n", "0123456789");
		CHECK(hear_zero(b)->there);
	}
	CHECK(a->principal.zero->zero->lost > 100);
	while (h = hear_zero(a), h->there) {
		heard++;
		counted += lost(h);
		turn();
	}
	push_text(c, "n", "last");
	h = hear_zero(a);
	CHECK_STR(heard_text(h), "last");
	counted += lost(h);
	CHECK_EQ(heard + counted, 3000);
	CHECK_EQ(a->principal.zero->zero->lost, 0);
	CHECK(tear_down());
}

/* Verify that a context in a push becomes each listener's own. */
static void test_contexts_in_pushes(void)
{
	struct told t, hold;
	struct mp_writer w;
	const struct heard *h;
	uint64_t right;

	set_up();
	listen_to(a, "n", true);
	listen_to(b, "n", true);
	SAY(c, CONTROL_SHARE_OWN, 1, 5, c->zero_number);
	t = hear(c);
	CHECK_EQ(t.kind, CONTROL_SHARED);
	right = t.number;
	CHECK(!hear(c).kind); /* thoxd opens nothing */
	mp_writer_init(&w, said, sizeof(said));
	wire_begin_push(&w, "n", 1, false);
	mp_write_array(&w, 2);
	mp_write_map(&w, 1);
	mp_write_str(&w, "ctx");
	wire_write_context(&w, right);
	mp_write_int(&w, 5);
	send_zero(c, &w);
	for (int i = 0; i < 2; i++) {
		struct actor *listener = i ? b : a;

		h = hear_zero(listener);
		CHECK_EQ(h->n_contexts, 1);
		hold = hear(listener);
		CHECK_EQ(hold.kind, CONTROL_HOLD);
		CHECK_EQ(hold.id, h->contexts[0].number);
		CHECK(hold.id != right);
		CHECK_EQ(hold.over, listener->zero_number);
		t = hear(c);
		CHECK_EQ(t.kind, CONTROL_OPENED);
		CHECK_EQ(t.context, 5);
		CHECK_EQ(t.pid, listener->principal.pid);
		CHECK(connected(hold.fd, t.fd));
	}
	CHECK_EQ(c->principal.n_rights, 0);
	send_zero(c, &w); /* a right serves one message */
	CHECK(!hear_zero(a)->there);
	CHECK(tear_down());
}

/* Verify that a right serves only who shared it, over the link for which he
 * did. */
static void test_rights_of_others(void)
{
	struct mp_writer *w;
	struct told t;

	set_up();
	SAY(c, CONTROL_SHARE_OWN, 1, 5, c->zero_number);
	t = hear(c);
	w = begin_call(1, "random.random", 1);
	wire_write_context(w, t.number);
	send_zero(a, w);
	CHECK_EQ(status_of(hear_zero(a)), STATUS_INVALID);
	CHECK(holding_find(&server, t.number));
	send_zero(c, w);
	CHECK_EQ(status_of(hear_zero(c)), STATUS_OK);
	CHECK(!holding_find(&server, t.number));
	/* and it goes with the link */
	SAY(c, CONTROL_SHARE_OWN, 1, 5, c->zero_number);
	t = hear(c);
	SAY(c, CONTROL_LINK_CLOSED, c->zero_number);
	CHECK(!holding_find(&server, t.number));
	CHECK_EQ(c->principal.n_rights, 0);
	CHECK(tear_down());
}

/* Verify that context 0 can be shared: the link acts as whose it was, and
 * ends with him. */
static void test_context_zero_is_shared(void)
{
	struct told t, hold;
	uint64_t a_to_b;

	set_up();
	CHECK_EQ(bind_name(a, "n"), STATUS_OK);
	(void)ask(b, 1, "n");
	a_to_b = hear(b).id;
	(void)hear(a);
	SAY(b, CONTROL_SHARE_HELD, 1, b->zero_number, a_to_b);
	t = hear(b);
	CHECK_EQ(t.status, STATUS_OK);
	hold = hear(a);
	CHECK_EQ(hold.kind, CONTROL_HOLD);
	CHECK(hold.resolves && !hold.zero);
	CHECK_EQ(hold.id, t.number);
	CHECK(holding_find(&server, hold.id)->as == &b->principal);
	CHECK_EQ(b->principal.n_zeros, 2);
	principal_end(&b->principal);
	turn();
	CHECK(!holding_find(&server, hold.id));
	CHECK_EQ(a->principal.n_zeros, 1);
	CHECK(tear_down());
}

/* Verify that who was given another context 0 gets that, with nothing of
 * thoxd's behind it, and a dead one when it is gone. */
static void test_another_context_zero(void)
{
	struct actor *child;
	struct told t, opened;
	struct holding *right;

	set_up();
	SAY(a, CONTROL_SHARE_OWN, 1, 5, a->zero_number);
	right = holding_find(&server, hear(a).number);
	CHECK(right);
	child = actor_new("child", 20);
	CHECK(holding_move(right, &child->principal));
	child->principal.base = right;
	child->principal.based = true;
	SAY(child, CONTROL_WANT_ZERO);
	t = hear(child);
	CHECK_EQ(t.kind, CONTROL_HOLD);
	CHECK(t.zero && !t.resolves);
	CHECK_EQ(t.pid, 11);
	opened = hear(a);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_EQ(opened.context, 5);
	CHECK_EQ(opened.pid, 20);
	CHECK(connected(t.fd, opened.fd));
	SAY(child, CONTROL_LINK_CLOSED, t.id);
	principal_end(&a->principal);
	SAY(child, CONTROL_WANT_ZERO);
	t = hear(child);
	CHECK_EQ(t.kind, CONTROL_HOLD);
	CHECK(t.zero);
	CHECK(ended(t.fd));
	actor_end(child);
	CHECK(tear_down());
}

/* Verify that one withdraws a child's context 0 like any other. */
static void test_revoking_context_zero(void)
{
	struct actor *child;
	struct told t;

	set_up();
	SAY(a, CONTROL_SHARE_OWN, 1, 5, a->zero_number);
	child = actor_new("child", 20);
	child->principal.based = true;
	child->principal.base = holding_find(&server, hear(a).number);
	CHECK(holding_move(child->principal.base, &child->principal));
	SAY(child, CONTROL_WANT_ZERO);
	t = hear(child);
	(void)hear(a);
	SAY(a, CONTROL_REVOKE, 2, 5, 20);
	CHECK_EQ(hear(a).numbers[0], t.id);
	CHECK(!child->principal.base && !child->principal.zero);
	actor_end(child);
	CHECK(tear_down());
}

/* Verify that nothing is left of many who came, asked, and went. */
static void test_many_cycles(void)
{
	for (int i = 0; i < 2000; i++) {
		set_up();
		CHECK_EQ(bind_name(a, "n"), STATUS_OK);
		listen_to(b, "n", true);
		CHECK_EQ(status_of(ask(c, 1, "n")), STATUS_OK);
		push_text(c, "n", "x");
		alarm_in(a, 1, 1000, 0);
		CHECK(tear_down());
	}
}

/* Verify that ten thousand names cost no look-up more than one does. */
static void test_many_names(void)
{
	static struct actor *many[50];
	char name[32];

	set_up();
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = actor_new("many", (pid_t)(1000 + i));
		CHECK(actor_zero(many[i]));
		for (unsigned k = 0; k < 200; k++) {
			snprintf(name, sizeof(name), "name.%u.%u", i, k);
			CHECK_EQ(bind_name(many[i], name), STATUS_OK);
		}
	}
	CHECK_EQ(server.bus.names.count, 10000);
	CHECK(server.bus.names.n_buckets >= 8192);
	CHECK_STR(heard_text(ask(a, 1, "name.49.199.deep.below")),
		  "name.49.199");
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		actor_end(many[i]);
	CHECK(tear_down());
}

int main(void)
{
	RUN(test_resolve);
	RUN(test_longest_prefix);
	RUN(test_bind);
	RUN(test_below_others);
	RUN(test_fallback);
	RUN(test_forget);
	RUN(test_take_over);
	RUN(test_in_waiting);
	RUN(test_in_waiting_ends);
	RUN(test_a_dead_provider);
	RUN(test_policy);
	RUN(test_asking_without_end);
	RUN(test_own_calls);
	RUN(test_alarm);
	RUN(test_kept_calls_end);
	RUN(test_limits_of_calls);
	RUN(test_broken_messages);
	RUN(test_back_pressure);
	RUN(test_push);
	RUN(test_last_words);
	RUN(test_push_policy);
	RUN(test_a_slow_listener);
	RUN(test_contexts_in_pushes);
	RUN(test_rights_of_others);
	RUN(test_context_zero_is_shared);
	RUN(test_another_context_zero);
	RUN(test_revoking_context_zero);
	RUN(test_many_cycles);
	RUN(test_many_names);
	return tap_done();
}
