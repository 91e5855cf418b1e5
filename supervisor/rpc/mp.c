/*
 * Step 0, on both sides of every link: MessagePack.
 *
 * Each item is read in two moves: its head (type, and a length or value) and
 * its body. Only head() and body() touch the cursor, so these two are all
 * that has to be right about bounds.
 */

#include "rpc/mp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the first bytes of an item say. */
struct head {
	enum mp_type type;
	uint64_t value; /* integer's bits, bool, length or count */
	bool negative;	/* value is an int64_t below zero */
	unsigned double_bytes;
	int8_t ext_type;
};

void mp_reader_init(struct mp_reader *r, const void *data, size_t size)
{
	r->p = size ? data : ""; /* an empty one may be nowhere */
	r->end = r->p + size;
	r->bad = false;
	r->n_ext = 0;
}

static size_t left(const struct mp_reader *r)
{
	return (size_t)(r->end - r->p);
}

/* @size bytes at the cursor, which moves past them; NULL and bad if short. */
static const uint8_t *body(struct mp_reader *r, uint64_t size)
{
	const uint8_t *p = r->p;

	if (r->bad || size > left(r)) {
		r->bad = true;
		return NULL;
	}
	r->p += size;
	return p;
}

static uint64_t big_endian(struct mp_reader *r, unsigned bytes)
{
	const uint8_t *p = body(r, bytes);
	uint64_t value = 0;

	for (unsigned i = 0; p && i < bytes; i++)
		value = value << 8 | p[i];
	return value;
}

static void head_signed(struct mp_reader *r, struct head *h, unsigned bytes)
{
	uint64_t value = big_endian(r, bytes);
	unsigned shift = 64 - 8 * bytes;

	assert(bytes > 0 && bytes <= 8);
	h->type = MP_INT;
	h->value = (uint64_t)((int64_t)(value << shift) >> shift);
	h->negative = (int64_t)h->value < 0;
}

static void head_unsigned(struct mp_reader *r, struct head *h, unsigned bytes)
{
	h->value = big_endian(r, bytes);
	h->type = h->value > INT64_MAX ? MP_UINT : MP_INT;
}

static void head_sized(struct mp_reader *r, struct head *h, enum mp_type type,
		       unsigned bytes)
{
	h->type = type;
	h->value = big_endian(r, bytes);
	if (type == MP_EXT)
		h->ext_type = (int8_t)big_endian(r, 1);
}

static void head_fixed(struct head *h, uint8_t b)
{
	if (b <= 0x7f || b >= 0xe0) {
		h->type = MP_INT;
		h->value = (uint64_t)(int64_t)(int8_t)b;
		h->negative = b >= 0xe0;
	} else if (b <= 0x8f) {
		h->type = MP_MAP;
		h->value = b & 0x0f;
	} else if (b <= 0x9f) {
		h->type = MP_ARRAY;
		h->value = b & 0x0f;
	} else {
		h->type = MP_STR;
		h->value = b & 0x1f;
	}
}

static struct head head(struct mp_reader *r)
{
	struct head h = { .type = MP_BAD };
	const uint8_t *p = body(r, 1);

	if (!p)
		return h;
	switch (*p) {
	case 0xc0:
		h.type = MP_NIL;
		break;
	case 0xc2:
	case 0xc3:
		h.type = MP_BOOL;
		h.value = *p & 1;
		break;
	case 0xc4:
	case 0xc5:
	case 0xc6:
		head_sized(r, &h, MP_BIN, 1u << (*p - 0xc4));
		break;
	case 0xc7:
	case 0xc8:
	case 0xc9:
		head_sized(r, &h, MP_EXT, 1u << (*p - 0xc7));
		break;
	case 0xca:
	case 0xcb:
		h.type = MP_DOUBLE;
		h.double_bytes = *p == 0xca ? 4 : 8;
		h.value = big_endian(r, h.double_bytes);
		break;
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		head_unsigned(r, &h, 1u << (*p - 0xcc));
		break;
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		head_signed(r, &h, 1u << (*p - 0xd0));
		break;
	case 0xd4:
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		h.type = MP_EXT;
		h.value = 1u << (*p - 0xd4);
		h.ext_type = (int8_t)big_endian(r, 1);
		break;
	case 0xd9:
	case 0xda:
	case 0xdb:
		head_sized(r, &h, MP_STR, 1u << (*p - 0xd9));
		break;
	case 0xdc:
	case 0xdd:
		head_sized(r, &h, MP_ARRAY, 2u << (*p - 0xdc));
		break;
	case 0xde:
	case 0xdf:
		head_sized(r, &h, MP_MAP, 2u << (*p - 0xde));
		break;
	default:
		if (*p != 0xc1) /* the one byte that starts nothing */
			head_fixed(&h, *p);
	}
	if (h.type == MP_BAD)
		r->bad = true;
	if (r->bad)
		h = (struct head){ .type = MP_BAD };
	return h;
}

enum mp_type mp_peek(const struct mp_reader *r)
{
	struct mp_reader copy = *r;

	return head(&copy).type;
}

static struct head expect(struct mp_reader *r, enum mp_type type)
{
	struct head h = head(r);

	if (h.type != type) {
		r->bad = true;
		h.value = 0;
	}
	return h;
}

void mp_read_nil(struct mp_reader *r)
{
	expect(r, MP_NIL);
}

bool mp_read_bool(struct mp_reader *r)
{
	return expect(r, MP_BOOL).value;
}

int64_t mp_read_int(struct mp_reader *r)
{
	return (int64_t)expect(r, MP_INT).value;
}

uint64_t mp_read_uint(struct mp_reader *r)
{
	struct head h = head(r);

	if ((h.type != MP_INT && h.type != MP_UINT) || h.negative) {
		r->bad = true;
		return 0;
	}
	return h.value;
}

double mp_read_double(struct mp_reader *r)
{
	struct head h = expect(r, MP_DOUBLE);
	double value = 0;

	if (r->bad)
		return 0;
	if (h.double_bytes == 4) {
		uint32_t bits = (uint32_t)h.value;
		float f;

		memcpy(&f, &bits, sizeof(f));
		return (double)f;
	}
	memcpy(&value, &h.value, sizeof(value));
	return value;
}

struct mp_bytes mp_read_str(struct mp_reader *r)
{
	struct head h = head(r);
	const uint8_t *p;

	if (h.type != MP_STR && h.type != MP_BIN)
		r->bad = true;
	p = body(r, h.value);
	if (!p)
		return (struct mp_bytes){ "", 0 };
	return (struct mp_bytes){ (const char *)p, (size_t)h.value };
}

/* Every item takes a byte at least: a larger count cannot be true. */
static uint32_t count(struct mp_reader *r, enum mp_type type, unsigned each)
{
	struct head h = expect(r, type);

	if (r->bad || h.value * each > left(r)) {
		r->bad = true;
		return 0;
	}
	return (uint32_t)h.value;
}

uint32_t mp_read_array(struct mp_reader *r)
{
	return count(r, MP_ARRAY, 1);
}

uint32_t mp_read_map(struct mp_reader *r)
{
	return count(r, MP_MAP, 2);
}

struct mp_bytes mp_read_ext(struct mp_reader *r, int8_t *ret_type)
{
	struct head h = expect(r, MP_EXT);
	const uint8_t *p = body(r, h.value);

	if (!p)
		return (struct mp_bytes){ "", 0 };
	*ret_type = h.ext_type;
	return (struct mp_bytes){ (const char *)p, (size_t)h.value };
}

static void skip(struct mp_reader *r, unsigned depth)
{
	struct head h = head(r);
	uint64_t items;

	switch (h.type) {
	case MP_EXT:
		r->n_ext++;
		body(r, h.value);
		break;
	case MP_STR:
	case MP_BIN:
		body(r, h.value);
		break;
	case MP_ARRAY:
	case MP_MAP:
		items = h.type == MP_MAP ? 2 * h.value : h.value;
		if (items > left(r) || depth > MP_DEPTH_MAX)
			r->bad = true;
		for (uint64_t i = 0; i < items && !r->bad; i++)
			skip(r, depth + 1);
		break;
	default:
		break;
	}
}

void mp_skip(struct mp_reader *r)
{
	skip(r, 1);
}

struct mp_bytes mp_read_raw(struct mp_reader *r)
{
	const uint8_t *start = r->p;

	skip(r, 1);
	if (r->bad)
		return (struct mp_bytes){ "", 0 };
	return (struct mp_bytes){ (const char *)start, (size_t)(r->p - start) };
}

int mp_end(const struct mp_reader *r)
{
	return r->bad || r->p != r->end ? -EBADMSG : 0;
}

bool mp_bytes_equal(struct mp_bytes b, const char *text)
{
	return strlen(text) == b.size &&
	       (b.size == 0 || memcmp(b.p, text, b.size) == 0);
}

int mp_bytes_copy(struct mp_bytes b, char *ret, size_t size)
{
	if (b.size >= size || (b.size > 0 && memchr(b.p, '\0', b.size)))
		return -EINVAL;
	if (b.size > 0) /* then @p may be NULL */
		memcpy(ret, b.p, b.size);
	ret[b.size] = '\0';
	return 0;
}

/* --- writing ---------------------------------------------------------------
 */

void mp_writer_init(struct mp_writer *w, void *data, size_t size)
{
	*w = (struct mp_writer){ .data = data, .size = size };
}

void mp_writer_init_heap(struct mp_writer *w)
{
	*w = (struct mp_writer){ .grows = true };
}

void mp_writer_deinit(struct mp_writer *w)
{
	if (w->grows)
		free(w->data);
	*w = (struct mp_writer){ .bad = true };
}

static bool make_room(struct mp_writer *w, size_t size)
{
	size_t wanted;
	uint8_t *data;

	if (w->bad || size <= w->size - w->used)
		return !w->bad;
	wanted = w->size ? w->size : 256;
	while (w->grows && wanted - w->used < size && wanted <= SIZE_MAX / 2)
		wanted *= 2;
	data = w->grows ? realloc(w->data, wanted) : NULL;
	if (!data || wanted - w->used < size) {
		if (data)
			w->data = data;
		w->bad = true;
		return false;
	}
	w->data = data;
	w->size = wanted;
	return true;
}

void mp_write_raw(struct mp_writer *w, const void *data, size_t size)
{
	if (size == 0 || !make_room(w, size))
		return;
	memcpy(w->data + w->used, data, size);
	w->used += size;
}

static void put(struct mp_writer *w, uint8_t first, uint64_t value,
		unsigned bytes)
{
	uint8_t buf[9] = { first };

	for (unsigned i = 0; i < bytes; i++)
		buf[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	mp_write_raw(w, buf, 1 + bytes);
}

void mp_write_nil(struct mp_writer *w)
{
	put(w, 0xc0, 0, 0);
}

void mp_write_bool(struct mp_writer *w, bool value)
{
	put(w, value ? 0xc3 : 0xc2, 0, 0);
}

void mp_write_uint(struct mp_writer *w, uint64_t value)
{
	if (value <= 0x7f)
		put(w, (uint8_t)value, 0, 0);
	else if (value <= UINT8_MAX)
		put(w, 0xcc, value, 1);
	else if (value <= UINT16_MAX)
		put(w, 0xcd, value, 2);
	else if (value <= UINT32_MAX)
		put(w, 0xce, value, 4);
	else
		put(w, 0xcf, value, 8);
}

void mp_write_int(struct mp_writer *w, int64_t value)
{
	if (value >= 0)
		mp_write_uint(w, (uint64_t)value);
	else if (value >= -32)
		put(w, (uint8_t)value, 0, 0);
	else if (value >= INT8_MIN)
		put(w, 0xd0, (uint64_t)value, 1);
	else if (value >= INT16_MIN)
		put(w, 0xd1, (uint64_t)value, 2);
	else if (value >= INT32_MIN)
		put(w, 0xd2, (uint64_t)value, 4);
	else
		put(w, 0xd3, (uint64_t)value, 8);
}

void mp_write_double(struct mp_writer *w, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	put(w, 0xcb, bits, 8);
}

/* The head of a sized item; @fix is 0 where there is no one-byte form. */
static void put_sized(struct mp_writer *w, uint64_t size, uint8_t fix,
		      uint64_t fix_max, uint8_t first8, uint8_t first16)
{
	if (size > UINT32_MAX)
		w->bad = true;
	else if (fix && size <= fix_max)
		put(w, (uint8_t)(fix | size), 0, 0);
	else if (first8 && size <= UINT8_MAX)
		put(w, first8, size, 1);
	else if (size <= UINT16_MAX)
		put(w, first16, size, 2);
	else
		put(w, first16 + 1, size, 4);
}

void mp_write_strn(struct mp_writer *w, const char *text, size_t size)
{
	put_sized(w, size, 0xa0, 31, 0xd9, 0xda);
	mp_write_raw(w, text, size);
}

void mp_write_str(struct mp_writer *w, const char *text)
{
	mp_write_strn(w, text, strlen(text));
}

void mp_write_bin(struct mp_writer *w, const void *data, size_t size)
{
	put_sized(w, size, 0, 0, 0xc4, 0xc5);
	mp_write_raw(w, data, size);
}

void mp_write_array(struct mp_writer *w, uint32_t items)
{
	put_sized(w, items, 0x90, 15, 0, 0xdc);
}

void mp_write_map(struct mp_writer *w, uint32_t pairs)
{
	put_sized(w, pairs, 0x80, 15, 0, 0xde);
}

void mp_write_ext(struct mp_writer *w, int8_t type, const void *data,
		  size_t size)
{
	uint8_t type_byte = (uint8_t)type;

	put_sized(w, size, 0, 0, 0xc7, 0xc8);
	mp_write_raw(w, &type_byte, 1);
	mp_write_raw(w, data, size);
}

int mp_writer_end(const struct mp_writer *w)
{
	if (!w->bad)
		return 0;
	return w->grows ? -ENOMEM : -EMSGSIZE;
}
