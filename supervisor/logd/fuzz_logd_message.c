/* Foreign bytes as a message to thox-logd. */

#include <stddef.h>
#include <stdint.h>

#include "logd/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct logd_message m;

	for (unsigned n_fds = 0; n_fds < 2; n_fds++)
		(void)logd_message_parse(data, size, n_fds, &m);
	return 0;
}
