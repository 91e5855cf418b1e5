/* Step 8, in thox-logd: the files of one service's log. */

#include "logd/file.h"

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
#include "logd/line.h"

#define FILES_MAX 4096U /* looked at when pruning */

/* When the file that is there was begun: by its first line. */
static uint64_t read_first_time(int dirfd)
{
	_cleanup_(fd_closep) int fd = -1;
	char head[LINE_TIME_BYTES - 1];
	uint64_t us;

	fd = openat(dirfd, FILE_CURRENT, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_full(fd, head, sizeof(head)) != sizeof(head) ||
	    line_read_time(head, sizeof(head), &us) < 0)
		return 0;
	return us;
}

static int open_current(struct log_file *f)
{
	struct stat st;

	if (f->fd >= 0)
		return 0;
	f->fd = openat(f->dirfd, FILE_CURRENT,
		       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		       0600);
	if (f->fd < 0)
		return -errno;
	if (fstat(f->fd, &st) < 0) {
		int r = -errno;

		f->fd = fd_close(f->fd);
		return r;
	}
	f->size_bytes = (uint64_t)st.st_size;
	f->first_us = st.st_size > 0 ? read_first_time(f->dirfd) : 0;
	return 0;
}

int file_open(int rootfd, const char *service, struct log_file **ret_file)
{
	struct log_file *f;
	int r = 0;

	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	list_init(&f->list);
	f->fd = f->dirfd = -1;
	f->service = strdup(service);
	if (!f->service)
		r = -ENOMEM;
	else if (mkdirat(rootfd, service, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0) {
		f->dirfd =
			openat(rootfd, service,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (f->dirfd < 0)
			r = -errno;
	}
	if (r < 0) {
		file_free(f);
		return r;
	}
	*ret_file = f;
	return 0;
}

struct log_file *file_free(struct log_file *f)
{
	if (!f)
		return NULL;
	list_remove(&f->list);
	fd_close(f->fd);
	fd_close(f->dirfd);
	free(f->service);
	free(f);
	return NULL;
}

/* --- rotation ---------------------------------------------------------------
 */

static bool is_rotated(const char *name)
{
	size_t size = strlen(name), tail = strlen(FILE_SUFFIX);
	uint64_t us;

	return size > tail && strcmp(name + size - tail, FILE_SUFFIX) == 0 &&
	       line_read_time(name, size - tail, &us) == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Remove the oldest but @keep; what cannot be removed stays. */
static void prune(struct log_file *f)
{
	char **names = calloc(FILES_MAX, sizeof(*names));
	int fd = openat(f->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	size_t n = 0;

	while (names && dir && n < FILES_MAX && (e = readdir(dir)))
		if (is_rotated(e->d_name) && (names[n] = strdup(e->d_name)))
			n++;
	if (n > 0)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		if (n - i > f->keep)
			unlinkat(f->dirfd, names[i], 0);
		free(names[i]);
	}
	free(names);
	if (dir)
		closedir(dir);
	else
		fd_close(fd);
}

static bool is_due(const struct log_file *f, size_t more, uint64_t now_us)
{
	if (f->size_bytes == 0)
		return false;
	if (f->rotate_bytes && f->size_bytes + more > f->rotate_bytes)
		return true;
	return f->rotate_us && f->first_us && now_us > f->first_us &&
	       now_us - f->first_us > f->rotate_us;
}

/* A clock that was set back must not replace an older file. */
static int rotate(struct log_file *f, uint64_t now_us)
{
	char name[LINE_TIME_BYTES + sizeof(FILE_SUFFIX)];
	int r;

	do {
		line_write_time(now_us++, name);
		strcat(name, FILE_SUFFIX);
		r = renameat2(f->dirfd, FILE_CURRENT, f->dirfd, name,
			      RENAME_NOREPLACE) < 0
			    ? -errno
			    : 0;
	} while (r == -EEXIST);
	if (r < 0)
		return r;
	f->fd = fd_close(f->fd);
	prune(f);
	return open_current(f);
}

/* --- appending --------------------------------------------------------------
 */

static int write_whole(struct log_file *f, const char *data, size_t size)
{
	size_t done = 0;
	int r = 0;

	while (done < size && r == 0) {
		ssize_t n = write(f->fd, data + done, size - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			r = -ENOSPC;
		else if (errno != EINTR)
			r = -errno;
	}
	if (r == 0)
		f->size_bytes += size;
	else if (done > 0 && ftruncate(f->fd, (off_t)f->size_bytes) < 0)
		f->size_bytes += done; /* it stays torn */
	return r;
}

int file_append(struct log_file *f, const void *data, size_t size,
		uint64_t now_us)
{
	int r = open_current(f);

	if (r == 0 && is_due(f, size, now_us))
		r = rotate(f, now_us);
	if (r < 0)
		return r;
	r = write_whole(f, data, size);
	if (r == 0 && f->first_us == 0)
		f->first_us = now_us;
	return r;
}
