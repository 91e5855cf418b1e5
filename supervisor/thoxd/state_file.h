#pragma once

/*
 * Small files of the state directory, each written anew as a whole and renamed:
 * after a crash it is the old one or the new one.
 */

#include <limits.h>

struct server;

#define STATE_FILE_PATH_BYTES (PATH_MAX + 32)

void state_file_path(const struct server *s, const char *name,
		     char ret_path[STATE_FILE_PATH_BYTES]);

/* @fill: write all of it to the descriptor; 0 or negative errno, which is the
 * answer, and leaves the old file. */
typedef int (*state_file_fn)(int fd, const void *user);
int state_file_replace(const struct server *s, const char *name,
		       state_file_fn fill, const void *user);
