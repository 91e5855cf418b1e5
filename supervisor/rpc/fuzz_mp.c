/* Fuzz: what was read and written again is read the same. */

#include <assert.h>
#include <string.h>

#include "rpc/mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy(struct mp_reader *r, struct mp_writer *w, unsigned depth)
{
	struct mp_bytes b;
	uint32_t n;
	int8_t type = 0;
	double d;

	if (depth > MP_DEPTH_MAX + 1) {
		r->bad = true;
		return;
	}
	switch (mp_peek(r)) {
	case MP_BAD:
		r->bad = true;
		break;
	case MP_NIL:
		mp_read_nil(r);
		mp_write_nil(w);
		break;
	case MP_BOOL:
		mp_write_bool(w, mp_read_bool(r));
		break;
	case MP_INT:
		mp_write_int(w, mp_read_int(r));
		break;
	case MP_UINT:
		mp_write_uint(w, mp_read_uint(r));
		break;
	case MP_DOUBLE:
		d = mp_read_double(r);
		mp_write_double(w, d);
		break;
	case MP_STR:
		b = mp_read_str(r);
		mp_write_strn(w, b.p, b.size);
		break;
	case MP_BIN:
		b = mp_read_str(r);
		mp_write_bin(w, b.p, b.size);
		break;
	case MP_EXT:
		b = mp_read_ext(r, &type);
		mp_write_ext(w, type, b.p, b.size);
		break;
	case MP_ARRAY:
		n = mp_read_array(r);
		mp_write_array(w, n);
		while (n-- > 0 && !r->bad)
			copy(r, w, depth + 1);
		break;
	case MP_MAP:
		n = mp_read_map(r);
		mp_write_map(w, n);
		for (uint64_t i = 0; i < 2ULL * n && !r->bad; i++)
			copy(r, w, depth + 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_reader r, again;
	struct mp_writer w, twice;

	mp_reader_init(&r, data, size);
	mp_writer_init_heap(&w);
	copy(&r, &w, 1);
	if (!r.bad) {
		assert(mp_writer_end(&w) == 0);
		mp_reader_init(&again, w.data, w.used);
		mp_writer_init_heap(&twice);
		copy(&again, &twice, 1);
		assert(mp_end(&again) == 0);
		assert(twice.used == w.used &&
		       memcmp(twice.data, w.data, w.used) == 0);
		mp_writer_deinit(&twice);
	}
	mp_writer_deinit(&w);
	mp_reader_init(&r, data, size);
	mp_skip(&r);
	return 0;
}
