/* What a traced process writes, taken apart. */

#include "cli/trace_record.h"

#include <errno.h>

#include "base/tap.h"
#include "base/util.h"
#include "rpc/status.h"

static void write_call(struct mp_writer *w, const char *name)
{
	mp_write_array(w, 8);
	mp_write_uint(w, 1000);
	mp_write_str(w, "call");
	mp_write_uint(w, 7);
	mp_write_uint(w, 3);
	mp_write_bool(w, true);
	mp_write_uint(w, 4321);
	mp_write_str(w, name);
	mp_write_uint(w, 64);
}

static int parse(const struct mp_writer *w, struct trace_record *ret)
{
	return trace_record_parse(w->data, w->used, ret);
}

/* Verify that every kind is read whole. */
static void test_every_kind(void)
{
	struct trace_record t;
	struct mp_writer w;
	uint8_t buf[256];

	mp_writer_init(&w, buf, sizeof(buf));
	write_call(&w, "greeter.greet");
	CHECK_EQ(parse(&w, &t), 0);
	CHECK(t.what == TRACE_CALL && t.out);
	CHECK_STR(t.name, "greeter.greet");
	CHECK_EQ(t.time_us + t.link + t.cid + (uint64_t)t.pid + t.bytes,
		 1000 + 7 + 3 + 4321 + 64);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 8);
	mp_write_uint(&w, 1000);
	mp_write_str(&w, "answer");
	mp_write_uint(&w, 7);
	mp_write_uint(&w, 3);
	mp_write_bool(&w, false);
	mp_write_uint(&w, 5);
	mp_write_uint(&w, 250);
	mp_write_uint(&w, 10);
	CHECK_EQ(parse(&w, &t), 0);
	CHECK_STR(status_name(t.status), "TIMEOUT");
	CHECK_EQ(t.took_us, 250);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 7);
	mp_write_uint(&w, 1000);
	mp_write_str(&w, "push");
	mp_write_uint(&w, 7);
	mp_write_bool(&w, true);
	mp_write_nil(&w);
	mp_write_str(&w, "chat");
	mp_write_uint(&w, 10);
	CHECK_EQ(parse(&w, &t), 0);
	CHECK(t.what == TRACE_PUSH && t.pid == 0);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, 1000);
	mp_write_str(&w, "lost");
	mp_write_uint(&w, 9);
	CHECK_EQ(parse(&w, &t), 0);
	CHECK_EQ(t.lost, 9);
}

/* Verify that every part of a record, and more than one, is none; nor is one
 * whose name could steer a terminal. */
static void test_refused(void)
{
	struct trace_record t;
	struct mp_writer w;
	uint8_t buf[256];

	mp_writer_init(&w, buf, sizeof(buf));
	write_call(&w, "a.b");
	for (size_t n = 0; n < w.used; n++)
		CHECK_EQ(trace_record_parse(w.data, n, &t), -EBADMSG);
	mp_write_nil(&w);
	CHECK_EQ(parse(&w, &t), -EBADMSG);
	mp_writer_init(&w, buf, sizeof(buf));
	write_call(&w, "\033[2J");
	CHECK_EQ(parse(&w, &t), -EBADMSG);
	CHECK_STR(status_name(77), "?");
}

int main(void)
{
	RUN(test_every_kind);
	RUN(test_refused);
	return tap_done();
}
