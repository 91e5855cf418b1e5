#pragma once

/*
 * A record of the store's index: one event of one name, as bytes.
 *
 * The same bytes stand in `.index` and in `.journal`. They come back from a
 * disk, so reading them believes nothing: length, checksum, counts, names.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/name.h"
#include "fs/store.h"

#define RECORD_SHA256_BYTES 32
/* Header and fixed fields, two names, one target, a reason. */
#define RECORD_MAX_BYTES 1024U
#define RECORD_ALIGN	 8U

enum record_type {
	RECORD_PUBLISHED = 1,
	RECORD_REJECTED = 2,
	RECORD_REMOVED = 3,
	RECORD_DROPPED = 4, /* the content @id is gone for good */
	RECORD_PURGED = 5,  /* the name has no history from here back */
};

enum record_flags {
	RECORD_REPLACES = 1 << 0, /* took the place of the same version */
	RECORD_TOUCHED = 1 << 1,  /* same content, other times or inode */
	RECORD_MOVED = 1 << 2,	  /* removed by a rename */
};

struct record {
	enum record_type type;
	enum store_dir dir;
	unsigned flags;
	uint64_t id;	   /* content; of a removal: of what was live */
	uint64_t draft_id; /* that it was made from */
	uint64_t version;
	uint64_t size_bytes;
	uint64_t ino;  /* of the plain file */
	uint64_t prev; /* index offset of the name's record before, or 0 */
	/* Where the journal has it; 0 when it was not journaled. */
	uint64_t journal_epoch;
	uint64_t journal_seq;
	int64_t time_ns;
	int64_t mtime_ns;
	uint32_t uid;
	uint32_t pid;
	char command[STORE_COMMAND_BYTES];
	char confined[STORE_CONFINED_BYTES];
	uint8_t sha256[RECORD_SHA256_BYTES];
	char name[NAME_MAX_BYTES + 1];
	char runtime[NAME_MAX_BYTES + 1];
	char target[NAME_MAX_BYTES + 1];
	char reason[STORE_REASON_BYTES];
	uint32_t
		at; /* where index_walk() found it / RECORD_ALIGN; not stored */
};

/* Into @buf of RECORD_MAX_BYTES; the bytes used, a multiple of
 * RECORD_ALIGN. */
size_t record_write(const struct record *rec, void *buf);

/* The bytes used; 0 when @size ends before the record does; -EBADMSG when
 * this is none. */
ssize_t record_read(struct record *ret_rec, const void *data, size_t size);

/* What a caller of the store sees of it; @live is the caller's to say. */
void record_entry(const struct record *rec, struct store_entry *ret_entry);

/* CRC-32C, continued from @crc (0 at the start). */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
