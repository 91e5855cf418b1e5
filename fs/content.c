/* The bytes of a content: opened without trust, copied, hashed. */

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

#define CHUNK_BYTES (64U << 10)

void content_hash_bytes(const void *data, size_t size, uint8_t ret_sha256[32])
{
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, data, size);
	SHA256Final(ret_sha256, &ctx);
}

int content_hash(int fd, uint64_t size, uint8_t ret_sha256[32])
{
	_cleanup_(freep) uint8_t *buf = malloc(CHUNK_BYTES);
	uint64_t at = 0;
	SHA2_CTX ctx;

	if (!buf)
		return -ENOMEM;
	SHA256Init(&ctx);
	while (at < size) {
		size_t want = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
		ssize_t n = pread(fd, buf, want, (off_t)at);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG; /* shorter than it should be */
		SHA256Update(&ctx, buf, (size_t)n);
		at += (uint64_t)n;
	}
	SHA256Final(ret_sha256, &ctx);
	return 0;
}

static int copy_by_hand(int from, int to, off_t at)
{
	_cleanup_(freep) uint8_t *buf = malloc(CHUNK_BYTES);

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = pread(from, buf, CHUNK_BYTES, at);

		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (pwrite(to, buf, (size_t)n, at) != n)
			return errno ? -errno : -ENOSPC;
		at += n;
	}
}

int content_copy(int from, int to)
{
	off_t in = 0, out = 0;
	ssize_t n;

	do {
		n = copy_file_range(from, &in, to, &out, 1U << 30, 0);
	} while (n > 0);
	if (n < 0 && (errno == EXDEV || errno == EINVAL ||
		      errno == EOPNOTSUPP || errno == ENOSYS)) {
		errno = 0;
		return copy_by_hand(from, to, out);
	}
	return n < 0 ? -errno : 0;
}

int content_open(int dirfd, const char *name, struct stat *ret_stat,
		 int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;

	/* O_NONBLOCK: a fifo that somebody put there must not hold us. */
	fd = openat(dirfd, name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, ret_stat) < 0)
		return -errno;
	if (!S_ISREG(ret_stat->st_mode))
		return -EPERM;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int content_target(int dirfd, const char *name,
		   char ret_target[NAME_MAX_BYTES + 1])
{
	char buf[NAME_MAX_BYTES + 2];
	ssize_t n = readlinkat(dirfd, name, buf, sizeof(buf) - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	if (strlen(buf) != (size_t)n || !name_valid(buf))
		return -EPERM;
	memcpy(ret_target, buf, (size_t)n + 1);
	return 0;
}
