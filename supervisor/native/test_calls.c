/*
 * Calls that a native process makes, and contexts in what it sends: with
 * play.h as thoxd and as whoever is called.
 */

#include "native/native.h"

#include <errno.h>
#include <string.h>

#include "base/tap.h"
#include "native/play.h"

#define ZERO 100 /* the link's number of context 0 */

/* What a call's function was told last. */
struct heard {
	int times;
	int status;
	int64_t number; /* the first value, when it is a number */
	char text[64];	/* or a string */
};

static void on_answer(struct native *n, const struct native_answer *a,
		      void *user)
{
	struct heard *h = user;
	struct mp_reader r;

	(void)n;
	h->times++;
	h->status = a->status;
	mp_reader_init(&r, a->args.p, a->args.size);
	if (mp_read_array(&r) == 0)
		return;
	if (mp_peek(&r) == MP_INT)
		h->number = mp_read_int(&r);
	else
		native_answer_message(a, h->text, sizeof(h->text));
}

static bool answer_number(struct link *peer, uint32_t cid, int number)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_answer(&w, cid, STATUS_OK);
	mp_write_array(&w, 1);
	mp_write_int(&w, number);
	return play_send(peer, &w);
}

static bool answer_failure(struct link *peer, uint32_t cid, int status,
			   const char *text)
{
	uint8_t buf[128];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_failure(&w, cid, status, text);
	return play_send(peer, &w);
}

/* [prefix, context…] with the numbers from @first on. */
static bool answer_route(struct link *zero, uint32_t cid, const char *prefix,
			 uint64_t first, unsigned n)
{
	uint8_t buf[512];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_answer(&w, cid, STATUS_OK);
	mp_write_array(&w, 1 + n);
	mp_write_str(&w, prefix);
	for (unsigned i = 0; i < n; i++)
		wire_write_context(&w, first + i);
	return play_send(zero, &w);
}

/* The next message on @peer is of this kind, and of this name if given. */
static bool reads(struct link *peer, int kind, const char *name,
		  struct wire_message *ret)
{
	return play_read(peer, ret) == 1 && ret->kind == kind &&
	       (!name || mp_bytes_equal(ret->name, name));
}

static bool open_zero(struct play *p, struct link *ret_zero)
{
	return play_open(p) && play_hold(p, ZERO, true, true, 0, ret_zero);
}

/* A process with context 0 whose calls of `a` go to @ret_peer, link 1. */
static bool open_routed(struct play *p, struct link *zero,
			struct link *ret_peer, struct heard *h)
{
	struct wire_message m;

	return open_zero(p, zero) &&
	       native_call(p->native, NULL, "a.one", NULL, 0, on_answer, h,
			   NULL) == 0 &&
	       reads(zero, WIRE_RESOLVE, "a.one", &m) &&
	       play_hold(p, 1, false, false, ZERO, ret_peer) &&
	       answer_route(zero, m.cid, "a", 1, 1) && play_turn(p) == 0 &&
	       reads(ret_peer, WIRE_CALL, "a.one", &m) &&
	       answer_number(ret_peer, m.cid, 1) && play_turn(p) == 0 &&
	       h->times == 1 && h->number == 1;
}

/* --- context 0 and names ----------------------------------------------------
 */

/* Verify that context 0 is asked for at the first call, and the name before
 * it is called; then the call goes to whom thoxd named. */
static void test_first_call_resolves(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct mp_reader r;
	struct native_values v;
	struct play p;
	uint64_t told[4];

	CHECK(play_open(&p));
	native_values_init(&v);
	mp_write_array(&v.w, 2);
	mp_write_int(&v.w, 7);
	mp_write_str(&v.w, "x");
	CHECK_EQ(native_call(p.native, NULL, "a.b.c", &v, 0, on_answer, &h,
			     NULL),
		 0);
	native_values_deinit(&v);
	CHECK_EQ(play_told(&p, told), CONTROL_WANT_ZERO);
	CHECK(play_hold(&p, ZERO, true, true, 0, &zero));
	CHECK(reads(&zero, WIRE_RESOLVE, "a.b.c", &m));
	CHECK(play_hold(&p, 1, false, false, ZERO, &peer));
	CHECK(answer_route(&zero, m.cid, "a.b", 1, 1));
	play_turn(&p);
	CHECK(reads(&peer, WIRE_CALL, "a.b.c", &m));
	CHECK_EQ(m.deadline_ms, 0);
	mp_reader_init(&r, m.args.p, m.args.size);
	CHECK_EQ(mp_read_array(&r), 2);
	CHECK_EQ(mp_read_int(&r), 7);
	CHECK(mp_bytes_equal(mp_read_str(&r), "x"));
	CHECK(answer_number(&peer, m.cid, 42));
	play_turn(&p);
	CHECK_EQ(h.times, 1);
	CHECK_EQ(h.status, STATUS_OK);
	CHECK_EQ(h.number, 42);
	/* below the same prefix nothing is asked any more */
	CHECK_EQ(native_call(p.native, NULL, "a.b", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a.b", &m));
	CHECK_EQ(play_read(&zero, &m), 0);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

static bool reads_hello(struct link *peer)
{
	struct wire_message m;

	return play_read_any(peer, &m) == 1 && m.kind == WIRE_HELLO &&
	       m.message_bytes == LINK_MESSAGE_BYTES;
}

/* Verify that nothing is said on a link before there is more to say, that a
 * hello comes first then, and once. */
static void test_hello(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct play p;

	CHECK(open_zero(&p, &zero));
	CHECK_EQ(play_read_any(&zero, &m), 0);
	CHECK_EQ(native_call(p.native, NULL, "a.one", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK(reads_hello(&zero));
	CHECK_EQ(play_read_any(&zero, &m), 1);
	CHECK_EQ(m.kind, WIRE_RESOLVE);
	CHECK(play_hold(&p, 1, false, false, ZERO, &peer));
	CHECK_EQ(play_read_any(&peer, &m), 0);
	CHECK(answer_route(&zero, m.cid, "a", 1, 1));
	play_turn(&p);
	CHECK(reads_hello(&peer));
	for (unsigned times = 1; times <= 2; times++) {
		CHECK_EQ(play_read_any(&peer, &m), 1);
		CHECK_EQ(m.kind, WIRE_CALL);
		CHECK(answer_number(&peer, m.cid, 1));
		play_turn(&p);
		CHECK_EQ(h.times, times);
		CHECK_EQ(native_call(p.native, NULL, "a.one", NULL, 0,
				     on_answer, &h, NULL),
			 0);
	}
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that names which thoxd answers itself go over context 0. */
static void test_thoxds_own_names(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero;
	struct play p;

	CHECK(open_zero(&p, &zero));
	CHECK_EQ(native_call(p.native, NULL, "clock", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "clock", &m));
	CHECK(answer_route(&zero, m.cid, "clock", 0, 0));
	play_turn(&p);
	CHECK(reads(&zero, WIRE_CALL, "clock", &m));
	CHECK(answer_number(&zero, m.cid, 5));
	play_turn(&p);
	CHECK_EQ(h.number, 5);
	play_close(&p);
	link_deinit(&zero);
}

/* Verify that calls of one name share a question, and all hear of a refusal,
 * which is asked for again the next time. */
static void test_refused_names(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero;
	struct play p;

	CHECK(open_zero(&p, &zero));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(native_call(p.native, NULL, "no.such", NULL, 0,
				     on_answer, &h, NULL),
			 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "no.such", &m));
	CHECK(answer_failure(&zero, m.cid, STATUS_NOT_FOUND, "nobody there"));
	play_turn(&p);
	CHECK_EQ(h.times, 3);
	CHECK_EQ(h.status, STATUS_NOT_FOUND);
	CHECK_STR(h.text, "nobody there");
	CHECK_EQ(play_read(&zero, &m), 0);
	CHECK_EQ(native_call(p.native, NULL, "no.such", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "no.such", &m));
	play_close(&p);
	link_deinit(&zero);
}

/* Verify that a route which thoxd takes back is asked for again, while calls
 * that are under way go on. */
static void test_forgotten_route(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct mp_writer w;
	uint8_t buf[64];
	struct play p;
	uint32_t old;

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a.two", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a.two", &m));
	old = m.cid;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_FORGET);
	mp_write_str(&w, "a.deeper");
	CHECK(play_say(&p, &w));
	play_turn(&p);
	CHECK_EQ(native_call(p.native, NULL, "a.two", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "a.two", &m));
	CHECK(answer_number(&peer, old, 2));
	play_turn(&p);
	CHECK_EQ(h.number, 2);
	CHECK(answer_route(&zero, m.cid, "a", 1, 1)); /* the same one */
	play_turn(&p);
	CHECK(reads(&peer, WIRE_CALL, "a.two", &m));
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that of several instances the least busy one is called. */
static void test_instances(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, a, b;
	struct play p;
	uint32_t first;

	CHECK(open_zero(&p, &zero));
	CHECK_EQ(native_call(p.native, NULL, "s", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "s", &m));
	CHECK(play_hold(&p, 1, false, false, ZERO, &a));
	CHECK(play_hold(&p, 2, false, false, ZERO, &b));
	CHECK(answer_route(&zero, m.cid, "s", 1, 2));
	play_turn(&p);
	CHECK(reads(&a, WIRE_CALL, "s", &m));
	first = m.cid;
	for (int i = 0; i < 2; i++)
		CHECK_EQ(native_call(p.native, NULL, "s", NULL, 0, on_answer,
				     &h, NULL),
			 0);
	CHECK(reads(&b, WIRE_CALL, "s", &m));
	CHECK(reads(&a, WIRE_CALL, "s", &m)); /* both had one: the first */
	CHECK(answer_number(&a, first, 1));
	CHECK(answer_number(&a, m.cid, 1));
	play_turn(&p);
	CHECK_EQ(native_call(p.native, NULL, "s", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK(reads(&a, WIRE_CALL, "s", &m));
	CHECK_EQ(play_read(&b, &m), 0);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&a);
	link_deinit(&b);
}

/* Verify that the end of a provider answers its calls CLOSED, is told to
 * thoxd, and makes the next call ask again. */
static void test_provider_dies(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct play p;
	uint64_t told[4];

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	link_deinit(&peer);
	play_turn(&p);
	CHECK_EQ(h.times, 2);
	CHECK_EQ(h.status, STATUS_CLOSED);
	CHECK_EQ(play_told(&p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(told[0], 1);
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "a", &m));
	play_close(&p);
	link_deinit(&zero);
}

/* Verify that after `moved` nothing more goes over the link, what is under
 * way is still answered, and then the link is closed. */
static void test_moved(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct mp_writer w;
	uint8_t buf[64];
	struct play p;
	uint64_t told[4];
	uint32_t cid;

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a", &m));
	cid = m.cid;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_moved(&w);
	CHECK(play_send(&peer, &w));
	play_turn(&p);
	CHECK(reads(&peer, WIRE_MOVED, NULL, &m));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK(reads(&zero, WIRE_RESOLVE, "a", &m));
	CHECK_EQ(play_told(&p, told), -1);
	CHECK(answer_number(&peer, cid, 9));
	play_turn(&p);
	CHECK_EQ(h.number, 9);
	CHECK_EQ(play_told(&p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(play_read(&peer, &m), -ECONNRESET);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that links which went before the answer was read are asked for
 * again, and not for ever. */
static void test_route_that_is_gone(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero;
	struct play p;

	CHECK(open_zero(&p, &zero));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(h.times, 0);
		CHECK(reads(&zero, WIRE_RESOLVE, "a", &m));
		CHECK(answer_route(&zero, m.cid, "a", 77, 1));
		play_turn(&p);
	}
	CHECK_EQ(h.times, 1);
	CHECK_EQ(h.status, STATUS_CLOSED);
	play_close(&p);
	link_deinit(&zero);
}

/* --- the life of a call -----------------------------------------------------
 */

/* Verify that a deadline travels, ends the call, and tells the callee. */
static void test_deadline(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct play p;
	uint32_t cid;

	CHECK(open_routed(&p, &zero, &peer, &h));
	h.times = 0;
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 1, on_answer, &h, NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a", &m));
	CHECK(m.deadline_ms > 0);
	cid = m.cid;
	while (h.times == 0)
		CHECK_EQ(native_wait(p.native, -1), 0);
	CHECK_EQ(h.status, STATUS_TIMEOUT);
	CHECK(reads(&peer, WIRE_CANCEL, NULL, &m));
	CHECK_EQ(m.cid, cid);
	CHECK(answer_number(&peer, cid, 1)); /* too late: passed over */
	play_turn(&p);
	CHECK_EQ(h.times, 1);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that deadlines hold before context 0 or a name is there. */
static void test_deadline_before_it_is_sent(void)
{
	struct heard h = { 0 };
	struct link zero;
	struct play p;

	CHECK(play_open(&p));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 1, on_answer, &h, NULL),
		 0);
	while (h.times == 0)
		CHECK_EQ(native_wait(p.native, -1), 0);
	CHECK_EQ(h.status, STATUS_TIMEOUT);
	CHECK(play_hold(&p, ZERO, true, true, 0, &zero));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 1, on_answer, &h, NULL),
		 0);
	while (h.times == 1)
		CHECK_EQ(native_wait(p.native, -1), 0);
	CHECK_EQ(h.status, STATUS_TIMEOUT);
	play_close(&p);
	link_deinit(&zero);
}

/* Verify that a cancelled call is heard of no more. */
static void test_cancel(void)
{
	struct heard h = { 0 };
	struct native_pending *pending;
	struct wire_message m;
	struct link zero, peer;
	struct play p;
	uint32_t cid;

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h,
			     &pending),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a", &m));
	cid = m.cid;
	native_cancel(pending);
	CHECK(reads(&peer, WIRE_CANCEL, NULL, &m));
	CHECK_EQ(m.cid, cid);
	CHECK(answer_number(&peer, cid, 1));
	play_turn(&p);
	CHECK_EQ(h.times, 1); /* of open_routed() */
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that answers find their calls in any order. */
static void test_answers_out_of_order(void)
{
	struct heard h[3] = { 0 }, first = { 0 };
	struct wire_message m;
	struct link zero, peer;
	uint32_t cid[3];
	struct play p;

	CHECK(open_routed(&p, &zero, &peer, &first));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer,
				     &h[i], NULL),
			 0);
		CHECK(reads(&peer, WIRE_CALL, "a", &m));
		cid[i] = m.cid;
	}
	for (int i = 2; i >= 0; i--)
		CHECK(answer_number(&peer, cid[i], 10 + i));
	CHECK(answer_number(&peer, 12345, 0)); /* nobody's */
	play_turn(&p);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(h[i].number, 10 + i);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that wrong use is refused at once, and so is what is too much. */
static void test_refused_at_once(void)
{
	struct heard h = { 0 };
	struct native_values v;
	struct link zero, peer;
	struct mp_writer w;
	uint8_t buf[64];
	struct play p;

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a..b", NULL, 0, NULL, NULL, NULL),
		 -EINVAL);
	native_values_init(&v);
	mp_write_int(&v.w, 1); /* no array */
	CHECK_EQ(native_call(p.native, NULL, "a", &v, 0, NULL, NULL, NULL),
		 -EINVAL);
	native_values_clear(&v);
	mp_write_array(&v.w, 2);
	mp_write_int(&v.w, 1); /* one is missing */
	CHECK_EQ(native_call(p.native, NULL, "a", &v, 0, NULL, NULL, NULL),
		 -EINVAL);
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_hello(&w, 100); /* the callee takes 100 bytes */
	CHECK(play_send(&peer, &w));
	play_turn(&p);
	native_values_clear(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, "more than a hundred bytes, all told: "
			   "more than a hundred bytes, all told: "
			   "more than a hundred bytes, all told");
	CHECK_EQ(native_call(p.native, NULL, "a", &v, 0, NULL, NULL, NULL),
		 -EMSGSIZE);
	native_values_deinit(&v);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that a callee which takes nothing stops the calls, not the memory;
 * and that they go on when it reads again. */
static void test_flooded_callee(void)
{
	static char big[65000];
	struct heard h = { 0 };
	struct wire_message m;
	struct native_values v;
	struct link zero, peer;
	struct play p;
	int sent = 0, got = 0, r;

	CHECK(open_routed(&p, &zero, &peer, &h));
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_strn(&v.w, big, sizeof(big));
	while ((r = native_call(p.native, NULL, "a", &v, 0, on_answer, &h,
				NULL)) == 0 &&
	       sent < 1000)
		sent++;
	CHECK_EQ(r, -ENOBUFS);
	CHECK(sent > 3 && sent < 100);
	for (int i = 0; i < 200; i++) {
		if (play_read(&peer, &m) == 1) {
			got++;
			CHECK(answer_number(&peer, m.cid, got));
		}
		CHECK_EQ(native_dispatch(p.native), 0);
	}
	CHECK_EQ(got, sent);
	CHECK_EQ(h.times, sent + 1);
	CHECK_EQ(native_call(p.native, NULL, "a", &v, 0, on_answer, &h, NULL),
		 0);
	native_values_deinit(&v);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* --- contexts in calls ------------------------------------------------------
 */

static const struct native_handler nothing = { 0 };

/* Verify that a call with contexts waits until thoxd has made them, carries
 * their numbers, and lets nothing pass it. */
static void test_contexts_in_arguments(void)
{
	struct native_context *one, *two;
	struct heard h = { 0 };
	struct wire_message m;
	struct native_values v;
	struct link zero, peer;
	struct mp_reader r;
	struct play p;
	uint64_t told[4], ids[2];

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_context_new(p.native, &nothing, NULL, &one), 0);
	CHECK_EQ(native_context_new(p.native, &nothing, NULL, &two), 0);
	native_values_init(&v);
	mp_write_array(&v.w, 3);
	native_write_own(&v, one);
	mp_write_str(&v.w, "between");
	native_write_own(&v, two);
	CHECK_EQ(native_call(p.native, NULL, "a.x", &v, 0, on_answer, &h, NULL),
		 0);
	native_values_deinit(&v);
	CHECK_EQ(native_call(p.native, NULL, "a.y", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(play_told(&p, told), CONTROL_SHARE_OWN);
		CHECK_EQ(told[1], i + 1); /* its number here */
		CHECK_EQ(told[2], 1);	  /* over the link of the call */
		ids[i] = told[0];
	}
	CHECK_EQ(play_read(&peer, &m), 0);
	CHECK(play_shared(&p, ids[0], STATUS_OK, 1001));
	play_turn(&p);
	CHECK_EQ(play_read(&peer, &m), 0);
	CHECK(play_shared(&p, ids[1], STATUS_OK, 1002));
	play_turn(&p);
	CHECK(reads(&peer, WIRE_CALL, "a.x", &m));
	mp_reader_init(&r, m.args.p, m.args.size);
	CHECK_EQ(mp_read_array(&r), 3);
	CHECK_EQ(wire_read_context(&r), 1001);
	CHECK(mp_bytes_equal(mp_read_str(&r), "between"));
	CHECK_EQ(wire_read_context(&r), 1002);
	CHECK_EQ(mp_end(&r), 0);
	CHECK(reads(&peer, WIRE_CALL, "a.y", &m));
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that a context which cannot be shared fails its call alone. */
static void test_context_not_shared(void)
{
	struct native_context *one;
	struct heard h = { 0 };
	struct wire_message m;
	struct native_values v;
	struct link zero, peer;
	struct play p;
	uint64_t told[4];

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_context_new(p.native, &nothing, NULL, &one), 0);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	native_write_own(&v, one);
	CHECK_EQ(native_call(p.native, NULL, "a.x", &v, 0, on_answer, &h, NULL),
		 0);
	native_values_deinit(&v);
	CHECK_EQ(native_call(p.native, NULL, "a.y", NULL, 0, on_answer, &h,
			     NULL),
		 0);
	CHECK_EQ(play_told(&p, told), CONTROL_SHARE_OWN);
	CHECK(play_shared(&p, told[0], STATUS_INVALID, 0));
	play_turn(&p);
	CHECK_EQ(h.times, 2);
	CHECK_EQ(h.status, STATUS_INVALID);
	CHECK_STR(h.text, "there is no such context");
	CHECK(reads(&peer, WIRE_CALL, "a.y", &m));
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* A context of an answer, kept. */
static struct native_link *taken;

static void on_context(struct native *n, const struct native_answer *a,
		       void *user)
{
	struct mp_reader r;

	(void)user;
	mp_reader_init(&r, a->args.p, a->args.size);
	mp_read_array(&r);
	taken = native_take(n, &r);
}

static bool answer_context(struct link *peer, uint32_t cid, uint64_t number)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_answer(&w, cid, STATUS_OK);
	mp_write_array(&w, 1);
	wire_write_context(&w, number);
	return play_send(peer, &w);
}

/* Verify that a context of an answer can be called on and shared on, and is
 * the user's to close; also when thoxd's word of it is read second. */
static void test_context_of_an_answer(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct native_values v;
	struct link zero, peer, given;
	struct play p;
	uint64_t told[4];

	CHECK(open_routed(&p, &zero, &peer, &h));
	taken = NULL;
	CHECK_EQ(native_call(p.native, NULL, "a.open", NULL, 0, on_context,
			     NULL, NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a.open", &m));
	CHECK(answer_context(&peer, m.cid, 55));
	CHECK(play_hold(&p, 55, false, false, 1, &given));
	play_turn(&p);
	CHECK(taken != NULL);
	CHECK_EQ(native_call(p.native, taken, "any.name", NULL, 0, on_answer,
			     &h, NULL),
		 0);
	CHECK(reads(&given, WIRE_CALL, "any.name", &m));
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	native_write_link(&v, taken);
	CHECK_EQ(native_call(p.native, NULL, "a", &v, 0, NULL, NULL, NULL), 0);
	native_values_deinit(&v);
	CHECK_EQ(play_told(&p, told), CONTROL_SHARE_HELD);
	CHECK_EQ(told[1], 55);
	CHECK_EQ(told[2], 1);
	native_link_close(taken);
	CHECK_EQ(play_told(&p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(told[0], 55);
	CHECK_EQ(h.status, STATUS_CLOSED);
	CHECK_EQ(play_read(&given, &m), -ECONNRESET);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
	link_deinit(&given);
}

/* Verify that a context which nobody takes is closed when its message was
 * handled. */
static void test_context_not_taken(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer, given;
	struct play p;
	uint64_t told[4];

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a", &m));
	CHECK(play_hold(&p, 55, false, false, 1, &given));
	CHECK(answer_context(&peer, m.cid, 55));
	play_turn(&p);
	CHECK_EQ(h.times, 2);
	CHECK_EQ(play_told(&p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(told[0], 55);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
	link_deinit(&given);
}

/* Verify that a peer which names a context that another one shared gets
 * nothing of it, and does not close it either. */
static void test_context_of_another(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer, given;
	struct play p;
	uint64_t told[4];

	CHECK(open_routed(&p, &zero, &peer, &h));
	taken = NULL;
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_context, NULL,
			     NULL),
		 0);
	CHECK(reads(&peer, WIRE_CALL, "a", &m));
	CHECK(play_hold(&p, 55, false, false, ZERO, &given));
	CHECK(answer_context(&peer, m.cid, 55));
	play_turn(&p);
	CHECK(taken == NULL);
	CHECK_EQ(play_told(&p, told), -1);
	CHECK_EQ(play_read(&given, &m), 0);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
	link_deinit(&given);
}

/* Verify that one peer cannot fill the table with contexts that no message
 * names. */
static void test_contexts_without_end(void)
{
	static struct link given[2 * NATIVE_CONTEXTS_MAX];
	struct heard h = { 0 };
	struct link zero, peer;
	struct play p;
	uint64_t told[4];
	unsigned closed = 0;

	CHECK(open_routed(&p, &zero, &peer, &h));
	for (unsigned i = 0; i < 2 * NATIVE_CONTEXTS_MAX; i++) {
		play_hold(&p, 1000 + i, false, false, 1, &given[i]);
		while (play_told(&p, told) == CONTROL_LINK_CLOSED)
			closed++;
	}
	CHECK_EQ(closed, NATIVE_CONTEXTS_MAX);
	link_deinit(&peer); /* whoever shared them goes, and they with it */
	play_turn(&p);
	while (play_told(&p, told) == CONTROL_LINK_CLOSED)
		closed++;
	CHECK_EQ(closed, 2 * NATIVE_CONTEXTS_MAX + 1);
	play_close(&p);
	link_deinit(&zero);
	for (unsigned i = 0; i < 2 * NATIVE_CONTEXTS_MAX; i++)
		link_deinit(&given[i]);
}

/* --- what is no message -----------------------------------------------------
 */

/* Verify that what breaks the rules ends its link, and thoxd's the process. */
static void test_broken_messages(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	struct link zero, peer;
	struct play p;

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, on_answer, &h, NULL),
		 0);
	CHECK_EQ(link_send(&peer, "\x91\x0f", 2, NULL, 0), 0); /* kind 15 */
	play_turn(&p);
	CHECK_EQ(h.status, STATUS_CLOSED);
	while (play_read(&peer, &m) == 1)
		;
	CHECK_EQ(play_read(&peer, &m), -ECONNRESET);
	CHECK_EQ(link_send(&zero, "\x91\x10", 2, NULL, 0), 0); /* 16 */
	CHECK_EQ(play_turn(&p), 0);
	CHECK_EQ(link_send(&p.control, "\x91\x7e", 2, NULL, 0), 0);
	CHECK_EQ(play_turn(&p), 0);
	CHECK_EQ(link_send(&p.control, "\x91\x59", 2, NULL, 0), 0);
	CHECK_EQ(play_turn(&p), -EBADMSG);
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 0, NULL, NULL, NULL),
		 -EBADMSG);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that thoxd's end is told, and that everything can be freed at any
 * time. */
static void test_end_of_thoxd(void)
{
	struct heard h = { 0 };
	struct link zero, peer;
	struct play p;

	CHECK(open_routed(&p, &zero, &peer, &h));
	CHECK_EQ(native_call(p.native, NULL, "a", NULL, 1000000, on_answer, &h,
			     NULL),
		 0);
	CHECK_EQ(native_call(p.native, NULL, "b", NULL, 0, on_answer, &h, NULL),
		 0);
	link_deinit(&p.control);
	CHECK_EQ(play_turn(&p), -ECONNRESET);
	CHECK_EQ(h.times, 1);
	p.native = native_free(p.native);
	link_deinit(&zero);
	link_deinit(&peer);
}

int main(void)
{
	RUN(test_first_call_resolves);
	RUN(test_hello);
	RUN(test_thoxds_own_names);
	RUN(test_refused_names);
	RUN(test_forgotten_route);
	RUN(test_instances);
	RUN(test_provider_dies);
	RUN(test_moved);
	RUN(test_route_that_is_gone);
	RUN(test_deadline);
	RUN(test_deadline_before_it_is_sent);
	RUN(test_cancel);
	RUN(test_answers_out_of_order);
	RUN(test_refused_at_once);
	RUN(test_flooded_callee);
	RUN(test_contexts_in_arguments);
	RUN(test_context_not_shared);
	RUN(test_context_of_an_answer);
	RUN(test_context_not_taken);
	RUN(test_context_of_another);
	RUN(test_contexts_without_end);
	RUN(test_broken_messages);
	RUN(test_end_of_thoxd);
	return tap_done();
}
