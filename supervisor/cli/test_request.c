/* Requests: what a run is asked with, and nothing more of the caller. */

#include "cli/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "rpc/control.h"

static char *no_args[] = { NULL };

/* The raw value of a key of the request, empty when it is not there. */
static struct mp_bytes value_of(const struct mp_writer *w, const char *key)
{
	struct mp_bytes found = { "", 0 };
	struct mp_reader r;

	mp_reader_init(&r, w->data, w->used);
	if (mp_read_array(&r) != 2 || mp_read_uint(&r) != CONTROL_RUN)
		return found;
	for (uint32_t n = mp_read_map(&r); n > 0; n--) {
		bool wanted = mp_bytes_equal(mp_read_str(&r), key);
		struct mp_bytes value = mp_read_raw(&r);

		if (wanted)
			found = value;
	}
	return mp_end(&r) == 0 ? found : (struct mp_bytes){ "bad", 0 };
}

static uint64_t number_of(const struct mp_writer *w, const char *key)
{
	struct mp_bytes raw = value_of(w, key);
	struct mp_reader r;

	mp_reader_init(&r, raw.p, raw.size);
	return mp_read_uint(&r);
}

/* The variable's value in the request, or NULL. */
static const char *variable(const struct mp_writer *w, const char *name)
{
	struct mp_bytes raw = value_of(w, "env");
	static char value[64];
	struct mp_reader r;

	mp_reader_init(&r, raw.p, raw.size);
	for (uint32_t n = mp_read_map(&r); n > 0; n--) {
		bool wanted = mp_bytes_equal(mp_read_str(&r), name);
		struct mp_bytes text = mp_read_str(&r);

		if (wanted && mp_bytes_copy(text, value, sizeof(value)) == 0)
			return value;
	}
	return NULL;
}

/* Verify that only the named variables travel, and that options win. */
static void test_the_environment_is_chosen(void)
{
	struct options o = { .name = "hello", .args = no_args };
	struct text text = { .fd = -1, .name = "hello" };
	struct request q = { .options = &o, .text = &text };
	struct mp_writer w;

	setenv("TERM", "of-the-caller", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("SECRET", "x", 1);
	setenv("GIVEN", "from-here", 1);
	o.env[o.n_env++] = "TERM=of-the-option";
	o.env[o.n_env++] = "GIVEN";
	o.env[o.n_env++] = "EMPTY=";
	o.env[o.n_env++] = "NOT_SET_ANYWHERE";
	o.env[o.n_env++] = "TWICE=1";
	o.env[o.n_env++] = "TWICE=2";
	CHECK(request_write(&q, &w) == 0);
	CHECK_STR(variable(&w, "LANG"), "C.UTF-8");
	CHECK_STR(variable(&w, "TERM"), "of-the-option");
	CHECK_STR(variable(&w, "GIVEN"), "from-here");
	CHECK_STR(variable(&w, "EMPTY"), "");
	CHECK_STR(variable(&w, "TWICE"), "2");
	CHECK(!variable(&w, "SECRET"));
	CHECK(!variable(&w, "HOME"));
	CHECK(!variable(&w, "NOT_SET_ANYWHERE"));
}

/* Verify that what was not said is not in the message, and what was, is. */
static void test_keys_are_there_when_they_say_something(void)
{
	struct options o = { .name = "hello", .args = no_args };
	struct text text = { .fd = -1, .name = "hello" };
	struct request q = { .options = &o, .text = &text };
	struct mp_writer w;

	CHECK(request_write(&q, &w) == 0);
	CHECK(value_of(&w, "name").size > 0);
	CHECK(value_of(&w, "text").size == 0);
	CHECK(value_of(&w, "args").size == 0);
	CHECK(value_of(&w, "memory_bytes").size == 0);
	CHECK(value_of(&w, "rows").size == 0);

	o.memory_bytes = 1 << 20;
	text.fd = 5;
	q.has_size = true;
	q.rows = 24;
	CHECK(request_write(&q, &w) == 0);
	CHECK_EQ(number_of(&w, "memory_bytes"), 1 << 20);
	CHECK_EQ(number_of(&w, "rows"), 24);
	CHECK(value_of(&w, "text").size == 1);
}

/* Verify that rules are put together by their kind. */
static void test_rules_by_kind(void)
{
	struct options o = { .name = "hello", .args = no_args };
	struct text text = { .fd = -1, .name = "hello" };
	struct request q = { .options = &o, .text = &text };
	struct mp_bytes allow;
	struct mp_reader r;
	struct mp_writer w;

	o.allow[o.n_allow++] = "bind=web";
	o.allow[o.n_allow++] = "fs.read,fs.list";
	o.allow[o.n_allow++] = "call=greeter.**";
	o.background = true;
	o.service = "web";
	CHECK(request_write(&q, &w) == 0);
	CHECK_EQ(value_of(&w, "deny").size, 0);
	CHECK_EQ(value_of(&w, "background").size, 1);
	CHECK(value_of(&w, "service").size > 0);
	allow = value_of(&w, "allow");
	mp_reader_init(&r, allow.p, allow.size);
	CHECK_EQ(mp_read_map(&r), 2);
	CHECK(mp_bytes_equal(mp_read_str(&r), "call"));
	CHECK_EQ(mp_read_array(&r), 3);
	CHECK(mp_bytes_equal(mp_read_str(&r), "fs.read"));
	CHECK(mp_bytes_equal(mp_read_str(&r), "fs.list"));
	CHECK(mp_bytes_equal(mp_read_str(&r), "greeter.**"));
	CHECK(mp_bytes_equal(mp_read_str(&r), "bind"));
	CHECK_EQ(mp_read_array(&r), 1);
	CHECK(mp_bytes_equal(mp_read_str(&r), "web"));
	CHECK_EQ(mp_end(&r), 0);
}

/* Verify that many and long arguments fit up to the protocol's limits. */
static void test_arguments_up_to_the_limits(void)
{
	static char *args[CONTROL_ARGS_MAX + 2];
	static char big[CONTROL_MESSAGE_BYTES + 1];
	struct options o = { .name = "hello", .args = args };
	struct text text = { .fd = -1, .name = "hello" };
	struct request q = { .options = &o, .text = &text };
	struct mp_writer w;

	for (unsigned i = 0; i < CONTROL_ARGS_MAX; i++)
		args[i] = (char *)"a longer argument, to leave the buffer";
	CHECK(request_write(&q, &w) == 0);
	CHECK(w.grows && value_of(&w, "args").size > 8192);
	mp_writer_deinit(&w);

	args[CONTROL_ARGS_MAX] = (char *)"one too many";
	CHECK(request_write(&q, &w) == -EMSGSIZE);

	memset(big, 'x', sizeof(big) - 1);
	args[0] = big;
	args[1] = NULL;
	CHECK(request_write(&q, &w) == -EMSGSIZE);
	mp_writer_deinit(&w);
}

int main(void)
{
	RUN(test_the_environment_is_chosen);
	RUN(test_keys_are_there_when_they_say_something);
	RUN(test_rules_by_kind);
	RUN(test_arguments_up_to_the_limits);
	return tap_done();
}
