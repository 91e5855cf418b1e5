#pragma once

/*
 * Plain files as nodes: the streams of `data/` and the scratch names of every
 * directory. Written in place, never checked, never versioned.
 *
 * A node is known by its inode number below. One that a former thoxfs handed
 * out is found again by looking through the directories; one that was removed
 * while open lives on as its descriptor, as long as this thoxfs does.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/name.h"

struct thoxfs;

#define PLAIN_BUCKETS 64

struct plain {
	struct plain *next; /* of its bucket */
	uint64_t ino;	    /* of the file below */
	enum store_dir dir;
	char name[256]; /* "" when it has none any more */
	int fd;		/* -1 until it is opened */
	unsigned opens;
	uint64_t lookups;
};

struct plains {
	struct plain *buckets[PLAIN_BUCKETS];
};

/* Is @name of @dir a plain file's, and not a text's? */
bool plain_name(enum store_dir dir, const char *name);

/* By name: found or made known; the caller counts lookups. -ENOENT. */
int plain_lookup(struct thoxfs *fs, enum store_dir dir, const char *name,
		 struct plain **ret_plain, struct stat *ret_stat);
/* By inode number. -ESTALE when it is gone. */
int plain_get(struct thoxfs *fs, uint64_t ino, struct plain **ret_plain);
/* Make it, or open it: @flags as for store_file_open(). Counted as open. */
int plain_create(struct thoxfs *fs, enum store_dir dir, const char *name,
		 int flags, struct plain **ret_plain);
int plain_stat(struct thoxfs *fs, struct plain *p, struct stat *ret_stat);
/* O_RDWR where that is allowed; stays the node's. */
int plain_fd(struct thoxfs *fs, struct plain *p, int *ret_fd);

/* The name goes to nobody, or to another name; open files stay open. */
int plain_remove(struct thoxfs *fs, enum store_dir dir, const char *name);
int plain_rename(struct thoxfs *fs, enum store_dir dir, const char *from,
		 const char *to, bool noreplace);

void plain_release(struct thoxfs *fs, struct plain *p);
void plain_forget(struct thoxfs *fs, uint64_t ino, uint64_t lookups);
void plains_deinit(struct thoxfs *fs);
