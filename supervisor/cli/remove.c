/* Step 9, in thoxctl: what a restore that failed leaves goes. */

#include "cli/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define DEPTH_MAX 8 /* a store has three */

static int empty(int dir_fd, unsigned depth);

static int remove_entry(int dir_fd, const char *name, unsigned depth)
{
	int fd, r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dir_fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = depth > 0 ? empty(fd, depth - 1) : -ELOOP;
	if (r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

/* Takes @dir_fd. */
static int empty(int dir_fd, unsigned depth)
{
	DIR *list = fdopendir(dir_fd);
	const struct dirent *e;
	int r = 0;

	if (!list) {
		r = -errno;
		fd_close(dir_fd);
		return r;
	}
	while (r == 0 && (e = readdir(list)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = remove_entry(dirfd(list), e->d_name, depth);
	closedir(list);
	return r;
}

int remove_tree(const char *path)
{
	return remove_entry(AT_FDCWD, path, DEPTH_MAX);
}
