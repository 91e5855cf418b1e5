/* Fuzz: any index opens, and all that it leads to ends. */

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/dev/shm/thox-fuzz-XXXXXX";
static int rootfd = -1;

static void remove_dir(void)
{
	unlinkat(rootfd, ".index", 0);
	rmdir(dir);
}

/* Give each record in @data its checksum: the fuzzer need not find them. */
static void fix_sums(uint8_t *data, size_t size)
{
	uint32_t length, crc;

	for (size_t at = 0; size - at >= 8; at += length) {
		memcpy(&length, data + at, 4);
		if (length < 8 || length > size - at)
			return;
		crc = crc32c(0, data + at + 8, length - 8);
		memcpy(data + at + 4, &crc, 4);
	}
}

static int on_record(const struct record *rec, uint32_t at, void *user)
{
	(void)at;
	(void)user;
	assert(name_valid(rec->name));
	return 0;
}

static void walk_all(struct index *ix)
{
	struct index_node **nodes;
	struct record rec;
	size_t count;

	for (size_t i = 0; i < ix->table_size; i++)
		if (ix->table[i])
			index_walk(ix, ix->table[i], on_record, NULL);
	for (int i = 0; i < DIR_COUNT; i++)
		assert(index_sorted(ix, (enum store_dir)i, &nodes, &count) ==
		       0);
	index_scan(ix, 0, on_record, NULL);
	for (uint64_t id = 0; id < 4; id++)
		index_find_id(ix, id, id & 1, &rec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = calloc(1, size + 64);
	struct index ix;
	int fd;

	if (rootfd < 0) {
		if (!mkdtemp(dir))
			abort();
		rootfd = open(dir, O_RDONLY | O_DIRECTORY);
		atexit(remove_dir);
	}
	if (!copy)
		return 0;
	memcpy(copy, "thoxidx1", 8);
	memcpy(copy + 64, data, size);
	fix_sums(copy + 64, size);
	fd = openat(rootfd, ".index", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, copy, size + 64) < 0)
		abort();
	close(fd);
	free(copy);

	if (index_open(&ix, rootfd, size & 1) == 0) {
		walk_all(&ix);
		index_close(&ix);
	}
	return 0;
}
