/* Tests of values and of the hash of keys. */

#include "storaged/value.h"

#include "base/tap.h"
#include "base/util.h"
#include "storaged/hash.h"
#include "storaged/limits.h"

#define BYTES(text) ((struct mp_bytes){ (text), sizeof(text) - 1 })

/* Verify that everything which a call can carry is a value but a context. */
static void test_check(void)
{
	CHECK_EQ(value_check(BYTES("\xc0")), 0);
	CHECK_EQ(value_check(
			 BYTES("\x93\x01\xa1x\x81\xa1k\xcb\0\0\0\0\0\0\0\0")),
		 0);
	CHECK_EQ(value_check(BYTES("\xd7\x01\0\0\0\0\0\0\0\x05")), -EXDEV);
	CHECK_EQ(value_check(BYTES("\x91\x81\x01\xd7\x01\0\0\0\0\0\0\0\x05")),
		 -EXDEV);
	CHECK_EQ(value_check(BYTES("\xd4\x05x")), -ENOTSUP);
}

/* Verify that what is no whole value is refused. */
static void test_broken(void)
{
	CHECK_EQ(value_check(BYTES("")), -EBADMSG);
	CHECK_EQ(value_check(BYTES("\xc1")), -EBADMSG);
	CHECK_EQ(value_check(BYTES("\x92\x01")), -EBADMSG);
	CHECK_EQ(value_check(BYTES("\x01\x01")), -EBADMSG);
	CHECK_EQ(value_check(BYTES("\xdd\xff\xff\xff\xff")), -EBADMSG);
	CHECK_EQ(value_check(BYTES("\xa5xxxx")), -EBADMSG);
}

/* Verify that depth and size end where they are said to. */
static void test_bounds(void)
{
	static char big[STORAGE_VALUE_BYTES + 1];
	char deep[MP_DEPTH_MAX + 2];

	memset(deep, 0x91, sizeof(deep)); /* arrays of one */
	deep[MP_DEPTH_MAX] = '\0';
	CHECK_EQ(value_check((struct mp_bytes){ deep, MP_DEPTH_MAX + 1 }), 0);
	deep[MP_DEPTH_MAX] = '\x91';
	deep[MP_DEPTH_MAX + 1] = '\0';
	CHECK_EQ(value_check((struct mp_bytes){ deep, MP_DEPTH_MAX + 2 }),
		 -EBADMSG);
	memcpy(big, "\xdb\0\x0f\xff\xfb", 5);
	CHECK_EQ(value_check((struct mp_bytes){ big, STORAGE_VALUE_BYTES }), 0);
	CHECK_EQ(value_check((struct mp_bytes){ big, sizeof(big) }), -EFBIG);
}

static int add(struct mp_bytes a, struct mp_bytes b, uint8_t ret[16],
	       size_t *ret_size)
{
	struct mp_writer w;
	int r;

	mp_writer_init(&w, ret, 16);
	r = value_add(a, b, &w);
	*ret_size = w.used;
	return r;
}

/* Verify that integers stay integers and that nothing else is added. */
static void test_add(void)
{
	struct mp_bytes none = { 0 };
	uint8_t sum[16];
	size_t n;

	CHECK_EQ(add(BYTES("\x02"), BYTES("\x03"), sum, &n), 0);
	CHECK(n == 1 && sum[0] == 5);
	CHECK_EQ(add(none, BYTES("\xff"), sum, &n), 0);
	CHECK(n == 1 && sum[0] == 0xff);
	CHECK_EQ(add(BYTES("\x01"), BYTES("\xcb\x3f\xe0\0\0\0\0\0\0"), sum, &n),
		 0);
	CHECK(n == 9 && memcmp(sum, "\xcb\x3f\xf8\0\0\0\0\0\0", 9) == 0);
	CHECK_EQ(add(BYTES("\xd3\x80\0\0\0\0\0\0\0"), BYTES("\xff"), sum, &n),
		 -ERANGE);
	CHECK_EQ(add(BYTES("\xc3"), BYTES("\x01"), sum, &n), -EDOM);
	CHECK_EQ(add(BYTES("\x01"), BYTES("\xa1x"), sum, &n), -EDOM);
	CHECK_EQ(add(BYTES("\x01"), none, sum, &n), -EDOM);
}

/* Verify that the hash goes by all bytes, the length and the seed. */
static void test_hash(void)
{
	struct hash_seed a = { { 1, 2 } }, b = { { 1, 3 } };
	char text[] = "0123456789abcdefg";

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		uint64_t whole = hash_bytes(&a, text, n + 1);

		CHECK(whole != hash_bytes(&a, text, n));
		CHECK(whole != hash_bytes(&b, text, n + 1));
		CHECK(whole == hash_bytes(&a, text, n + 1));
		text[n] ^= 1;
		CHECK(whole != hash_bytes(&a, text, n + 1));
		text[n] ^= 1;
	}
}

int main(void)
{
	RUN(test_check);
	RUN(test_broken);
	RUN(test_bounds);
	RUN(test_add);
	RUN(test_hash);
	return tap_done();
}
