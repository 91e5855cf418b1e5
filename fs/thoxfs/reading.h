#pragma once

/*
 * Contents that somebody reads: a descriptor for each, kept while it is open
 * in the mount and for a while after, so that reading a file again costs no
 * open below. An open content stays readable when its version is dropped.
 */

#include <stdint.h>

struct thoxfs;
struct reading;

#define READING_BUCKETS 256
#define READING_IDLE	64 /* kept open though nobody reads them */

struct readings {
	struct reading *buckets[READING_BUCKETS];
	struct reading *idle_first; /* longest unused first */
	struct reading *idle_last;
	unsigned idle;
};

/* @ino: NODE_LIVE, NODE_VERSION or NODE_BUILTIN. -ESTALE when it is gone. */
int reading_open(struct thoxfs *fs, uint64_t ino);
void reading_release(struct thoxfs *fs, uint64_t ino);
/* The descriptor; also of one that was opened in another thoxfs's time. */
int reading_fd(struct thoxfs *fs, uint64_t ino, int *ret_fd);
void readings_deinit(struct thoxfs *fs);
