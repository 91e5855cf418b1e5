#pragma once

/*
 * The journal: what makes a publication durable with one sync.
 *
 * A publication is whole here, its record and its text, before a plain file
 * moves; after a crash the first opener repeats what it finds. The file is
 * written in advance, so that a sync writes data blocks only. It is cut (a
 * new epoch begins) when everything in it is on the disk elsewhere.
 *
 * All calls are made under the store's lock. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/record.h"

#define JOURNAL_BOOT_BYTES  16
#define JOURNAL_FIRST_BYTES (1U << 20)	/* its size at first */
#define JOURNAL_MAX_BYTES   (16U << 20) /* and in the end, under load */
/* A longer text is synced in its own file and only referred to. */
#define JOURNAL_INLINE_BYTES (256U << 10)
/* What all inlined texts of one batch may take. */
#define JOURNAL_BATCH_BYTES (512U << 10)

enum journal_flags {
	JOURNAL_INLINE = 1 << 0,    /* the text follows the record */
	JOURNAL_CONTINUES = 1 << 1, /* counts only with the next one */
	JOURNAL_VOID = 1 << 2,	    /* this id failed after all */
};

struct journal {
	int rootfd; /* borrowed */
	int fd;	    /* -1: there is none yet */
	bool writable;
	uint64_t epoch;
	uint64_t seq; /* of the next record */
	uint64_t pos; /* where it goes */
	uint64_t size;
	bool filled; /* ran full in this epoch: grow at the next cut */
	uint8_t boot[JOURNAL_BOOT_BYTES];	  /* of the running kernel */
	uint8_t written_boot[JOURNAL_BOOT_BYTES]; /* of the epoch */
};

int journal_open(struct journal *j, int rootfd, bool writable);
void journal_close(struct journal *j);

/* Give what was written since to @fn; it is not believed before the caller
 * compared an inlined text with the record's SHA-256, and returns 1 for one
 * that is torn: the end, which is then written over. */
typedef int (*journal_fn)(const struct record *rec, unsigned flags,
			  const void *text, size_t size, void *user);
int journal_follow(struct journal *j, journal_fn fn, void *user);
/* Written under another boot: the page cache that it describes is gone. */
bool journal_foreign_boot(const struct journal *j);
bool journal_empty(const struct journal *j);

/* A batch is built in memory. */
struct journal_batch {
	uint8_t *buf;
	size_t used, capacity, inlined;
};
void journal_batch_deinit(struct journal_batch *b);
/* Room for a record and @size bytes of text, to be filled in by the caller
 * at @ret_text before journal_batch_add(). */
int journal_batch_room(struct journal_batch *b, size_t size, void **ret_text);
void journal_batch_add(struct journal_batch *b, const struct record *rec,
		       unsigned flags, size_t size);
/* -ENOSPC when the journal must be cut first. */
int journal_reserve(struct journal *j, const struct journal_batch *b);
/* Write and, with @sync, make durable. A failed sync means that the data is
 * lost (-EIO); the journal is not to be used again. */
int journal_write(struct journal *j, struct journal_batch *b, bool sync);
/* Forget all: the caller did a syncfs. @sync: durably so. */
int journal_cut(struct journal *j, bool sync);
