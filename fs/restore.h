#pragma once

/*
 * A store made of files and records that came from elsewhere: from an archive,
 * so nothing of it is believed. What does not fit together (a text whose bytes
 * are not those of its record, a file that no record knows, a name that is
 * none) is -EBADMSG; then the directory is the caller's to remove.
 */

#include <stdint.h>

#include "fs/record.h"
#include "fs/store.h"

struct restore;
/* Into @rootfd, an empty directory; borrowed. */
int restore_begin(int rootfd, struct restore **ret_restore);
struct restore *restore_free(struct restore *r); /* NULL allowed */

/*
 * A file to be filled, the caller's: @path as backup_path() says, or
 * `data/NAME`, or what thox-storaged has below `.storage`; each once.
 */
int restore_file(struct restore *r, const char *path, int *ret_fd);
/* Oldest first, when all files are there. */
int restore_record(struct restore *r, const struct record *rec);
/* That was all: the store can be opened. */
int restore_end(struct restore *r);

/*
 * Is @path a store that nobody put anything into, or not there at all? 0, or
 * -ENOTEMPTY with what is in the way in @ret_what. store_clear() takes the
 * directories of such a store away, but not @path itself.
 */
#define STORE_WHAT_BYTES 300
int store_empty(const char *path, char ret_what[STORE_WHAT_BYTES]);
int store_clear(const char *path);
