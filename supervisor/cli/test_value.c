/* Values: MessagePack to JSON and back, and as people read them. */

#include "cli/value.h"

#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"

/* Verify that every JSON value comes back from MessagePack as it was. */
static void test_round_trips(void)
{
	static const char *const texts[] = {
		"null",
		"true",
		"false",
		"0",
		"-1",
		"9223372036854775807",
		"1.5",
		"\"\"",
		"\"x\"",
		"[]",
		"{}",
		"[1,[2,[3]]]",
		"{\"a\":{\"b\":[1,\"c\",null]}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL),
		       *again;
		struct mp_writer w;
		struct mp_reader r;

		mp_writer_init_heap(&w);
		value_to_mp(&w, value);
		CHECK(mp_writer_end(&w) == 0);
		mp_reader_init(&r, w.data, w.used);
		again = value_from_mp(&r);
		CHECK(again && json_equal(value, again));
		json_decref(again);
		json_decref(value);
		mp_writer_deinit(&w);
	}
}

/* Verify that bytes which are no UTF-8 do not stop a table. */
static void test_any_bytes_become_a_string(void)
{
	json_t *value = value_string("a\xff\xc3z", 4);

	CHECK(value);
	CHECK_STR(json_string_value(value), "a\xef\xbf\xbd\xef\xbf\xbdz");
	json_decref(value);
}

/* Verify that nesting without end is an error. */
static void test_depth_is_limited(void)
{
	uint8_t deep[200];
	struct mp_reader r;

	memset(deep, 0x91, sizeof(deep));
	deep[sizeof(deep) - 1] = 0xc0;
	mp_reader_init(&r, deep, sizeof(deep));
	CHECK(!value_from_mp(&r));
}

/* Verify that a key's ending is its unit. */
static void test_units_come_from_the_key(void)
{
	static const struct {
		const char *key;
		json_int_t value;
		const char *text;
	} rows[] = {
		{ "memory_bytes", 2048, "2K" },
		{ "cpu_us", 1500000, "1.5 s" },
		{ "uptime_ms", 65000, "1 min 5 s" },
		{ "pid", 4711, "4711" },
	};
	char text[VALUE_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *value = json_integer(rows[i].value);

		value_text(rows[i].key, value, text);
		CHECK_STR(text, rows[i].text);
		json_decref(value);
	}
}

/* Verify that a name cannot drive the terminal. */
static void test_controls_do_not_come_through(void)
{
	json_t *value = json_string("a\033[2Jb\r\n");
	char text[VALUE_TEXT_BYTES];

	value_text("name", value, text);
	CHECK_STR(text, "a?[2Jb??");
	json_decref(value);
}

int main(void)
{
	RUN(test_round_trips);
	RUN(test_any_bytes_become_a_string);
	RUN(test_depth_is_limited);
	RUN(test_units_come_from_the_key);
	RUN(test_controls_do_not_come_through);
	return tap_done();
}
