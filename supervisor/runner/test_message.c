/*
 * thoxd's messages, whole, cut and wrong.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "rpc/control.h"
#include "runner/message.h"

static uint8_t bytes[1024];
static struct mp_writer w;

static void begin(uint32_t items, int kind)
{
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_array(&w, items);
	mp_write_int(&w, kind);
}

static void write_start(void)
{
	begin(2, CONTROL_START);
	mp_write_map(&w, 6);
	mp_write_str(&w, "name");
	mp_write_str(&w, "hello");
	mp_write_str(&w, "later");
	mp_write_array(&w, 1);
	mp_write_nil(&w);
	mp_write_str(&w, "args");
	mp_write_array(&w, 2);
	mp_write_str(&w, "a");
	mp_write_str(&w, "b");
	mp_write_str(&w, "env");
	mp_write_map(&w, 1);
	mp_write_str(&w, "HOME");
	mp_write_str(&w, "/x");
	mp_write_str(&w, "memory_bytes");
	mp_write_uint(&w, 4096);
	mp_write_str(&w, "expression");
	mp_write_bool(&w, true);
}

/* Verify that all keys arrive, and that one from the future is skipped. */
static void test_start(void)
{
	struct mp_bytes value;
	struct message m;

	write_start();
	CHECK_EQ(message_parse(bytes, w.used, &m), 0);
	CHECK_EQ(m.kind, CONTROL_START);
	CHECK(mp_bytes_equal(m.start.name, "hello"));
	CHECK_EQ(m.start.memory_bytes, 4096);
	CHECK(m.start.expression);
	CHECK(!m.start.interactive);
	CHECK(message_lookup(m.start.env, "HOME", &value));
	CHECK(mp_bytes_equal(value, "/x"));
	CHECK(!message_lookup(m.start.env, "HOM", &value));
	CHECK(!message_lookup((struct mp_bytes){ 0 }, "HOME", &value));
}

/* Verify that every truncation, and a byte too many, is refused. */
static void test_truncations(void)
{
	write_start();
	for (size_t n = 0; n < w.used; n++) {
		uint8_t *exact = malloc(n ? n : 1);
		struct message m;

		memcpy(exact, bytes, n);
		CHECK_EQ(message_parse(exact, n, &m), -EBADMSG);
		free(exact);
	}
	struct message m;

	CHECK_EQ(message_parse(bytes, w.used + 1, &m), -EBADMSG);
}

/* Verify that a value of the wrong type is refused. */
static void test_wrong_types(void)
{
	static const char *const keys[] = {
		"name", "args", "env", "rows", "expression", "memory_bytes"
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct message m;

		begin(2, CONTROL_START);
		mp_write_map(&w, 1);
		mp_write_str(&w, keys[i]);
		mp_write_double(&w, 1.5);
		CHECK_EQ(message_parse(bytes, w.used, &m), -EBADMSG);
	}
}

/* Verify the events, with and without a size, and one that is not known. */
static void test_events(void)
{
	static const struct {
		const char *name;
		enum control_event event;
	} events[] = { { "interrupt", EVENT_INTERRUPT },
		       { "terminate", EVENT_TERMINATE },
		       { "resize", EVENT_RESIZE },
		       { "reload", EVENT_RELOAD },
		       { "dance", EVENT_UNKNOWN } };

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		struct message m;

		begin(4, CONTROL_EVENT);
		mp_write_str(&w, events[i].name);
		mp_write_uint(&w, 24);
		mp_write_uint(&w, 80);
		CHECK_EQ(message_parse(bytes, w.used, &m), 0);
		CHECK_EQ(m.event.event, events[i].event);
		CHECK_EQ(m.event.columns, 80);
		begin(2, CONTROL_EVENT);
		mp_write_str(&w, events[i].name);
		CHECK_EQ(message_parse(bytes, w.used, &m), 0);
	}
}

/* Verify that a kind for somebody else is refused. */
static void test_unknown_kinds(void)
{
	for (int kind = -1; kind < 80; kind++) {
		struct message m;

		if (kind >= CONTROL_START && kind <= CONTROL_EVALUATE)
			continue;
		if (kind == CONTROL_FORK || kind == CONTROL_SETUP ||
		    kind == CONTROL_MAPPED)
			continue;
		begin(1, kind);
		CHECK_EQ(message_parse(bytes, w.used, &m), -EBADMSG);
	}
}

int main(void)
{
	RUN(test_start);
	RUN(test_truncations);
	RUN(test_wrong_types);
	RUN(test_events);
	RUN(test_unknown_kinds);
	return tap_done();
}
