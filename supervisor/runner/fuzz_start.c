/* Fuzz: any message to a runner or zygote is taken apart within its bounds. */

#include <assert.h>
#include <stdlib.h>

#include "rpc/control.h"
#include "rpc/wire.h"
#include "runner/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct mp_bytes b, const uint8_t *data, size_t size)
{
	if (b.size == 0)
		return;
	assert((const uint8_t *)b.p >= data);
	assert((const uint8_t *)b.p + b.size <= data + size);
}

/* The arguments are read again when they are pushed. */
static void read_args(struct mp_bytes raw)
{
	struct mp_reader r;
	uint32_t n;

	if (raw.size == 0)
		return;
	mp_reader_init(&r, raw.p, raw.size);
	n = mp_read_array(&r);
	for (uint32_t i = 0; i < n; i++)
		if (mp_peek(&r) == MP_EXT)
			wire_read_context(&r);
		else
			mp_read_str(&r);
	assert(mp_end(&r) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_bytes value;
	struct message m;

	if (message_parse(data, size, &m) < 0)
		return 0;
	if (m.kind == CONTROL_START) {
		check_within(m.start.name, data, size);
		check_within(m.start.args, data, size);
		check_within(m.start.env, data, size);
		read_args(m.start.args);
		if (message_lookup(m.start.env, "HOME", &value))
			check_within(value, data, size);
	} else if (m.kind == CONTROL_LIBRARY) {
		check_within(m.library.text, data, size);
	}
	return 0;
}
