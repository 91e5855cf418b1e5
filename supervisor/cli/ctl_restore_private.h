#pragma once

/*
 * What the files of `thoxctl restore` share.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/backup_format.h"
#include "cli/ctl.h"
#include "fs/restore.h"

#define RESTORE_STATES 8 /* more than there are */

/* A file of the state, or the configuration. */
struct small {
	char path[PATH_MAX + 32];
	char *bytes; /* NULL: the archive has none */
	size_t size;
	bool made; /* by this restore */
};

struct restoring {
	struct ctl *ctl;
	const char *file;
	struct archive_reader in;
	struct archive_member member;
	struct backup_manifest manifest;
	SHA2_CTX sum, sums; /* of a member; of the lines of all */
	struct restore *restore;
	char staging[PATH_MAX + 16];
	int root_fd;
	char *piece, *records;
	size_t records_size;
	struct small states[RESTORE_STATES], config;
	uint64_t n_texts, n_storages, n_streams, bytes;
	bool terminal;
};

/* ctl_restore_read.c: the archive's files into the staging directory, as a
 * store, and all compared; the small ones into memory. */
int restoring_read(struct restoring *rs);
