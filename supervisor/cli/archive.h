#pragma once

/*
 * Archives in the format of tar (POSIX ustar): what `thoxctl storage export`
 * writes, tar(1) unpacks.
 *
 * Only what is needed: regular files, one after another, read and written
 * front to back, so that pipes do. A reader takes nothing on trust: a member's
 * name has no `..`, no empty part and no leading slash, and a checksum that is
 * wrong, an unknown type or an end in the middle is -EBADMSG.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_NAME_BYTES 255U		/* with a slash that splits it */
#define ARCHIVE_SIZE_MAX   (1ULL << 33) /* of a member, less one */

struct archive_member {
	char name[ARCHIVE_NAME_BYTES + 1];
	uint64_t size;
	uint64_t time_s;
};

/* writing: then exactly @m->size bytes by archive_write() */
struct archive_writer {
	int fd; /* borrowed */
	uint64_t left, padding;
};
/* -EINVAL, -ENAMETOOLONG, -EFBIG: no such member can be written. */
int archive_begin(struct archive_writer *w, const struct archive_member *m);
int archive_write(struct archive_writer *w, const void *data, size_t size);
int archive_end(struct archive_writer *w);

/* reading */
struct archive_reader {
	int fd; /* borrowed */
	uint64_t left, padding;
};
/* 1 and the next member, what is left of the last one passed over; 0 at the
 * end; -EBADMSG for what is no archive. */
int archive_next(struct archive_reader *r, struct archive_member *ret_member);
/* Of this member: as much as asked for but at its end. */
int archive_read(struct archive_reader *r, void *data, size_t size,
		 size_t *ret_size);

#define ARCHIVE_BLOCK 512U
/* One header block: 1 and the member, 0 for one of zeros, -EBADMSG. */
int archive_parse(const uint8_t block[ARCHIVE_BLOCK],
		  struct archive_member *ret_member);
