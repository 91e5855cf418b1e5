/* Step 2 of a write into the mount, and of every look: what a node is. */

#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define KIND_SHIFT STORE_ID_BITS
#define ID_MASK	   ((1ULL << KIND_SHIFT) - 1)

fuse_ino_t node_make(enum node_kind kind, uint64_t id)
{
	return (uint64_t)kind << KIND_SHIFT | (id & ID_MASK);
}

enum node_kind node_kind(fuse_ino_t ino)
{
	return ino >> KIND_SHIFT;
}

uint64_t node_id(fuse_ino_t ino)
{
	return ino & ID_MASK;
}

fuse_ino_t node_of_dir(enum store_dir dir)
{
	return NODE_ROOT + 1 + dir;
}

bool node_dir(fuse_ino_t ino, enum store_dir *ret_dir)
{
	if (ino <= NODE_ROOT || ino > NODE_ROOT + DIR_COUNT)
		return false;
	*ret_dir = ino - NODE_ROOT - 1;
	return true;
}

fuse_ino_t node_of_entry(struct thoxfs *fs, const struct store_entry *entry)
{
	if (entry->builtin)
		return node_make(NODE_BUILTIN, entry->id);
	if (entry->target[0])
		return node_make(NODE_LINK, entry->id);
	if (entry->id == entry->draft_id && !fs->announce.everything &&
	    !draft_find(fs, entry->id))
		return node_make(NODE_DRAFT, entry->id);
	return node_make(NODE_LIVE, entry->id);
}

fuse_ino_t node_settled(struct thoxfs *fs, fuse_ino_t ino)
{
	if (node_kind(ino) != NODE_DRAFT || fs->announce.everything ||
	    draft_find(fs, node_id(ino)))
		return ino;
	return node_make(NODE_LIVE, node_id(ino));
}

ino_t node_number(fuse_ino_t ino, enum store_dir dir, const char *name)
{
	switch (node_kind(ino)) {
	case NODE_LIVE:
	case NODE_DRAFT:
	case NODE_BUILTIN:
	case NODE_LINK:
		return (ino_t)(name_hash(name) ^ (uint64_t)dir << 56);
	default:
		return ino;
	}
}

static mode_t file_mode(enum node_kind kind, enum store_dir dir)
{
	mode_t mode = dir == DIR_PROGRAMS ? 0755 : 0644;

	/* An older version is never written. */
	return kind == NODE_VERSION ? mode & ~0222 : mode;
}

static void stat_common(struct thoxfs *fs, ino_t number, mode_t mode,
			struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = number;
	st->st_mode = mode;
	st->st_nlink = 1;
	st->st_uid = fs->owner;
	st->st_gid = fs->group;
	st->st_blksize = 4096;
}

static void set_size(struct stat *st, uint64_t bytes)
{
	st->st_size = (off_t)bytes;
	st->st_blocks = (blkcnt_t)((bytes + 511) / 512);
}

void node_stat_directory(struct thoxfs *fs, fuse_ino_t ino,
			 struct stat *ret_stat)
{
	enum store_dir dir;
	struct stat backing;
	const char *path = node_dir(ino, &dir) ? store_dir_name(dir) : ".";

	stat_common(fs, ino, S_IFDIR | 0755, ret_stat);
	/* find(1) reads the number of directories below from this. */
	ret_stat->st_nlink = ino == NODE_ROOT ? 2 + DIR_COUNT : 2;
	set_size(ret_stat, 4096);
	if (fstatat(fs->root_fd, path, &backing, 0) < 0)
		return;
	ret_stat->st_mtim = backing.st_mtim;
	ret_stat->st_ctim = backing.st_ctim;
	ret_stat->st_atim = backing.st_mtim;
}

void node_stat_entry(struct thoxfs *fs, fuse_ino_t ino, enum store_dir dir,
		     const struct store_entry *entry, struct stat *ret_stat)
{
	bool link = entry->target[0];

	stat_common(fs, node_number(ino, dir, entry->name),
		    link ? S_IFLNK | 0777
			 : S_IFREG | file_mode(node_kind(ino), dir),
		    ret_stat);
	set_size(ret_stat, link ? strlen(entry->target) : entry->size_bytes);
	ret_stat->st_mtim = entry->mtime;
	ret_stat->st_atim = entry->mtime;
	ret_stat->st_ctim = entry->time;
}

void node_stat_file(struct thoxfs *fs, fuse_ino_t ino, enum store_dir dir,
		    const char *name, const struct stat *backing,
		    struct stat *ret_stat)
{
	stat_common(fs, node_number(ino, dir, name),
		    S_IFREG | file_mode(node_kind(ino), dir), ret_stat);
	set_size(ret_stat, (uint64_t)backing->st_size);
	ret_stat->st_blocks = backing->st_blocks;
	ret_stat->st_mtim = backing->st_mtim;
	ret_stat->st_atim = backing->st_atim;
	ret_stat->st_ctim = backing->st_ctim;
}

static int stat_content(struct thoxfs *fs, fuse_ino_t ino,
			struct stat *ret_stat)
{
	struct store_entry entry;
	enum store_dir dir;
	int r;

	if (node_kind(ino) == NODE_BUILTIN)
		r = store_read_builtin(fs->store, node_id(ino), &dir, &entry,
				       NULL);
	else
		r = store_read_id(fs->store, node_id(ino), &dir, &entry, NULL);
	if (r < 0)
		return -ESTALE;
	node_stat_entry(fs, ino, dir, &entry, ret_stat);
	return 0;
}

static int stat_draft(struct thoxfs *fs, fuse_ino_t ino, struct stat *ret_stat)
{
	struct draft *d;
	struct stat backing;
	int r;

	r = draft_get(fs, node_id(ino), &d);
	if (r < 0)
		return r;
	r = store_draft_stat(d->store, &backing);
	if (r < 0)
		return r;
	node_stat_file(fs, ino, store_draft_dir(d->store),
		       store_draft_name(d->store), &backing, ret_stat);
	return 0;
}

static int stat_plain(struct thoxfs *fs, fuse_ino_t ino, struct stat *ret_stat)
{
	struct plain *p;
	struct stat backing;
	int r;

	r = plain_get(fs, node_id(ino), &p);
	if (r < 0)
		return r;
	r = plain_stat(fs, p, &backing);
	if (r < 0)
		return r;
	node_stat_file(fs, ino, p->dir, p->name, &backing, ret_stat);
	return 0;
}

int node_stat(struct thoxfs *fs, fuse_ino_t ino, struct stat *ret_stat,
	      double *ret_seconds)
{
	enum store_dir dir;

	ino = node_settled(fs, ino);
	*ret_seconds = CACHE_SECONDS;
	switch (node_kind(ino)) {
	case NODE_DIRECTORY:
		if (ino < NODE_ROOT || ino > NODE_ROOT + DIR_COUNT)
			return -ESTALE;
		/* Streams come and go without thoxfs. */
		if (node_dir(ino, &dir) &&
		    (dir == DIR_DATA || draft_due_at_release(fs, dir, NULL)))
			*ret_seconds = 0;
		node_stat_directory(fs, ino, ret_stat);
		return 0;
	case NODE_DRAFT:
		*ret_seconds = 0;
		return stat_draft(fs, ino, ret_stat);
	case NODE_PLAIN:
		*ret_seconds = 0;
		return stat_plain(fs, ino, ret_stat);
	case NODE_LIVE:
	case NODE_VERSION:
	case NODE_BUILTIN:
	case NODE_LINK:
		return stat_content(fs, ino, ret_stat);
	}
	return -ESTALE;
}
