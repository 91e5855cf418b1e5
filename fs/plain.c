/* Streams and scratch files: plain, in place, never a version. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/* The directory that @name of @dir lies in; scratch goes before data. */
static int place_of(struct store *s, enum store_dir dir, const char *name,
		    int *ret_dirfd)
{
	if ((unsigned)dir >= DIR_COUNT)
		return -EINVAL;
	if (name_scratch(name))
		*ret_dirfd = s->scratchfd[dir];
	else if (dir == DIR_DATA && name_valid(name))
		*ret_dirfd = s->dirfd[dir];
	else
		return -EINVAL;
	return 0;
}

static void count(struct store *s, uint64_t before, uint64_t after)
{
	atomic_fetch_add(&s->plain_bytes, after - before);
}

int store_file_open(struct store *s, enum store_dir dir, const char *name,
		    int flags, int *ret_fd)
{
	const int allowed = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC;
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	int dirfd, r;

	r = place_of(s, dir, name, &dirfd);
	if (r == 0 && (flags & O_ACCMODE) != O_RDONLY)
		r = store_writable(s);
	if (r < 0)
		return r;
	/* Truncation waits until it is known to be a file. */
	fd = openat(dirfd, name,
		    (flags & allowed & ~O_TRUNC) | O_NOFOLLOW | O_CLOEXEC |
			    O_NONBLOCK | O_NOCTTY,
		    0644);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	if (flags & O_TRUNC) {
		r = store_file_truncate(s, fd, 0);
		if (r < 0)
			return r;
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

ssize_t store_file_write(struct store *s, int fd, const void *data, size_t size,
			 off_t offset)
{
	uint64_t end = (uint64_t)offset + size, now;
	struct stat st;
	ssize_t n;
	int r;

	if (offset < 0 || end < size)
		return -EINVAL;
	r = store_writable(s);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	now = (uint64_t)st.st_size;
	r = store_room(s, end, end > now ? end - now : 0);
	if (r < 0)
		return r;
	n = pwrite(fd, data, size, offset);
	if (n < 0)
		return -errno;
	end = (uint64_t)offset + (uint64_t)n;
	if (n > 0 && end > now)
		count(s, now, end);
	return n;
}

int store_file_truncate(struct store *s, int fd, uint64_t size)
{
	struct stat st;
	uint64_t now;
	int r;

	r = store_writable(s);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	now = (uint64_t)st.st_size;
	r = store_room(s, size, size > now ? size - now : 0);
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	count(s, now, size);
	return 0;
}

int store_file_stat(struct store *s, enum store_dir dir, const char *name,
		    struct stat *ret_stat)
{
	struct stat st;
	int dirfd, r;

	r = place_of(s, dir, name, &dirfd);
	if (r < 0)
		return r;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT; /* nothing of ours */
	*ret_stat = st;
	return 0;
}

/* What a removal of @name gives back: its bytes, if this was the last link. */
static uint64_t bytes_of(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_size;
}

int store_file_remove(struct store *s, enum store_dir dir, const char *name)
{
	uint64_t bytes;
	int dirfd, r;

	r = place_of(s, dir, name, &dirfd);
	if (r == 0)
		r = store_writable(s);
	if (r < 0)
		return r;
	bytes = bytes_of(dirfd, name);
	if (unlinkat(dirfd, name, 0) < 0)
		return -errno;
	count(s, bytes, 0);
	return 0;
}

int store_file_rename(struct store *s, enum store_dir dir, const char *from,
		      const char *to, bool noreplace)
{
	int fromfd, tofd, r;
	uint64_t bytes;

	r = place_of(s, dir, from, &fromfd);
	if (r == 0)
		r = place_of(s, dir, to, &tofd);
	if (r == 0)
		r = store_writable(s);
	if (r < 0)
		return r;
	bytes = strcmp(from, to) == 0 ? 0 : bytes_of(tofd, to);
	if (renameat2(fromfd, from, tofd, to,
		      noreplace ? RENAME_NOREPLACE : 0) < 0)
		return -errno;
	count(s, bytes, 0);
	return 0;
}

int store_file_list(struct store *s, enum store_dir dir, bool scratch,
		    store_file_fn fn, void *user)
{
	struct dirent *e;
	struct stat st;
	int fd, r = 0;
	DIR *list;

	if ((unsigned)dir >= DIR_COUNT || (!scratch && dir != DIR_DATA))
		return -EINVAL;
	fd = openat(scratch ? s->scratchfd[dir] : s->dirfd[dir], ".",
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(list))) {
		if (!(scratch ? name_scratch(e->d_name)
			      : name_valid(e->d_name)) ||
		    fstatat(dirfd(list), e->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0 ||
		    !S_ISREG(st.st_mode))
			continue;
		r = fn(e->d_name, &st, user);
	}
	closedir(list);
	return r;
}

struct clearing {
	struct store *s;
	enum store_dir dir;
};

static int clear_one(const char *name, const struct stat *stat, void *user)
{
	struct clearing *c = user;

	(void)stat;
	return store_file_remove(c->s, c->dir, name);
}

int store_scratch_clear(struct store *s)
{
	int first = 0;

	for (int i = 0; i < DIR_COUNT; i++) {
		struct clearing c = { .s = s, .dir = (enum store_dir)i };
		int r = store_file_list(s, c.dir, true, clear_one, &c);

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}
