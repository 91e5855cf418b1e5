#pragma once

/*
 * The checks themselves, for the confined child only. Nothing is run: a Lua
 * text is compiled and thrown away.
 */

#include <stddef.h>

#include "fs/name.h"
#include "fs/verify.h"

/* Where the text comes from. @next gives the bytes after those it gave, 0 at
 * the end or a negative errno; they stay valid until it is called again. */
struct verify_source {
	ssize_t (*next)(struct verify_source *source, const char **ret_bytes);
	size_t memory_bytes; /* limit of what parsing may use */
};

/* result 0 or -EINVAL; a read error otherwise. */
int verify_text(enum store_dir dir, const char *name,
		struct verify_source *source, struct verdict *ret_verdict);

/* The runtime that a `#!… thox-exec -r NAME` line asks for: "" when it asks
 * for none, false when NAME is no name. @line ends before its newline. */
bool verify_first_line(const char *line, size_t size,
		       char ret_runtime[NAME_MAX_BYTES + 1]);
