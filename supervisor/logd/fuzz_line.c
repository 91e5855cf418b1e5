/* Foreign bytes as a line of a log: nothing is read past their end. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "logd/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char time[LINE_TIME_BYTES], head[LINE_HEAD_BYTES];
	struct line line, again;

	if (line_parse((const char *)data, size, &line) < 0)
		return 0;
	line_write_time(line.time_us, time);
	if (line_parse(head, line_write_head(&line, time, head), &again) < 0 ||
	    again.time_us != line.time_us || again.pid != line.pid)
		abort();
	return 0;
}
