#pragma once

/*
 * A store as it is at one moment, to be copied while it goes on.
 *
 * The moment is store's: what was published before it is there, nothing that
 * came after. The list is made at once and nobody is held up; the bytes are
 * opened later, one by one. Only a text that was thrown away meanwhile (its
 * name was purged, or newer versions pushed it out) is not to be had any more.
 *
 * Streams are not part of it; backup_stream() copies one.
 *
 * One thread at a time.
 */

#include "fs/record.h"
#include "fs/store.h"

/* Where a record's bytes lie in the store that is made of it. */
enum backup_place {
	BACKUP_NOWHERE, /* a removal, an older refusal, a link: no bytes */
	BACKUP_LIVE,
	BACKUP_VERSION,
	BACKUP_REJECTED,
};

/* `programs/hello`, `.versions/1f`, `.rejected/2a`; "" of BACKUP_NOWHERE. */
#define BACKUP_PATH_BYTES (NAME_MAX_BYTES + 32)
void backup_path(const struct record *rec, enum backup_place place,
		 char ret_path[BACKUP_PATH_BYTES]);

struct backup;
int backup_begin(struct store *s, struct backup **ret_backup);
struct backup *backup_free(struct backup *b); /* NULL allowed */

/* What there is, oldest first; without what is meant for this store alone
 * (inodes, offsets, the journal's numbers). */
size_t backup_count(const struct backup *b);
enum backup_place backup_record(const struct backup *b, size_t i,
				struct record *ret_rec);
/* Its bytes, O_RDONLY and the caller's. -ESTALE: thrown away meanwhile. */
int backup_open(struct backup *b, size_t i, int *ret_fd);
/* It is not to be had: the list goes on without it. */
void backup_leave_out(struct backup *b, size_t i);
bool backup_left_out(const struct backup *b, size_t i);

/*
 * Copy the stream @name into @to, an empty file, as it is at one moment. 1
 * when somebody wrote all the time, so that it may be of several; -ENOENT.
 */
int backup_stream(struct store *s, const char *name, int to,
		  struct stat *ret_stat);
