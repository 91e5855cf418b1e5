/* Fuzz: what a runner sends to thoxd. The first byte says how many descriptors came. */

#include "thoxd/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct runner_message m;

	if (size == 0)
		return 0;
	(void)runner_message_parse(data + 1, size - 1, data[0], &m);
	return 0;
}
