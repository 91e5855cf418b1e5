/* Fuzz: what thoxd asks of the keeper. The first byte says how many
 * descriptors came. */

#include "keeper/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keeper_request q;

	if (size > 0 &&
	    keeper_request_parse(data + 1, size - 1, data[0], &q) == 0)
		keeper_request_deinit(&q);
	return 0;
}
