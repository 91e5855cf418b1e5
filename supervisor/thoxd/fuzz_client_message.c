/* Fuzz: what a client sends to thoxd. The first byte says how many descriptors came. */

#include "thoxd/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_message m;
	struct request_arguments a;

	if (size == 0)
		return 0;
	if (client_message_parse(data + 1, size - 1, data[0], &m) == 0 &&
	    m.kind == CONTROL_REQUEST)
		(void)request_arguments_parse(m.arguments, &a);
	return 0;
}
