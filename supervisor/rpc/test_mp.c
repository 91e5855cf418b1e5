/*
 * What mp.h says, and msgpack-c says the same: random values are written by
 * one and read by the other.
 */

#include "rpc/mp.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"

#define ROUNDS 3000

static uint64_t seed = 88172645463325252u;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Of any size: most bits are seldom set in a uniform one. */
static uint64_t random_uint(void)
{
	return random64() >> (random64() % 64);
}

/* --- a value written by both --------------------------------------------- */

struct both {
	struct mp_writer mp;
	msgpack_packer pk;
	msgpack_sbuffer sb;
	unsigned items;
};

static void write_scalar(struct both *b)
{
	uint64_t u = random_uint();
	int64_t i = (int64_t)random_uint() * (random64() & 1 ? 1 : -1);
	double d = (double)(int64_t)random64() / 3;

	switch (random64() % 5) {
	case 0:
		mp_write_nil(&b->mp);
		msgpack_pack_nil(&b->pk);
		break;
	case 1:
		mp_write_bool(&b->mp, u & 1);
		(void)(u & 1 ? msgpack_pack_true(&b->pk)
			     : msgpack_pack_false(&b->pk));
		break;
	case 2:
		mp_write_uint(&b->mp, u);
		msgpack_pack_uint64(&b->pk, u);
		break;
	case 3:
		mp_write_int(&b->mp, i);
		msgpack_pack_int64(&b->pk, i);
		break;
	case 4:
		mp_write_double(&b->mp, d);
		msgpack_pack_double(&b->pk, d);
		break;
	}
}

static void write_bytes(struct both *b)
{
	static char bytes[70000];
	size_t size = random_uint() % (random64() % 16 ? 600 : sizeof(bytes));

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)random64();
	switch (random64() % 3) {
	case 0:
		mp_write_strn(&b->mp, bytes, size);
		msgpack_pack_str(&b->pk, size);
		msgpack_pack_str_body(&b->pk, bytes, size);
		break;
	case 1:
		mp_write_bin(&b->mp, bytes, size);
		msgpack_pack_bin(&b->pk, size);
		msgpack_pack_bin_body(&b->pk, bytes, size);
		break;
	case 2:
		/* not the fixed sizes, which mp.c reads but does not write */
		size += 17;
		mp_write_ext(&b->mp, (int8_t)size, bytes, size);
		msgpack_pack_ext(&b->pk, size, (int8_t)size);
		msgpack_pack_ext_body(&b->pk, bytes, size);
		break;
	}
}

static void write_value(struct both *b, unsigned depth)
{
	uint32_t n = (uint32_t)(random64() % 20);

	b->items++;
	if (depth > 4 || b->items > 200 || random64() % 3) {
		if (random64() % 4)
			write_scalar(b);
		else
			write_bytes(b);
		return;
	}
	if (random64() & 1) {
		mp_write_array(&b->mp, n);
		msgpack_pack_array(&b->pk, n);
	} else {
		mp_write_map(&b->mp, n);
		msgpack_pack_map(&b->pk, n);
		n *= 2;
	}
	while (n-- > 0)
		write_value(b, depth + 1);
}

static void init_both(struct both *b)
{
	b->items = 0;
	mp_writer_init_heap(&b->mp);
	msgpack_sbuffer_init(&b->sb);
	msgpack_packer_init(&b->pk, &b->sb, msgpack_sbuffer_write);
}

static void deinit_both(struct both *b)
{
	mp_writer_deinit(&b->mp);
	msgpack_sbuffer_destroy(&b->sb);
}

/* Verify that the writer makes the very bytes of msgpack-c. */
static void test_writes_what_msgpack_c_writes(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct both b;
		bool same;

		init_both(&b);
		write_value(&b, 0);
		same = mp_writer_end(&b.mp) == 0 && b.mp.used == b.sb.size &&
		       memcmp(b.mp.data, b.sb.data, b.sb.size) == 0;
		deinit_both(&b);
		CHECK(same);
	}
}

static bool equal(struct mp_reader *r, const msgpack_object *o);

static bool equal_bytes(struct mp_bytes b, const char *p, size_t size)
{
	return b.size == size && (size == 0 || memcmp(b.p, p, size) == 0);
}

static bool equal_items(struct mp_reader *r, const msgpack_object *o)
{
	if (o->type == MSGPACK_OBJECT_ARRAY) {
		if (mp_read_array(r) != o->via.array.size)
			return false;
		for (uint32_t i = 0; i < o->via.array.size; i++)
			if (!equal(r, &o->via.array.ptr[i]))
				return false;
		return true;
	}
	if (mp_read_map(r) != o->via.map.size)
		return false;
	for (uint32_t i = 0; i < o->via.map.size; i++)
		if (!equal(r, &o->via.map.ptr[i].key) ||
		    !equal(r, &o->via.map.ptr[i].val))
			return false;
	return true;
}

static bool equal(struct mp_reader *r, const msgpack_object *o)
{
	struct mp_bytes b;
	int8_t type = 0;

	switch (o->type) {
	case MSGPACK_OBJECT_NIL:
		mp_read_nil(r);
		return !r->bad;
	case MSGPACK_OBJECT_BOOLEAN:
		return mp_read_bool(r) == o->via.boolean;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return mp_read_uint(r) == o->via.u64;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return mp_read_int(r) == o->via.i64;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return mp_read_double(r) == o->via.f64;
	case MSGPACK_OBJECT_STR:
		return equal_bytes(mp_read_str(r), o->via.str.ptr,
				   o->via.str.size);
	case MSGPACK_OBJECT_BIN:
		return equal_bytes(mp_read_str(r), o->via.bin.ptr,
				   o->via.bin.size);
	case MSGPACK_OBJECT_EXT:
		b = mp_read_ext(r, &type);
		return type == o->via.ext.type &&
		       equal_bytes(b, o->via.ext.ptr, o->via.ext.size);
	default:
		return equal_items(r, o);
	}
}

/* Verify that the reader gets what msgpack-c gets, and all of it. */
static void test_reads_what_msgpack_c_reads(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		msgpack_unpacked u;
		struct mp_reader r;
		struct both b;
		bool same;

		init_both(&b);
		write_value(&b, 0);
		msgpack_unpacked_init(&u);
		same = msgpack_unpack_next(&u, b.sb.data, b.sb.size, NULL) ==
		       MSGPACK_UNPACK_SUCCESS;
		mp_reader_init(&r, b.sb.data, b.sb.size);
		same = same && equal(&r, &u.data) && mp_end(&r) == 0;
		msgpack_unpacked_destroy(&u);
		deinit_both(&b);
		CHECK(same);
	}
}

/* Verify that for any bytes both agree whether a value is there. */
static void test_agrees_about_garbage(void)
{
	unsigned good = 0;

	for (int i = 0; i < 20 * ROUNDS; i++) {
		uint8_t bytes[24];
		size_t size = 1 + random64() % sizeof(bytes), off = 0;
		msgpack_unpacked u;
		struct mp_reader r;
		bool ours, theirs;

		for (size_t j = 0; j < size; j++) {
			bytes[j] = (uint8_t)random64();
			/* msgpack-c makes room for a count unseen */
			if (bytes[j] == 0xdd || bytes[j] == 0xdf)
				bytes[j] = 0xc0;
		}
		mp_reader_init(&r, bytes, size);
		mp_skip(&r);
		ours = !r.bad;
		msgpack_unpacked_init(&u);
		theirs = msgpack_unpack_next(&u, (char *)bytes, size, &off) ==
			 MSGPACK_UNPACK_SUCCESS;
		msgpack_unpacked_destroy(&u);
		CHECK_EQ(ours, theirs);
		if (ours)
			CHECK_EQ(r.p - bytes, off);
		good += ours;
	}
	CHECK(good > ROUNDS);
}

/* --- by hand -------------------------------------------------------------- */

#define READER(r, ...)                                                         \
	const uint8_t bytes_[] = { __VA_ARGS__ };                              \
	struct mp_reader r;                                                    \
	mp_reader_init(&(r), bytes_, sizeof(bytes_))

/* Verify that after a wrong type every read is zero and the end is an error. */
static void test_a_wrong_type_sticks(void)
{
	READER(r, 0x93, 0x01, 0xa1, 'x', 0x02);

	CHECK_EQ(mp_read_array(&r), 3);
	CHECK_EQ(mp_read_int(&r), 1);
	CHECK_EQ(mp_read_int(&r), 0);
	CHECK_EQ(mp_read_int(&r), 0);
	CHECK_EQ(mp_read_str(&r).size, 0);
	CHECK_EQ(mp_peek(&r), MP_BAD);
	CHECK_EQ(mp_end(&r), -EBADMSG);
}

/* Verify that a negative number is no unsigned one. */
static void test_a_negative_number_is_not_unsigned(void)
{
	READER(r, 0xff);

	CHECK_EQ(mp_read_uint(&r), 0);
	CHECK(r.bad);
}

/* Verify that a number over INT64_MAX is no int. */
static void test_a_large_number_is_not_an_int(void)
{
	READER(r, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0);

	CHECK_EQ(mp_peek(&r), MP_UINT);
	CHECK_EQ(mp_read_int(&r), 0);
	CHECK(r.bad);
}

/* Verify that a count that the bytes cannot hold is refused at once. */
static void test_a_count_is_held_against_the_bytes(void)
{
	READER(r, 0xdd, 0xff, 0xff, 0xff, 0xff, 0x01);

	CHECK_EQ(mp_read_array(&r), 0);
	CHECK(r.bad);
}

/* Verify that a map's count is counted in pairs. */
static void test_a_map_needs_two_items_a_pair(void)
{
	READER(r, 0x82, 0x01, 0x02, 0x03);

	CHECK_EQ(mp_read_map(&r), 0);
	CHECK(r.bad);
}

/* Verify that a string that goes past the end is refused. */
static void test_a_string_ends_in_the_message(void)
{
	READER(r, 0xdb, 0xff, 0xff, 0xff, 0xff, 'x');

	CHECK_EQ(mp_read_str(&r).size, 0);
	CHECK(r.bad);
}

/* Verify that left-over bytes are an error. */
static void test_bytes_left_over_are_an_error(void)
{
	READER(r, 0x01, 0x02);

	CHECK_EQ(mp_read_int(&r), 1);
	CHECK_EQ(mp_end(&r), -EBADMSG);
}

static bool skips_nested(unsigned depth)
{
	uint8_t bytes[MP_DEPTH_MAX + 8];
	struct mp_reader r;

	memset(bytes, 0x91, depth);
	bytes[depth] = 0xc0;
	mp_reader_init(&r, bytes, depth + 1);
	mp_skip(&r);
	return mp_end(&r) == 0;
}

/* Verify that nesting is followed to MP_DEPTH_MAX and no deeper. */
static void test_depth_has_a_limit(void)
{
	CHECK(skips_nested(MP_DEPTH_MAX));
	CHECK(!skips_nested(MP_DEPTH_MAX + 1));
}

/* Verify that one message cut at any byte is never taken for whole. */
static void test_every_cut_is_noticed(void)
{
	uint8_t bytes[128];
	struct mp_writer w;

	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_array(&w, 5);
	mp_write_str(&w, "a string of more than thirty-one bytes");
	mp_write_double(&w, 0.1);
	mp_write_int(&w, -70000);
	mp_write_map(&w, 1);
	mp_write_str(&w, "k");
	mp_write_bin(&w, "v", 1);
	mp_write_ext(&w, 1, "abcd", 4);
	CHECK_EQ(mp_writer_end(&w), 0);
	for (size_t size = 0; size <= w.used; size++) {
		struct mp_reader r;

		mp_reader_init(&r, bytes, size);
		mp_skip(&r);
		CHECK_EQ(mp_end(&r) == 0, size == w.used);
	}
}

/* Verify that a writer without room stays bad and touches nothing beyond. */
static void test_a_full_writer_stays_bad(void)
{
	uint8_t bytes[5] = { 0, 0, 0, 0, 0x55 };
	struct mp_writer w;

	mp_writer_init(&w, bytes, 4);
	mp_write_str(&w, "abc");
	mp_write_nil(&w);
	mp_write_nil(&w);
	CHECK_EQ(mp_writer_end(&w), -EMSGSIZE);
	CHECK_EQ(w.used, 4);
	CHECK_EQ(bytes[4], 0x55);
}

/* Verify that a C string is made of bytes that are one. */
static void test_bytes_become_a_string(void)
{
	char text[4];

	CHECK_EQ(mp_bytes_copy((struct mp_bytes){ "abc", 3 }, text, 4), 0);
	CHECK_STR(text, "abc");
	CHECK_EQ(mp_bytes_copy((struct mp_bytes){ "abcd", 4 }, text, 4),
		 -EINVAL);
	CHECK_EQ(mp_bytes_copy((struct mp_bytes){ "a\0c", 3 }, text, 4),
		 -EINVAL);
	CHECK_EQ(mp_bytes_copy((struct mp_bytes){ NULL, 0 }, text, 4), 0);
	CHECK_STR(text, "");
	CHECK(mp_bytes_equal((struct mp_bytes){ NULL, 0 }, ""));
	CHECK(mp_bytes_equal((struct mp_bytes){ "abc", 3 }, "abc"));
	CHECK(!mp_bytes_equal((struct mp_bytes){ "abc", 3 }, "ab"));
}

/* Verify that both float sizes are read. */
static void test_both_floats_are_read(void)
{
	READER(r, 0xca, 0x3f, 0xc0, 0, 0, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0);

	CHECK(mp_read_double(&r) == 1.5);
	CHECK(mp_read_double(&r) == 1.5);
	CHECK_EQ(mp_end(&r), 0);
}

/* Verify that the raw bytes of an item are just that item's. */
static void test_raw_is_one_item(void)
{
	READER(r, 0x92, 0x01, 0xa1, 'x', 0x05);
	struct mp_bytes raw = mp_read_raw(&r);

	CHECK_EQ(raw.size, 4);
	CHECK_EQ(mp_read_int(&r), 5);
	CHECK_EQ(mp_end(&r), 0);
}

int main(void)
{
	RUN(test_writes_what_msgpack_c_writes);
	RUN(test_reads_what_msgpack_c_reads);
	RUN(test_agrees_about_garbage);
	RUN(test_a_wrong_type_sticks);
	RUN(test_a_negative_number_is_not_unsigned);
	RUN(test_a_large_number_is_not_an_int);
	RUN(test_a_count_is_held_against_the_bytes);
	RUN(test_a_map_needs_two_items_a_pair);
	RUN(test_a_string_ends_in_the_message);
	RUN(test_bytes_left_over_are_an_error);
	RUN(test_depth_has_a_limit);
	RUN(test_every_cut_is_noticed);
	RUN(test_a_full_writer_stays_bad);
	RUN(test_bytes_become_a_string);
	RUN(test_both_floats_are_read);
	RUN(test_raw_is_one_item);
	return tap_done();
}
