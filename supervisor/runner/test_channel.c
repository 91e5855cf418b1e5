/*
 * A runner and what strangers send it over the links of its contexts: the test
 * plays thoxd, which makes them, and whoever is at their other ends.
 */

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/tap.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "runner/limits.h"
#include "runner/play_links.h"

/* Serves its first context: echoes, tells what a context is, and is slow. */
static const char server[] =
	"local ctx = os.context()\n"
	"print('ready') io.stdout:flush()\n"
	"while true do\n"
	"  local e = os.pull{'call', 'cancel', 'push'}\n"
	"  if e.type == 'call' and e.name == 'keep' then\n"
	"  elseif e.type == 'call' and e.name == 'what' then\n"
	"    os.answer(e.cid, 0, tostring(e.args[1]))\n"
	"  elseif e.type == 'call' and e.name == 'use' then\n"
	"    os.answer(e.cid, (os.wait(os.call(e.args[1], 'x'))))\n"
	"  elseif e.type == 'call' then\n"
	"    os.answer(e.cid, 0, table.unpack(e.args, 1, e.args.n))\n"
	"  else\n"
	"    print(e.type, e.name) io.stdout:flush()\n"
	"  end\n"
	"end\n";

/* Does it still answer? */
static bool answers(struct link *l, uint32_t cid)
{
	char text[64];

	begin_call(cid, "echo");
	mp_write_array(&w, 1);
	mp_write_str(&w, "hello");
	send_written(l);
	return answer_of(l, cid, text, sizeof(text)) == STATUS_OK &&
	       strcmp(text, "hello") == 0;
}

/* --- tests ------------------------------------------------------------------
 */

/* Verify that a call over a context's link is answered over it. */
static void test_a_call(void)
{
	struct link l;

	begin(server);
	open_holder(&l, false);
	CHECK(answers(&l, 1));
	CHECK(answers(&l, UINT32_MAX));
	link_deinit(&l);
	end();
}

/* Verify that each broken message ends its link, and no other. */
static void test_broken_messages(void)
{
	static const struct {
		const char *bytes;
		size_t size;
	} rows[] = {
		{ "\xc1", 1 },
		{ "\x90", 1 },
		{ "\x91\x01", 2 },		/* a call of nothing */
		{ "\x94\x01\x01\xa1x\xc0", 6 }, /* args are none */
		{ "\x94\x01\x01\xa1 \x90", 6 }, /* no name */
		{ "\x94\x01\x01\xa0\x90", 5 },
		{ "\x94\x01\xff\xa1x\x90", 6 }, /* no cid */
		{ "\x94\x01\xcf\0\0\0\1\0\0\0\0\xa1x\x90", 14 },
		{ "\x94\x01\x01\xa1x\x92\x01", 7 }, /* too few args */
		{ "\x94\x01\x01\xa1x\x90\x01", 7 }, /* bytes left over */
		{ "\x94\x01\x01\xa1x\xdd\xff\xff\xff\xff", 10 },
		{ "\x94\x01\x01\xa1x\xdf\xff\xff\xff\xff", 10 },
		{ "\x93\x00\x02\x80", 4 }, /* another version */
		{ "\x91\x0f", 2 },	   /* a kind of ours */
		{ "\x91\xff", 2 },
		{ "\x93\x05\xa1x\x01", 5 },	/* listen: no bool */
		{ "\x94\x04\xa1x\x90\x90", 6 }, /* info is no map */
	};
	struct link good;

	begin(server);
	open_holder(&good, false);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link bad;

		open_holder(&bad, false);
		send_bytes(&bad, rows[i].bytes, rows[i].size);
		if (!is_closed(&bad))
			printf("# row %zu\n", i);
		CHECK(is_closed(&bad));
		CHECK(answers(&good, (uint32_t)i));
		link_deinit(&bad);
	}
	link_deinit(&good);
	end();
}

/* Verify that a call cut anywhere ends its link. */
static void test_every_cut(void)
{
	uint8_t call[128];
	size_t size;
	struct link good;

	begin_call(5, "echo.back");
	mp_write_array(&w, 3);
	mp_write_str(&w, "text");
	mp_write_double(&w, 1.5);
	mp_write_map(&w, 1);
	mp_write_int(&w, 1);
	mp_write_bin(&w, "\377", 1);
	size = w.used;
	memcpy(call, w.data, size);
	mp_writer_deinit(&w);

	begin(server);
	open_holder(&good, false);
	for (size_t cut = 1; cut < size; cut++) {
		struct link bad;

		open_holder(&bad, false);
		send_bytes(&bad, call, cut);
		CHECK(is_closed(&bad));
		link_deinit(&bad);
	}
	CHECK(answers(&good, 1));
	link_deinit(&good);
	end();
}

/* Verify that values nested 64 deep come back, and deeper ones end the link. */
static void test_depth(void)
{
	char text[64];

	begin(server);
	for (int deep = 0; deep < 2; deep++) {
		struct link l;

		open_holder(&l, false);
		begin_call(1, "echo");
		for (int i = 0; i < 1 + MP_DEPTH_MAX + deep; i++)
			mp_write_array(&w, 1);
		mp_write_nil(&w);
		send_written(&l);
		if (deep)
			CHECK(is_closed(&l));
		else
			CHECK_EQ(answer_of(&l, 1, text, sizeof(text)),
				 STATUS_OK);
		link_deinit(&l);
	}
	end();
}

/* Verify that what a later version says is passed over, and so are answers and
 * cancels of calls that were never made. */
static void test_what_is_ignored(void)
{
	struct link l;

	begin(server);
	open_holder(&l, false);
	send_bytes(&l, "\x92\x10\xa1x", 4);
	send_bytes(&l, "\x91\xcd\x01\x00", 4);
	mp_writer_init_heap(&w);
	wire_write_failure(&w, 77, STATUS_OK, "nobody asked");
	send_written(&l);
	mp_writer_init_heap(&w);
	wire_write_cancel(&w, 78);
	send_written(&l);
	mp_writer_init_heap(&w);
	wire_write_moved(&w);
	send_written(&l);
	CHECK(answers(&l, 1));
	link_deinit(&l);
	end();
}

/* Verify that a value that Lua has not is INVALID to who sent it. */
static void test_values_lua_has_not(void)
{
	char text[128];
	struct link l;

	begin(server);
	open_holder(&l, false);
	begin_call(1, "echo");
	mp_write_array(&w, 1);
	mp_write_ext(&w, -1, "1234", 4);
	send_written(&l);
	CHECK_EQ(answer_of(&l, 1, text, sizeof(text)), STATUS_INVALID);
	begin_call(2, "echo");
	mp_write_array(&w, 1);
	mp_write_map(&w, 1);
	mp_write_nil(&w);
	mp_write_nil(&w);
	send_written(&l);
	CHECK_EQ(answer_of(&l, 2, text, sizeof(text)), STATUS_INVALID);
	CHECK(answers(&l, 3));
	link_deinit(&l);
	end();
}

/* Verify that a grant holds for every message, and a refusal names the rule. */
static void test_grants(void)
{
	static const struct {
		const char *name;
		int status;
		const char *rule;
	} rows[] = {
		{ "fs.read", STATUS_OK, "" },
		{ "fs", STATUS_OK, "" },
		{ "fs.write", STATUS_DENIED, "\"deny call fs.write\"" },
		{ "fsx", STATUS_DENIED, "\"allow call\"" },
		{ "fs.read", STATUS_OK, "" },
		{ "fs.write", STATUS_DENIED, "\"deny call fs.write\"" },
	};
	char text[256];
	struct link l;

	begin(server);
	open_holder(&l, true);
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_call(i, rows[i].name);
		mp_write_array(&w, 0);
		send_written(&l);
		CHECK_EQ(answer_of(&l, i, text, sizeof(text)), rows[i].status);
		CHECK(strstr(text, rows[i].rule));
	}
	/* a push that is not granted does not arrive; one that is does */
	mp_writer_init_heap(&w);
	wire_begin_push(&w, "fs.write", 8, false);
	mp_write_array(&w, 0);
	send_written(&l);
	mp_writer_init_heap(&w);
	wire_begin_push(&w, "fs.news", 7, false);
	mp_write_array(&w, 0);
	send_written(&l);
	CHECK(play_wait_output(&runner, "push\tfs.news", &result));
	CHECK(!strstr(result.output, "fs.write"));
	link_deinit(&l);
	end();
}

/* What the context of number @link is, named over @l. */
static bool is_context(struct link *l, uint32_t cid, uint64_t link)
{
	char text[64];

	begin_call(cid, "what");
	mp_write_array(&w, 1);
	wire_write_context(&w, link);
	send_written(l);
	return answer_of(l, cid, text, sizeof(text)) == STATUS_OK &&
	       strncmp(text, "context: ", 9) == 0 &&
	       strcmp(text, "context: closed") != 0;
}

/* Verify that a context counts once, in a message that came over the link that
 * thoxd said: nobody has a process use contexts that others gave it. */
static void test_numbers_lead_nowhere(void)
{
	struct link a, b, held;
	uint64_t over, number;

	begin(server);
	open_holder(&a, false);
	over = last_link;
	open_holder(&b, false);
	CHECK(!is_context(&a, 1, 12345)); /* never sent */
	CHECK(!is_context(&a, 2, over));  /* a link, but not held */
	give_context(&held, over);
	number = last_link;
	CHECK(!is_context(&b, 3, number)); /* not for this one */
	CHECK(is_context(&a, 4, number));
	CHECK(!is_context(&a, 5, number)); /* it was named before */
	CHECK(!is_context(&b, 6, number));
	link_deinit(&held);
	link_deinit(&a);
	link_deinit(&b);
	end();
}

/* Verify that a context whose message nobody takes is given up. */
static void test_contexts_that_nobody_gets(void)
{
	struct link l, held;

	begin(server);
	open_holder(&l, false);
	give_context(&held, last_link);
	/* an answer to nothing */
	mp_writer_init_heap(&w);
	wire_begin_answer(&w, 99, STATUS_OK);
	mp_write_array(&w, 1);
	wire_write_context(&w, last_link);
	send_written(&l);
	CHECK(is_closed(&held));
	link_deinit(&held);
	link_deinit(&l);
	end();
}

/* Verify that who calls without end fills its own link, and nobody else's. */
static void test_a_flood(void)
{
	struct link flood, other;
	uint32_t n = 0;

	begin(server);
	open_holder(&other, false);
	open_holder(&flood, false);
	CHECK(answers(&flood, 1));
	flood.queue_limit_bytes = 1;
	while (n < 100000 && !link_has_queued(&flood)) {
		struct pollfd p = { .fd = flood.fd, .events = POLLOUT };

		begin_call(1000 + n++, "keep");
		mp_write_array(&w, 0);
		send_written(&flood);
		if (link_has_queued(&flood) && poll(&p, 1, 500) == 1)
			link_flush(&flood);
	}
	CHECK(link_has_queued(&flood));
	CHECK(n > 100 && n < 5000);
	CHECK(answers(&other, 1));
	link_deinit(&flood);
	CHECK(play_wait_output(&runner, "cancel", &result));
	CHECK(answers(&other, 2));
	link_deinit(&other);
	end();
}

/* Sends pushes of @name, each with the word that one before it was lost. */
static void push_with_lost(struct link *l, const char *name, unsigned count)
{
	while (count-- > 0) {
		mp_writer_init_heap(&w);
		wire_begin_push(&w, name, strlen(name), true);
		mp_write_array(&w, 0);
		mp_write_map(&w, 1);
		mp_write_str(&w, "lost");
		mp_write_uint(&w, 1);
		CHECK_EQ(link_send_wait(l, w.data, w.used, NULL, 0), 0);
		mp_writer_deinit(&w);
	}
}

/* Verify that of what is said to be lost none is lost itself. */
static void test_lost_pushes_are_counted(void)
{
	static const char text[] = "local ctx <const> = os.context()\n"
				   "print('ready') io.stdout:flush()\n"
				   "local call, total = os.pull('call'), 0\n"
				   "while true do\n"
				   "  local e = os.pull({'push', 'lost'}, 0)\n"
				   "  if not e then break end\n"
				   "  total = total + (e.count or 1)\n"
				   "end\n"
				   "os.answer(call.cid, 0, tostring(total))\n"
				   "os.pull('terminate')\n";
	struct link l;
	char total[64];

	begin(text);
	open_holder(&l, false);
	push_with_lost(&l, "news", 3 * LIMIT_EVENTS);
	begin_call(1, "total");
	mp_write_array(&w, 0);
	send_written(&l);
	CHECK_EQ(answer_of(&l, 1, total, sizeof(total)), STATUS_OK);
	CHECK_EQ(atoi(total), 6 * LIMIT_EVENTS);
	link_deinit(&l);
	end();
}

/* Verify that a total over the limit ends the link before memory is had. */
static void test_too_large(void)
{
	static const uint8_t head[] = { 1, 0x7f, 0xff, 0xff, 0xff, 'x' };
	struct link good, bad;

	begin(server);
	open_holder(&good, false);
	open_holder(&bad, false);
	CHECK_EQ(send(bad.fd, head, sizeof(head), 0), (ssize_t)sizeof(head));
	CHECK(is_closed(&bad));
	CHECK(answers(&good, 1));
	link_deinit(&bad);
	link_deinit(&good);
	end();
}

/* Verify that a small message that would become a great deal of memory is
 * refused to who sent it, and the process goes on. */
static void test_what_would_not_fit(void)
{
	static uint8_t tables[8000000];
	char text[128];
	struct link l;

	begin(server);
	open_holder(&l, false);
	l.queue_limit_bytes = 64U << 20;
	memset(tables, 0x90, sizeof(tables));
	begin_call(1, "echo");
	mp_write_array(&w, sizeof(tables));
	mp_write_raw(&w, tables, sizeof(tables));
	CHECK_EQ(link_send_wait(&l, w.data, w.used, NULL, 0), 0);
	mp_writer_deinit(&w);
	CHECK_EQ(answer_of(&l, 1, text, sizeof(text)), STATUS_TOO_LARGE);
	CHECK(answers(&l, 2));
	link_deinit(&l);
	end();
}

/* Verify that a process ends when thoxd makes no sense. */
static void test_thoxd_makes_no_sense(void)
{
	static const int64_t kinds[] = { CONTROL_OPENED, CONTROL_HOLD,
					 CONTROL_SHARED, CONTROL_FORGET,
					 CONTROL_CHILD_ENDED };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		begin(server);
		start_message(2, kinds[i]);
		mp_write_bool(&w, true);
		send_control(-1);
		waitpid(runner.pid, &result.status, 0);
		CHECK(WIFEXITED(result.status));
		CHECK_EQ(WEXITSTATUS(result.status), 125);
		link_deinit(&runner.link);
		runner.output = fd_close(runner.output);
		runner.error = fd_close(runner.error);
		runner.input = fd_close(runner.input);
	}
}

int main(void)
{
	char message[256];

	alarm(300);
	if (play_open(&zygote, NULL, NULL, message) < 0) {
		printf("Bail out! %s\n", message);
		return 1;
	}
	RUN(test_a_call);
	RUN(test_broken_messages);
	RUN(test_every_cut);
	RUN(test_depth);
	RUN(test_what_is_ignored);
	RUN(test_values_lua_has_not);
	RUN(test_grants);
	RUN(test_numbers_lead_nowhere);
	RUN(test_contexts_that_nobody_gets);
	RUN(test_a_flood);
	RUN(test_lost_pushes_are_counted);
	RUN(test_too_large);
	RUN(test_what_would_not_fit);
	RUN(test_thoxd_makes_no_sense);
	play_close(&zygote);
	return tap_done();
}
