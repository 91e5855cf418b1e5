/* Which names a pattern admits. */

#include "rpc/pattern.h"

#include <string.h>

/* A part, up to the next dot or the end. */
struct part {
	const char *p;
	size_t size;
};

/* Takes the first part off what is left; false at the end. */
static bool take(const char **p, const char *end, struct part *ret)
{
	const char *dot;

	if (!*p)
		return false;
	dot = memchr(*p, '.', (size_t)(end - *p));
	ret->p = *p;
	ret->size = (size_t)((dot ? dot : end) - *p);
	*p = dot ? dot + 1 : NULL;
	return true;
}

static bool is(const struct part *part, const char *text)
{
	return part->size == strlen(text) &&
	       memcmp(part->p, text, part->size) == 0;
}

static bool literal(const struct part *part)
{
	if (part->size == 0)
		return false;
	for (size_t i = 0; i < part->size; i++) {
		char c = part->p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool pattern_check(const char *pattern, size_t size)
{
	const char *rest = pattern;
	struct part part;

	if (size == 0 || size > PATTERN_BYTES)
		return false;
	while (take(&rest, pattern + size, &part))
		if (!literal(&part) && !is(&part, "*") &&
		    !(is(&part, "**") && !rest))
			return false;
	return true;
}

bool pattern_match(const char *pattern, size_t pattern_size, const char *name,
		   size_t name_size)
{
	const char *p = pattern, *n = name;
	struct part want, have;

	while (take(&p, pattern + pattern_size, &want)) {
		if (is(&want, "**"))
			return true;
		if (!take(&n, name + name_size, &have))
			return false;
		if (!is(&want, "*") && (want.size != have.size ||
					memcmp(want.p, have.p, want.size) != 0))
			return false;
	}
	return !n;
}

/* Up to the end of the shorter: 0 when a part differs, else what is next in
 * the pattern: '*' for `**`, '.' for a part, '$' for its end; @ret_left tells
 * whether the name goes on. */
static char walk(const char *pattern, size_t pattern_size, const char *name,
		 size_t name_size, bool *ret_left)
{
	const char *p = pattern, *n = name_size > 0 ? name : NULL;
	struct part want, have;

	for (;;) {
		if (!take(&p, pattern + pattern_size, &want)) {
			*ret_left = n != NULL;
			return '$';
		}
		if (is(&want, "**"))
			return '*';
		if (!take(&n, name + name_size, &have)) {
			*ret_left = false;
			return '.';
		}
		if (!is(&want, "*") && (want.size != have.size ||
					memcmp(want.p, have.p, want.size) != 0))
			return 0;
	}
}

bool pattern_covers(const char *pattern, size_t pattern_size,
		    const char *prefix, size_t prefix_size)
{
	bool left;

	return walk(pattern, pattern_size, prefix, prefix_size, &left) == '*';
}

bool pattern_reaches(const char *pattern, size_t pattern_size,
		     const char *prefix, size_t prefix_size)
{
	bool left = false;
	char next = walk(pattern, pattern_size, prefix, prefix_size, &left);

	return next == '*' || next == '.' || (next == '$' && !left);
}
