/* Storage, step 9: the one file of each program. */

#include "storaged/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/name.h"

#define EVENTS_BYTES 4096

/* --- life, and what others do to the files --------------------------------- */

static void on_event(struct streams *s, const struct inotify_event *e)
{
	if (e->mask & (IN_Q_OVERFLOW | IN_IGNORED))
		s->replaced(s->user, NULL);
	else if (e->len > 0)
		s->replaced(s->user, e->name);
}

static void on_watch(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct streams *s = watcher->data;
	char buffer[EVENTS_BYTES]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	(void)loop;
	(void)events;
	n = read(s->watch_fd, buffer, sizeof(buffer));
	for (char *p = buffer; n > 0 && p < buffer + n;) {
		const struct inotify_event *e = (void *)p;

		on_event(s, e);
		p += sizeof(*e) + e->len;
	}
}

int streams_init(struct streams *s, struct ev_loop *loop,
		 struct workers *workers, int data_fd, int tmp_fd)
{
	char path[64];

	s->loop = loop;
	s->workers = workers;
	s->data_fd = data_fd;
	s->tmp_fd = tmp_fd;
	s->last = 0;
	ev_init(&s->watch, on_watch);
	s->watch.data = s;
	s->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", data_fd);
	if (s->watch_fd < 0 ||
	    inotify_add_watch(s->watch_fd, path,
			      IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0) {
		int r = -errno;

		streams_deinit(s);
		return r;
	}
	ev_io_set(&s->watch, s->watch_fd, EV_READ);
	ev_io_start(loop, &s->watch);
	return 0;
}

void streams_deinit(struct streams *s)
{
	ev_io_stop(s->loop, &s->watch);
	s->watch_fd = fd_close(s->watch_fd);
	s->data_fd = fd_close(s->data_fd);
	s->tmp_fd = fd_close(s->tmp_fd);
}

/* --- reading and writing in place ------------------------------------------ */

static int open_stream(struct streams *s, const char *name, int flags,
		       struct stat *ret_stat, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;

	if (!name_valid(name))
		return -EINVAL;
	fd = openat(s->data_fd, name,
		    flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		    0644);
	if (fd < 0)
		return errno == ELOOP ? -EPERM : -errno;
	if (fstat(fd, ret_stat) < 0)
		return -errno;
	if (!S_ISREG(ret_stat->st_mode))
		return -EPERM;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int stream_stat(struct streams *s, const char *name,
		struct stream_info *ret_info)
{
	struct stat st;

	if (!name_valid(name))
		return -EINVAL;
	if (fstatat(s->data_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	ret_info->size_bytes = (uint64_t)st.st_size;
	ret_info->inode = st.st_ino;
	ret_info->modified_ns =
		(int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

int stream_open(struct streams *s, const char *name, uint64_t *ret_inode,
		int *ret_fd)
{
	struct stat st;
	int r = open_stream(s, name, O_RDONLY, &st, ret_fd);

	if (r == 0)
		*ret_inode = st.st_ino;
	return r;
}

int stream_read(struct streams *s, const char *name, uint64_t offset,
		size_t size, struct blob **ret_blob)
{
	_cleanup_(fd_closep) int fd = -1;
	struct blob *b;
	struct stat st;
	size_t done = 0, left;
	int r;

	r = open_stream(s, name, O_RDONLY, &st, &fd);
	if (r < 0)
		return r;
	left = offset < (uint64_t)st.st_size
		       ? (size_t)((uint64_t)st.st_size - offset)
		       : 0;
	if (size > left)
		size = left;
	b = malloc(sizeof(*b) + size);
	if (!b)
		return -ENOMEM;
	b->refs = 1;
	r = fd_read_at(fd, b->data, size, offset, &done);
	b->size = (uint32_t)done;
	if (r < 0)
		blob_unref(b);
	else
		*ret_blob = b;
	return r;
}

static int write_all(int fd, struct mp_bytes data, uint64_t offset)
{
	while (data.size > 0) {
		ssize_t n = pwrite(fd, data.p, data.size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data.p += n;
		data.size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int stream_write(struct streams *s, const char *name, uint64_t offset,
		 struct mp_bytes data, uint64_t limit_bytes)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	int r;

	if (offset > limit_bytes || data.size > limit_bytes - offset)
		return -EFBIG;
	r = open_stream(s, name, O_WRONLY | O_CREAT, &st, &fd);
	return r < 0 ? r : write_all(fd, data, offset);
}

int stream_truncate(struct streams *s, const char *name, uint64_t size,
		    uint64_t limit_bytes)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	int r;

	if (size > limit_bytes)
		return -EFBIG;
	r = open_stream(s, name, O_WRONLY | O_CREAT, &st, &fd);
	if (r == 0 && ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	return r;
}

int stream_remove(struct streams *s, const char *name)
{
	if (!name_valid(name))
		return -EINVAL;
	return unlinkat(s->data_fd, name, 0) < 0 ? -errno : 0;
}

/* --- what takes a disk's time ------------------------------------------------ */

static int sync_file(struct stream_task *t)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	int r = open_stream(t->streams, t->name, O_RDONLY, &st, &fd);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return fsync(fd) < 0 || fsync(t->streams->data_fd) < 0 ? -errno : 0;
}

static int write_tmp(struct stream_task *t)
{
	_cleanup_(fd_closep) int fd = -1;
	struct mp_bytes data = { t->data->data, t->data->size };
	int r;

	fd = openat(t->streams->tmp_fd, t->tmp,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, 0);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

static int replace_file(struct stream_task *t)
{
	struct streams *s = t->streams;
	int r = write_tmp(t);

	if (r == 0 && renameat(s->tmp_fd, t->tmp, s->data_fd, t->name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(s->tmp_fd, t->tmp, 0);
	else if (fsync(s->data_fd) < 0)
		r = -errno;
	return r;
}

static void work(struct job *j)
{
	struct stream_task *t = container_of(j, struct stream_task, job);

	t->result = t->data ? replace_file(t) : sync_file(t);
}

static void on_done(struct job *j)
{
	struct stream_task *t = container_of(j, struct stream_task, job);

	blob_unref(steal(&t->data));
	t->done(t);
}

static int submit(struct streams *s, const char *name, struct blob *data,
		  struct stream_task *t)
{
	t->streams = s;
	t->data = data;
	t->job = (struct job){ .work = work, .done = on_done };
	snprintf(t->name, sizeof(t->name), "%s", name);
	snprintf(t->tmp, sizeof(t->tmp), "%llu", (unsigned long long)++s->last);
	worker_add(s->workers, &t->job);
	return 0;
}

int stream_replace(struct streams *s, const char *name, struct blob *data,
		   uint64_t limit_bytes, struct stream_task *t)
{
	int r = 0;

	if (!name_valid(name))
		r = -EINVAL;
	else if (data->size > limit_bytes)
		r = -EFBIG;
	if (r < 0) {
		blob_unref(data);
		return r;
	}
	return submit(s, name, data, t);
}

int stream_sync(struct streams *s, const char *name, struct stream_task *t)
{
	if (!name_valid(name))
		return -EINVAL;
	return submit(s, name, NULL, t);
}
