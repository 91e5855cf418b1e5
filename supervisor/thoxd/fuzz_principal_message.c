/* Fuzz: what a process says about contexts. The first byte says how many descriptors came. */

#include "thoxd/message.h"
#include "thoxd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest may also be rules, as process.run and CONTROL_RUN have them. */
static void narrow(const uint8_t *data, size_t size)
{
	struct mp_bytes map = { (const char *)data, size };
	struct policy *p = NULL;

	if (policy_narrow(NULL, "fuzz", map, map, &p) == 0)
		(void)policy_admits(p, POLICY_CALL, map, NULL);
	policy_unref(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct principal_message m;

	if (size == 0)
		return 0;
	(void)principal_message_parse(data + 1, size - 1, data[0], &m);
	narrow(data + 1, size - 1);
	return 0;
}
