/* Fuzz: an archive of somebody else's. */

#include "cli/archive.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read can be written, and nothing leads out. */
static void check(const struct archive_member *m, int null_fd)
{
	struct archive_writer w = { .fd = null_fd };

	if (m->name[0] == '/' || strstr(m->name, "/../") ||
	    strncmp(m->name, "../", 3) == 0)
		__builtin_trap();
	if (archive_begin(&w, m) < 0 && strlen(m->name) <= 100)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct archive_reader r = { .fd = -1 };
	struct archive_member m;
	uint8_t bytes[1000];
	size_t n;
	int sink;

	if (fd_from_bytes("archive", data, size, &r.fd) < 0)
		return 0;
	sink = memfd_create("sink", MFD_CLOEXEC);
	while (archive_next(&r, &m) == 1) {
		check(&m, sink);
		if (archive_read(&r, bytes, sizeof(bytes), &n) < 0)
			break;
	}
	fd_close(sink);
	fd_close(r.fd);
	return 0;
}
