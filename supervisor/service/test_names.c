/* Lists of texts. */

#include "service/names.h"

#include <stdio.h>
#include <string.h>

#include "base/tap.h"

static int add(struct names *names, const char *text)
{
	return names_add(names, text, strlen(text));
}

/* Verify that texts stay what they are, and in their order, however many come
 * behind them. */
static void test_each_number_of_them(void)
{
	for (unsigned n = 0; n < 20; n++) {
		struct names names = { 0 };
		char text[16];
		int same = 1;

		for (unsigned i = 0; i < n; i++) {
			snprintf(text, sizeof(text), "text-%u", i);
			CHECK_EQ(add(&names, text), 0);
		}
		CHECK_EQ(names.n, n);
		for (unsigned i = 0; i < n; i++) {
			snprintf(text, sizeof(text), "text-%u", i);
			same = same && strcmp(names.items[i], text) == 0 &&
			       names_has(&names, text);
		}
		CHECK(same);
		CHECK(!names_has(&names, "text"));
		names_deinit(&names);
		CHECK_EQ(names.n, 0);
		CHECK(!names.items);
	}
}

/* Verify that a part of a text can be added, and an empty one. */
static void test_parts(void)
{
	struct names names = { 0 };

	CHECK_EQ(names_add(&names, "greeter", 5), 0);
	CHECK_STR(names.items[0], "greet");
	CHECK_EQ(names_add(&names, "greeter", 0), 0);
	CHECK_STR(names.items[0], "greet");
	CHECK_STR(names.items[1], "");
	names_deinit(&names);
	CHECK_EQ(add(&names, "again"), 0);
	CHECK_STR(names.items[0], "again");
	names_deinit(&names);
}

int main(void)
{
	RUN(test_each_number_of_them);
	RUN(test_parts);
	return tap_done();
}
