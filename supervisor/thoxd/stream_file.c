/* Step 9: a stream is opened for whom it belongs to. */

#include "thoxd/stream_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/name.h"
#include "thoxd/holding.h"
#include "thoxd/server.h"

/*
 * Its own storage alone, and over a link of its own: what a process holds for
 * another can be withdrawn, a descriptor cannot.
 */
static bool may_have(const struct principal *asker, const struct holding *to)
{
	const struct principal *p = to->holder;

	return asker->daemon && to->as == p && p->storage && !p->store &&
	       name_valid(p->storage) && p->ops && p->ops->bound_files;
}

/* Without waiting for anything: it may be no file, or leased. */
static int open_file(const char *path, const struct stream_wish *wish,
		     int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;

	fd = open(path, (wish->write ? O_RDWR : O_RDONLY) | O_NOFOLLOW |
				O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	if (st.st_ino != wish->inode)
		return -ESTALE;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int stream_file_open(const struct principal *asker, const struct holding *to,
		     const struct stream_wish *wish, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	struct principal *p = to->holder;
	char path[PATH_MAX];
	int r;

	if (!may_have(asker, to))
		return -EPERM;
	if (snprintf(path, sizeof(path), "%s/data/%s",
		     asker->server->instance->store,
		     p->storage) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = open_file(path, wish, &fd);
	if (r == 0 && wish->write)
		r = p->ops->bound_files(p, wish->limit_bytes);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}
