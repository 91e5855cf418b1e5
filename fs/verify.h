#pragma once

/*
 * Asking whether a text may be published.
 *
 * The parsing happens in `thox-verifier`, a confined process with a memory
 * and a nesting limit, started by verifier_new() and kept; when it dies on a
 * hostile text, that text is refused and a new one is started. The caller
 * parses nothing.
 *
 * What is checked, by directory: programs, libraries and runtimes: Lua 5.4
 * syntax, text only (a NUL or `\27Lua` is refused); services: the file's
 * form; data: nothing.
 */

#include <stddef.h>

#include "fs/name.h"

struct verifier;

struct verdict {
	int result;	  /* 0, or -EINVAL with a reason */
	char reason[256]; /* `hello:3: unexpected symbol near '}'` */
	char runtime[NAME_MAX_BYTES + 1]; /* named by the first line, or "" */
};

/* @program_path is the verifier's executable. */
int verifier_new(const char *program_path, struct verifier **ret_verifier);
struct verifier *verifier_free(struct verifier *v);

/*
 * Check what @fd holds (regular file, read from 0, offset untouched) as the
 * text of @name. Blocks for at most the verifier's deadline (2 s). Negative
 * errno only when no verdict could be had (the verifier cannot be started).
 */
int verifier_check(struct verifier *v, enum store_dir dir, const char *name,
		   int fd, struct verdict *ret_verdict);
