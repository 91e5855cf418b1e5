/*
 * Step 1, in thox-exec: the text of a program that is not in the store.
 *
 * The text is copied into a memfd and sealed, so that what the runner
 * compiles can change no more, and so that a pipe and a file are alike.
 */

#include "cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define FUSE_MAGIC 0x65735546 /* <linux/magic.h> is not musl's */

static int copy(int from, int to)
{
	static char buf[65536];
	size_t total = 0;
	ssize_t n;
	int r;

	while ((n = read(from, buf, sizeof(buf))) != 0) {
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		total += (size_t)n;
		if (total > TEXT_BYTES_MAX)
			return -EFBIG;
		r = fd_write_all(to, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_sealed(int from, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	int r;

	fd = memfd_create("text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = copy(from, fd);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Only thoxd knows whether the mount is its own: it gets the path. */
static int fuse_path(int fd, char path[PATH_MAX])
{
	struct statfs fs;
	char link[32];
	ssize_t n;

	path[0] = '\0';
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != FUSE_MAGIC)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = '\0';
	return 0;
}

static int open_file(const char *name, struct text *ret)
{
	_cleanup_(fd_closep) int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	r = fuse_path(fd, ret->path);
	ret->name = strrchr(name, '/') + 1;
	return r < 0 ? r : copy_sealed(fd, &ret->fd);
}

int text_open(const char *text, const char *name, struct text *ret)
{
	ret->fd = -1;
	ret->name = name;
	ret->path[0] = '\0';
	if (text) {
		ret->name = "-e";
		return fd_from_bytes("text", text, strlen(text), &ret->fd);
	}
	if (strcmp(name, "-") == 0) {
		ret->name = "stdin";
		return copy_sealed(STDIN_FILENO, &ret->fd);
	}
	if (strchr(name, '/'))
		return open_file(name, ret);
	return 0;
}

void text_close(struct text *t)
{
	t->fd = fd_close(t->fd);
}
