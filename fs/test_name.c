/* Names: what is allowed, what is scratch, what a reference means. */

#include "fs/name.h"

#include "base/tap.h"
#include "base/util.h"

/* Verify that the rule of DESIGN holds at its edges. */
static void test_names_are_1_to_128_bytes_of_a_small_alphabet(void)
{
	static const char *const good[] = { "a",    "hello", "A-b_c+d.9",
					    "-",    "4913",  "hello.lua",
					    "a..b", "x." };
	static const char *const bad[] = { "",	    ".",   "..",  ".a",
					   "a/b",   "a b", "a\n", "a#b",
					   "a@1",   "a:b", "a~",  "\xc3\xa4",
					   "a\x7f", "a\\", "a*" };
	char name[NAME_MAX_BYTES + 2];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK(name_valid(good[i]) && !name_rule(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!name_valid(bad[i]) && name_rule(bad[i]));

	memset(name, 'x', sizeof(name));
	name[NAME_MAX_BYTES + 1] = '\0';
	CHECK(!name_valid(name));
	name[NAME_MAX_BYTES] = '\0';
	CHECK(name_valid(name));
}

/* Verify that every single byte outside of the alphabet is refused. */
static void test_every_other_byte_is_refused(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz"
				       "0123456789._+-";

	for (int c = 1; c < 256; c++) {
		char name[3] = { 'a', (char)c, '\0' };

		CHECK_EQ(name_valid(name), strchr(alphabet, c) != NULL);
	}
}

/* Verify that editors' names are scratch and no path is. */
static void test_scratch_names(void)
{
	static const char *const yes[] = { ".hello.swp", "hello~", "4913", "~",
					   ".#lock",	 "...",	   ". x" };
	static const char *const no[] = { "",	  ".",	   "..", "hello",
					  ".a/b", "../a~", "/",	 "#hello#" };
	char name[300];

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		CHECK(name_scratch(yes[i]));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		CHECK(!name_scratch(no[i]));
	memset(name, '.', sizeof(name));
	name[256] = '\0';
	CHECK(!name_scratch(name));
	name[255] = '\0';
	CHECK(name_scratch(name));
}

/* Verify that references fall into their parts. */
static void test_references(void)
{
	struct name_ref ref;

	CHECK_EQ(name_parse("hello", true, &ref, NULL), 0);
	CHECK(ref.kind == REF_LIVE && ref.runtime[0] == '\0');
	CHECK_STR(ref.name, "hello");
	CHECK_EQ(name_parse("cc#worm@12", true, &ref, NULL), 0);
	CHECK(ref.kind == REF_VERSION && ref.version == 12);
	CHECK_STR(ref.runtime, "cc");
	CHECK_STR(ref.name, "worm");
	CHECK_EQ(name_parse("hello@rejected", false, &ref, NULL), 0);
	CHECK(ref.kind == REF_REJECTED);
}

/* Verify that a bad reference changes nothing and names its rule. */
static void test_bad_references_name_the_rule(void)
{
	static const char *const bad[] = { "",
					   "@",
					   "@3",
					   "a@",
					   "a@0",
					   "a@03",
					   "a@-1",
					   "a@1x",
					   "#a",
					   "a#",
					   "a#b#c",
					   "a@1@2",
					   "a@ 1",
					   "../a",
					   ".a@1",
					   "a@+1",
					   "a@99999999999999999999999" };
	struct name_ref ref = { .version = 7 };
	const char *rule;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rule = NULL;
		CHECK_EQ(name_parse(bad[i], true, &ref, &rule), -EINVAL);
		CHECK(rule && *rule);
		CHECK_EQ(ref.version, 7);
	}
	CHECK_EQ(name_parse("cc#worm", false, &ref, &rule), -EINVAL);
}

/* Verify that hello and hello.lua find each other. */
static void test_the_other_spelling(void)
{
	char other[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];

	CHECK(name_alternate(DIR_PROGRAMS, "hello", other));
	CHECK_STR(other, "hello.lua");
	CHECK(name_alternate(DIR_PROGRAMS, "hello.lua", other));
	CHECK_STR(other, "hello");
	CHECK(name_alternate(DIR_SERVICES, "a.lua", other));
	CHECK_STR(other, "a.lua.service");
	CHECK(!name_alternate(DIR_DATA, "hello", other));
	CHECK(!name_alternate(DIR_PROGRAMS, ".lua", other));
	memset(name, 'x', NAME_MAX_BYTES);
	name[NAME_MAX_BYTES] = '\0';
	CHECK(!name_alternate(DIR_PROGRAMS, name, other));
}

/* Verify that the five directories are found by their names only. */
static void test_directories(void)
{
	enum store_dir dir;

	for (int i = 0; i < DIR_COUNT; i++) {
		CHECK_EQ(store_dir_parse(store_dir_name((enum store_dir)i),
					 &dir),
			 0);
		CHECK_EQ(dir, i);
	}
	CHECK_EQ(store_dir_parse("program", &dir), -ENOENT);
	CHECK_EQ(store_dir_parse("", &dir), -ENOENT);
}

int main(void)
{
	RUN(test_names_are_1_to_128_bytes_of_a_small_alphabet);
	RUN(test_every_other_byte_is_refused);
	RUN(test_scratch_names);
	RUN(test_references);
	RUN(test_bad_references_name_the_rule);
	RUN(test_the_other_spelling);
	RUN(test_directories);
	return tap_done();
}
