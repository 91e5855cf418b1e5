/*
 * What comes in over thoxd's links: each message in its right form, and each
 * way of not being one.
 */

#include "thoxd/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"

static uint8_t bytes[8192];
static struct mp_writer w;

static void begin(uint32_t items, unsigned kind)
{
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_array(&w, items);
	mp_write_uint(&w, kind);
}

static int client(unsigned n_fds, struct client_message *m)
{
	return client_message_parse(bytes, w.used, n_fds, m);
}

static void write_run(void)
{
	begin(2, CONTROL_RUN);
	mp_write_map(&w, 7);
	mp_write_str(&w, "name");
	mp_write_str(&w, "cc#worm@3");
	mp_write_str(&w, "later");
	mp_write_array(&w, 2);
	mp_write_nil(&w);
	mp_write_bool(&w, true);
	mp_write_str(&w, "args");
	mp_write_array(&w, 2);
	mp_write_str(&w, "a");
	mp_write_str(&w, "b");
	mp_write_str(&w, "env");
	mp_write_map(&w, 1);
	mp_write_str(&w, "HOME");
	mp_write_str(&w, "/");
	mp_write_str(&w, "cpu_ms");
	mp_write_uint(&w, 1500);
	mp_write_str(&w, "text");
	mp_write_bool(&w, true);
	mp_write_str(&w, "interactive");
	mp_write_bool(&w, true);
}

/* Verify that a run is read, and keys that are not known are passed over. */
static void test_a_run(void)
{
	struct client_message m;

	write_run();
	CHECK_EQ(client(4, &m), 0);
	CHECK_EQ(m.kind, CONTROL_RUN);
	CHECK(mp_bytes_equal(m.run.name, "cc#worm@3"));
	CHECK_EQ(m.run.cpu_ms, 1500);
	CHECK(m.run.text && m.run.interactive && !m.run.expression);
	CHECK_EQ(m.run.args.size, 5);
	CHECK_EQ((uint8_t)m.run.args.p[0], 0x92);
}

/* Verify that the descriptors must be those that the run says it has. */
static void test_a_run_has_its_descriptors(void)
{
	struct client_message m;

	write_run();
	CHECK_EQ(client(3, &m), -EBADMSG);
	CHECK_EQ(client(5, &m), -EBADMSG);
	CHECK_EQ(client(0, &m), -EBADMSG);
}

/* Verify that arguments are strings, and not too many. */
static void test_arguments_are_strings(void)
{
	struct client_message m;

	begin(2, CONTROL_RUN);
	mp_write_map(&w, 1);
	mp_write_str(&w, "args");
	mp_write_array(&w, 1);
	mp_write_uint(&w, 1);
	CHECK_EQ(client(3, &m), -EBADMSG);

	begin(2, CONTROL_RUN);
	mp_write_map(&w, 1);
	mp_write_str(&w, "args");
	mp_write_array(&w, CONTROL_ARGS_MAX + 1);
	for (unsigned i = 0; i <= CONTROL_ARGS_MAX; i++)
		mp_write_str(&w, "");
	CHECK_EQ(client(3, &m), -EBADMSG);
}

/* Verify that a value of the wrong type is an error. */
static void test_a_wrong_type(void)
{
	struct client_message m;

	begin(2, CONTROL_RUN);
	mp_write_map(&w, 1);
	mp_write_str(&w, "memory_bytes");
	mp_write_str(&w, "lots");
	CHECK_EQ(client(3, &m), -EBADMSG);
	begin(2, CONTROL_RUN);
	mp_write_map(&w, 1);
	mp_write_str(&w, "memory_bytes");
	mp_write_int(&w, -1);
	CHECK_EQ(client(3, &m), -EBADMSG);
}

/* Verify that only known signals are signals. */
static void test_signals(void)
{
	struct client_message m;

	for (int i = 0; i < RUN_SIGNAL_COUNT; i++) {
		begin(2, CONTROL_SIGNAL);
		mp_write_str(&w, run_signal_name[i]);
		CHECK_EQ(client(0, &m), 0);
		CHECK_EQ(m.signal, i);
	}
	begin(2, CONTROL_SIGNAL);
	mp_write_str(&w, "SIGKILL");
	CHECK_EQ(client(0, &m), -EBADMSG);
	begin(4, CONTROL_SIGNAL);
	mp_write_str(&w, "resize");
	mp_write_uint(&w, 24);
	mp_write_uint(&w, 80);
	CHECK_EQ(client(0, &m), 0);
	CHECK_EQ(m.columns, 80);
	CHECK_EQ(client(1, &m), -EBADMSG); /* with a descriptor */
}

/* Verify that what others may say is nothing for a client to say. */
static void test_kinds_of_others(void)
{
	static const unsigned kinds[] = {
		CONTROL_STARTED, CONTROL_RESULT, CONTROL_REPLY, CONTROL_START,
		CONTROL_REPORT,	 CONTROL_FORKED, KEEPER_EXITED, 255,
	};
	struct client_message m;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		begin(2, kinds[i]);
		mp_write_uint(&w, 1);
		CHECK_EQ(client(0, &m), -EBADMSG);
	}
}

/* Verify what a native process says of itself, and what a run may. */
static void test_attach_and_rules(void)
{
	struct client_message m;

	begin(2, CONTROL_ATTACH);
	mp_write_map(&w, 2);
	mp_write_str(&w, "later");
	mp_write_nil(&w);
	mp_write_str(&w, "name");
	mp_write_str(&w, "http");
	CHECK_EQ(client(0, &m), 0);
	CHECK(mp_bytes_equal(m.name, "http"));
	CHECK_EQ(client(1, &m), -EBADMSG);
	begin(2, CONTROL_RUN);
	mp_write_map(&w, 1);
	mp_write_str(&w, "allow");
	mp_write_map(&w, 1);
	mp_write_str(&w, "call");
	mp_write_array(&w, 0);
	CHECK_EQ(client(3, &m), 0);
	CHECK_EQ(m.allow.size, 7);
	CHECK_EQ(m.deny.size, 0);
	begin(2, CONTROL_RUN);
	mp_write_map(&w, 1);
	mp_write_str(&w, "deny");
	mp_write_array(&w, 0);
	CHECK_EQ(client(3, &m), -EBADMSG);
}

/* Verify that a run may be for the background, under a name. */
static void test_in_the_background(void)
{
	struct client_message m;

	begin(2, CONTROL_RUN);
	mp_write_map(&w, 2);
	mp_write_str(&w, "background");
	mp_write_bool(&w, true);
	mp_write_str(&w, "service");
	mp_write_str(&w, "web:blue");
	CHECK_EQ(client(3, &m), 0);
	CHECK(m.background);
	CHECK(mp_bytes_equal(m.service, "web:blue"));
}

/* Verify that a runner has three streams to close. */
static void test_streams_are_closed(void)
{
	struct runner_message m;

	for (unsigned i = 0; i < 4; i++) {
		begin(2, CONTROL_STREAM_CLOSED);
		mp_write_uint(&w, i);
		CHECK_EQ(runner_message_parse(bytes, w.used, 0, &m),
			 i < 3 ? 0 : -EBADMSG);
	}
	CHECK_EQ(m.number, 2);
}

/* Verify that each message cut anywhere is refused. */
static void test_cut_messages(void)
{
	struct client_message m;

	write_run();
	for (size_t size = 0; size < w.used; size++)
		CHECK_EQ(client_message_parse(bytes, size, 4, &m), -EBADMSG);
}

/* Verify that a command's arguments are read, and a PID is one. */
static void test_command_arguments(void)
{
	struct request_arguments a;

	CHECK_EQ(request_arguments_parse((struct mp_bytes){ "", 0 }, &a), 0);
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_map(&w, 2);
	mp_write_str(&w, "pid");
	mp_write_uint(&w, 4711);
	mp_write_str(&w, "dir");
	mp_write_str(&w, "/mnt");
	CHECK_EQ(request_arguments_parse(
			 (struct mp_bytes){ (char *)bytes, w.used }, &a),
		 0);
	CHECK_EQ(a.pid, 4711);
	CHECK(mp_bytes_equal(a.dir, "/mnt"));
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_map(&w, 1);
	mp_write_str(&w, "pid");
	mp_write_uint(&w, 1ULL << 40);
	CHECK_EQ(request_arguments_parse(
			 (struct mp_bytes){ (char *)bytes, w.used }, &a),
		 -EBADMSG);
}

static int runner(unsigned n_fds, struct runner_message *m)
{
	return runner_message_parse(bytes, w.used, n_fds, m);
}

/* Verify a runner's messages, and that it hands nothing over. */
static void test_a_runner(void)
{
	struct runner_message m;

	begin(3, CONTROL_REPORT);
	mp_write_str(&w, "trap");
	mp_write_uint(&w, 257);
	CHECK_EQ(runner(0, &m), 0);
	CHECK_EQ(m.report, REPORT_TRAP);
	CHECK_EQ(m.detail, 257);
	CHECK_EQ(runner(1, &m), -EBADMSG);

	begin(3, CONTROL_REPORT);
	mp_write_str(&w, "trap");
	mp_write_str(&w, "openat");
	CHECK_EQ(runner(0, &m), -EBADMSG);

	begin(3, CONTROL_REPORT);
	mp_write_str(&w, "error");
	mp_write_nil(&w);
	CHECK_EQ(runner(0, &m), 0);
	CHECK_EQ(m.report, REPORT_ERROR);

	begin(3, CONTROL_WANT_LIBRARY);
	mp_write_uint(&w, 1);
	mp_write_str(&w, "cc.expect");
	CHECK_EQ(runner(0, &m), 0);
	CHECK(mp_bytes_equal(m.name, "cc.expect"));

	begin(2, CONTROL_RUN);
	mp_write_map(&w, 0);
	CHECK_EQ(runner(0, &m), -EBADMSG);
}

static int principal(unsigned n_fds, struct principal_message *m)
{
	return principal_message_parse(bytes, w.used, n_fds, m);
}

static void begin_file(unsigned keys)
{
	begin(5, CONTROL_SHARE_OWN);
	for (unsigned i = 1; i < 4; i++)
		mp_write_uint(&w, i);
	mp_write_map(&w, keys);
}

/* What may be said of a context that is shared: a stream's file that is to go
 * with it, and how thoxd may answer. */
static void test_a_file(void)
{
	struct principal_message m;

	begin_file(4);
	mp_write_str(&w, "limit_bytes");
	mp_write_uint(&w, 7);
	mp_write_str(&w, "other");
	mp_write_nil(&w);
	mp_write_str(&w, "write");
	mp_write_bool(&w, true);
	mp_write_str(&w, "inode");
	mp_write_uint(&w, 5);
	CHECK_EQ(principal(0, &m), 0);
	CHECK_EQ(m.file.inode, 5);
	CHECK_EQ(m.file.limit_bytes, 7);
	CHECK(m.file.write);
	CHECK_EQ(principal(1, &m), -EBADMSG);
	for (size_t size = 0; size < w.used; size++)
		CHECK_EQ(principal_message_parse(bytes, size, 0, &m), -EBADMSG);
	CHECK(!m.joined);
	begin_file(1);
	mp_write_str(&w, "joined");
	mp_write_bool(&w, true);
	CHECK_EQ(principal(0, &m), 0);
	CHECK(m.joined);
	CHECK_EQ(m.file.inode, 0); /* then no file is wanted */
	for (size_t size = 0; size < w.used; size++)
		CHECK_EQ(principal_message_parse(bytes, size, 0, &m), -EBADMSG);
	begin_file(1);
	mp_write_str(&w, "joined");
	mp_write_uint(&w, 1);
	CHECK_EQ(principal(0, &m), -EBADMSG);
	begin_file(1);
	mp_write_str(&w, "inode");
	mp_write_uint(&w, 0);
	CHECK_EQ(principal(0, &m), -EBADMSG);
}

/* Verify what a process says about contexts, and that numbers begin at 1. */
static void test_a_principal(void)
{
	static const unsigned kinds[] = { CONTROL_SHARE_OWN,
					  CONTROL_SHARE_HELD };
	struct principal_message m;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		begin(4, kinds[i]);
		mp_write_uint(&w, 0);
		mp_write_uint(&w, 3);
		mp_write_uint(&w, 4);
		CHECK_EQ(principal(0, &m), 0);
		CHECK_EQ(i ? m.link : m.context, 3);
		CHECK_EQ(m.to, 4);
		CHECK_EQ(principal(1, &m), -EBADMSG);
		for (size_t size = 0; size < w.used; size++)
			CHECK_EQ(principal_message_parse(bytes, size, 0, &m),
				 -EBADMSG);
		begin(4, kinds[i]);
		mp_write_uint(&w, 1);
		mp_write_uint(&w, 0);
		mp_write_uint(&w, 4);
		CHECK_EQ(principal(0, &m), -EBADMSG);
		begin(5, kinds[i]);
		for (unsigned k = 1; k < 5; k++)
			mp_write_uint(&w, k);
		CHECK_EQ(principal(0, &m), -EBADMSG);
	}
	test_a_file();
	begin(4, CONTROL_REVOKE);
	mp_write_uint(&w, 1);
	mp_write_uint(&w, 2);
	mp_write_uint(&w, 1ULL << 31); /* no PID */
	CHECK_EQ(principal(0, &m), -EBADMSG);
	begin(3, CONTROL_PIPE_CLOSED);
	mp_write_uint(&w, 1);
	mp_write_str(&w, "writer");
	CHECK_EQ(principal(0, &m), 0);
	CHECK(m.writer);
	begin(3, CONTROL_PIPE_CLOSED);
	mp_write_uint(&w, 1);
	mp_write_str(&w, "both");
	CHECK_EQ(principal(0, &m), -EBADMSG);
}

/* Verify how it says that it was called: four numbers, and no more. */
static void test_use(void)
{
	struct principal_message m;

	begin(5, CONTROL_USE);
	for (uint64_t i = 0; i < 4; i++)
		mp_write_uint(&w, 7 + i);
	CHECK_EQ(principal(0, &m), 0);
	CHECK_EQ(m.id, 7);
	CHECK_EQ(m.use.calls, 8);
	CHECK_EQ(m.use.waiting, 9);
	CHECK_EQ(m.use.idle_ms, 10);
	begin(4, CONTROL_USE);
	for (uint64_t i = 0; i < 3; i++)
		mp_write_uint(&w, 1);
	CHECK_EQ(principal(0, &m), -EBADMSG);
	begin(5, CONTROL_USE);
	for (uint64_t i = 0; i < 3; i++)
		mp_write_uint(&w, 1);
	mp_write_str(&w, "1");
	CHECK_EQ(principal(0, &m), -EBADMSG);
}

/* Verify what it says about itself. */
static void test_notices(void)
{
	static const char text[NOTICE_TEXT_BYTES + 1];
	struct principal_message m;

	begin(2, CONTROL_NOTIFY);
	mp_write_str(&w, "serving");
	CHECK_EQ(principal(0, &m), 0);
	CHECK_EQ(m.notice, NOTICE_SERVING);
	begin(3, CONTROL_NOTIFY);
	mp_write_str(&w, "ready");
	mp_write_strn(&w, text, NOTICE_TEXT_BYTES);
	CHECK_EQ(principal(0, &m), 0);
	CHECK_EQ(m.text.size, NOTICE_TEXT_BYTES);
	begin(3, CONTROL_NOTIFY);
	mp_write_str(&w, "ready");
	mp_write_strn(&w, text, NOTICE_TEXT_BYTES + 1);
	CHECK_EQ(principal(0, &m), -EBADMSG);
	begin(2, CONTROL_NOTIFY);
	mp_write_str(&w, "gone");
	CHECK_EQ(principal(0, &m), -EBADMSG);
}

static int zygote(unsigned n_fds, struct zygote_message *m)
{
	return zygote_message_parse(bytes, w.used, n_fds, m);
}

/* Verify a zygote's messages, and that a birth has its pidfd and a PID. */
static void test_a_zygote(void)
{
	struct zygote_message m;

	begin(3, CONTROL_FORKED);
	mp_write_uint(&w, 5);
	mp_write_uint(&w, 4711);
	CHECK_EQ(zygote(1, &m), 0);
	CHECK_EQ(m.token, 5);
	CHECK_EQ(m.pid, 4711);
	CHECK_EQ(zygote(0, &m), -EBADMSG);
	CHECK_EQ(zygote(2, &m), -EBADMSG);

	begin(3, CONTROL_FORKED);
	mp_write_uint(&w, 5);
	mp_write_uint(&w, 0);
	CHECK_EQ(zygote(1, &m), -EBADMSG);
	begin(3, CONTROL_FORKED);
	mp_write_uint(&w, 5);
	mp_write_int(&w, -1); /* everybody */
	CHECK_EQ(zygote(1, &m), -EBADMSG);
	begin(3, CONTROL_FORKED);
	mp_write_uint(&w, 5);
	mp_write_uint(&w, 1ULL << 32 | 1);
	CHECK_EQ(zygote(1, &m), -EBADMSG);

	begin(3, CONTROL_FORK_FAILED);
	mp_write_uint(&w, 5);
	mp_write_uint(&w, EAGAIN);
	CHECK_EQ(zygote(0, &m), 0);
	CHECK_EQ(m.error, EAGAIN);

	begin(2, CONTROL_ZYGOTE_READY);
	mp_write_map(&w, 2);
	mp_write_str(&w, "lua");
	mp_write_str(&w, "Lua 5.4.4");
	mp_write_str(&w, "layers");
	mp_write_array(&w, 1);
	mp_write_str(&w, "seccomp");
	CHECK_EQ(zygote(0, &m), 0);
	CHECK_EQ(m.layers.size, 9);
}

/* Verify the keeper's messages. */
static void test_the_keeper(void)
{
	struct keeper_message m;

	begin(6, KEEPER_EXITED);
	mp_write_uint(&w, 4711);
	for (unsigned i = 1; i <= 4; i++)
		mp_write_uint(&w, i);
	CHECK_EQ(keeper_message_parse(bytes, w.used, 0, &m), 0);
	CHECK_EQ(m.exit.pid, 4711);
	CHECK_EQ(m.exit.status, 1);
	CHECK_EQ(m.exit.memory_bytes, 4);
	CHECK_EQ(keeper_message_parse(bytes, w.used, 1, &m), -EBADMSG);

	begin(4, KEEPER_KEPT);
	mp_write_str(&w, "fuse");
	mp_write_bin(&w, "record", 6);
	mp_write_uint(&w, 4711);
	CHECK_EQ(keeper_message_parse(bytes, w.used, 1, &m), 0);
	CHECK_STR(m.name, "fuse");
	CHECK_EQ(m.pid, 4711);
	CHECK(mp_bytes_equal(m.record, "record"));
	CHECK_EQ(keeper_message_parse(bytes, w.used, 0, &m), 0);
	begin(2, KEEPER_KEPT);
	mp_write_str(&w, "fuse");
	CHECK_EQ(keeper_message_parse(bytes, w.used, 1, &m), -EBADMSG);
}

int main(void)
{
	RUN(test_a_run);
	RUN(test_a_run_has_its_descriptors);
	RUN(test_arguments_are_strings);
	RUN(test_a_wrong_type);
	RUN(test_signals);
	RUN(test_kinds_of_others);
	RUN(test_attach_and_rules);
	RUN(test_in_the_background);
	RUN(test_streams_are_closed);
	RUN(test_cut_messages);
	RUN(test_command_arguments);
	RUN(test_a_runner);
	RUN(test_a_principal);
	RUN(test_use);
	RUN(test_notices);
	RUN(test_a_zygote);
	RUN(test_the_keeper);
	return tap_done();
}
