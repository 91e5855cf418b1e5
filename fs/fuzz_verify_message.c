/* Fuzz: what the store and its verifier say to each other. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fs/verify_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verify_request request;
	struct verify_reply reply;
	char *copy = malloc(size + 1);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (verify_request_read(&request, copy, size) == 0) {
		assert(name_valid(request.name));
		assert(request.by_fd || request.text[request.size] == '\0');
	}
	memcpy(copy, data, size);
	if (verify_reply_read(&reply, copy, size) == 0) {
		assert(strlen(reply.reason) < sizeof(reply.reason));
		assert(!reply.runtime[0] || name_valid(reply.runtime));
		assert(reply.n_needs <= VERIFY_NEEDS_MAX);
		for (uint32_t i = 0; i < reply.n_needs; i++)
			assert(name_valid(reply.needs[i].name) &&
			       reply.needs[i].dir < DIR_COUNT);
	}
	free(copy);
	return 0;
}
