/*
 * What a native process answers, owns, binds and pushes: with play.h as thoxd
 * and as whoever calls.
 */

#include "native/native.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/tap.h"
#include "native/play.h"

#define ZERO 100

/* What the handler was told. */
struct served {
	int calls, cancels, pushes, opened, closed, returned;
	unsigned left;
	struct native_request *last; /* to be answered later */
	char name[WIRE_NAME_BYTES + 1];
	char text[64]; /* of a push */
	pid_t pid;
};

/* `echo` is answered with its arguments, `fail` fails, others later. */
static void on_call(struct native_request *q, void *user)
{
	struct served *s = user;
	struct native_values v;

	s->calls++;
	s->pid = q->peer->pid;
	strcpy(s->name, q->name);
	if (strcmp(q->name, "echo") == 0) {
		native_values_init(&v);
		mp_write_raw(&v.w, q->args.p, q->args.size);
		native_answer(q, &v);
		native_values_deinit(&v);
	} else if (strcmp(q->name, "fail") == 0) {
		native_answer_failure(q, STATUS_ERROR, "%d wrong", 3);
	} else {
		s->last = q;
	}
}

static void on_cancel(struct native_request *q, void *user)
{
	struct served *s = user;

	(void)q;
	s->cancels++;
}

static void on_push(struct native *n, struct native_peer *from,
		    struct mp_bytes name, struct mp_bytes args, void *user)
{
	struct served *s = user;
	struct mp_reader r;

	(void)n;
	s->pushes++;
	s->pid = from->pid;
	mp_bytes_copy(name, s->name, sizeof(s->name));
	mp_reader_init(&r, args.p, args.size);
	if (mp_read_array(&r) > 0)
		mp_bytes_copy(mp_read_str(&r), s->text, sizeof(s->text));
}

static void on_opened(struct native *n, struct native_peer *peer, void *user)
{
	struct served *s = user;

	(void)n;
	s->opened++;
	peer->data = s;
}

static void on_closed(struct native *n, struct native_peer *peer, unsigned left,
		      void *user)
{
	struct served *s = user;

	(void)n;
	s->closed += peer->data == s;
	s->left = left;
}

static const struct native_handler handler = {
	.call = on_call,
	.cancel = on_cancel,
	.push = on_push,
	.opened = on_opened,
	.closed = on_closed,
};

static bool call(struct link *peer, uint32_t cid, const char *name,
		 const char *text)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_call(&w, cid, name, strlen(name), 0);
	mp_write_array(&w, text ? 1 : 0);
	if (text)
		mp_write_str(&w, text);
	return play_send(peer, &w);
}

static bool push(struct link *peer, const char *name, const char *text)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_push(&w, name, strlen(name), false);
	mp_write_array(&w, 1);
	mp_write_str(&w, text);
	return play_send(peer, &w);
}

/* The answer to @cid is there, with this status and, if given, first value. */
static bool answered(struct link *peer, uint32_t cid, int status,
		     const char *text)
{
	struct wire_message m;
	struct mp_reader r;

	if (play_read(peer, &m) != 1 || m.kind != WIRE_ANSWER || m.cid != cid ||
	    m.status != status)
		return false;
	mp_reader_init(&r, m.args.p, m.args.size);
	if (mp_read_array(&r) == 0)
		return !text;
	return !text || mp_bytes_equal(mp_read_str(&r), text);
}

/* A process with one context, 1, and a holder of it over link 7. */
struct scene {
	struct play p;
	struct native_context *context;
	struct served served;
	struct link peer;
};

static bool open_scene(struct scene *s)
{
	const struct mp_bytes all = { NULL, 0 };

	memset(s, 0, sizeof(*s));
	return play_open(&s->p) &&
	       native_context_new(s->p.native, &handler, &s->served,
				  &s->context) == 0 &&
	       play_opened(&s->p, 7, 1, NULL, all, &s->peer) &&
	       s->served.opened == 1;
}

static void close_scene(struct scene *s)
{
	play_close(&s->p);
	link_deinit(&s->peer);
}

/* --- calls ------------------------------------------------------------------
 */

/* Verify that calls reach the handler with thoxd's word on who calls, and
 * answers and failures the caller. */
static void test_answers(void)
{
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 3, "echo", "hello"));
	CHECK(call(&s.peer, 4, "fail", NULL));
	play_turn(&s.p);
	CHECK(answered(&s.peer, 3, STATUS_OK, "hello"));
	CHECK(answered(&s.peer, 4, STATUS_ERROR, "3 wrong"));
	CHECK_EQ(s.served.calls, 2);
	CHECK_EQ(s.served.pid, 4321);
	close_scene(&s);
}

/* Verify that a request can be answered later, and others before it. */
static void test_answers_later(void)
{
	struct native_request *slow;
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "slow", NULL));
	play_turn(&s.p);
	slow = s.served.last;
	CHECK(slow && slow->context == s.context);
	CHECK(call(&s.peer, 2, "echo", "x"));
	play_turn(&s.p);
	CHECK(answered(&s.peer, 2, STATUS_OK, "x"));
	CHECK_EQ(native_answer(slow, NULL), 0);
	CHECK(answered(&s.peer, 1, STATUS_OK, NULL));
	close_scene(&s);
}

/* Verify that a cancelled request is told once, and answered into nothing by
 * the caller's own choice. */
static void test_cancelled_request(void)
{
	uint8_t buf[32];
	struct mp_writer w;
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "slow", NULL));
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_cancel(&w, 1);
	CHECK(play_send(&s.peer, &w));
	CHECK(play_send(&s.peer, &w));
	play_turn(&s.p);
	CHECK_EQ(s.served.cancels, 1);
	CHECK(s.served.last->cancelled);
	CHECK_EQ(native_answer_failure(s.served.last, STATUS_CANCELLED, "ok"),
		 0);
	close_scene(&s);
}

/* Verify that a request outlives its caller, with what it says of it. */
static void test_caller_dies(void)
{
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "slow", NULL));
	play_turn(&s.p);
	link_deinit(&s.peer);
	play_turn(&s.p);
	CHECK_EQ(s.served.cancels, 1);
	CHECK_EQ(s.served.closed, 1);
	CHECK_EQ(s.served.left, 0);
	CHECK_EQ(play_told(&s.p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(told[0], 7);
	CHECK(s.served.last->cancelled);
	CHECK_EQ(s.served.last->peer->pid, 4321);
	CHECK_STR(s.served.last->peer->program, "caller");
	CHECK_EQ(s.served.last->peer->storage_bytes, 5000);
	CHECK_EQ(native_answer(s.served.last, NULL), -EPIPE);
	play_turn(&s.p);
	play_close(&s.p);
}

/* Verify that a context's end is its holders', told once to thoxd, with no
 * callback any more; and that what was being served is answered in peace. */
static void test_context_closed(void)
{
	struct wire_message m;
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "slow", NULL));
	play_turn(&s.p);
	CHECK_EQ(native_context_holders(s.context), 1);
	s.context = native_context_close(s.context);
	/* which says enough of its links */
	CHECK_EQ(play_told(&s.p, told), CONTROL_CONTEXT_CLOSED);
	CHECK_EQ(told[0], 1);
	CHECK_EQ(play_told(&s.p, told), -1);
	play_turn(&s.p);
	CHECK_EQ(play_read(&s.peer, &m), -ECONNRESET);
	CHECK_EQ(s.served.closed + s.served.cancels, 0);
	CHECK(s.served.last->cancelled);
	CHECK(!s.served.last->context);
	CHECK_EQ(native_answer(s.served.last, NULL), -EPIPE);
	play_close(&s.p);
}

/* Verify that all can be freed while requests are open. */
static void test_freed_with_requests(void)
{
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "slow", NULL));
	play_turn(&s.p);
	play_close(&s.p);
	CHECK_EQ(s.served.closed + s.served.cancels, 0);
	link_deinit(&s.peer);
}

/* Verify that two calls with one number, which no answer could tell apart, end
 * the link. */
static void test_same_cid_twice(void)
{
	struct wire_message m;
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "slow", NULL));
	CHECK(call(&s.peer, 1, "slow", NULL));
	play_turn(&s.p);
	CHECK_EQ(s.served.calls, 1);
	CHECK_EQ(s.served.closed, 1);
	CHECK_EQ(play_read(&s.peer, &m), -ECONNRESET);
	native_answer(s.served.last, NULL);
	close_scene(&s);
}

/* Verify that a question where a name goes is answered here: over this link. */
static void test_asked_to_resolve(void)
{
	uint8_t buf[64];
	struct mp_writer w;
	struct scene s;

	CHECK(open_scene(&s));
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_resolve(&w, 9, "a.b", 3);
	CHECK(play_send(&s.peer, &w));
	play_turn(&s.p);
	CHECK(answered(&s.peer, 9, STATUS_OK, ""));
	CHECK_EQ(s.served.calls, 0);
	close_scene(&s);
}

/* --- grants -----------------------------------------------------------------
 */

static void write_pair(struct mp_writer *w, const char *allow, const char *deny)
{
	mp_write_array(w, 2);
	mp_write_array(w, 1);
	mp_write_str(w, allow);
	mp_write_array(w, deny ? 1 : 0);
	if (deny)
		mp_write_str(w, deny);
}

/* Verify that calls, pushes and wishes outside of the grant come to nothing,
 * every pair of it counting. */
static void test_grants(void)
{
	uint8_t buf[128], out[64];
	struct mp_writer w, listen;
	struct native_values v;
	struct wire_message m;
	struct link peer;
	struct scene s;

	CHECK(open_scene(&s));
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	write_pair(&w, "**", "fs.write");
	write_pair(&w, "fs.*", NULL);
	CHECK(play_opened(&s.p, 8, 1, NULL,
			  (struct mp_bytes){ (char *)buf, w.used }, &peer));
	CHECK(call(&peer, 1, "fs.read", NULL));
	CHECK(call(&peer, 2, "fs.write", NULL));
	CHECK(call(&peer, 3, "echo", NULL));
	CHECK(push(&peer, "echo", "x"));
	play_turn(&s.p);
	CHECK_EQ(s.served.calls, 1);
	CHECK_EQ(s.served.pushes, 0);
	CHECK(answered(&peer, 2, STATUS_DENIED,
		       "fs.write: not among what the caller's policy grants"));
	CHECK(answered(&peer, 3, STATUS_DENIED, NULL));
	native_answer(s.served.last, NULL);
	CHECK(answered(&peer, 1, STATUS_OK, NULL));
	mp_writer_init(&listen, out, sizeof(out));
	wire_write_listen(&listen, "fs", 2, true); /* not granted itself */
	CHECK(play_send(&peer, &listen));
	mp_writer_init(&listen, out, sizeof(out));
	wire_write_listen(&listen, "fs.news", 7, true);
	CHECK(play_send(&peer, &listen));
	play_turn(&s.p);
	native_values_init(&v);
	mp_write_array(&v.w, 0);
	CHECK_EQ(native_push_own(s.context, "fs.other", &v), 0);
	CHECK_EQ(play_read(&peer, &m), 0);
	CHECK_EQ(native_push_own(s.context, "fs.news", &v), 0);
	CHECK_EQ(play_read(&peer, &m), 1);
	CHECK_EQ(m.kind, WIRE_PUSH);
	native_values_deinit(&v);
	link_deinit(&peer);
	close_scene(&s);
}

/* --- bounds -----------------------------------------------------------------
 */

/* Verify that a caller who asks without end is read no further than the
 * limit, until something is answered. */
static void test_flood_of_calls(void)
{
	struct native_request *first = NULL;
	unsigned sent = 0;
	struct scene s;

	CHECK(open_scene(&s));
	while (sent < 2000) {
		if (!call(&s.peer, ++sent, "slow", NULL) ||
		    link_has_queued(&s.peer))
			break;
		play_turn(&s.p);
		if (!first)
			first = s.served.last;
	}
	for (unsigned i = 0; i < NATIVE_REQUESTS_MAX; i++)
		play_turn(&s.p);
	CHECK_EQ(s.served.calls, NATIVE_REQUESTS_MAX);
	CHECK_EQ(native_answer(first, NULL), 0);
	play_turn(&s.p);
	CHECK_EQ(s.served.calls, NATIVE_REQUESTS_MAX + 1);
	close_scene(&s);
}

/* Verify that answers which nobody takes stop the reading of calls, and that
 * their memory ends somewhere. */
static void test_answers_not_taken(void)
{
	static char big[60000];
	struct native_values v;
	struct scene s;
	int calls = 0, r = 0;

	CHECK(open_scene(&s));
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_strn(&v.w, big, sizeof(big));
	for (int i = 1; i <= 100; i++) {
		CHECK(call(&s.peer, (uint32_t)i, "slow", NULL));
		play_turn(&s.p);
		if (s.served.calls == calls)
			break;
		calls = s.served.calls;
		r = native_answer(s.served.last, &v);
		CHECK_EQ(r, 0);
	}
	CHECK(calls > 1 && calls < 20);
	native_values_deinit(&v);
	for (int i = 1; i <= calls; i++) {
		CHECK(answered(&s.peer, (uint32_t)i, STATUS_OK, NULL));
		play_turn(&s.p);
	}
	CHECK_EQ(s.served.calls, calls + 1); /* it is read again */
	native_answer(s.served.last, NULL);
	close_scene(&s);
}

/* Verify that an answer over the caller's limit becomes TOO_LARGE. */
static void test_answer_too_large(void)
{
	static char big[1000];
	uint8_t buf[64];
	struct native_values v;
	struct mp_writer w;
	struct scene s;

	CHECK(open_scene(&s));
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_hello(&w, 500);
	CHECK(play_send(&s.peer, &w));
	CHECK(call(&s.peer, 1, "slow", NULL));
	play_turn(&s.p);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_strn(&v.w, big, sizeof(big));
	CHECK_EQ(native_answer(s.served.last, &v), -EMSGSIZE);
	native_values_deinit(&v);
	CHECK(answered(&s.peer, 1, STATUS_TOO_LARGE,
		       "the answer is larger than the caller takes"));
	close_scene(&s);
}

/* --- contexts ---------------------------------------------------------------
 */

/* The last request is answered with the scene's context. */
static int answer_own(struct scene *s)
{
	struct native_values v;
	int r;

	native_values_init(&v);
	mp_write_array(&v.w, 1);
	native_write_own(&v, s->context);
	r = native_answer(s->served.last, &v);
	native_values_deinit(&v);
	return r;
}

/* Verify that a context in an answer is made before the answer goes. */
static void test_context_in_answer(void)
{
	struct wire_message m;
	struct mp_reader r;
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "open", NULL));
	play_turn(&s.p);
	CHECK_EQ(answer_own(&s), 0);
	CHECK_EQ(play_told(&s.p, told), CONTROL_SHARE_OWN);
	CHECK_EQ(told[1], 1);
	CHECK_EQ(told[2], 7);
	CHECK_EQ(play_read(&s.peer, &m), 0);
	CHECK(play_shared(&s.p, told[0], STATUS_OK, 2000));
	play_turn(&s.p);
	CHECK_EQ(play_read(&s.peer, &m), 1);
	mp_reader_init(&r, m.args.p, m.args.size);
	mp_read_array(&r);
	CHECK_EQ(wire_read_context(&r), 2000);
	close_scene(&s);
}

/* Verify that the answer of thoxd may come with the end of the link: the
 * context has its holder, and what waited for it goes; also when the context
 * was closed meanwhile. */
static void test_context_joined(void)
{
	struct wire_message m;
	struct mp_reader r;
	struct link ends[2];
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(call(&s.peer, 1 + i, "open", NULL));
		play_turn(&s.p);
		CHECK_EQ(answer_own(&s), 0);
		CHECK_EQ(play_told(&s.p, told), CONTROL_SHARE_OWN);
		CHECK_EQ(play_read(&s.peer, &m), 0);
		CHECK(play_joined(&s.p, 2000 + i, i ? 4711 : 1, told[0],
				  &ends[i]));
		CHECK_EQ(play_read(&s.peer, &m), 1);
		CHECK_EQ(m.cid, 1 + i);
		mp_reader_init(&r, m.args.p, m.args.size);
		mp_read_array(&r);
		CHECK_EQ(wire_read_context(&r), 2000 + i);
	}
	CHECK_EQ(native_context_holders(s.context), 2);
	CHECK_EQ(play_told(&s.p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(told[0], 2001);
	CHECK(call(&ends[0], 1, "echo", "x"));
	play_turn(&s.p);
	CHECK(answered(&ends[0], 1, STATUS_OK, "x"));
	link_deinit(&ends[0]);
	link_deinit(&ends[1]);
	close_scene(&s);
}

static void on_returned(struct native *n, struct native_peer *peer, void *user)
{
	struct served *s = user;

	(void)n;
	(void)peer;
	s->returned++;
}

static const struct native_handler takes_back = {
	.call = on_call,
	.opened = on_opened,
	.closed = on_closed,
	.returned = on_returned,
};

static bool give_back(struct link *peer)
{
	uint8_t buf[8];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_return(&w);
	return play_send(peer, &w);
}

/* Verify that who takes contexts back says so at once, is told, and can name
 * the link again without thoxd. */
static void test_given_back(void)
{
	struct native_context *two;
	struct native_values v;
	struct wire_message m;
	struct mp_reader r;
	struct link peer;
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	CHECK_EQ(native_context_new(s.p.native, &takes_back, &s.served, &two),
		 0);
	CHECK(play_opened(&s.p, 8, 2, NULL, (struct mp_bytes){ 0 }, &peer));
	CHECK_EQ(play_read_any(&peer, &m), 1);
	CHECK(m.kind == WIRE_HELLO && m.returns);
	CHECK(give_back(&peer));
	play_turn(&s.p);
	CHECK_EQ(s.served.returned, 1);
	CHECK_EQ(native_context_holders(two), 1);
	CHECK(call(&s.peer, 1, "open", NULL));
	play_turn(&s.p);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	native_write_again(&v, 8);
	CHECK_EQ(native_answer(s.served.last, &v), 0);
	native_values_deinit(&v);
	CHECK_EQ(play_told(&s.p, told), -1);
	CHECK_EQ(play_read(&s.peer, &m), 1);
	mp_reader_init(&r, m.args.p, m.args.size);
	mp_read_array(&r);
	CHECK_EQ(wire_read_context(&r), 8);
	CHECK(call(&peer, 1, "slow", NULL));
	CHECK(give_back(&peer)); /* while a call waits */
	play_turn(&s.p);
	CHECK_EQ(s.served.returned, 1);
	CHECK_EQ(native_context_holders(two), 0);
	CHECK_EQ(native_answer(s.served.last, NULL), -EPIPE);
	link_deinit(&peer);
	close_scene(&s);
}

/* Verify that it is an end where nobody takes it back, and that a hello says
 * nothing of it there. */
static void test_given_back_to_nobody(void)
{
	struct wire_message m;
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "echo", "x"));
	play_turn(&s.p);
	CHECK_EQ(play_read_any(&s.peer, &m), 1);
	CHECK(m.kind == WIRE_HELLO && !m.returns);
	CHECK(answered(&s.peer, 1, STATUS_OK, "x"));
	CHECK(give_back(&s.peer));
	play_turn(&s.p);
	CHECK_EQ(s.served.closed, 1);
	CHECK_EQ(play_read(&s.peer, &m), -ECONNRESET);
	close_scene(&s);
}

static void on_last_closed(struct native *n, struct native_peer *peer,
			   unsigned left, void *user)
{
	struct native_context **context = user;

	(void)n;
	(void)peer;
	if (left == 0)
		*context = native_context_close(*context);
}

static const struct native_handler closes = { .closed = on_last_closed };

/* Verify that of a context that its owner closes when the last holder is gone
 * thoxd hears once, and of one that is kept, of the link. */
static void test_closing_is_told_once(void)
{
	struct native_context *two;
	struct link peer;
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	CHECK_EQ(native_context_new(s.p.native, &closes, &two, &two), 0);
	CHECK(play_opened(&s.p, 8, 2, NULL, (struct mp_bytes){ 0 }, &peer));
	link_deinit(&peer);
	play_turn(&s.p);
	CHECK(!two);
	CHECK_EQ(play_told(&s.p, told), CONTROL_CONTEXT_CLOSED);
	CHECK_EQ(told[0], 2);
	CHECK_EQ(play_told(&s.p, told), -1);
	link_deinit(&s.peer);
	play_turn(&s.p);
	CHECK_EQ(play_told(&s.p, told), CONTROL_LINK_CLOSED);
	CHECK_EQ(told[0], 7);
	CHECK_EQ(play_told(&s.p, told), -1);
	play_close(&s.p);
}

/* Verify that a process can hold a context of its own: both ends of one link
 * are its. */
static void test_own_context_held(void)
{
	struct link given;
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(play_hold(&s.p, 7, false, false, 100, &given));
	CHECK(call(&s.peer, 1, "echo", "x"));
	play_turn(&s.p);
	CHECK(answered(&s.peer, 1, STATUS_OK, "x"));
	link_deinit(&given);
	play_turn(&s.p);
	CHECK_EQ(s.served.closed, 0);
	CHECK(call(&s.peer, 2, "echo", "y"));
	play_turn(&s.p);
	CHECK(answered(&s.peer, 2, STATUS_OK, "y"));
	close_scene(&s);
}

struct heard {
	int times;
	int status;
};

static void on_done(struct native *n, const struct native_answer *a, void *user)
{
	struct heard *h = user;

	(void)n;
	h->times++;
	h->status = a->status;
}

/* Verify that revoking closes the ends that thoxd names. */
static void test_revoke(void)
{
	struct heard h = { 0 };
	struct wire_message m;
	uint8_t buf[64];
	struct mp_writer w;
	uint64_t told[4];
	struct scene s;

	CHECK(open_scene(&s));
	CHECK_EQ(native_revoke(s.context, 4321, on_done, &h), 0);
	CHECK_EQ(play_told(&s.p, told), CONTROL_REVOKE);
	CHECK_EQ(told[1], 1);
	CHECK_EQ(told[2], 4321);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_REVOKED);
	mp_write_uint(&w, told[0]);
	mp_write_int(&w, STATUS_OK);
	mp_write_array(&w, 1);
	mp_write_uint(&w, 7);
	CHECK(play_say(&s.p, &w));
	play_turn(&s.p);
	CHECK_EQ(h.times, 1);
	CHECK_EQ(s.served.closed, 1);
	CHECK_EQ(play_read(&s.peer, &m), -ECONNRESET);
	close_scene(&s);
}

/* --- another thoxd ----------------------------------------------------------
 */

static bool say_again(struct play *p, uint64_t number)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_AGAIN);
	mp_write_uint(&w, number);
	return play_say(p, &w);
}

/* Verify that another thoxd is asked again for what the last one has not
 * answered, behind the mark that it was heard, and that nothing else changes
 * for whoever is served. */
static void test_another_thoxd(void)
{
	uint64_t share[4], revoke[4], told[4];
	struct wire_message m;
	struct heard h = { 0 };
	struct scene s;

	CHECK(open_scene(&s));
	CHECK(call(&s.peer, 1, "open", NULL));
	play_turn(&s.p);
	CHECK_EQ(answer_own(&s), 0);
	CHECK_EQ(native_revoke(s.context, 4321, on_done, &h), 0);
	CHECK_EQ(play_told(&s.p, share), CONTROL_SHARE_OWN);
	CHECK_EQ(play_told(&s.p, revoke), CONTROL_REVOKE);

	CHECK(say_again(&s.p, 3));
	CHECK_EQ(play_turn(&s.p), 0);
	CHECK_EQ(play_told(&s.p, told), CONTROL_AGAIN_HEARD);
	CHECK_EQ(told[0], 3);
	CHECK_EQ(play_told(&s.p, told), CONTROL_SHARE_OWN);
	CHECK(memcmp(told, share, 3 * sizeof(told[0])) == 0);
	CHECK_EQ(play_told(&s.p, told), CONTROL_REVOKE);
	CHECK(memcmp(told, revoke, 3 * sizeof(told[0])) == 0);
	CHECK_EQ(play_told(&s.p, told), -1);
	CHECK_EQ(play_read(&s.peer, &m), 0);
	CHECK_EQ(s.served.closed, 0);

	CHECK(play_shared(&s.p, share[0], STATUS_OK, 2000));
	CHECK(call(&s.peer, 2, "echo", "x"));
	play_turn(&s.p);
	CHECK_EQ(play_read(&s.peer, &m), 1);
	CHECK_EQ(m.cid, 1);
	CHECK(answered(&s.peer, 2, STATUS_OK, "x"));
	/* what was answered is asked no more */
	CHECK(say_again(&s.p, 4));
	play_turn(&s.p);
	CHECK_EQ(play_told(&s.p, told), CONTROL_AGAIN_HEARD);
	CHECK_EQ(play_told(&s.p, told), CONTROL_REVOKE);
	CHECK_EQ(play_told(&s.p, told), -1);
	close_scene(&s);
}

/* --- names ------------------------------------------------------------------
 */

/* Bind `svc` and answer thoxd's part of it with @status. */
static bool bind_name(struct play *p, struct link *zero, struct served *served,
		      struct heard *h, int status)
{
	uint8_t buf[128];
	struct wire_message m;
	struct mp_writer w;

	if (!play_open(p) || !play_hold(p, ZERO, true, false, 0, zero) ||
	    native_bind(p->native, "svc", NATIVE_FALLBACK, &handler, served,
			on_done, h) < 0 ||
	    play_read(zero, &m) != 1 || !mp_bytes_equal(m.name, "bind"))
		return false;
	mp_writer_init(&w, buf, sizeof(buf));
	if (status == STATUS_OK) {
		wire_begin_answer(&w, m.cid, STATUS_OK);
		mp_write_array(&w, 0);
	} else {
		wire_write_failure(&w, m.cid, status, "it is taken");
	}
	return play_send(zero, &w) && play_turn(p) == 0 && h->times == 1 &&
	       h->status == status;
}

/* Verify that a bound name is served, once it is bound and no longer than
 * that. */
static void test_bind(void)
{
	const struct mp_bytes all = { NULL, 0 };
	struct served served = { 0 };
	struct heard h = { 0 };
	struct link zero, peer;
	struct wire_message m;
	struct play p;

	CHECK(bind_name(&p, &zero, &served, &h, STATUS_OK));
	CHECK_EQ(native_bind(p.native, "svc", 0, &handler, NULL, NULL, NULL),
		 -EEXIST);
	CHECK(play_opened(&p, 9, 0, "svc", all, &peer));
	CHECK(call(&peer, 1, "svc.deep.er", NULL));
	play_turn(&p);
	CHECK_EQ(served.calls, 1);
	CHECK_STR(served.name, "svc.deep.er");
	CHECK(!served.last->context);
	CHECK_EQ(native_unbind(p.native, "svc"), 0);
	play_turn(&p);
	CHECK_EQ(play_read(&zero, &m), 1);
	CHECK(mp_bytes_equal(m.name, "unbind"));
	CHECK_EQ(play_read(&peer, &m), -ECONNRESET);
	native_answer(served.last, NULL);
	CHECK_EQ(native_unbind(p.native, "svc"), -ENOENT);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* Verify that a name which thoxd refuses is not served. */
static void test_bind_refused(void)
{
	struct served served = { 0 };
	struct heard h = { 0 };
	struct link zero;
	struct play p;

	CHECK(bind_name(&p, &zero, &served, &h, STATUS_DENIED));
	CHECK_EQ(native_unbind(p.native, "svc"), -ENOENT);
	play_close(&p);
	link_deinit(&zero);
}

/* Verify that a name which another instance takes over is left when its
 * callers have gone and their calls are answered. */
static void test_taken_over(void)
{
	const struct mp_bytes all = { NULL, 0 };
	struct served served = { 0 };
	struct heard h = { 0 };
	struct link zero, peer;
	struct wire_message m;
	uint8_t buf[32];
	struct mp_writer w;
	uint64_t told[4];
	struct play p;

	CHECK(bind_name(&p, &zero, &served, &h, STATUS_OK));
	CHECK(play_opened(&p, 9, 0, "svc", all, &peer));
	CHECK(call(&peer, 1, "svc", NULL));
	play_turn(&p);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_MOVE);
	mp_write_str(&w, "svc");
	CHECK(play_say(&p, &w));
	play_turn(&p);
	CHECK_EQ(play_read(&peer, &m), 1);
	CHECK_EQ(m.kind, WIRE_MOVED);
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_moved(&w);
	CHECK(play_send(&peer, &w));
	play_turn(&p);
	CHECK_EQ(play_told(&p, told), -1); /* a call is open */
	native_answer(served.last, NULL);
	CHECK_EQ(play_told(&p, told), CONTROL_NOTIFY);
	CHECK_EQ(play_told(&p, told), -1);
	play_close(&p);
	link_deinit(&zero);
	link_deinit(&peer);
}

/* --- pushes -----------------------------------------------------------------
 */

static void on_heard(struct native *n, const struct native_push *p, void *user)
{
	struct served *s = user;
	struct mp_reader r;

	(void)n;
	s->pushes++;
	s->pid = p->pid;
	s->left = (unsigned)p->lost;
	mp_bytes_copy(p->name, s->name, sizeof(s->name));
	mp_reader_init(&r, p->args.p, p->args.size);
	if (mp_read_array(&r) > 0)
		mp_bytes_copy(mp_read_str(&r), s->text, sizeof(s->text));
}

static bool push_info(struct link *peer, const char *name, int lost)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_push(&w, name, strlen(name), true);
	mp_write_array(&w, 1);
	mp_write_str(&w, "news");
	mp_write_map(&w, 2);
	mp_write_str(&w, "pid");
	mp_write_int(&w, 77);
	mp_write_str(&w, "lost");
	mp_write_int(&w, lost);
	return play_send(peer, &w);
}

/* Verify that the bus is listened to and pushed to, before context 0 is there
 * and after. */
static void test_bus_pushes(void)
{
	struct served s = { 0 };
	struct native_values v;
	struct wire_message m;
	struct link zero;
	struct play p;

	CHECK(play_open(&p));
	CHECK_EQ(native_listen(p.native, NULL, "chat", on_heard, &s), 0);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, "early");
	CHECK_EQ(native_push(p.native, NULL, "chat", &v), 0);
	native_values_deinit(&v);
	CHECK(play_hold(&p, ZERO, true, true, 0, &zero));
	CHECK_EQ(play_read(&zero, &m), 1);
	CHECK_EQ(m.kind, WIRE_LISTEN);
	CHECK(m.on);
	CHECK_EQ(play_read(&zero, &m), 1);
	CHECK_EQ(m.kind, WIRE_PUSH);
	CHECK(push_info(&zero, "chat.room", 3));
	CHECK(push_info(&zero, "chatter", 0)); /* another name */
	play_turn(&p);
	CHECK_EQ(s.pushes, 1);
	CHECK_STR(s.name, "chat.room");
	CHECK_STR(s.text, "news");
	CHECK_EQ(s.pid, 77);
	CHECK_EQ(s.left, 3);
	CHECK_EQ(native_unlisten(p.native, NULL, "chat"), 0);
	CHECK_EQ(play_read(&zero, &m), 1);
	CHECK(m.kind == WIRE_LISTEN && !m.on);
	CHECK(push_info(&zero, "chat", 0));
	play_turn(&p);
	CHECK_EQ(s.pushes, 1);
	play_close(&p);
	link_deinit(&zero);
}

/* Verify that pushes go from holder to owner, and to those holders that want
 * them; whoever does not take them misses them and stops nobody. */
static void test_own_pushes(void)
{
	static char big[50000];
	const struct mp_bytes all = { NULL, 0 };
	struct wire_message m;
	struct native_values v;
	struct link deaf;
	uint8_t buf[64];
	struct mp_writer w;
	struct scene s;
	int got = 0;

	CHECK(open_scene(&s));
	CHECK(play_opened(&s.p, 8, 1, NULL, all, &deaf));
	CHECK(push(&s.peer, "note", "to the owner"));
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_listen(&w, "tick", 4, true);
	CHECK(play_send(&s.peer, &w));
	CHECK(play_send(&deaf, &w));
	play_turn(&s.p);
	CHECK_EQ(s.served.pushes, 1);
	CHECK_STR(s.served.text, "to the owner");
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_strn(&v.w, big, sizeof(big));
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(native_push_own(s.context, "tick.tock", &v), 0);
		CHECK_EQ(native_push_own(s.context, "other", &v), 0);
		if (play_read(&s.peer, &m) == 1)
			got++;
		play_turn(&s.p);
	}
	CHECK_EQ(got, 50);
	native_values_deinit(&v);
	link_deinit(&deaf);
	close_scene(&s);
}

/* --- what thoxd asks --------------------------------------------------------
 */

/* The next record: its `what`, and its name or status. */
static bool traced(int fd, const char *what, uint64_t third)
{
	uint8_t buf[512];
	struct mp_reader r;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0)
		return false;
	mp_reader_init(&r, buf, (size_t)n);
	mp_read_array(&r);
	return mp_read_uint(&r) > 0 && mp_bytes_equal(mp_read_str(&r), what) &&
	       mp_read_uint(&r) == third;
}

static bool trace(struct play *p, bool on, const char *name, int fd)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, name ? 3 : 2);
	mp_write_uint(&w, CONTROL_TRACE);
	mp_write_bool(&w, on);
	if (name)
		mp_write_str(&w, name);
	return link_send(&p->control, w.data, w.used, &fd, on ? 1 : 0) == 0 &&
	       play_turn(p) == 0;
}

/* Verify that what comes and goes is written for who traces, of the names
 * that were asked for, until it is told to stop. */
static void test_trace(void)
{
	struct scene s;
	int pair[2];

	CHECK(open_scene(&s));
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	CHECK(trace(&s.p, true, "echo", pair[1]));
	close(pair[1]);
	CHECK(call(&s.peer, 1, "echo", "x"));
	CHECK(call(&s.peer, 2, "fail", NULL));
	play_turn(&s.p);
	CHECK(traced(pair[0], "call", 7));
	CHECK(traced(pair[0], "answer", 7));
	CHECK(!traced(pair[0], "call", 7));
	CHECK(trace(&s.p, false, NULL, -1));
	CHECK(call(&s.peer, 3, "echo", "x"));
	play_turn(&s.p);
	CHECK(!traced(pair[0], "call", 7));
	close(pair[0]);
	close_scene(&s);
}

/* Verify that a reader who does not keep up costs nothing but records, whose
 * number it is told. */
static void test_trace_loses(void)
{
	struct scene s;
	uint8_t buf[512];
	int pair[2], got = 0;

	CHECK(open_scene(&s));
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	CHECK(trace(&s.p, true, NULL, pair[1]));
	close(pair[1]);
	for (uint32_t i = 1; i < 2000; i++) {
		CHECK(call(&s.peer, i, "echo", "x"));
		play_turn(&s.p);
		CHECK(answered(&s.peer, i, STATUS_OK, "x"));
	}
	while (recv(pair[0], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		got++;
	CHECK(got > 10 && got < 3998);
	CHECK(call(&s.peer, 1, "echo", "x"));
	play_turn(&s.p);
	CHECK(traced(pair[0], "lost", 3998 - (uint64_t)got));
	CHECK(traced(pair[0], "call", 7));
	close(pair[0]);
	CHECK(call(&s.peer, 2, "echo", "x"));
	CHECK_EQ(play_turn(&s.p), 0);
	close_scene(&s);
}

static void on_signal(struct native *n, const char *signal, void *user)
{
	(void)n;
	strcpy(user, signal);
}

/* Verify that thoxd's wishes arrive. */
static void test_signals(void)
{
	char heard[32] = "";
	uint8_t buf[32];
	struct mp_writer w;
	struct scene s;

	CHECK(open_scene(&s));
	native_on_signal(s.p.native, on_signal, heard);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_EVENT);
	mp_write_str(&w, "terminate");
	CHECK(play_say(&s.p, &w));
	play_turn(&s.p);
	CHECK_STR(heard, "terminate");
	close_scene(&s);
}

int main(void)
{
	RUN(test_answers);
	RUN(test_answers_later);
	RUN(test_cancelled_request);
	RUN(test_caller_dies);
	RUN(test_context_closed);
	RUN(test_freed_with_requests);
	RUN(test_same_cid_twice);
	RUN(test_asked_to_resolve);
	RUN(test_grants);
	RUN(test_flood_of_calls);
	RUN(test_answers_not_taken);
	RUN(test_answer_too_large);
	RUN(test_context_in_answer);
	RUN(test_context_joined);
	RUN(test_given_back);
	RUN(test_given_back_to_nobody);
	RUN(test_closing_is_told_once);
	RUN(test_own_context_held);
	RUN(test_revoke);
	RUN(test_another_thoxd);
	RUN(test_bind);
	RUN(test_bind_refused);
	RUN(test_taken_over);
	RUN(test_bus_pushes);
	RUN(test_own_pushes);
	RUN(test_trace);
	RUN(test_trace_loses);
	RUN(test_signals);
	return tap_done();
}
