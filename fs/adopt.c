/* What somebody did to the plain files without the store: taken as it is. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/*
 * The plain files are what counts: a live file that the index does not know
 * (it was lost, or somebody put a file there) becomes a version, one that is
 * gone a removal, and one that was copied back gets its new inode number.
 */
/* A file in a plain directory that the index does not know as it is. */
static int adopt_file(struct store *s, enum store_dir dir, const char *name,
		      const struct record *live)
{
	_cleanup_(fd_closep) int fd = -1;
	struct record rec = { .type = RECORD_PUBLISHED, .dir = dir };
	struct index_node *node = index_find(&s->index, dir, name);
	struct stat st;
	int r;

	r = content_open(s->dirfd[dir], name, &st, &fd);
	if (r == -ELOOP) {
		if (content_target(s->dirfd[dir], name, rec.target) < 0 ||
		    fstatat(s->dirfd[dir], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		content_hash_bytes(rec.target, strlen(rec.target), rec.sha256);
	} else if (r == 0) {
		r = content_hash(fd, (uint64_t)st.st_size, rec.sha256);
	}
	if (r < 0 && r != -ELOOP)
		return r == -EPERM || r == -ENOENT ? 0 : r;

	if (live && live->size_bytes == (uint64_t)st.st_size &&
	    memcmp(live->sha256, rec.sha256, sizeof(rec.sha256)) == 0) {
		rec = *live;
		rec.flags |= RECORD_TOUCHED;
		rec.journal_epoch = rec.journal_seq = 0;
	} else {
		r = store_new_id(s, &rec.id);
		if (r < 0)
			return r;
		rec.draft_id = rec.id;
		rec.version = (node ? node->version : 0) + 1;
		rec.size_bytes = (uint64_t)st.st_size;
		rec.time_ns = time_now_ns();
		rec.uid = st.st_uid;
		strcpy(rec.name, name);
		strcpy(rec.command, "(found)");
	}
	rec.ino = st.st_ino;
	rec.mtime_ns = timespec_ns(&st.st_mtim);
	return index_append(&s->index, &rec, 1);
}

static int adopt_changed(struct store *s, const struct index_node *node,
			 ino_t ino)
{
	struct record live;
	int r = index_record(&s->index, node->live, &live);

	if (r < 0 || live.ino == ino)
		return r;
	return adopt_file(s, live.dir, live.name, &live);
}

static int adopt_dir(struct store *s, enum store_dir dir)
{
	int fd = openat(s->dirfd[dir], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct index_node *node;
	struct dirent *e;
	int r = 0;

	if (!list) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(list))) {
		if (!name_valid(e->d_name))
			continue;
		node = index_find(&s->index, dir, e->d_name);
		if (!node || !node->live)
			r = adopt_file(s, dir, e->d_name, NULL);
		else if (s->index.lost)
			r = adopt_changed(s, node, e->d_ino);
	}
	closedir(list);
	return r;
}

int store_adopt(struct store *s)
{
	int r = 0;

	pthread_mutex_lock(&s->memory);
	for (int i = 0; i < DIR_DATA && r == 0; i++)
		r = adopt_dir(s, (enum store_dir)i);
	if (r == 0)
		s->index.lost = false;
	pthread_mutex_unlock(&s->memory);
	return r;
}

int store_adopt_name(struct store *s, enum store_dir dir, const char *name)
{
	struct index_node *node;
	struct record live;
	struct stat st;
	int r;

	r = store_begin(s);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->memory);
	node = index_find(&s->index, dir, name);
	r = node && node->live ? index_record(&s->index, node->live, &live)
			       : -ENOENT;
	if (r == 0 &&
	    fstatat(s->dirfd[dir], name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		/* Taken away by hand: that is a removal. */
		live.type = RECORD_REMOVED;
		live.flags = 0;
		live.time_ns = time_now_ns();
		live.journal_epoch = live.journal_seq = 0;
		live.target[0] = '\0';
		r = errno == ENOENT ? index_append(&s->index, &live, 1)
				    : -errno;
	} else if (r == 0 && st.st_ino != live.ino) {
		r = adopt_file(s, dir, name, &live);
	}
	pthread_mutex_unlock(&s->memory);
	store_end(s);
	return r;
}
