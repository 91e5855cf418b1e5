/* Records: what is written is read; what was damaged is not believed. */

#include "fs/record.h"

#include <stdlib.h>

#include "base/tap.h"

static struct record sample(void)
{
	struct record rec = { .type = RECORD_PUBLISHED,
			      .dir = DIR_RUNTIMES,
			      .flags = RECORD_REPLACES,
			      .id = 1ULL << 50,
			      .draft_id = 7,
			      .version = 3,
			      .size_bytes = 12345,
			      .ino = 99,
			      .prev = 64,
			      .journal_epoch = 1ULL << 60,
			      .journal_seq = 5,
			      .time_ns = 1700000000123456789,
			      .mtime_ns = -1,
			      .uid = 1000,
			      .pid = 42,
			      .command = "cp",
			      .confined = "0123abc",
			      .name = "hello",
			      .runtime = "cc",
			      .reason = "hello:1: why" };

	memset(rec.sha256, 0xab, sizeof(rec.sha256));
	return rec;
}

/* As bytes: they have every field. */
static bool same(const struct record *a, const struct record *b)
{
	uint8_t x[RECORD_MAX_BYTES], y[RECORD_MAX_BYTES];
	size_t size = record_write(a, x);

	return record_write(b, y) == size && memcmp(x, y, size) == 0;
}

/* Verify that the checksum is the published CRC-32C. */
static void test_the_checksum_is_crc32c(void)
{
	CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
	CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* Verify that a record comes back as it was. */
static void test_a_record_comes_back(void)
{
	struct record rec = sample(), back;
	uint8_t buf[RECORD_MAX_BYTES];
	struct store_entry entry;
	size_t size = record_write(&rec, buf);

	CHECK_EQ(record_read(&back, buf, size), size);
	CHECK(same(&rec, &back));
	record_entry(&back, &entry);
	CHECK_EQ(entry.time.tv_nsec, 123456789);
	CHECK_EQ(entry.mtime.tv_sec, -1);
	CHECK_EQ(entry.mtime.tv_nsec, 999999999);
	CHECK_EQ(strlen(entry.sha256), STORE_SHA256_HEX);
	CHECK_STR(entry.writer.confined, "0123abc");
}

/* Verify that the longest texts fit. */
static void test_the_largest_record_fits(void)
{
	struct record rec = sample(), back;
	uint8_t *buf = malloc(RECORD_MAX_BYTES);
	size_t size;

	CHECK(buf);
	memset(rec.name, 'n', NAME_MAX_BYTES);
	memset(rec.runtime, 'r', NAME_MAX_BYTES);
	memset(rec.target, 't', NAME_MAX_BYTES);
	memset(rec.reason, 'x', STORE_REASON_BYTES - 1);
	memset(rec.confined, 'c', STORE_CONFINED_BYTES - 1);
	size = record_write(&rec, buf);
	CHECK(size <= RECORD_MAX_BYTES);
	CHECK_EQ(record_read(&back, buf, size), size);
	CHECK(same(&rec, &back));
	free(buf);
}

/* Verify that a record cut anywhere is incomplete, read from exact blocks. */
static void test_every_truncation_is_incomplete(void)
{
	struct record rec = sample(), back;
	uint8_t buf[RECORD_MAX_BYTES];
	size_t size = record_write(&rec, buf);

	for (size_t n = 0; n < size; n++) {
		uint8_t *part = malloc(n ? n : 1);

		CHECK(part);
		memcpy(part, buf, n);
		CHECK_EQ(record_read(&back, part, n), 0);
		free(part);
	}
}

/* Verify that no flipped bit passes. */
static void test_every_flipped_bit_is_refused(void)
{
	struct record rec = sample(), back;
	uint8_t buf[RECORD_MAX_BYTES];
	size_t size = record_write(&rec, buf);

	for (size_t bit = 0; bit < size * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(record_read(&back, buf, size) <= 0);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* Verify that a well-made record with a hostile name is refused. */
static void test_hostile_names_are_refused(void)
{
	static const char *const bad[] = { "", "../etc/passwd", ".hidden",
					   "a/b", "a@1" };
	uint8_t buf[RECORD_MAX_BYTES];
	struct record back;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct record rec = sample();
		size_t size;

		strcpy(rec.name, bad[i]);
		size = record_write(&rec, buf);
		CHECK_EQ(record_read(&back, buf, size), -EBADMSG);
	}
	for (size_t i = 1; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct record rec = sample();
		size_t size;

		strcpy(rec.target, bad[i]);
		size = record_write(&rec, buf);
		CHECK_EQ(record_read(&back, buf, size), -EBADMSG);
	}
}

int main(void)
{
	RUN(test_the_checksum_is_crc32c);
	RUN(test_a_record_comes_back);
	RUN(test_the_largest_record_fits);
	RUN(test_every_truncation_is_incomplete);
	RUN(test_every_flipped_bit_is_refused);
	RUN(test_hostile_names_are_refused);
	return tap_done();
}
