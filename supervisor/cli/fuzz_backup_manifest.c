/* Fuzz: the manifest of a backup that somebody else made. */

#include "cli/backup_format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read can be written, and is read again as the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct backup_manifest m = { 0 }, again = { 0 };
	char *text;

	if (backup_manifest_read(data, size, &m) < 0)
		return 0;
	text = backup_manifest_write(&m);
	if (!text || backup_manifest_read(text, strlen(text), &again) < 0)
		__builtin_trap();
	if (strcmp(m.thox, again.thox) != 0 || m.format != again.format ||
	    m.time_s != again.time_s || m.texts != again.texts ||
	    m.bytes != again.bytes)
		__builtin_trap();
	free(text);
	return 0;
}
