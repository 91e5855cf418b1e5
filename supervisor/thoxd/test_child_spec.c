/*
 * The argument of process.run: what each key may be, and what is said of one
 * that is not.
 */

#include "thoxd/child_spec.h"

#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/wire.h"

static uint8_t bytes[1 << 16];
static struct mp_writer w;
static struct child_spec c;

static void begin(uint32_t pairs)
{
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_map(&w, pairs);
}

static void pair(const char *key, const char *value)
{
	mp_write_str(&w, key);
	mp_write_str(&w, value);
}

/* "": it was read. */
static const char *parse(void)
{
	struct mp_bytes table = { (const char *)bytes, w.used };
	const char *wrong;

	memset(&c, 0xee, sizeof(c));
	wrong = child_spec_parse(table, &c);
	return wrong ? wrong : "";
}

static bool complains(const char *about)
{
	return strstr(parse(), about) != NULL;
}

/* Verify that a program needs nothing but its name, and inherits. */
static void test_a_program(void)
{
	begin(1);
	pair("program", "cc#worm@3");
	CHECK_STR(parse(), "");
	CHECK(mp_bytes_equal(c.run.name, "cc#worm@3"));
	CHECK(!c.run.text);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(c.stdio[i].kind, STDIO_INHERIT);
	CHECK_EQ(c.run.args.size, 0);
	CHECK_EQ(c.context.size, 0);
	CHECK_EQ(c.run.memory_bytes, 0);
}

/* Verify that a text has a name of its own, which is not a program's. */
static void test_a_text(void)
{
	begin(2);
	pair("code", "print(1)");
	pair("name", "a chunk");
	CHECK_STR(parse(), "");
	CHECK(c.run.text);
	CHECK(mp_bytes_equal(c.code, "print(1)"));
	CHECK(mp_bytes_equal(c.run.name, "a chunk"));
	begin(1);
	pair("code", "");
	CHECK_STR(parse(), "");
	CHECK(c.run.text && c.run.name.size > 0);
}

/* Verify that it is one of both. */
static void test_program_or_text(void)
{
	begin(0);
	CHECK(complains("program or code"));
	begin(2);
	pair("program", "hello");
	pair("code", "return");
	CHECK(complains("program or code"));
	begin(2);
	pair("program", "hello");
	pair("name", "other");
	CHECK(complains("name:"));
	begin(1);
	pair("program", "");
	CHECK(complains("program:"));
}

/* Verify that arguments are strings and contexts, and that these are found. */
static void test_args(void)
{
	struct mp_reader args;
	struct mp_reader item;
	struct mp_bytes found;

	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "args");
	mp_write_array(&w, 4);
	mp_write_str(&w, "a");
	wire_write_context(&w, 77);
	mp_write_bin(&w, "\xff", 1);
	wire_write_context(&w, 78);
	CHECK_STR(parse(), "");
	mp_reader_init(&args, c.run.args.p, c.run.args.size);
	CHECK_EQ(mp_read_array(&args), 4);
	for (uint64_t number = 77; number < 79; number++) {
		found = child_spec_next_context(&args);
		mp_reader_init(&item, found.p, found.size);
		CHECK_EQ(wire_read_context(&item), number);
	}
	CHECK_EQ(child_spec_next_context(&args).size, 0);

	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "args");
	mp_write_array(&w, 1);
	mp_write_uint(&w, 1);
	CHECK(complains("args:"));
	begin(2);
	pair("program", "hello");
	pair("args", "a");
	CHECK(complains("args:"));
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "args");
	mp_write_array(&w, CONTROL_ARGS_MAX + 1);
	for (unsigned i = 0; i <= CONTROL_ARGS_MAX; i++)
		mp_write_str(&w, "");
	CHECK(complains("args:"));
}

/* Verify that an empty table does for every key that wants one. */
static void test_empty_tables(void)
{
	static const char *const keys[] = { "args", "env", "limits", "policy" };

	begin(1 + ARRAY_SIZE(keys));
	pair("program", "hello");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		mp_write_str(&w, keys[i]);
		mp_write_array(&w, 0);
	}
	CHECK_STR(parse(), "");
	CHECK_EQ(c.run.env.size, 0);
	CHECK_EQ(c.allow.size, 0);
}

static void write_pipe(const char *key, const char *end)
{
	mp_write_str(&w, key);
	mp_write_map(&w, 2);
	mp_write_str(&w, "pipe");
	mp_write_uint(&w, 9);
	pair("end", end);
}

/* Verify that each stream takes what fits it. */
static void test_stdio(void)
{
	begin(4);
	pair("program", "hello");
	write_pipe("stdin", "reader");
	write_pipe("stdout", "writer");
	pair("stderr", "null");
	CHECK_STR(parse(), "");
	CHECK_EQ(c.stdio[0].kind, STDIO_PIPE);
	CHECK_EQ(c.stdio[0].pipe, 9);
	CHECK_EQ(c.stdio[1].kind, STDIO_PIPE);
	CHECK_EQ(c.stdio[2].kind, STDIO_NULL);

	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "stdin");
	mp_write_map(&w, 1);
	pair("text", "one line\n");
	CHECK_STR(parse(), "");
	CHECK_EQ(c.stdio[0].kind, STDIO_TEXT);
	CHECK(mp_bytes_equal(c.stdio[0].text, "one line\n"));
}

/* Verify that a stream takes nothing else. */
static void test_wrong_stdio(void)
{
	begin(2);
	pair("program", "hello");
	write_pipe("stdin", "writer");
	CHECK(complains("stdin:"));
	begin(2);
	pair("program", "hello");
	write_pipe("stderr", "reader");
	CHECK(complains("stderr:"));
	begin(2);
	pair("program", "hello");
	pair("stdout", "file");
	CHECK(complains("stdout:"));
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "stdout");
	mp_write_map(&w, 1);
	pair("text", "x");
	CHECK(complains("stdout:"));
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "stdin");
	mp_write_map(&w, 0);
	CHECK(complains("stdin:"));
}

static void write_limit(const char *key, double value)
{
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "limits");
	mp_write_map(&w, 1);
	mp_write_str(&w, key);
	if (value == (double)(int64_t)value)
		mp_write_int(&w, (int64_t)value);
	else
		mp_write_double(&w, value);
}

/* Verify that limits are numbers of more than nothing. */
static void test_limits(void)
{
	static const char *const limits[] = { "memory",	     "cpu",
					      "wall",	     "tasks",
					      "descriptors", "processes" };

	write_limit("cpu", 0.0105);
	CHECK_STR(parse(), "");
	CHECK_EQ(c.run.cpu_ms, 11);
	write_limit("memory", 1 << 20);
	CHECK_STR(parse(), "");
	CHECK_EQ(c.run.memory_bytes, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		write_limit(limits[i], 1);
		CHECK_STR(parse(), "");
		write_limit(limits[i], 0);
		CHECK(complains(limits[i]));
		write_limit(limits[i], -5);
		CHECK(complains(limits[i]));
		write_limit(limits[i], 1e300);
		CHECK(complains(limits[i]));
		write_limit(limits[i], __builtin_nan(""));
		CHECK(complains(limits[i]));
	}
	write_limit("disk", 1);
	CHECK(complains("limits:"));
}

/* Verify that a policy is handed on as it is. */
static void test_policy(void)
{
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "policy");
	mp_write_map(&w, 2);
	mp_write_str(&w, "allow");
	mp_write_map(&w, 1);
	mp_write_str(&w, "call");
	mp_write_array(&w, 1);
	mp_write_str(&w, "fs.read");
	mp_write_str(&w, "deny");
	mp_write_array(&w, 0);
	CHECK_STR(parse(), "");
	CHECK_EQ((uint8_t)c.allow.p[0], 0x81);
	CHECK_EQ(c.deny.size, 0);
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "policy");
	mp_write_map(&w, 1);
	pair("permit", "all");
	CHECK(complains("policy:"));
}

/* Verify that contexts are contexts, and that a program has its storage. */
static void test_contexts(void)
{
	begin(3);
	pair("code", "return");
	mp_write_str(&w, "context");
	wire_write_context(&w, 5);
	mp_write_str(&w, "storage");
	wire_write_context(&w, 6);
	CHECK_STR(parse(), "");
	CHECK(c.context.size > 0 && c.storage.size > 0);
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "storage");
	wire_write_context(&w, 6);
	CHECK(complains("storage:"));
	begin(2);
	pair("program", "hello");
	pair("context", "0");
	CHECK(complains("context:"));
	begin(2);
	pair("program", "hello");
	mp_write_str(&w, "context");
	wire_write_context(&w, 0);
	CHECK(complains("context:"));
}

/* Verify that a key with a typing error is not passed over. */
static void test_unknown_keys(void)
{
	begin(2);
	pair("program", "hello");
	pair("arguments", "x");
	CHECK(complains("does not know"));
	begin(1);
	mp_write_uint(&w, 1);
	mp_write_str(&w, "hello");
	CHECK(parse()[0] != '\0');
}

/* Verify that every message that ends early is refused. */
static void test_truncated(void)
{
	struct mp_bytes table;

	begin(3);
	pair("program", "hello");
	write_pipe("stdout", "writer");
	mp_write_str(&w, "args");
	mp_write_array(&w, 1);
	mp_write_str(&w, "x");
	CHECK_STR(parse(), "");
	for (size_t size = 0; size < w.used; size++) {
		table = (struct mp_bytes){ (const char *)bytes, size };
		CHECK(child_spec_parse(table, &c) != NULL);
	}
	bytes[w.used++] = 0xc0;
	CHECK(parse()[0] != '\0'); /* something is left over */
}

int main(void)
{
	RUN(test_a_program);
	RUN(test_a_text);
	RUN(test_program_or_text);
	RUN(test_args);
	RUN(test_empty_tables);
	RUN(test_stdio);
	RUN(test_wrong_stdio);
	RUN(test_limits);
	RUN(test_policy);
	RUN(test_contexts);
	RUN(test_unknown_keys);
	RUN(test_truncated);
	return tap_done();
}
