#pragma once

/*
 * Node ids: a kind in the top byte, below it the id that the store gave.
 *
 * Every content is a node of its own, because the kernel keeps pages, size
 * and attributes by node. A live content that somebody writes is two nodes:
 * NODE_LIVE, which nobody writes, and the writer's NODE_DRAFT. What tools see
 * as the inode number is the name's, for both and for every version: vim
 * takes it for an attack when the file that it opened to write has another
 * number than the one that it read.
 */

#include <sys/stat.h>

#include "thoxfs.h"

enum node_kind {
	NODE_DIRECTORY, /* 1: the root; 2 + enum store_dir */
	NODE_LIVE,	/* id of a content that is a name's */
	NODE_VERSION,	/* id of a content seen as NAME@3 or NAME@rejected */
	NODE_DRAFT,	/* id of a draft */
	NODE_BUILTIN,	/* inode number in the layer below */
	NODE_LINK,	/* id of a symbolic link */
	NODE_PLAIN,	/* inode number of a stream or a scratch file */
};

#define NODE_ROOT FUSE_ROOT_ID

fuse_ino_t node_make(enum node_kind kind, uint64_t id);
enum node_kind node_kind(fuse_ino_t ino);
uint64_t node_id(fuse_ino_t ino);
fuse_ino_t node_of_dir(enum store_dir dir);
/* False when @ino is not one of the five directories. */
bool node_dir(fuse_ino_t ino, enum store_dir *ret_dir);
/*
 * The node of what a name shows. The first content of a draft that is closed
 * keeps the draft's node, which the kernel has at hand: the next look need not
 * be taken back and asked again. (Not after a take-over: there may be writers
 * that nobody knows of.)
 */
fuse_ino_t node_of_entry(struct thoxfs *fs, const struct store_entry *entry);
/* What @ino is now: the NODE_LIVE for the node of such a draft. */
fuse_ino_t node_settled(struct thoxfs *fs, fuse_ino_t ino);

/* st_ino of what a name shows; in @ino it is all that counts for the rest. */
ino_t node_number(fuse_ino_t ino, enum store_dir dir, const char *name);

/* The attributes of each kind. */
void node_stat_directory(struct thoxfs *fs, fuse_ino_t ino,
			 struct stat *ret_stat);
void node_stat_entry(struct thoxfs *fs, fuse_ino_t ino, enum store_dir dir,
		     const struct store_entry *entry, struct stat *ret_stat);
void node_stat_file(struct thoxfs *fs, fuse_ino_t ino, enum store_dir dir,
		    const char *name, const struct stat *backing,
		    struct stat *ret_stat);
/* Any node; -ESTALE when it is gone. @ret_seconds: how long it holds. */
int node_stat(struct thoxfs *fs, fuse_ino_t ino, struct stat *ret_stat,
	      double *ret_seconds);
