/* What calls carry: to JSON and back, and as people read it. */

#include "cli/luajson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "rpc/wire.h"

/* @text as an argument, sent, and as the JSON that thoxctl would print. */
static char *through(const char *text)
{
	struct mp_writer w;
	struct mp_reader r;
	json_t *value;
	char *printed = NULL;

	mp_writer_init_heap(&w);
	if (luajson_write_argument(&w, text) == 0) {
		mp_reader_init(&r, w.data, w.used);
		value = luajson_from_mp(&r);
		if (value && mp_end(&r) == 0)
			printed = json_dumps(value,
					     JSON_ENCODE_ANY | JSON_COMPACT);
		json_decref(value);
	}
	mp_writer_deinit(&w);
	return printed;
}

/* Verify that JSON goes and comes as it is, types of numbers included, and
 * anything else as a string. */
static void test_arguments(void)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{ "1", "1" },
		{ "1.0", "1.0" },
		{ "-3", "-3" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "9223372036854775808", "\"9223372036854775808\"" },
		{ "true", "true" },
		{ "null", "null" },
		{ "world", "\"world\"" },
		{ "", "\"\"" },
		{ "\"1\"", "\"1\"" },
		{ "01", "\"01\"" },
		{ "[1,2", "\"[1,2\"" },
		{ "[1,[2],{}]", "[1,[2],{}]" },
		{ "{\"a\":{\"b\":null}}", "{\"a\":{\"b\":null}}" },
		{ "{\"a\":1,\"a\":2}", "\"{\\\"a\\\":1,\\\"a\\\":2}\"" },
		{ "\"a\\u0000b\"", "\"a\\u0000b\"" },
		{ "{\"$bytes\":\"/w==\"}", "{\"$bytes\":\"/w==\"}" },
		{ "{\"$bytes\":\"aGk=\"}", "\"hi\"" },
		{ "{\"$float\":\"-inf\"}", "{\"$float\":\"-inf\"}" },
		{ "{\"$float\":\"nan\"}", "{\"$float\":\"nan\"}" },
		{ "{\"$bytes\":1,\"x\":2}", "{\"$bytes\":1,\"x\":2}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(freep) char *json = through(rows[i].text);

		CHECK(json);
		CHECK_STR(json, rows[i].json);
	}
}

/* Verify that what has no meaning here is refused, not guessed. */
static void test_refused_arguments(void)
{
	static const char *const texts[] = {
		"{\"$context\":1}",	  "{\"$bytes\":\"a\"}",
		"{\"$bytes\":\"ab!=\"}",  "{\"$bytes\":7}",
		"{\"$float\":\"1\"}",	  "[{\"$context\":1}]",
		"{\"x\":{\"$float\":0}}", "{\"$bytes\":\"=aaa\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct mp_writer w;

		mp_writer_init_heap(&w);
		CHECK_EQ(luajson_write_argument(&w, texts[i]), -EINVAL);
		mp_writer_deinit(&w);
	}
}

/* Verify that bytes of every length survive. */
static void test_bytes(void)
{
	for (size_t n = 0; n < 70; n++) {
		struct mp_writer w, again;
		struct mp_reader r;
		uint8_t data[70];
		json_t *value;

		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)(255 - i * 7);
		mp_writer_init_heap(&w);
		mp_writer_init_heap(&again);
		if (n > 0) /* nothing is text */
			mp_write_bin(&w, data, n);
		else
			mp_write_str(&w, "");
		mp_reader_init(&r, w.data, w.used);
		value = luajson_from_mp(&r);
		CHECK(value);
		CHECK_EQ(luajson_to_mp(&again, value), 0);
		json_decref(value);
		CHECK_EQ(again.used, w.used);
		CHECK(memcmp(again.data, w.data, w.used) == 0);
		mp_writer_deinit(&w);
		mp_writer_deinit(&again);
	}
}

static void write_mixture(struct mp_writer *w)
{
	mp_write_array(w, 8);
	mp_write_str(w, "a line\nand \033[31m another");
	mp_write_nil(w);
	mp_write_double(w, 2);
	mp_write_double(w, 0.1);
	wire_write_context(w, 12);
	mp_write_map(w, 3);
	mp_write_int(w, 7);
	mp_write_str(w, "seven");
	mp_write_bool(w, true);
	mp_write_bin(w, "\xff", 1);
	mp_write_str(w, "k");
	mp_write_array(w, 0);
	mp_write_str(w, "word");
	mp_write_bin(w, "\xff", 1);
}

static char *printed(bool words, bool terminal)
{
	struct mp_writer w;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	mp_writer_init_heap(&w);
	write_mixture(&w);
	if (words)
		luajson_print_words(out,
				    (struct mp_bytes){ (char *)w.data, w.used },
				    terminal);
	else
		luajson_print_lines(out,
				    (struct mp_bytes){ (char *)w.data, w.used },
				    terminal);
	mp_writer_deinit(&w);
	fclose(out);
	return text;
}

/* Verify what people see, and that a terminal is not steered by it. */
static void test_for_people(void)
{
	_cleanup_(freep) char *raw = printed(false, false);
	_cleanup_(freep) char *shown = printed(false, true);
	_cleanup_(freep) char *words = printed(true, true);

	CHECK_STR(raw, "a line\nand \033[31m another\nnil\n2.0\n0.1\n"
		       "context: 12\n"
		       "{\"7\":\"seven\",\"true\":{\"$bytes\":\"/w==\"},"
		       "\"k\":[]}\nword\n\xff\n");
	CHECK_STR(shown, "a line\nand \\x1b[31m another\nnil\n2.0\n0.1\n"
			 "context: 12\n"
			 "{\"7\":\"seven\",\"true\":{\"$bytes\":\"/w==\"},"
			 "\"k\":[]}\nword\n\\xff\n");
	CHECK_STR(words, " \"a line\\nand \\u001B[31m another\" nil 2.0 0.1 "
			 "context: 12 "
			 "{\"7\":\"seven\",\"true\":{\"$bytes\":\"/w==\"},"
			 "\"k\":[]} word {\"$bytes\":\"/w==\"}");
}

/* Verify that what is no message gives no value. */
static void test_broken(void)
{
	static const char *const broken[] = { "\xc1", "\x92\x01",
					      "\x81\xc0\x01",
					      ("\xd9\x05"
					       "ab") };

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct mp_reader r;

		mp_reader_init(&r, broken[i], strlen(broken[i]));
		CHECK(!luajson_from_mp(&r));
	}
}

int main(void)
{
	RUN(test_arguments);
	RUN(test_refused_arguments);
	RUN(test_bytes);
	RUN(test_for_people);
	RUN(test_broken);
	return tap_done();
}
