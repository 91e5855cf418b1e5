/* The way of a scratch file or a stream: nodes that are written in place. */

#include "plain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxfs.h"

static struct plain **bucket_of(struct thoxfs *fs, uint64_t ino)
{
	return &fs->plains.buckets[(ino * 0x9e3779b97f4a7c15ULL) >> 58];
}

static struct plain *find(struct thoxfs *fs, uint64_t ino)
{
	struct plain *p = *bucket_of(fs, ino);

	while (p && p->ino != ino)
		p = p->next;
	return p;
}

static void plain_free(struct thoxfs *fs, struct plain *p)
{
	struct plain **at = bucket_of(fs, p->ino);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	fd_close(p->fd);
	free(p);
}

static void settle(struct thoxfs *fs, struct plain *p)
{
	if (!p->opens && !p->lookups)
		plain_free(fs, p);
}

static int plain_add(struct thoxfs *fs, enum store_dir dir, const char *name,
		     uint64_t ino, struct plain **ret_plain)
{
	struct plain *p = find(fs, ino);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->ino = ino;
		p->fd = -1;
		p->next = *bucket_of(fs, ino);
		*bucket_of(fs, ino) = p;
	}
	p->dir = dir;
	snprintf(p->name, sizeof(p->name), "%s", name);
	*ret_plain = p;
	return 0;
}

bool plain_name(enum store_dir dir, const char *name)
{
	return dir == DIR_DATA || name_scratch(name);
}

int plain_lookup(struct thoxfs *fs, enum store_dir dir, const char *name,
		 struct plain **ret_plain, struct stat *ret_stat)
{
	int r;

	r = store_file_stat(fs->store, dir, name, ret_stat);
	if (r < 0)
		return r;
	return plain_add(fs, dir, name, ret_stat->st_ino, ret_plain);
}

struct search {
	struct thoxfs *fs;
	uint64_t ino;
	enum store_dir dir;
	struct plain *found;
	int result;
};

static int on_file(const char *name, const struct stat *st, void *user)
{
	struct search *s = user;

	if (st->st_ino != s->ino)
		return 0;
	s->result = plain_add(s->fs, s->dir, name, s->ino, &s->found);
	return 1;
}

int plain_get(struct thoxfs *fs, uint64_t ino, struct plain **ret_plain)
{
	struct search s = { .fs = fs, .ino = ino, .found = find(fs, ino) };

	for (int i = 0; i < DIR_COUNT && !s.found && s.result == 0; i++) {
		s.dir = i;
		(void)store_file_list(fs->store, s.dir, true, on_file, &s);
	}
	if (!s.found && s.result == 0)
		(void)store_file_list(fs->store, DIR_DATA, false, on_file, &s);
	if (s.result < 0)
		return s.result;
	if (!s.found)
		return -ESTALE;
	*ret_plain = s.found;
	return 0;
}

int plain_create(struct thoxfs *fs, enum store_dir dir, const char *name,
		 int flags, struct plain **ret_plain)
{
	struct stat st;
	struct plain *p;
	int fd, r;

	r = store_file_open(fs->store, dir, name, O_RDWR | O_CREAT | flags,
			    &fd);
	if (r < 0)
		return r;
	r = fstat(fd, &st) < 0 ? -errno
			       : plain_add(fs, dir, name, st.st_ino, &p);
	if (r < 0 || p->fd >= 0)
		fd_close(fd);
	else
		p->fd = fd;
	if (r < 0)
		return r;
	p->opens++;
	*ret_plain = p;
	return 0;
}

int plain_fd(struct thoxfs *fs, struct plain *p, int *ret_fd)
{
	int r = 0;

	if (p->fd < 0) {
		if (!p->name[0])
			return -ESTALE;
		r = store_file_open(fs->store, p->dir, p->name, O_RDWR, &p->fd);
		if (r == -EROFS || r == -EACCES || r == -EPERM)
			r = store_file_open(fs->store, p->dir, p->name,
					    O_RDONLY, &p->fd);
	}
	if (r < 0)
		return r;
	*ret_fd = p->fd;
	return 0;
}

int plain_stat(struct thoxfs *fs, struct plain *p, struct stat *ret_stat)
{
	if (p->fd >= 0)
		return fstat(p->fd, ret_stat) < 0 ? -errno : 0;
	if (!p->name[0])
		return -ESTALE;
	return store_file_stat(fs->store, p->dir, p->name, ret_stat);
}

/* The node of a name that is about to become another file's. */
static void lose_name(struct thoxfs *fs, enum store_dir dir, const char *name)
{
	for (size_t i = 0; i < PLAIN_BUCKETS; i++)
		for (struct plain *p = fs->plains.buckets[i]; p; p = p->next)
			if (p->dir == dir && strcmp(p->name, name) == 0)
				p->name[0] = '\0';
}

/* An open file must have its descriptor before its name goes. */
static void hold_open(struct thoxfs *fs, enum store_dir dir, const char *name)
{
	struct stat st;
	struct plain *p;
	int fd;

	if (store_file_stat(fs->store, dir, name, &st) < 0)
		return;
	p = find(fs, st.st_ino);
	if (p && p->opens)
		(void)plain_fd(fs, p, &fd);
}

int plain_remove(struct thoxfs *fs, enum store_dir dir, const char *name)
{
	int r;

	hold_open(fs, dir, name);
	r = store_file_remove(fs->store, dir, name);
	if (r == 0)
		lose_name(fs, dir, name);
	return r;
}

/*
 * Does anybody have it open past the mount? A process of its program may, with
 * a descriptor from thoxd, and would have the other program's stream then. The
 * kernel gives a lease to the only one who has a file open; whoever opens it
 * meanwhile is held up until it is given back, at once.
 */
static bool is_lent(struct thoxfs *fs, const char *name)
{
	_cleanup_(fd_closep) int own = -1;
	struct stat st;
	struct plain *p;
	bool lent;
	int fd;

	if (store_file_stat(fs->store, DIR_DATA, name, &st) < 0)
		return false;
	p = find(fs, st.st_ino);
	if (p && p->fd >= 0)
		fd = p->fd;
	else if (store_file_open(fs->store, DIR_DATA, name, O_RDONLY, &own) < 0)
		return false;
	else
		fd = own;
	lent = fcntl(fd, F_SETLEASE, F_WRLCK) < 0 && errno == EAGAIN;
	if (!lent)
		(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return lent;
}

int plain_rename(struct thoxfs *fs, enum store_dir dir, const char *from,
		 const char *to, bool noreplace)
{
	struct stat st;
	struct plain *p;
	int r;

	if (strcmp(from, to) == 0)
		return 0;
	if (dir == DIR_DATA && !name_scratch(from) && is_lent(fs, from))
		return -EXDEV; /* mv copies it then */
	hold_open(fs, dir, to);
	r = store_file_rename(fs->store, dir, from, to, noreplace);
	if (r < 0)
		return r;
	lose_name(fs, dir, to);
	lose_name(fs, dir, from);
	if (store_file_stat(fs->store, dir, to, &st) == 0 &&
	    (p = find(fs, st.st_ino)))
		(void)plain_add(fs, dir, to, st.st_ino, &p);
	return 0;
}

void plain_release(struct thoxfs *fs, struct plain *p)
{
	if (p->opens)
		p->opens--;
	if (!p->opens && p->fd >= 0 && p->name[0])
		p->fd = fd_close(p->fd);
	settle(fs, p);
}

void plain_forget(struct thoxfs *fs, uint64_t ino, uint64_t lookups)
{
	struct plain *p = find(fs, ino);

	if (!p)
		return;
	p->lookups -= lookups < p->lookups ? lookups : p->lookups;
	settle(fs, p);
}

void plains_deinit(struct thoxfs *fs)
{
	for (size_t i = 0; i < PLAIN_BUCKETS; i++)
		while (fs->plains.buckets[i])
			plain_free(fs, fs->plains.buckets[i]);
}
