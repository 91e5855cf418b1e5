/* Storage, step 10: whose is it, when a name was another program's before? */

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
#include "storaged/storage_private.h"

/*
 * `.storage/owners/NAME` has the time at which the program of that name began,
 * whose the keys and the stream are; there is none for the first one. What an
 * older one kept goes to `.storage/orphans/`, as NAME@NUMBER.db and .stream.
 */
#define FILE_BYTES (PATH_MAX + NAME_MAX_BYTES + 64)

/* --- the owner ------------------------------------------------------------- */

static void owner_path(const struct space *sp, char ret[FILE_BYTES])
{
	snprintf(ret, FILE_BYTES, "%s/%s", sp->storage->owners_path,
		 sp->program);
}

static void read_owner(struct space *sp)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[FILE_BYTES], text[32];
	ssize_t n;

	if (sp->owner_known)
		return;
	owner_path(sp, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? 0 : fd_read_full(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	sp->owner_ns = strtoull(text, NULL, 10);
	sp->owner_known = true;
}

/* Kept before anybody is served: a crash in between sets nothing aside twice
 * that is new. */
static int write_owner(struct space *sp, uint64_t since_ns)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[FILE_BYTES], draft[FILE_BYTES], text[32];
	int n = snprintf(text, sizeof(text), "%llu\n",
			 (unsigned long long)since_ns);
	int r;

	owner_path(sp, path);
	snprintf(draft, sizeof(draft), "%s/%s.owner", sp->storage->tmp_path,
		 sp->program);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, (size_t)n);
	if (r == 0 && (fsync(fd) < 0 || rename(draft, path) < 0))
		r = -errno;
	if (r == 0)
		sp->owner_ns = since_ns;
	return r;
}

/* --- files ----------------------------------------------------------------- */

static void orphan_path(const struct space *sp, uint64_t number,
			const char *end, char ret[FILE_BYTES])
{
	snprintf(ret, FILE_BYTES, "%s/%s@%llu%s", sp->storage->orphans_path,
		 sp->program, (unsigned long long)number, end);
}

static void stream_path(const struct space *sp, char ret[FILE_BYTES])
{
	snprintf(ret, FILE_BYTES, "%s/%s", sp->storage->data_path, sp->program);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static bool orphan_exists(const struct space *sp, uint64_t number)
{
	char keys[FILE_BYTES], stream[FILE_BYTES];

	orphan_path(sp, number, ".db", keys);
	orphan_path(sp, number, ".stream", stream);
	return exists(keys) || exists(stream);
}

/* The last number that is taken; 0: none. */
static uint64_t last_orphan(const struct space *sp)
{
	uint64_t n = 0;
	size_t size = strlen(sp->program);
	DIR *list = opendir(sp->storage->orphans_path);
	const struct dirent *e;

	while (list && (e = readdir(list))) {
		uint64_t number;

		if (strncmp(e->d_name, sp->program, size) != 0 ||
		    e->d_name[size] != '@')
			continue;
		number = strtoull(e->d_name + size + 1, NULL, 10);
		if (number > n && orphan_exists(sp, number))
			n = number;
	}
	if (list)
		closedir(list);
	return n;
}

static int move(const char *from, const char *to)
{
	return rename(from, to) < 0 && errno != ENOENT ? -errno : 0;
}

/* The WAL first: a database beside which it is missing has lost it. */
static int move_keys(struct space *sp, uint64_t number, bool back)
{
	static const char *const ends[] = { ".db-wal", ".db" };
	char here[FILE_BYTES], there[FILE_BYTES];
	int r = 0;

	keys_forget(&sp->keys); /* closes them first */
	snprintf(here, sizeof(here), "%s-shm", sp->keys.path);
	(void)unlink(here);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ends); i++) {
		snprintf(here, sizeof(here), "%s%s", sp->keys.path,
			 ends[i] + strlen(".db"));
		orphan_path(sp, number, ends[i], there);
		r = back ? move(there, here) : move(here, there);
	}
	return r;
}

/* One that was written since then was put there for the new one. */
static bool stream_is_older(const struct space *sp, uint64_t since_ns)
{
	char path[FILE_BYTES];
	struct stat st;

	stream_path(sp, path);
	return lstat(path, &st) == 0 &&
	       (uint64_t)st.st_mtim.tv_sec * 1000000000 +
			       (uint64_t)st.st_mtim.tv_nsec <
		       since_ns;
}

static int set_aside(struct space *sp, uint64_t since_ns)
{
	uint64_t number = last_orphan(sp) + 1;
	char from[FILE_BYTES], to[FILE_BYTES], line[512];
	bool stream = stream_is_older(sp, since_ns);
	bool keys = exists(sp->keys.path);
	int r = move_keys(sp, number, false);

	stream_path(sp, from);
	orphan_path(sp, number, ".stream", to);
	if (r == 0 && stream)
		r = move(from, to);
	if (r == 0 && (keys || stream)) {
		snprintf(line, sizeof(line),
			 "`%s` is another program than before: what that one "
			 "kept is set aside as %s@%llu",
			 sp->program, sp->program, (unsigned long long)number);
		sp->storage->report(line);
	}
	return r;
}

/* --- claims ---------------------------------------------------------------- */

static bool used_by_older(const struct space *sp, uint64_t since_ns)
{
	struct storage_caller *c, *after;

	list_each(c, after, &sp->callers, list)
	{
		if (c->since_ns < since_ns)
			return true;
	}
	return sp->locks.count > 0;
}

int space_claim(struct space *sp, uint64_t since_ns)
{
	int r;

	read_owner(sp);
	if (since_ns == 0 || since_ns == sp->owner_ns)
		return 0;
	if (since_ns < sp->owner_ns)
		return -ESTALE;
	if (used_by_older(sp, since_ns) || !keys_idle(&sp->keys))
		return -EBUSY;
	r = set_aside(sp, since_ns);
	return r == 0 ? write_owner(sp, since_ns) : r;
}

int space_adopt(struct space *sp, uint64_t number)
{
	char here[FILE_BYTES], there[FILE_BYTES];
	int r;

	if (number == 0)
		number = last_orphan(sp);
	if (number == 0 || !orphan_exists(sp, number))
		return -ENOENT;
	stream_path(sp, here);
	if (exists(sp->keys.path) || exists(here))
		return -EEXIST;
	r = move_keys(sp, number, true);
	orphan_path(sp, number, ".stream", there);
	return r == 0 ? move(there, here) : r;
}
