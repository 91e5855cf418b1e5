/* Reading the store: from a name to the content it shows, and back. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/*
 * The index says what a name shows; the plain file is opened by the name. In
 * between another process may publish: the record has the file's inode number,
 * so that is noticed, and asked again. Nothing here takes the file lock,
 * unless a plain file stays at odds with the index (a writer died, or somebody
 * went around the store); then the lock's next holder puts it right, and that
 * is us.
 */
#define RETRY_COUNT 40
#define RETRY_NS    500000

static void stat_entry(const char *name, const struct stat *st,
		       struct store_entry *ret_entry)
{
	struct store_entry *e = ret_entry;

	memset(e, 0, sizeof(*e));
	e->event = STORE_PUBLISHED;
	e->id = st->st_ino;
	e->size_bytes = (uint64_t)st->st_size;
	e->time = e->mtime = st->st_mtim;
	e->writer.uid = st->st_uid;
	e->builtin = e->live = true;
	strcpy(e->name, name);
}

/* The directory of the layer below, to be listed. */
static int builtin_dir(struct store *s, enum store_dir dir, int *ret_fd)
{
	int fd;

	if (s->builtinfd < 0 || dir == DIR_DATA)
		return -ENOENT;
	fd = openat(s->builtinfd, store_dir_name(dir),
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int builtin_read(struct store *s, enum store_dir dir, const char *name,
			struct store_entry *ret_entry, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	int dirfd = s->builtindirfd[dir], r = 0;
	struct store_entry e;
	struct stat st;

	if (dirfd < 0)
		return -ENOENT;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	stat_entry(name, &st, &e);
	if (S_ISLNK(st.st_mode)) {
		r = content_target(dirfd, name, e.target);
	} else if (ret_fd) {
		r = content_open(dirfd, name, &st, &fd);
		if (r == 0)
			stat_entry(name, &st, &e);
	} else if (!S_ISREG(st.st_mode)) {
		r = -ENOENT;
	}
	if (r < 0)
		return r;
	*ret_entry = e;
	if (ret_fd)
		*ret_fd = steal_fd(&fd);
	return 0;
}

bool store_shows_builtin(struct store *s, enum store_dir dir, const char *name)
{
	struct store_entry unused;

	return builtin_read(s, dir, name, &unused, NULL) == 0;
}

struct newest {
	uint64_t rejected_id;
};

static int find_rejected(const struct record *rec, uint32_t at, void *user)
{
	struct newest *n = user;

	(void)at;
	if (rec->type == RECORD_REJECTED)
		n->rejected_id = rec->id;
	return rec->type == RECORD_REJECTED || rec->type == RECORD_PURGED;
}

/* Memory is held. */
static int live_record(struct store *s, enum store_dir dir, const char *name,
		       struct record *ret_rec, uint64_t *ret_rejected_id)
{
	struct newest newest = { 0 };
	struct index_node *node;
	int r;

	r = index_follow(&s->index);
	if (r < 0)
		return r;
	node = index_find(&s->index, dir, name);
	if (!node || !node->live)
		return -ENOENT;
	if (node->flags & NODE_REFUSED) {
		r = index_walk(&s->index, node, find_rejected, &newest);
		if (r < 0)
			return r;
	}
	*ret_rejected_id = newest.rejected_id;
	return index_record(&s->index, node->live, ret_rec);
}

static int lookup_here(struct store *s, enum store_dir dir, const char *name,
		       struct record *ret_rec, struct store_entry *ret_entry)
{
	uint64_t rejected_id;
	int r;

	pthread_mutex_lock(&s->memory);
	r = live_record(s, dir, name, ret_rec, &rejected_id);
	pthread_mutex_unlock(&s->memory);
	if (r < 0)
		return r;
	record_entry(ret_rec, ret_entry);
	ret_entry->live = true;
	ret_entry->rejected_id = rejected_id;
	return 0;
}

int store_lookup(struct store *s, enum store_dir dir, const char *name,
		 struct store_entry *ret_entry)
{
	struct store_entry e;
	struct record rec;
	int r;

	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	r = lookup_here(s, dir, name, &rec, &e);
	if (r == -ENOENT)
		r = builtin_read(s, dir, name, &e, NULL);
	if (r == 0 && ret_entry)
		*ret_entry = e;
	return r;
}

static void pause_briefly(void)
{
	struct timespec ts = { .tv_nsec = RETRY_NS };

	nanosleep(&ts, NULL);
}

static int open_live(struct store *s, enum store_dir dir, const char *name,
		     struct store_entry *ret_entry, int *ret_fd)
{
	int r = -EIO;

	for (int i = 0; i <= RETRY_COUNT + 1; i++) {
		_cleanup_(fd_closep) int fd = -1;
		struct record rec;
		struct stat st;

		r = lookup_here(s, dir, name, &rec, ret_entry);
		if (r < 0 || rec.target[0] || !ret_fd)
			return r;
		r = content_open(s->dirfd[dir], name, &st, &fd);
		if (r == 0 && (st.st_ino == rec.ino || i > RETRY_COUNT)) {
			*ret_fd = steal_fd(&fd);
			return 0;
		}
		if (r < 0 && r != -ENOENT && r != -ELOOP && r != -EPERM)
			return r;
		if (i > 0 && i < RETRY_COUNT)
			pause_briefly();
		if (i == RETRY_COUNT)
			(void)!store_adopt_name(s, dir, name);
	}
	return r;
}

/* One step, to a sibling, which may lie in either layer. */
static int read_live(struct store *s, enum store_dir dir, const char *name,
		     bool follow, struct store_entry *ret_entry, int *ret_fd)
{
	char target[NAME_MAX_BYTES + 1];
	int r;

	r = open_live(s, dir, name, ret_entry, ret_fd);
	if (r == -ENOENT)
		r = builtin_read(s, dir, name, ret_entry, ret_fd);
	if (r < 0 || !ret_entry->target[0])
		return r;
	if (!follow)
		return -ELOOP;
	strcpy(target, ret_entry->target);
	return read_live(s, dir, target, false, ret_entry, ret_fd);
}

/* The record that a reference other than the live one means. */
static int past_record(struct store *s, enum store_dir dir,
		       const struct name_ref *ref, struct record *ret_rec,
		       bool *ret_live)
{
	struct index_node *node;
	struct history h = { 0 };
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	node = r < 0 ? NULL : index_find(&s->index, dir, ref->name);
	if (r >= 0)
		r = node ? history_read(s, node, &h) : -ENOENT;
	if (r == 0)
		r = -ENOENT;
	for (size_t i = 0; i < h.count && r == -ENOENT; i++) {
		const struct record *rec = &h.recs[i];

		if (ref->kind == REF_REJECTED
			    ? rec->type != RECORD_REJECTED
			    : rec->type != RECORD_PUBLISHED ||
				      rec->version != ref->version)
			continue;
		*ret_rec = *rec;
		*ret_live =
			rec->id == node->id && rec->type == RECORD_PUBLISHED;
		r = 0;
	}
	history_deinit(&h);
	pthread_mutex_unlock(&s->memory);
	return r;
}

static int open_past(struct store *s, const struct record *rec, int *ret_fd)
{
	char file[ID_NAME_BYTES];
	struct stat st;

	id_name(rec->id, file);
	return content_open(rec->type == RECORD_REJECTED ? s->rejectedfd
							 : s->versionsfd,
			    file, &st, ret_fd);
}

static int read_past(struct store *s, enum store_dir dir,
		     const struct name_ref *ref, struct store_entry *ret_entry,
		     int *ret_fd)
{
	char target[NAME_MAX_BYTES + 1];
	struct record rec = { 0 };
	bool live = false;
	int r;

	/* Between the look and the open it may move to .versions. */
	for (int i = 0; i < RETRY_COUNT; i++) {
		r = past_record(s, dir, ref, &rec, &live);
		if (r < 0)
			return r;
		record_entry(&rec, ret_entry);
		ret_entry->live = live;
		if (rec.target[0]) {
			strcpy(target, rec.target);
			return read_live(s, dir, target, false, ret_entry,
					 ret_fd);
		}
		if (!ret_fd)
			return 0;
		if (live) {
			r = open_live(s, dir, ref->name, ret_entry, ret_fd);
			if (r < 0 || ret_entry->id == rec.id)
				return r;
			*ret_fd = fd_close(*ret_fd);
			continue;
		}
		r = open_past(s, &rec, ret_fd);
		if (r != -ENOENT)
			return r;
		pause_briefly();
	}
	return -ENOENT;
}

int store_read(struct store *s, enum store_dir dir, const struct name_ref *ref,
	       struct store_entry *ret_entry, int *ret_fd)
{
	struct store_entry e = { 0 };
	int r, fd = -1;

	if (!name_valid(ref->name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	if (ref->kind == REF_LIVE)
		r = read_live(s, dir, ref->name, true, &e, ret_fd ? &fd : NULL);
	else
		r = read_past(s, dir, ref, &e, ret_fd ? &fd : NULL);
	if (r < 0)
		return r;
	if (ret_entry)
		*ret_entry = e;
	if (ret_fd)
		*ret_fd = fd;
	return 0;
}

int store_resolve(struct store *s, enum store_dir dir,
		  const struct name_ref *ref, struct store_entry *ret_entry,
		  int *ret_fd)
{
	struct name_ref other = *ref;
	int r;

	r = store_read(s, dir, ref, ret_entry, ret_fd);
	if (r != -ENOENT || !name_alternate(dir, ref->name, other.name))
		return r;
	return store_read(s, dir, &other, ret_entry, ret_fd);
}

static int find_id(struct store *s, uint64_t id, struct record *ret_rec,
		   bool *ret_live)
{
	struct index_node *node;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	if (r >= 0)
		r = index_find_id(&s->index, id, false, ret_rec);
	if (r == -ENOENT)
		r = index_find_id(&s->index, id, true, ret_rec);
	if (r == 0) {
		node = index_find(&s->index, ret_rec->dir, ret_rec->name);
		*ret_live = node && node->id == ret_rec->id;
	}
	pthread_mutex_unlock(&s->memory);
	return r == -ENOENT ? -ESTALE : r;
}

int store_read_id(struct store *s, uint64_t id, enum store_dir *ret_dir,
		  struct store_entry *ret_entry, int *ret_fd)
{
	int r = -ESTALE, fd = -1;
	struct store_entry e;
	struct record rec;
	bool live = false;

	for (int i = 0; i < RETRY_COUNT; i++) {
		r = find_id(s, id, &rec, &live);
		if (r < 0)
			return r;
		record_entry(&rec, &e);
		e.live = live;
		if (!ret_fd || rec.target[0])
			break;
		if (!live) {
			r = open_past(s, &rec, &fd);
			r = r == -ENOENT ? -ESTALE : r;
		} else {
			r = open_live(s, rec.dir, rec.name, &e, &fd);
			if (r == 0 && e.id != rec.id)
				fd = fd_close(fd);
		}
		if (r == 0 && fd >= 0)
			break;
		if (r < 0 && r != -ESTALE && r != -ENOENT)
			return r;
		if (i > 0)
			pause_briefly();
	}
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (ret_dir)
		*ret_dir = rec.dir;
	if (ret_entry)
		*ret_entry = e;
	if (ret_fd)
		*ret_fd = fd;
	return 0;
}

int store_read_builtin(struct store *s, uint64_t ino, enum store_dir *ret_dir,
		       struct store_entry *ret_entry, int *ret_fd)
{
	for (int i = 0; i < DIR_DATA; i++) {
		enum store_dir dir = (enum store_dir)i;
		struct store_entry e;
		struct dirent *d;
		int fd = -1, r;
		DIR *list;

		if (builtin_dir(s, dir, &fd) < 0)
			continue;
		list = fdopendir(fd);
		if (!list) {
			fd_close(fd);
			return -ENOMEM;
		}
		while ((d = readdir(list)))
			if (d->d_ino == ino && name_valid(d->d_name))
				break;
		r = d ? builtin_read(s, dir, d->d_name, &e, ret_fd) : -ENOENT;
		closedir(list);
		if (r == -ENOENT)
			continue;
		if (r == 0 && ret_dir)
			*ret_dir = dir;
		if (r == 0 && ret_entry)
			*ret_entry = e;
		return r;
	}
	return -ESTALE;
}
