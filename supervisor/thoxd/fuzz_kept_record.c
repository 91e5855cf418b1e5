/* Fuzz: what is kept of services. The first byte chooses of what. */

#include "thoxd/policy.h"
#include "thoxd/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_levels(struct mp_bytes levels)
{
	struct policy *policy = NULL;
	struct mp_reader r;

	mp_reader_init(&r, levels.p, levels.size);
	if (policy_read(&r, &policy) == 0)
		policy_unref(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_bytes b = { (const char *)data + 1, size - 1 };
	struct record_instance instance;
	struct record_process process;
	struct record_name name;
	struct record_link link;
	struct record_rejection rejection;

	if (size == 0)
		return 0;
	switch (data[0] % 5) {
	case 0:
		(void)record_read_instance(b, &instance);
		break;
	case 1:
		(void)record_read_process(b, &process);
		break;
	case 2:
		(void)record_read_name(b, &name);
		break;
	case 4:
		(void)record_read_rejection(b, &rejection);
		break;
	default:
		if (record_read_link(b, &link) == 0)
			read_levels(link.levels);
	}
	return 0;
}
