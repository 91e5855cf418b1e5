/* Fuzz: what a traced process writes. */

#include "cli/trace_record.h"

#include <string.h>

#include "rpc/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_record t;

	if (trace_record_parse(data, size, &t) < 0)
		return 0;
	if (t.name[0] && !wire_check_name(t.name, strlen(t.name)))
		__builtin_trap();
	if (!status_name(t.status))
		__builtin_trap();
	return 0;
}
