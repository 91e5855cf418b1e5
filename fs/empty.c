/* Looking after the store: has anybody put anything into it? */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/index.h"
#include "fs/restore.h"

/* What a store has before anything is in it: directories, a directory below
 * another one before it, and files. */
static const char *const dirs[] = {
	"programs",
	"libraries",
	"runtimes",
	"services",
	"data",
	".versions",
	".rejected",
	".drafts",
	".scratch/programs",
	".scratch/libraries",
	".scratch/runtimes",
	".scratch/services",
	".scratch/data",
	".scratch",
	".storage/keys",
	".storage/tmp",
	".storage/orphans",
	".storage/owners",
	".storage",
};
static const char *const files[] = { ".index", ".journal", ".lock", ".session",
				     ".storage/lock" };

static bool is_one_of(const char *const *list, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], path) == 0)
			return true;
	return false;
}

static bool is_known(const char *path)
{
	return is_one_of(dirs, ARRAY_SIZE(dirs), path) ||
	       is_one_of(files, ARRAY_SIZE(files), path);
}

/* @dir "": the root. */
static int look_into(int rootfd, const char *dir,
		     char ret_what[STORE_WHAT_BYTES])
{
	int fd = openat(rootfd, dir[0] ? dir : ".",
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = list ? 0 : -errno;

	if (!list)
		fd_close(fd);
	while (list && r == 0 && (e = readdir(list))) {
		char path[STORE_WHAT_BYTES];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s%s%s", dir, dir[0] ? "/" : "",
			 e->d_name);
		if (is_known(path))
			continue;
		strcpy(ret_what, path);
		r = -ENOTEMPTY;
	}
	if (list)
		closedir(list);
	return r == -ENOENT ? 0 : r;
}

/* Also a store that everything was removed from has a history. */
static int look_at_index(int rootfd, char ret_what[STORE_WHAT_BYTES])
{
	_cleanup_(fd_closep) int fd = -1;
	struct index ix;
	bool empty;
	int r;

	fd = openat(rootfd, ".index", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = index_open(&ix, rootfd, false);
	if (r < 0)
		return r;
	empty = ix.records == 0 && !ix.damaged;
	index_close(&ix);
	if (empty)
		return 0;
	strcpy(ret_what, "the history of what was there");
	return -ENOTEMPTY;
}

static int open_root(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int store_empty(const char *path, char ret_what[STORE_WHAT_BYTES])
{
	_cleanup_(fd_closep) int fd = open_root(path);
	int r;

	ret_what[0] = '\0';
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = look_into(fd, "", ret_what);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
		r = look_into(fd, dirs[i], ret_what);
	return r < 0 ? r : look_at_index(fd, ret_what);
}

int store_clear(const char *path)
{
	_cleanup_(fd_closep) int fd = open_root(path);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	/* The files last: what is in a directory stops it before. */
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (strchr(files[i], '/') && unlinkat(fd, files[i], 0) < 0 &&
		    errno != ENOENT)
			return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (unlinkat(fd, dirs[i], AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (unlinkat(fd, files[i], 0) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}
