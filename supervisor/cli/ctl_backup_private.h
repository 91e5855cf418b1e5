#pragma once

/*
 * What the files of `thoxctl backup` share.
 */

#include <stdbool.h>
#include <stdint.h>

#include "cli/backup_format.h"
#include "cli/ctl.h"
#include "fs/backup.h"
#include "native/native.h"
#include "rpc/mp.h"

/* Copies on their way into the archive lie here, in the store: one backup at a
 * time has it. What one that was killed left there is written over. */
#define SPOOL	     ".backup"
#define SPOOL_STREAM "stream"
#define SPOOL_KEYS   "keys.db"

struct backing {
	struct ctl *ctl;
	const char *file;
	char draft[PATH_MAX + 16]; /* of the archive; "": written at once */
	struct archive_writer out;
	char member[ARCHIVE_NAME_BYTES + 1]; /* that is being written */
	SHA2_CTX sum;
	struct mp_writer sums; /* of those before it */
	struct store *store;
	struct backup *texts;
	int spool_fd;
	struct native *native; /* while the keys are flushed */
	char *piece;
	uint64_t n_texts, n_storages, n_streams, bytes;
	unsigned problems; /* said: the archive is without something */
	bool terminal;
};

/* ctl_backup_put.c: all of the archive. 0, or the error; what is only left out
 * has been said and counted. */
int backing_put_all(struct backing *b);
/* The copies that lie in the store. */
void backing_clear_spool(const struct backing *b);
