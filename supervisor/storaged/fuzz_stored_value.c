/* Fuzz target: what a key may hold, and sums of it. */

#include <stdlib.h>

#include "base/util.h"
#include "storaged/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two values, cut where the first byte says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_bytes a, b;
	uint8_t sum[16];
	struct mp_writer w;
	struct mp_reader r;
	size_t cut;

	if (size < 1)
		return 0;
	cut = data[0] % size;
	a = (struct mp_bytes){ (const char *)data + 1, cut };
	b = (struct mp_bytes){ a.p + cut, size - 1 - cut };
	if (cut > size - 1)
		return 0;
	if (value_check(b) < 0)
		return 0;
	mp_writer_init(&w, sum, sizeof(sum));
	if ((a.size == 0 || value_check(a) == 0) && value_add(a, b, &w) == 0) {
		mp_reader_init(&r, sum, w.used);
		mp_skip(&r);
		if (mp_writer_end(&w) < 0 || mp_end(&r) < 0)
			abort();
	}
	return 0;
}
