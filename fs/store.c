/* The store, step 1: its directories, its locks, its ids. */

#include "fs/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

int64_t timespec_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

int64_t time_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return timespec_ns(&ts);
}

void id_name(uint64_t id, char ret_name[ID_NAME_BYTES])
{
	snprintf(ret_name, ID_NAME_BYTES, "%llx", (unsigned long long)id);
}

void draft_name(uint64_t draft_id, uint64_t id, enum store_dir dir,
		const char *name, char ret_name[DRAFT_NAME_BYTES])
{
	snprintf(ret_name, DRAFT_NAME_BYTES, "%llx-%llx-%s-%s",
		 (unsigned long long)draft_id, (unsigned long long)id,
		 store_dir_name(dir), name);
}

/* Written one way only: lower case, no leading zero. */
static int parse_id(const char **text, uint64_t *ret_id)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t id = 0;
	const char *p;

	for (p = *text; *p && *p != '-'; p++) {
		const char *digit = strchr(digits, *p);

		if (!digit || id >> (STORE_ID_BITS - 4))
			return -EINVAL;
		id = id << 4 | (uint64_t)(digit - digits);
		if (id == 0)
			return -EINVAL;
	}
	if (*p != '-' || id == 0)
		return -EINVAL;
	*text = p + 1;
	*ret_id = id;
	return 0;
}

int draft_name_parse(const char *file, uint64_t *ret_draft_id, uint64_t *ret_id,
		     enum store_dir *ret_dir, char ret_name[NAME_MAX_BYTES + 1])
{
	uint64_t draft_id, id;
	char dir[16];
	const char *dash;

	if (parse_id(&file, &draft_id) < 0 || parse_id(&file, &id) < 0)
		return -EINVAL;
	dash = strchr(file, '-');
	if (!dash || (size_t)(dash - file) >= sizeof(dir))
		return -EINVAL;
	memcpy(dir, file, (size_t)(dash - file));
	dir[dash - file] = '\0';
	if (store_dir_parse(dir, ret_dir) < 0 || !name_valid(dash + 1))
		return -EINVAL;
	*ret_draft_id = draft_id;
	*ret_id = id;
	strcpy(ret_name, dash + 1);
	return 0;
}

int store_writable(struct store *s)
{
	return s->readonly || atomic_load(&s->failed) ? -EROFS : 0;
}

static uint64_t used_bytes(struct store *s)
{
	uint64_t used;

	pthread_mutex_lock(&s->memory);
	used = s->index.used_bytes;
	pthread_mutex_unlock(&s->memory);
	return used + atomic_load(&s->plain_bytes);
}

int store_room(struct store *s, uint64_t size, uint64_t growth)
{
	if (size > s->file_limit_bytes)
		return -EFBIG;
	if (!s->quota_bytes || growth == 0)
		return 0;
	return used_bytes(s) + growth > s->quota_bytes ? -ENOSPC : 0;
}

uint64_t store_file_limit(struct store *s)
{
	return s->file_limit_bytes;
}

int store_usage(struct store *s, struct store_usage *ret_usage)
{
	struct store_usage u = { .quota_bytes = s->quota_bytes };
	uint64_t disk_total, disk_free;
	struct statvfs st;

	if (fstatvfs(s->rootfd, &st) < 0)
		return -errno;
	disk_total = (uint64_t)st.f_blocks * st.f_frsize;
	disk_free = (uint64_t)st.f_bavail * st.f_frsize;

	pthread_mutex_lock(&s->memory);
	for (size_t i = 0; i < DIR_COUNT; i++)
		u.names += s->index.live_count[i];
	u.versions = s->index.records - s->index.dead;
	pthread_mutex_unlock(&s->memory);

	u.used_bytes = used_bytes(s);
	u.total_bytes = disk_total;
	u.free_bytes = disk_free;
	if (s->quota_bytes) {
		uint64_t left = s->quota_bytes > u.used_bytes
					? s->quota_bytes - u.used_bytes
					: 0;

		u.total_bytes = s->quota_bytes;
		u.free_bytes = left < disk_free ? left : disk_free;
	}
	*ret_usage = u;
	return 0;
}

const char *store_watch_path(struct store *s)
{
	return s->path;
}

/* A directory of ours, never one behind a link. */
static int open_dir(struct store *s, const char *name, int *ret_fd)
{
	int fd;

	if (!s->readonly && mkdirat(s->rootfd, name, 0700) < 0 &&
	    errno != EEXIST)
		return -errno;
	fd = openat(s->rootfd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int open_dirs(struct store *s)
{
	char name[32];
	int fd = -1, r = 0;

	for (int i = 0; i < DIR_COUNT && r == 0; i++)
		r = open_dir(s, store_dir_name((enum store_dir)i),
			     &s->dirfd[i]);
	if (r == 0)
		r = open_dir(s, ".versions", &s->versionsfd);
	if (r == 0)
		r = open_dir(s, ".drafts", &s->draftsfd);
	if (r == 0)
		r = open_dir(s, ".rejected", &s->rejectedfd);
	if (r == 0)
		r = open_dir(s, ".scratch", &fd);
	fd_close(fd);
	for (int i = 0; i < DIR_COUNT && r == 0; i++) {
		snprintf(name, sizeof(name), ".scratch/%s",
			 store_dir_name((enum store_dir)i));
		r = open_dir(s, name, &s->scratchfd[i]);
	}
	return r;
}

static int make_root(const char *path)
{
	char *copy, *slash;
	int r = 0;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	slash = strrchr(copy, '/');
	if (slash && slash != copy) {
		*slash = '\0';
		r = make_root(copy);
	}
	free(copy);
	if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		r = -errno;
	return r;
}

static int open_root(struct store *s, unsigned flags)
{
	struct stat st;
	int r;

	if (flags & STORE_CREATE && !s->readonly) {
		r = make_root(s->path);
		if (r < 0)
			return r;
	}
	s->rootfd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->rootfd < 0)
		return -errno;
	if (fstat(s->rootfd, &st) < 0)
		return -errno;
	/* Who owns the root can make us read and write what they like. */
	if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0)
		return -EPERM;
	return 0;
}

static int open_lock(struct store *s)
{
	struct stat st;

	s->lockfd = openat(
		s->rootfd, ".lock",
		O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (s->lockfd >= 0)
		return fstat(s->lockfd, &st) < 0 ? -errno
		       : S_ISREG(st.st_mode)	 ? 0
						 : -ENOTSUP;
	if (errno != EROFS && errno != EACCES && errno != EPERM)
		return -errno;
	s->readonly = true;
	return 0;
}

static uint64_t dir_bytes(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t bytes = 0;
	struct dirent *e;
	struct stat st;

	if (!dir) {
		fd_close(fd);
		return 0;
	}
	while ((e = readdir(dir)))
		if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	closedir(dir);
	return bytes;
}

static void count_plain(struct store *s)
{
	uint64_t bytes = dir_bytes(s->draftsfd) + dir_bytes(s->dirfd[DIR_DATA]);

	for (int i = 0; i < DIR_COUNT; i++)
		bytes += dir_bytes(s->scratchfd[i]);
	atomic_store(&s->plain_bytes, bytes);
}

static void take_options(struct store *s, const struct store_options *options)
{
	static const struct store_options none;
	const struct store_options *o = options ? options : &none;

	s->relaxed = o->flags & STORE_RELAXED;
	s->own_is_old = o->flags & STORE_OWN_IS_OLD;
	s->readonly = o->flags & STORE_READONLY;
	s->keep = o->keep ? o->keep : STORE_KEEP_DEFAULT;
	s->file_limit_bytes = o->file_limit_bytes ? o->file_limit_bytes
						  : STORE_FILE_BYTES_DEFAULT;
	s->quota_bytes = o->quota_bytes;
	/* A layer below that is not there holds nothing. */
	if (!o->builtin_path)
		return;
	s->builtinfd =
		open(o->builtin_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DIR_DATA && s->builtinfd >= 0; i++)
		s->builtindirfd[i] =
			openat(s->builtinfd, store_dir_name((enum store_dir)i),
			       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static struct store *new_store(const char *path)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->rootfd = s->lockfd = s->versionsfd = s->draftsfd = s->rejectedfd =
		s->builtinfd = s->index.fd = s->journal.fd = -1;
	for (int i = 0; i < DIR_COUNT; i++)
		s->dirfd[i] = s->scratchfd[i] = s->builtindirfd[i] = -1;
	pthread_mutex_init(&s->commit, NULL);
	pthread_mutex_init(&s->memory, NULL);
	pthread_mutex_init(&s->ids, NULL);
	pthread_mutex_init(&s->queue, NULL);
	pthread_cond_init(&s->queue_moved, NULL);
	s->queue_end = &s->queue_first;
	s->path = strdup(path);
	return s->path ? s : store_free(s);
}

static void store_freep(struct store **s)
{
	*s = store_free(*s);
}

int store_open(const char *path, const struct store_options *options,
	       struct store **ret_store)
{
	_cleanup_(store_freep) struct store *s = new_store(path);
	int r;

	if (!s)
		return -ENOMEM;
	take_options(s, options);
	r = open_root(s, options ? options->flags : 0);
	if (r == 0 && !s->readonly)
		r = open_lock(s);
	if (r == 0)
		r = open_dirs(s);
	if (r == 0)
		r = journal_open(&s->journal, s->rootfd, !s->readonly);
	if (r == 0)
		r = index_open(&s->index, s->rootfd, !s->readonly);
	if (r == 0 && !s->readonly) {
		r = store_begin(s);
		if (r == 0) {
			r = store_adopt(s);
			store_end(s);
		}
	}
	if (r < 0)
		return r;

	if (s->quota_bytes)
		count_plain(s);
	s->followed = s->index.tail;
	s->followed_generation = s->index.generation;
	*ret_store = steal(&s);
	return 0;
}

struct store *store_free(struct store *s)
{
	if (!s)
		return NULL;
	index_close(&s->index);
	journal_close(&s->journal);
	for (int i = 0; i < DIR_COUNT; i++) {
		fd_close(s->dirfd[i]);
		fd_close(s->scratchfd[i]);
		fd_close(s->builtindirfd[i]);
	}
	fd_close(s->versionsfd);
	fd_close(s->draftsfd);
	fd_close(s->rejectedfd);
	fd_close(s->builtinfd);
	fd_close(s->lockfd);
	fd_close(s->rootfd);
	pthread_mutex_destroy(&s->commit);
	pthread_mutex_destroy(&s->memory);
	pthread_mutex_destroy(&s->ids);
	pthread_mutex_destroy(&s->queue);
	pthread_cond_destroy(&s->queue_moved);
	free(s->path);
	free(s);
	return NULL;
}
