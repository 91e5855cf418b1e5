/*
 * Step 9, in thoxctl: a service's files as one sequence of lines.
 *
 * The names of the rotated files are read at the beginning and sorted; the
 * current file is the last. When that is rotated while it is read, its
 * descriptor still leads to it: it is read to the end, and then what was
 * rotated after it, and the new current one, follow.
 */

#include "logd/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "logd/file.h"

#define BUFFER_BYTES (2 * (LINE_TEXT_BYTES + LINE_HEAD_BYTES))
#define STEP_BYTES   65536
#define READ_BYTES   16384U

struct reader {
	char *service;
	int dirfd;
	int fd; /* of the file that is read; -1: before the first */
	char at[LINE_TIME_BYTES + sizeof(FILE_SUFFIX)]; /* its name when it was
							 * opened */
	ino_t inode;
	uint64_t skip_us;
	uint64_t bad;
	bool passing; /* over the rest of a line that is too long */
	size_t start, end;
	char buffer[BUFFER_BYTES];
};

int reader_open(int rootfd, const char *service, struct reader **ret_reader)
{
	struct reader *r = calloc(1, sizeof(*r));
	int e = 0;

	if (!r)
		return -ENOMEM;
	r->fd = -1;
	r->service = strdup(service);
	r->dirfd = openat(rootfd, service,
			  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (r->dirfd < 0)
		e = -errno;
	else if (!r->service)
		e = -ENOMEM;
	if (e < 0) {
		reader_free(r);
		return e;
	}
	*ret_reader = r;
	return 0;
}

struct reader *reader_free(struct reader *r)
{
	if (!r)
		return NULL;
	fd_close(r->fd);
	fd_close(r->dirfd);
	free(r->service);
	free(r);
	return NULL;
}

const char *reader_service(const struct reader *r)
{
	return r->service;
}

uint64_t reader_bad_lines(const struct reader *r)
{
	return r->bad;
}

void reader_skip_before(struct reader *r, uint64_t time_us)
{
	r->skip_us = time_us;
}

/* --- which file -------------------------------------------------------------
 */

/* The time in a rotated file's name; false: it is none. */
static bool rotated_at(const char *name, uint64_t *ret_us)
{
	size_t size = strlen(name), tail = strlen(FILE_SUFFIX);

	return size > tail && strcmp(name + size - tail, FILE_SUFFIX) == 0 &&
	       line_read_time(name, size - tail, ret_us) == 0;
}

/* The oldest rotated file that is newer than the one named @after ("": any)
 * and not to be skipped; FILE_CURRENT when there is none. */
static int next_name(struct reader *r, const char *after, char *ret)
{
	int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	uint64_t us;

	if (!dir) {
		int error = -errno;

		fd_close(fd);
		return error;
	}
	strcpy(ret, FILE_CURRENT);
	while ((e = readdir(dir))) {
		if (!rotated_at(e->d_name, &us) || us < r->skip_us ||
		    strcmp(e->d_name, after) <= 0)
			continue;
		if (strcmp(ret, FILE_CURRENT) == 0 ||
		    strcmp(e->d_name, ret) < 0)
			strcpy(ret, e->d_name);
	}
	closedir(dir);
	return 0;
}

/* Newest first: the one before @before ("": the newest); "" for none. */
static int previous_name(struct reader *r, const char *before, char *ret)
{
	int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	uint64_t us;

	if (!dir) {
		int error = -errno;

		fd_close(fd);
		return error;
	}
	ret[0] = '\0';
	while ((e = readdir(dir)))
		if (rotated_at(e->d_name, &us) && us >= r->skip_us &&
		    (!before[0] || strcmp(e->d_name, before) < 0) &&
		    strcmp(e->d_name, ret) > 0)
			strcpy(ret, e->d_name);
	closedir(dir);
	return 0;
}

static int open_file(struct reader *r, const char *name)
{
	struct stat st;
	int fd = openat(r->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(fd);
		return -EBADF;
	}
	fd_close(r->fd);
	r->fd = fd;
	r->inode = st.st_ino;
	r->start = r->end = 0;
	r->passing = false;
	if (name != r->at)
		strcpy(r->at, name);
	return 0;
}

/* The name that the file which is read has now; "" when it was removed. */
static int name_of_inode(struct reader *r, char *ret)
{
	int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!dir) {
		int error = -errno;

		fd_close(fd);
		return error;
	}
	ret[0] = '\0';
	while ((e = readdir(dir)))
		if (e->d_ino == r->inode && strlen(e->d_name) < sizeof(r->at))
			strcpy(ret, e->d_name);
	closedir(dir);
	return 0;
}

/* The next file after this one, whose end was read: 1 when one was opened,
 * 0 when it is the current one. */
static int go_on(struct reader *r)
{
	char name[sizeof(r->at)], next[sizeof(r->at)];
	struct stat st;
	int e;

	if (r->fd < 0) {
		e = next_name(r, "", next);
		e = e < 0 ? e : open_file(r, next);
		return e == -ENOENT ? 0 : e < 0 ? e : 1;
	}
	strcpy(name, r->at);
	if (strcmp(name, FILE_CURRENT) == 0) {
		if (fstatat(r->dirfd, FILE_CURRENT, &st, 0) == 0 &&
		    st.st_ino == r->inode)
			return 0;
		e = name_of_inode(r, name);
		if (e < 0)
			return e;
	}
	e = next_name(r, name, next);
	e = e < 0 ? e : open_file(r, next);
	return e == -ENOENT ? 0 : e < 0 ? e : 1;
}

/* --- lines ------------------------------------------------------------------
 */

/* More bytes behind those in the buffer: the count, 0 at the end. */
static ssize_t fill(struct reader *r)
{
	size_t room;
	ssize_t n;

	if (r->start > 0) {
		memmove(r->buffer, r->buffer + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (r->end == sizeof(r->buffer)) { /* no line is that long */
		r->bad += !r->passing;
		r->passing = true;
		r->end = 0;
	}
	room = sizeof(r->buffer) - r->end;
	/* a little at a time: there may be thousands of readers */
	n = read(r->fd, r->buffer + r->end,
		 room < READ_BYTES ? room : READ_BYTES);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	r->end += (size_t)n;
	return n;
}

/* A whole line of the buffer: 1; 0: there is none. */
static int take(struct reader *r, struct line *ret_line)
{
	for (;;) {
		const char *p = r->buffer + r->start;
		const char *line_feed = memchr(p, '\n', r->end - r->start);
		bool rest = r->passing;

		if (!line_feed)
			return 0;
		r->start += (size_t)(line_feed - p) + 1;
		r->passing = false;
		if (rest)
			continue;
		if (line_parse(p, (size_t)(line_feed - p), ret_line) == 0)
			return 1;
		r->bad++;
	}
}

int reader_next(struct reader *r, struct line *ret_line)
{
	for (;;) {
		ssize_t n;

		if (r->fd >= 0) {
			if (take(r, ret_line))
				return 1;
			n = fill(r);
			if (n < 0)
				return (int)n;
			if (n > 0)
				continue;
		}
		n = go_on(r);
		if (n <= 0)
			return (int)n;
	}
}

/* --- places -----------------------------------------------------------------
 */

int reader_seek_end(struct reader *r)
{
	int e = open_file(r, FILE_CURRENT);

	if (e == -ENOENT)
		return 0; /* what will be written is new */
	if (e == 0 && lseek(r->fd, 0, SEEK_END) < 0)
		e = -errno;
	return e;
}

/* Where the last *lines lines of the open file begin; lowers *lines by those
 * that it has. */
static int seek_back(struct reader *r, uint64_t *lines)
{
	char block[STEP_BYTES];
	off_t at = lseek(r->fd, 0, SEEK_END);

	if (at < 0)
		return -errno;
	/* the line feed at the very end ends the last line */
	(*lines)++;
	while (at > 0) {
		size_t size = at < STEP_BYTES ? (size_t)at : STEP_BYTES;
		ssize_t n = pread(r->fd, block, size, at - (off_t)size);

		if (n != (ssize_t)size)
			return n < 0 ? -errno : -EIO;
		for (size_t i = size; i-- > 0;) {
			if (block[i] != '\n' || --*lines > 0)
				continue;
			at -= (off_t)(size - i - 1);
			return lseek(r->fd, at, SEEK_SET) < 0 ? -errno : 0;
		}
		at -= (off_t)size;
	}
	(*lines)--;
	return lseek(r->fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

int reader_seek_last(struct reader *r, uint64_t lines)
{
	char name[sizeof(r->at)] = "", before[sizeof(r->at)];
	int e;

	if (lines == 0)
		return reader_seek_end(r);
	e = open_file(r, FILE_CURRENT);
	if (e == 0)
		e = seek_back(r, &lines);
	if (e < 0 && e != -ENOENT)
		return e;
	while (lines > 0) {
		e = previous_name(r, name, before);
		if (e < 0)
			return e;
		if (!before[0])
			return 0;
		strcpy(name, before);
		e = open_file(r, name);
		if (e == -ENOENT)
			continue; /* removed just now */
		e = e < 0 ? e : seek_back(r, &lines);
		if (e < 0)
			return e;
	}
	return 0;
}
