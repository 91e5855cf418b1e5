/* Fuzz: what a keeper sends to thoxd. The first byte says how many descriptors came. */

#include "thoxd/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keeper_message m;

	if (size == 0)
		return 0;
	(void)keeper_message_parse(data + 1, size - 1, data[0], &m);
	return 0;
}
