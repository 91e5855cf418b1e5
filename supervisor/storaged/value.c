/* Storage, step 1: what a key may hold. */

#include "storaged/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/wire.h"
#include "storaged/limits.h"

struct blob *blob_new(const void *data, size_t size)
{
	struct blob *b = malloc(sizeof(*b) + size);

	if (!b)
		return NULL;
	b->refs = 1;
	b->size = (uint32_t)size;
	memcpy(b->data, data, size);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	b->refs++;
	return b;
}

void blob_unref(struct blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

/* Item by item, without recursion: that it is whole is known already. */
static int check_items(struct mp_bytes raw)
{
	struct mp_reader r;
	uint64_t left = 1;
	int8_t type;

	mp_reader_init(&r, raw.p, raw.size);
	for (; left > 0 && !r.bad; left--) {
		switch (mp_peek(&r)) {
		case MP_ARRAY:
			left += mp_read_array(&r);
			break;
		case MP_MAP:
			left += 2ULL * mp_read_map(&r);
			break;
		case MP_EXT:
			mp_read_ext(&r, &type);
			return type == WIRE_EXT_CONTEXT ? -EXDEV : -ENOTSUP;
		default:
			mp_skip(&r);
		}
	}
	return mp_end(&r);
}

int value_check(struct mp_bytes raw)
{
	struct mp_reader r;

	if (raw.size > STORAGE_VALUE_BYTES)
		return -EFBIG;
	mp_reader_init(&r, raw.p, raw.size);
	mp_skip(&r);
	return mp_end(&r) < 0 ? -EBADMSG : check_items(raw);
}

struct number {
	enum mp_type type; /* MP_INT or MP_DOUBLE */
	int64_t whole;
	double real;
};

static int read_number(struct mp_bytes raw, struct number *ret)
{
	struct number n = { .type = MP_INT };
	struct mp_reader r;

	mp_reader_init(&r, raw.p, raw.size);
	switch (mp_peek(&r)) {
	case MP_INT:
		n.whole = mp_read_int(&r);
		n.real = (double)n.whole;
		break;
	case MP_DOUBLE:
		n.type = MP_DOUBLE;
		n.real = mp_read_double(&r);
		break;
	default:
		return -EDOM;
	}
	if (mp_end(&r) < 0)
		return -EDOM;
	*ret = n;
	return 0;
}

int value_add(struct mp_bytes value, struct mp_bytes by, struct mp_writer *w)
{
	struct number a = { .type = MP_INT }, b = { .type = MP_INT };
	int64_t sum;
	int r;

	r = value.size ? read_number(value, &a) : 0;
	if (r == 0)
		r = read_number(by, &b);
	if (r < 0)
		return r;
	if (a.type == MP_DOUBLE || b.type == MP_DOUBLE) {
		mp_write_double(w, a.real + b.real);
		return 0;
	}
	if (__builtin_add_overflow(a.whole, b.whole, &sum))
		return -ERANGE;
	mp_write_int(w, sum);
	return 0;
}
