#pragma once

/*
 * Names of the store: which are allowed, which are scratch, how a reference
 * like `hello@3` or `cc#worm` falls into its parts.
 *
 * Pure functions over bytes; they allocate nothing and touch no file. Every
 * name that comes from outside passes through here before it meets a path.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_BYTES 128

/* The five directories of a store, in the order of their listing. */
enum store_dir {
	DIR_PROGRAMS,
	DIR_LIBRARIES,
	DIR_RUNTIMES,
	DIR_SERVICES,
	DIR_DATA,
	DIR_COUNT,
};

/* What a reference asks for. */
enum ref_kind {
	REF_LIVE,     /* hello */
	REF_VERSION,  /* hello@3 */
	REF_REJECTED, /* hello@rejected */
};

struct name_ref {
	char name[NAME_MAX_BYTES + 1];
	char runtime[NAME_MAX_BYTES + 1]; /* "" unless `cc#worm` */
	enum ref_kind kind;
	uint64_t version; /* of REF_VERSION, from 1 */
};

/* 1 to 128 bytes of A-Za-z0-9._+-, not starting with a dot. */
bool name_valid(const char *name);

/* Begins with a dot, ends in `~`, or is vim's `4913`: never published. Such
 * a name is 1 to 255 bytes of anything but `/` and NUL, and not `.` or `..`;
 * name_valid() may be true of `4913` and of nothing else that is scratch. */
bool name_scratch(const char *name);

/* The rule that @name breaks, as a static string, or NULL for a valid one. */
const char *name_rule(const char *name);

/*
 * Parse `NAME`, `NAME@VERSION`, `NAME@rejected`, each with `RUNTIME#` before
 * it where @runtime_allowed. -EINVAL, with the rule that was broken in
 * @ret_rule (a static string; NULL allowed), leaves @ret_ref untouched.
 */
int name_parse(const char *text, bool runtime_allowed, struct name_ref *ret_ref,
	       const char **ret_rule);

/*
 * The spelling to try when @name is not found: the directory's extension
 * (`.lua`, for services `.service`) added, or taken away where present.
 * False when there is none or it would be too long.
 */
bool name_alternate(enum store_dir dir, const char *name,
		    char ret_name[NAME_MAX_BYTES + 1]);

/* "programs" …; and back: -ENOENT for a directory that is none. */
const char *store_dir_name(enum store_dir dir);
int store_dir_parse(const char *text, enum store_dir *ret_dir);
