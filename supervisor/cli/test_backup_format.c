/* The manifest of a backup: what is written is read, and nothing else. */

#include "cli/backup_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"

static int parse(const char *text, struct backup_manifest *m)
{
	return backup_manifest_read(text, strlen(text), m);
}

/* Verify that a manifest comes back as it was written. */
static void test_a_manifest_comes_back(void)
{
	struct backup_manifest m = { .format = BACKUP_FORMAT,
				     .thox = "1.2.3-x",
				     .time_s = 1795789355,
				     .texts = 12,
				     .bytes = 1ULL << 40 };
	struct backup_manifest back;
	char *text = backup_manifest_write(&m);

	CHECK(text);
	CHECK_EQ(parse(text, &back), 0);
	CHECK_EQ(back.format, m.format);
	CHECK_STR(back.thox, m.thox);
	CHECK_EQ(back.time_s, m.time_s);
	CHECK_EQ(back.texts, m.texts);
	CHECK_EQ(back.bytes, m.bytes);
	free(text);
}

/* Verify that fields that are missing, negative, of another type or of an
 * older format than any are refused. */
static void test_what_is_none_is_refused(void)
{
#define GOOD "\"format\":1,\"thox\":\"1\",\"time\":1,\"texts\":1"
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"1",
		"{" GOOD "}",
		"{" GOOD ",\"bytes\":-1}",
		"{" GOOD ",\"bytes\":1.5}",
		"{" GOOD ",\"bytes\":\"1\"}",
		"{" GOOD ",\"bytes\":1,\"bytes\":1}",
		"{" GOOD ",\"bytes\":1} more",
		"{\"format\":0,\"thox\":\"1\",\"time\":1,\"texts\":1,\"bytes\":"
		"1}",
		"{\"format\":1,\"thox\":1,\"time\":1,\"texts\":1,\"bytes\":1}",
		"{\"format\":1,\"thox\":\"\\u001b[2J\",\"time\":1,\"texts\":1,"
		"\"bytes\":1}",
		"{\"format\":1,\"thox\":\"0123456789012345678901234567890123\","
		"\"time\":1,\"texts\":1,\"bytes\":1}",
		"{\"format\":18446744073709551616,\"thox\":\"1\"}",
	};
	struct backup_manifest m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(parse(bad[i], &m), -EBADMSG);
	CHECK_EQ(parse("{" GOOD ",\"bytes\":1}", &m), 0);
	CHECK_EQ(parse("{" GOOD ",\"bytes\":1,\"new\":[{}]}", &m), 0);
}

/* Verify that one of a newer thox is told apart, and names it. */
static void test_a_newer_one_names_its_maker(void)
{
	struct backup_manifest m = { 0 };

	CHECK_EQ(parse("{\"format\":2,\"thox\":\"9.1\"}", &m),
		 -EPROTONOSUPPORT);
	CHECK_STR(m.thox, "9.1");
	CHECK_EQ(parse("{\"format\":2}", &m), -EBADMSG);
}

/* Verify that a manifest over the limit is not parsed at all. */
static void test_a_large_one_is_refused(void)
{
	static char text[BACKUP_MANIFEST_BYTES + 1];
	struct backup_manifest m;

	memset(text, ' ', sizeof(text));
	memcpy(text, "{" GOOD ",\"bytes\":1}", sizeof(GOOD) + 11);
	CHECK_EQ(backup_manifest_read(text, sizeof(text) - 1, &m), 0);
	CHECK_EQ(backup_manifest_read(text, sizeof(text), &m), -EBADMSG);
}

/* Verify that a line is what sha256sum prints. */
static void test_a_line_is_as_sha256sum_prints_it(void)
{
	uint8_t sha256[32] = { 0xe3, 0xb0, [31] = 0x55 };
	char line[BACKUP_LINE_BYTES];
	size_t n = backup_line("store/data/x", sha256, line);

	CHECK_EQ(n, 64 + 2 + 12 + 1);
	CHECK_STR(line, "e3b00000000000000000000000000000000000000000000000000"
			"00000000055  store/data/x\n");
}

int main(void)
{
	RUN(test_a_manifest_comes_back);
	RUN(test_what_is_none_is_refused);
	RUN(test_a_newer_one_names_its_maker);
	RUN(test_a_large_one_is_refused);
	RUN(test_a_line_is_as_sha256sum_prints_it);
	return tap_done();
}
