#pragma once

/*
 * Reading logs: the lines of one service in the order in which they were
 * written, through its rotated files into the current one, and on.
 *
 * Needs nobody that runs: it opens plain files. What is no line is passed
 * over and counted, since a disk or a person may have changed a file.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logd/line.h"

struct reader;

/* The directory of @service below @rootfd: -ENOENT without one. */
int reader_open(int rootfd, const char *service, struct reader **ret_reader);
struct reader *reader_free(struct reader *r);
const char *reader_service(const struct reader *r);

/* Where to begin: before everything (as opened), at the last @lines lines, or
 * past all that is there. */
int reader_seek_last(struct reader *r, uint64_t lines);
int reader_seek_end(struct reader *r);
/* Files that were rotated before this are not opened. */
void reader_skip_before(struct reader *r, uint64_t time_us);

/*
 * The next line, which stays valid until the following call: 1, or 0 when
 * there is none (yet), or negative errno. Goes on after a 0 when more was
 * written, also behind a rotation.
 */
int reader_next(struct reader *r, struct line *ret_line);
uint64_t reader_bad_lines(const struct reader *r);
