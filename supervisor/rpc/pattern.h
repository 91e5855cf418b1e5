#pragma once

/*
 * Patterns of names, for what a process may call, bind, run and reach, and
 * for the grant of a link.
 *
 * A pattern is dotted like a name. `*` stands for exactly one part; `**`, as
 * the last part only, for any number of parts, none included: `fs.**` admits
 * `fs`, `fs.read` and `fs.dir.list`. Everything else is meant literally.
 */

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_BYTES 128U

/* Could it be a pattern? */
bool pattern_check(const char *pattern, size_t size);

/* Does @pattern, which pattern_check() admits, admit @name? Takes time in
 * proportion to their lengths, whatever they are. */
bool pattern_match(const char *pattern, size_t pattern_size, const char *name,
		   size_t name_size);

/* Does it admit @prefix and every name below it? "" is above all. */
bool pattern_covers(const char *pattern, size_t pattern_size,
		    const char *prefix, size_t prefix_size);

/* Could it admit @prefix or a name below it? */
bool pattern_reaches(const char *pattern, size_t pattern_size,
		     const char *prefix, size_t prefix_size);
