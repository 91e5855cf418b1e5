#pragma once

/*
 * The log of one service: a directory with `current` and what was rotated.
 *
 * Rotated files are named by the time of rotation, so that they sort by age;
 * the oldest over the count to keep are removed. A write that does not fit on
 * the disk leaves nothing of itself.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define FILE_CURRENT "current"
#define FILE_SUFFIX  ".log"

struct log_file {
	struct list list;
	char *service; /* owned; the directory's name */
	int dirfd;     /* owned */
	int fd;	       /* owned; of `current`, -1: not open */
	unsigned users;
	uint64_t size_bytes;
	uint64_t first_us; /* time of its first line */
	uint64_t keep;
	uint64_t rotate_bytes; /* 0: never by size */
	uint64_t rotate_us;    /* 0: never by age */
	uint64_t lost_lines;   /* since the disk was full */
	int problem;	       /* the error that was told last, 0: none */
};

/* The log of @service below @rootfd, made when it is not there. */
int file_open(int rootfd, const char *service, struct log_file **ret_file);
struct log_file *file_free(struct log_file *f);

/* Append whole lines; rotates before when it is due. 0, or negative errno:
 * nothing of it is in the file then. */
int file_append(struct log_file *f, const void *data, size_t size,
		uint64_t now_us);
