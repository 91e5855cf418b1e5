/* Fuzz: what thoxd says to a native process. */

#include "native/message.h"

#include "rpc/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct native_control m;

	for (unsigned n_fds = 0; n_fds < 2; n_fds++) {
		if (native_control_parse(data, size, n_fds, &m) < 0)
			continue;
		(void)native_grants_admit(m.grants,
					  (struct mp_bytes){ "fs.read", 7 });
		if (m.name.size > WIRE_NAME_BYTES)
			__builtin_trap();
	}
	return 0;
}
