/* Fuzz: what comes over a context's link. */

#include "rpc/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every context that the arguments hold. */
static void walk(struct mp_reader *r, unsigned depth)
{
	uint32_t n;

	switch (mp_peek(r)) {
	case MP_ARRAY:
		for (n = mp_read_array(r); n > 0 && !r->bad; n--)
			walk(r, depth + 1);
		break;
	case MP_EXT:
		(void)wire_read_context(r);
		break;
	default:
		mp_skip(r);
	}
	if (depth > MP_DEPTH_MAX + 1)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_message m;
	struct mp_reader r;

	if (wire_parse(data, size, &m) < 0)
		return 0;
	if (m.name.size && !wire_check_name(m.name.p, m.name.size))
		__builtin_trap();
	if (m.args.size) {
		mp_reader_init(&r, m.args.p, m.args.size);
		walk(&r, 0);
		if (mp_end(&r) < 0)
			__builtin_trap();
	}
	return 0;
}
