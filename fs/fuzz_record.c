/* Fuzz: a record that is read is sound, and the same when written again. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fs/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1), again[RECORD_MAX_BYTES];
	uint8_t third[RECORD_MAX_BYTES];
	size_t written;
	struct record rec, back;
	struct store_entry entry;
	uint32_t length, crc;
	ssize_t n;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	/* The fuzzer need not find checksums. */
	if (size >= 8) {
		memcpy(&length, copy, 4);
		if (length >= 8 && length <= size) {
			crc = crc32c(0, copy + 8, length - 8);
			memcpy(copy + 4, &crc, 4);
		}
	}
	n = record_read(&rec, copy, size);
	if (n > 0) {
		assert(name_valid(rec.name));
		record_entry(&rec, &entry);
		written = record_write(&rec, again);
		assert(written <= RECORD_MAX_BYTES);
		assert(record_read(&back, again, sizeof(again)) > 0);
		assert(record_write(&back, third) == written);
		assert(memcmp(again, third, written) == 0);
	}
	free(copy);
	return 0;
}
