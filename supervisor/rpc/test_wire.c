/* What wire.h and pattern.h say. */

#include "rpc/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "rpc/pattern.h"
#include "rpc/status.h"

static uint8_t buf[4096];
static struct mp_writer w;
static struct wire_message m;

static void fresh(void)
{
	mp_writer_init(&w, buf, sizeof(buf));
}

static int parse(void)
{
	return mp_writer_end(&w) < 0 ? -EMSGSIZE
				     : wire_parse(w.data, w.used, &m);
}

/* An array of items that follow, its first the kind. */
static void raw(uint32_t items, int64_t kind)
{
	fresh();
	mp_write_array(&w, items);
	mp_write_int(&w, kind);
}

/* Verify that a call comes out as it went in, with and without a deadline. */
static void test_calls(void)
{
	static const uint64_t deadlines[] = { 0, 1, 1ULL << 40 };

	for (size_t i = 0; i < 3; i++) {
		fresh();
		wire_begin_call(&w, UINT32_MAX, "a.b", 3, deadlines[i]);
		mp_write_array(&w, 1);
		mp_write_str(&w, "x");
		wire_end_call(&w, deadlines[i]);
		CHECK_EQ(parse(), 0);
		CHECK_EQ(m.kind, WIRE_CALL);
		CHECK_EQ(m.cid, UINT32_MAX);
		CHECK(mp_bytes_equal(m.name, "a.b"));
		CHECK_EQ(m.args.size, 3);
		CHECK_EQ(m.deadline_ms, deadlines[i]);
	}
}

/* Verify the other kinds in the same way. */
static void test_other_kinds(void)
{
	fresh();
	wire_write_hello(&w, 1 << 20);
	CHECK_EQ(parse(), 0);
	CHECK_EQ(m.message_bytes, 1 << 20);
	CHECK(!m.returns);

	fresh();
	wire_write_hello_returns(&w, 1 << 20);
	CHECK_EQ(parse(), 0);
	CHECK_EQ(m.message_bytes, 1 << 20);
	CHECK(m.returns);

	fresh();
	wire_write_failure(&w, 7, STATUS_DENIED, "no");
	CHECK_EQ(parse(), 0);
	CHECK(m.kind == WIRE_ANSWER && m.cid == 7 && m.status == STATUS_DENIED);

	fresh();
	wire_write_cancel(&w, 8);
	CHECK_EQ(parse(), 0);
	CHECK(m.kind == WIRE_CANCEL && m.cid == 8);

	fresh();
	wire_begin_push(&w, "news", 4, false);
	mp_write_array(&w, 0);
	CHECK_EQ(parse(), 0);
	CHECK(m.kind == WIRE_PUSH && mp_bytes_equal(m.name, "news"));
	CHECK_EQ(m.info.size, 0);

	fresh();
	wire_begin_push(&w, "news", 4, true);
	mp_write_array(&w, 0);
	mp_write_map(&w, 1);
	mp_write_str(&w, "lost");
	mp_write_uint(&w, 3);
	CHECK_EQ(parse(), 0);
	CHECK_EQ(m.info.size, 7);

	fresh();
	wire_write_listen(&w, "news", 4, true);
	CHECK_EQ(parse(), 0);
	CHECK(m.kind == WIRE_LISTEN && m.on);

	fresh();
	wire_write_moved(&w);
	CHECK_EQ(parse(), 0);
	CHECK_EQ(m.kind, WIRE_MOVED);

	fresh();
	wire_write_return(&w);
	CHECK_EQ(parse(), 0);
	CHECK_EQ(m.kind, WIRE_RETURN);

	fresh();
	wire_write_resolve(&w, 9, "a", 1);
	CHECK_EQ(parse(), 0);
	CHECK(m.kind == WIRE_RESOLVE && m.cid == 9);
}

/* Verify that unknown kinds are ignored from 16 on, and refused below. */
static void test_unknown_kinds(void)
{
	for (int64_t kind = 9; kind < 16; kind++) {
		raw(1, kind);
		CHECK_EQ(parse(), -EBADMSG);
	}
	raw(1, -1);
	CHECK_EQ(parse(), -EBADMSG);
	raw(3, 16);
	mp_write_nil(&w);
	mp_write_str(&w, "of later times");
	CHECK_EQ(parse(), 0);
	CHECK_EQ(m.kind, 16);
	raw(3, 16);
	mp_write_nil(&w);
	CHECK_EQ(parse(), -EBADMSG); /* an item is missing */
}

/* Verify that what is short, long, or of a wrong type is refused. */
static void test_wrong_fields(void)
{
	raw(2, WIRE_CANCEL);
	mp_write_uint(&w, 1ULL << 32);
	CHECK_EQ(parse(), -EBADMSG);

	raw(1, WIRE_CANCEL);
	CHECK_EQ(parse(), -EBADMSG);

	raw(3, WIRE_PUSH);
	mp_write_str(&w, "news");
	mp_write_str(&w, "not an array");
	CHECK_EQ(parse(), -EBADMSG);

	raw(3, WIRE_PUSH);
	mp_write_str(&w, "news.");
	mp_write_array(&w, 0);
	CHECK_EQ(parse(), -EBADMSG);

	raw(2, WIRE_MOVED);
	mp_write_nil(&w);
	CHECK_EQ(parse(), -EBADMSG);

	raw(2, WIRE_RETURN);
	mp_write_nil(&w);
	CHECK_EQ(parse(), -EBADMSG);

	raw(3, WIRE_HELLO);
	mp_write_uint(&w, WIRE_VERSION + 1);
	mp_write_map(&w, 0);
	CHECK_EQ(parse(), -EBADMSG);

	fresh();
	wire_write_cancel(&w, 1);
	mp_write_nil(&w); /* after the message */
	CHECK_EQ(parse(), -EBADMSG);
}

/* Verify that a status that nobody knows is a failure, never a success. */
static void test_unknown_status(void)
{
	static const int64_t unknown[] = { -1, 9, INT64_MAX, INT64_MIN };

	for (size_t i = 0; i < 4; i++) {
		raw(4, WIRE_ANSWER);
		mp_write_uint(&w, 1);
		mp_write_int(&w, unknown[i]);
		mp_write_array(&w, 0);
		CHECK_EQ(parse(), 0);
		CHECK_EQ(m.status, STATUS_ERROR);
	}
}

/* Verify that arguments nested too deep are refused. */
static void test_depth(void)
{
	for (int deep = 0; deep < 2; deep++) {
		raw(3, WIRE_PUSH);
		mp_write_str(&w, "news");
		for (int i = 0; i < MP_DEPTH_MAX + 1 + deep; i++)
			mp_write_array(&w, 1);
		mp_write_nil(&w);
		CHECK_EQ(parse(), deep ? -EBADMSG : 0);
	}
}

/* Verify what a name is. */
static void test_names(void)
{
	static const char *const good[] = { "a", "a.b", "A-1_.z9", "storage" };
	static const char *const bad[] = { "",	   ".",	  "a.",	 ".a",
					   "a..b", "a b", "a\n", "\xc3\xa4",
					   "a/b",  "a@1" };
	char longest[WIRE_NAME_BYTES + 1];

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		CHECK(wire_check_name(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!wire_check_name(bad[i], strlen(bad[i])));
	CHECK(!wire_check_name("a\0b", 3));
	memset(longest, 'x', sizeof(longest));
	CHECK(wire_check_name(longest, WIRE_NAME_BYTES));
	CHECK(!wire_check_name(longest, sizeof(longest)));
}

static bool below(const char *name, const char *prefix)
{
	return wire_below((struct mp_bytes){ name, strlen(name) }, prefix,
			  strlen(prefix));
}

/* Verify that a prefix ends at a dot. */
static void test_below(void)
{
	CHECK(below("storage.keys.get", "storage"));
	CHECK(below("storage", "storage"));
	CHECK(below("storage", ""));
	CHECK(!below("storages", "storage"));
	CHECK(!below("stor", "storage"));
}

/* Verify that a context's number comes back, and that nothing else is one. */
static void test_contexts(void)
{
	struct mp_reader r;

	fresh();
	wire_write_context(&w, 0x1122334455667788);
	mp_write_ext(&w, 2, "12345678", 8);
	mp_write_ext(&w, WIRE_EXT_CONTEXT, "1234", 4);
	mp_reader_init(&r, w.data, w.used);
	CHECK_EQ(wire_read_context(&r), 0x1122334455667788);
	CHECK_EQ(wire_read_context(&r), 0);
	CHECK_EQ(wire_read_context(&r), 0);
	CHECK_EQ(mp_end(&r), 0);

	fresh();
	mp_write_nil(&w);
	mp_reader_init(&r, w.data, w.used);
	CHECK_EQ(wire_read_context(&r), 0);
	CHECK(mp_end(&r) < 0);
}

/* Verify that contexts are found wherever they are, and nothing else is. */
static void test_contexts_in_arguments(void)
{
	struct wire_context found[2];
	struct mp_bytes args;

	fresh();
	mp_write_array(&w, 3);
	mp_write_map(&w, 2);
	wire_write_context(&w, 7);
	mp_write_str(&w, "\xd7\x01........");
	mp_write_str(&w, "k");
	mp_write_ext(&w, 2, "12345678", 8);
	mp_write_ext(&w, WIRE_EXT_CONTEXT, "1234", 4);
	mp_write_array(&w, 1);
	wire_write_context(&w, 0x0102030405060708);
	args = (struct mp_bytes){ (char *)buf, w.used };
	CHECK_EQ(wire_find_contexts(args, found, 2), 2);
	CHECK_EQ(found[0].number, 7);
	CHECK_EQ(found[1].number, 0x0102030405060708);
	CHECK_EQ(found[1].offset, w.used - 8);
	CHECK_EQ(buf[found[0].offset + 7], 7);
	CHECK_EQ(wire_find_contexts(args, found, 1), -E2BIG);
}

static bool matches(const char *pattern, const char *name)
{
	return pattern_match(pattern, strlen(pattern), name, strlen(name));
}

/* Verify what a pattern admits. */
static void test_patterns(void)
{
	CHECK(matches("fs.read", "fs.read"));
	CHECK(!matches("fs.read", "fs.reader"));
	CHECK(!matches("fs.read", "fs"));
	CHECK(!matches("fs", "fs.read"));
	CHECK(matches("fs.*", "fs.read"));
	CHECK(!matches("fs.*", "fs"));
	CHECK(!matches("fs.*", "fs.dir.list"));
	CHECK(matches("*.read", "fs.read"));
	CHECK(matches("fs.**", "fs"));
	CHECK(matches("fs.**", "fs.dir.list"));
	CHECK(!matches("fs.**", "fsx.read"));
	CHECK(matches("**", "any.thing.at.all"));
	CHECK(matches("*", "one"));
	CHECK(!matches("*", "one.two"));
}

/* Verify what is no pattern. */
static void test_no_patterns(void)
{
	static const char *const bad[] = { "",	     ".",  "a.",  "**.a",
					   "a.**.b", "a*", "***", "a..b" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!pattern_check(bad[i], strlen(bad[i])));
	CHECK(pattern_check("a.*.b.**", 8));
	CHECK(pattern_check("**", 2));
}

int main(void)
{
	RUN(test_calls);
	RUN(test_other_kinds);
	RUN(test_unknown_kinds);
	RUN(test_wrong_fields);
	RUN(test_unknown_status);
	RUN(test_depth);
	RUN(test_names);
	RUN(test_below);
	RUN(test_contexts);
	RUN(test_contexts_in_arguments);
	RUN(test_patterns);
	RUN(test_no_patterns);
	return tap_done();
}
