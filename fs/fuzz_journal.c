/* Fuzz: any journal is followed to its first bad record and no further. */

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define START 4096U
#define ENTRY 40U

static char dir[] = "/dev/shm/thox-fuzz-XXXXXX";
static int rootfd = -1;

static void remove_dir(void)
{
	unlinkat(rootfd, ".journal", 0);
	rmdir(dir);
}

static int on_entry(const struct record *rec, unsigned flags, const void *text,
		    size_t size, void *user)
{
	volatile uint8_t sum = 0;

	(void)flags;
	(void)user;
	assert(name_valid(rec->name));
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)text)[i]);
	return 0;
}

/* Epoch, number and checksums as they must be, for as long as it lasts. */
static void fix(uint8_t *p, size_t size)
{
	uint64_t epoch = 7, seq = 0;

	while (size >= ENTRY) {
		uint32_t total, record_size, crc = 0;

		memcpy(p, &epoch, 8);
		memcpy(p + 8, &seq, 8);
		memcpy(&total, p + 16, 4);
		memcpy(&record_size, p + 24, 4);
		if (record_size < 8 || record_size > size - ENTRY)
			return;
		crc = crc32c(0, p + ENTRY + 8, record_size - 8);
		memcpy(p + ENTRY + 4, &crc, 4);
		memset(p + 20, 0, 4);
		crc = crc32c(crc32c(0, p, ENTRY), p + ENTRY, record_size);
		memcpy(p + 20, &crc, 4);
		if (total < ENTRY || total > size)
			return;
		p += total;
		size -= total;
		seq++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = calloc(1, START + size);
	uint64_t epoch = 7;
	struct journal j;
	uint32_t crc;
	int fd;

	if (rootfd < 0) {
		if (!mkdtemp(dir))
			abort();
		rootfd = open(dir, O_RDONLY | O_DIRECTORY);
		atexit(remove_dir);
	}
	if (!copy)
		return 0;
	memcpy(copy, "thoxjnl1", 8);
	memcpy(copy + 8, &epoch, 8);
	crc = crc32c(0, copy, 32);
	memcpy(copy + 32, &crc, 4);
	memcpy(copy + START, data, size);
	fix(copy + START, size);
	fd = openat(rootfd, ".journal", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, copy, START + size) < 0)
		abort();
	close(fd);
	free(copy);

	if (journal_open(&j, rootfd, false) == 0) {
		journal_follow(&j, on_entry, NULL);
		journal_close(&j);
	}
	return 0;
}
