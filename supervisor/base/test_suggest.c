/* Which name is near. */

#include "base/suggest.h"

#include "base/tap.h"

static const char *best(const char *wanted)
{
	static const char *const names[] = { "hello", "help", "worm",
					     "greeter.lua", "a" };
	static struct suggest s;

	suggest_init(&s, wanted);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		suggest_offer(&s, names[i]);
	return s.name;
}

/* Verify the distance of each kind of mistake. */
static void test_distances(void)
{
	CHECK_EQ(suggest_distance("hello", "hello", 3), 0);
	CHECK_EQ(suggest_distance("hello", "helo", 3), 1);
	CHECK_EQ(suggest_distance("hello", "heello", 3), 1);
	CHECK_EQ(suggest_distance("hello", "hallo", 3), 1);
	CHECK_EQ(suggest_distance("hello", "ehllo", 3), 1);
	CHECK_EQ(suggest_distance("hello", "worm", 3), 4);
	CHECK_EQ(suggest_distance("", "abc", 3), 3);
	CHECK_EQ(suggest_distance("abc", "abcdefgh", 3), 4);
}

/* Verify that a slip finds its name and a stranger none. */
static void test_the_nearest_is_offered(void)
{
	CHECK_STR(best("helo"), "hello");
	CHECK_STR(best("wrom"), "worm");
	CHECK_STR(best("greter.lua"), "greeter.lua");
	CHECK_STR(best("something"), "");
	CHECK_STR(best("zz"), "");
}

/* Verify that the longest names are measured, and longer ones refused. */
static void test_long_names(void)
{
	char a[SUGGEST_BYTES + 2], b[SUGGEST_BYTES + 2];

	memset(a, 'a', sizeof(a));
	memset(b, 'a', sizeof(b));
	a[SUGGEST_BYTES] = b[SUGGEST_BYTES] = '\0';
	b[5] = 'b';
	CHECK_EQ(suggest_distance(a, b, 3), 1);
	a[SUGGEST_BYTES] = 'a';
	a[SUGGEST_BYTES + 1] = '\0';
	CHECK_EQ(suggest_distance(a, b, 3), 4);
}

int main(void)
{
	RUN(test_distances);
	RUN(test_the_nearest_is_offered);
	RUN(test_long_names);
	return tap_done();
}
