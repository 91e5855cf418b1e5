/*
 * A runner between two links: calls that go through it without its program
 * (relay.h), and everything that may become of them on the way.
 */

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/tap.h"
#include "rpc/status.h"
#include "runner/play_links.h"

#define FLOOD 3000

/* Passes on what is called `old…`, as `new…`; tells how often it was asked. No
 * task is stopped before it has passed on what it was begun for. */
static const char between[] =
	"local thox = require 'thox'\n"
	"require('task').cooperative(true)\n"
	"local ctx, up, n = os.context(), nil, 0\n"
	"thox.serve(ctx, '', function(request, context)\n"
	"  if request.name == 'up' then up = context os.queue{type = 'go'} "
	"end\n"
	"  if request.name == 'leave' then thox.stop() end\n"
	"  return tostring(n)\n"
	"end)\n"
	"local function pass(request, ...)\n"
	"  n = n + 1\n"
	"  local name = request.name:gsub('^old', 'new')\n"
	"  thox.relay(request, up, name)\n"
	"  return thox.forward(request, up, name, ...)\n"
	"end\n"
	"thox.serve(ctx, 'old', pass)\n"
	"thox.serve(ctx, 'change', function()\n"
	"  thox.serve(ctx, 'old', function() return 'changed' end)\n"
	"end)\n"
	"thox.hear(ctx, '', function(push, ...)\n"
	"  os.push(up, push.name, ...)\n"
	"end)\n"
	"print('ready') io.stdout:flush()\n"
	"os.pull('go')\n";

static struct link caller, callee;
static char text[256];

/* --- both ends --------------------------------------------------------------
 */

static void call(uint32_t cid, const char *name, const char *argument)
{
	begin_call(cid, name);
	mp_write_array(&w, 1);
	mp_write_str(&w, argument);
	send_written(&caller);
}

/* The number of the call of @name that has come through with @argument; 0: it
 * has not. */
static uint32_t called(const char *name, const char *argument)
{
	struct link_message raw;
	struct wire_message m;
	struct mp_reader r;
	uint32_t cid = 0;

	if (next(&callee, &raw, &m) != 1)
		return 0;
	mp_reader_init(&r, m.args.p, m.args.size);
	if (m.kind == WIRE_CALL && mp_bytes_equal(m.name, name) &&
	    mp_read_array(&r) == 1 && mp_bytes_equal(mp_read_str(&r), argument))
		cid = m.cid;
	link_message_deinit(&raw);
	return cid;
}

static bool cancelled(uint32_t cid)
{
	struct link_message raw;
	struct wire_message m;
	bool is;

	if (next(&callee, &raw, &m) != 1)
		return false;
	is = m.kind == WIRE_CANCEL && m.cid == cid;
	link_message_deinit(&raw);
	return is;
}

static void answer(uint32_t cid, int status, const char *value)
{
	mp_writer_init_heap(&w);
	wire_begin_answer(&w, cid, status);
	mp_write_array(&w, 1);
	mp_write_str(&w, value);
	send_written(&callee);
}

static bool is_answered(uint32_t cid, int status, const char *value)
{
	return answer_of(&caller, cid, text, sizeof(text)) == status &&
	       strcmp(text, value) == 0;
}

/* How often was the program asked? */
static bool was_asked(const char *times)
{
	call(900, "asked", "");
	return is_answered(900, STATUS_OK, times);
}

/* Someone calls, someone answers, and the program has learnt the way. */
static void begin_between(void)
{
	begin(between);
	open_holder(&caller, false);
	give_context(&callee, last_link);
	begin_call(1, "up");
	mp_write_array(&w, 1);
	wire_write_context(&w, last_link);
	send_written(&caller);
	CHECK(is_answered(1, STATUS_OK, "0"));
	call(2, "old.x", "first");
	answer(called("new.x", "first"), STATUS_OK, "one");
	CHECK(is_answered(2, STATUS_OK, "one"));
}

static void end_between(void)
{
	link_deinit(&caller);
	link_deinit(&callee);
	end();
}

/* --- tests ------------------------------------------------------------------
 */

/* Verify that calls and answers go through with their values, names and
 * statuses, and in any order, and that the program is asked once. */
static void test_through(void)
{
	uint32_t a, b;

	begin_between();
	call(3, "old.x", "a");
	call(4, "old.x", "b");
	a = called("new.x", "a");
	b = called("new.x", "b");
	CHECK(a != 0 && b != 0 && a != b);
	answer(b, STATUS_DENIED, "no");
	CHECK(is_answered(4, STATUS_DENIED, "no"));
	answer(a, STATUS_OK, "yes");
	CHECK(is_answered(3, STATUS_OK, "yes"));
	CHECK(was_asked("1"));
	end_between();
}

/* Verify that answers to nothing, and second ones, go nowhere. */
static void test_answers_to_nothing(void)
{
	uint32_t cid;

	begin_between();
	call(3, "old.x", "a");
	cid = called("new.x", "a");
	answer(cid + 1, STATUS_OK, "to nothing");
	answer(cid, STATUS_OK, "once");
	answer(cid, STATUS_OK, "twice");
	CHECK(is_answered(3, STATUS_OK, "once"));
	CHECK(was_asked("1")); /* its answer is the next that comes */
	end_between();
}

/* Verify that the callee hears when the caller gives up. */
static void test_cancel(void)
{
	uint32_t cid;

	begin_between();
	call(3, "old.x", "a");
	cid = called("new.x", "a");
	mp_writer_init_heap(&w);
	wire_write_cancel(&w, 3);
	send_written(&caller);
	CHECK(cancelled(cid));
	answer(cid, STATUS_OK, "too late");
	CHECK(was_asked("1"));
	end_between();
}

/* Verify that the deadline goes with the call, and that the callee hears when
 * it passes. */
static void test_deadline(void)
{
	struct link_message raw;
	struct wire_message m;
	uint64_t deadline_ms;

	begin_between();
	deadline_ms = clock_ns() / 1000000 + 3000;
	mp_writer_init_heap(&w);
	wire_begin_call(&w, 3, "old.x", 5, deadline_ms);
	mp_write_array(&w, 0);
	wire_end_call(&w, deadline_ms);
	send_written(&caller);
	CHECK_EQ(next(&callee, &raw, &m), 1);
	CHECK(m.kind == WIRE_CALL && m.deadline_ms == deadline_ms);
	link_message_deinit(&raw);
	CHECK(cancelled(m.cid));
	CHECK(clock_ns() / 1000000 >= deadline_ms);
	CHECK(was_asked("1"));
	end_between();
}

/* Verify that the callee hears of the caller's end. */
static void test_caller_ends(void)
{
	uint32_t cid;

	begin_between();
	call(3, "old.x", "a");
	cid = called("new.x", "a");
	link_deinit(&caller);
	CHECK(cancelled(cid));
	link_deinit(&callee);
	end();
}

/* Verify that the callee's end is each waiting call's answer, and that the next
 * one is told so, too. */
static void test_callee_ends(void)
{
	begin_between();
	call(3, "old.x", "a");
	call(4, "old.x", "b");
	CHECK(called("new.x", "a") != 0);
	CHECK(called("new.x", "b") != 0);
	link_deinit(&callee);
	CHECK_EQ(answer_of(&caller, 3, text, sizeof(text)), STATUS_CLOSED);
	CHECK_EQ(answer_of(&caller, 4, text, sizeof(text)), STATUS_CLOSED);
	call(5, "old.x", "c");
	CHECK_EQ(answer_of(&caller, 5, text, sizeof(text)), STATUS_CLOSED);
	link_deinit(&caller);
	end();
}

/* Verify that what takes several records gets through, too, both ways. */
static void test_large(void)
{
	static char large[150000];
	uint32_t cid;

	memset(large, 'x', sizeof(large) - 1);
	begin_between();
	callee.queue_limit_bytes = caller.queue_limit_bytes = 1U << 20;
	call(3, "old.x", large);
	cid = called("new.x", large);
	CHECK(cid != 0);
	answer(cid, STATUS_OK, "short");
	CHECK(is_answered(3, STATUS_OK, "short"));
	call(4, "old.x", "short");
	cid = called("new.x", "short");
	mp_writer_init_heap(&w);
	wire_begin_answer(&w, cid, STATUS_OK);
	mp_write_array(&w, 2);
	mp_write_str(&w, "large");
	mp_write_str(&w, large);
	CHECK_EQ(link_send_wait(&callee, w.data, w.used, NULL, 0), 0);
	mp_writer_deinit(&w);
	CHECK(is_answered(4, STATUS_OK, "large"));
	CHECK(was_asked("2")); /* about the large one */
	end_between();
}

/* Verify that a call does not overtake a push that came before it. */
static void test_order(void)
{
	struct link_message raw;
	struct wire_message m;

	begin_between();
	mp_writer_init_heap(&w);
	wire_begin_push(&w, "news", 4, false);
	mp_write_array(&w, 0);
	send_written(&caller);
	call(3, "old.x", "a");
	CHECK_EQ(next(&callee, &raw, &m), 1);
	CHECK_EQ((int)m.kind, (int)WIRE_PUSH);
	link_message_deinit(&raw);
	answer(called("new.x", "a"), STATUS_OK, "after it");
	CHECK(is_answered(3, STATUS_OK, "after it"));
	end_between();
}

/* Verify that what was learnt is forgotten when another function serves. */
static void test_another_function(void)
{
	begin_between();
	call(3, "change", "");
	CHECK_EQ(answer_of(&caller, 3, text, sizeof(text)), STATUS_OK);
	call(4, "old.x", "a");
	CHECK(is_answered(4, STATUS_OK, "changed"));
	end_between();
}

/* Verify that a process which is done waits for what is on its way. */
static void test_the_end(void)
{
	uint32_t cid;

	begin_between();
	call(3, "old.x", "a");
	cid = called("new.x", "a");
	call(4, "leave", "");
	CHECK(is_answered(4, STATUS_OK, "1"));
	answer(cid, STATUS_OK, "at last");
	CHECK(is_answered(3, STATUS_OK, "at last"));
	waitpid(runner.pid, &result.status, 0);
	CHECK(WIFEXITED(result.status));
	CHECK_EQ(WEXITSTATUS(result.status), 0);
	link_deinit(&caller);
	link_deinit(&callee);
	link_deinit(&runner.link);
	runner.output = fd_close(runner.output);
	runner.error = fd_close(runner.error);
	runner.input = fd_close(runner.input);
}

/* Answer all that has come, and count the answers to it. */
static bool take_turn(uint32_t *answered)
{
	struct pollfd p[] = { { .fd = caller.fd, .events = POLLIN },
			      { .fd = callee.fd, .events = POLLIN } };
	struct link_message raw;
	struct wire_message m;
	bool ok = poll(p, 2, 20000) > 0;

	while (link_receive(&callee, false, &raw) == 1) {
		ok = ok && wire_parse(raw.data, raw.size, &m) == 0;
		link_message_deinit(&raw);
		if (ok && m.kind == WIRE_CALL)
			answer(m.cid, STATUS_OK, "taken");
	}
	while (link_receive(&caller, false, &raw) == 1) {
		ok = ok && wire_parse(raw.data, raw.size, &m) == 0 &&
		     m.kind == WIRE_ANSWER && m.status == STATUS_OK;
		link_message_deinit(&raw);
		(*answered)++;
	}
	return ok;
}

/* Verify that a caller waits while the callee does not read, at bounded memory,
 * and that each of its calls is answered then. */
static void test_a_flood(void)
{
	static char filler[1000];
	uint32_t n = 0, answered = 0;
	bool ok = true;

	memset(filler, 'x', sizeof(filler) - 1);
	begin_between();
	callee.queue_limit_bytes = 16U << 20;
	while (n < FLOOD && !link_has_queued(&caller)) {
		struct pollfd p = { .fd = caller.fd, .events = POLLOUT };

		call(1000 + n++, "old.x", filler);
		if (link_has_queued(&caller) && poll(&p, 1, 3000) == 1)
			link_flush(&caller);
	}
	CHECK(link_has_queued(&caller));
	CHECK(n < FLOOD);
	while (ok && answered < n) {
		link_flush(&caller);
		ok = take_turn(&answered);
		link_flush(&callee);
	}
	CHECK_EQ(answered, n);
	CHECK(ok);
	call(3, "old.x", "a");
	answer(called("new.x", "a"), STATUS_OK, "again");
	CHECK(is_answered(3, STATUS_OK, "again"));
	end_between();
}

int main(void)
{
	char message[256];

	alarm(300);
	if (play_open(&zygote, NULL, NULL, message) < 0) {
		printf("Bail out! %s\n", message);
		return 1;
	}
	RUN(test_through);
	RUN(test_answers_to_nothing);
	RUN(test_cancel);
	RUN(test_deadline);
	RUN(test_caller_ends);
	RUN(test_callee_ends);
	RUN(test_large);
	RUN(test_order);
	RUN(test_another_function);
	RUN(test_the_end);
	RUN(test_a_flood);
	play_close(&zygote);
	return tap_done();
}
