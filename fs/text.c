/* The way of a publication, step 1: a text, a file of .drafts. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

void text_count(struct store_text *t, uint64_t size)
{
	uint64_t before = atomic_exchange(&t->size_bytes, size);

	atomic_fetch_add(&t->s->plain_bytes, size - before);
}

int text_mtime_ns(const struct store_text *t, int64_t *ret_mtime_ns)
{
	struct stat st;

	if (t->mtime_ns) {
		*ret_mtime_ns = t->mtime_ns;
		return 0;
	}
	if (fstat(t->fd, &st) < 0)
		return -errno;
	*ret_mtime_ns = timespec_ns(&st.st_mtim);
	return 0;
}

int text_touch(struct store_text *t, const struct timespec *mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };

	if (futimens(t->fd, times) < 0)
		return -errno;
	t->mtime_ns = timespec_ns(mtime);
	return 0;
}

void text_file(const struct store_text *t, char ret_file[DRAFT_NAME_BYTES])
{
	draft_name(t->draft_id, t->id, t->dir, t->name, ret_file);
}

struct store_text *store_text_free(struct store_text *t)
{
	char file[DRAFT_NAME_BYTES];

	if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
		return NULL;
	if (!atomic_load(&t->committed) && !t->leave && t->fd >= 0) {
		text_file(t, file);
		unlinkat(t->s->draftsfd, file, 0);
	}
	text_count(t, 0);
	fd_close(t->fd);
	free(t);
	return NULL;
}

static void text_freep(struct store_text **t)
{
	*t = store_text_free(*t);
}

int text_new(struct store *s, uint64_t draft_id, enum store_dir dir,
	     const char *name, struct store_text **ret_text)
{
	_cleanup_(text_freep) struct store_text *t = NULL;
	char file[DRAFT_NAME_BYTES];
	int r;

	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	r = store_writable(s);
	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->s = s;
	t->fd = -1;
	t->dir = dir;
	atomic_init(&t->refs, 1);
	strcpy(t->name, name);
	r = store_new_id(s, &t->id);
	if (r < 0)
		return r;
	t->draft_id = draft_id ? draft_id : t->id;
	text_file(t, file);
	t->fd = openat(s->draftsfd, file,
		       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0644);
	if (t->fd < 0)
		return -errno;
	flock(t->fd, LOCK_SH | LOCK_NB);
	t->mtime_ns = time_now_ns();
	*ret_text = steal(&t);
	return 0;
}

int store_text_fd(const struct store_text *t)
{
	return t->fd;
}

int text_fill(struct store_text *t, int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = store_room(t->s, (uint64_t)st.st_size, (uint64_t)st.st_size);
	if (r == 0)
		r = content_copy(fd, t->fd);
	if (r == 0 && fstat(t->fd, &st) < 0)
		r = -errno;
	/* It may have grown while it was copied. */
	if (r == 0 && (uint64_t)st.st_size > t->s->file_limit_bytes)
		r = -EFBIG;
	if (r == 0) {
		text_count(t, (uint64_t)st.st_size);
		t->mtime_ns = time_now_ns();
	}
	return r;
}

int store_text_from_fd(struct store *s, enum store_dir dir, const char *name,
		       int fd, struct store_text **ret_text)
{
	_cleanup_(text_freep) struct store_text *t = NULL;
	int r;

	r = text_new(s, 0, dir, name, &t);
	if (r < 0 || !t)
		return r;
	r = text_fill(t, fd);
	if (r == 0)
		*ret_text = steal(&t);
	return r;
}

int store_text_from_bytes(struct store *s, enum store_dir dir, const char *name,
			  const void *data, size_t size,
			  struct store_text **ret_text)
{
	_cleanup_(text_freep) struct store_text *t = NULL;
	int r;

	r = store_room(s, size, size);
	if (r == 0)
		r = text_new(s, 0, dir, name, &t);
	if (r < 0 || !t)
		return r;
	r = fd_write_all(t->fd, data, size);
	if (r < 0)
		return r;
	text_count(t, size);
	t->mtime_ns = time_now_ns();
	*ret_text = steal(&t);
	return 0;
}
