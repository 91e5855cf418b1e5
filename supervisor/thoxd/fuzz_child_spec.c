/* Fuzz: the argument of process.run, as a program wrote it. */

#include "thoxd/child_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_bytes table = { (const char *)data, size };
	struct child_spec c;
	struct mp_reader args;

	if (child_spec_parse(table, &c))
		return 0;
	if (!c.run.text && c.run.name.size == 0)
		__builtin_trap();
	mp_reader_init(&args, c.run.args.p, c.run.args.size);
	if (c.run.args.size > 0)
		(void)mp_read_array(&args);
	while (child_spec_next_context(&args).size > 0)
		;
	if (args.bad)
		__builtin_trap();
	return 0;
}
