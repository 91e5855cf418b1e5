/*
 * Steps 1 and 3, in thox-exec: rules become a part of the request.
 */

#include "cli/rules.h"

#include <string.h>

#include "base/util.h"
#include "rpc/pattern.h"

static const char *const kinds[] = { "call", "bind", "run", "store" };

/* Its number in kinds; @ret_patterns begins behind it. -1: it is none. */
static int kind_of(const char *rule, const char **ret_patterns)
{
	size_t size = strcspn(rule, "=");

	*ret_patterns = rule;
	if (!rule[size])
		return 0;
	*ret_patterns = rule + size + 1;
	for (int i = 0; i < (int)ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i]) == size &&
		    memcmp(kinds[i], rule, size) == 0)
			return i;
	return -1;
}

/* The next pattern: its size, and @rest behind it; false at the end. */
static bool next(const char **rest, const char **ret_pattern, size_t *ret_size)
{
	if (!*rest)
		return false;
	*ret_pattern = *rest;
	*ret_size = strcspn(*rest, ",");
	*rest = (*rest)[*ret_size] ? *rest + *ret_size + 1 : NULL;
	return true;
}

const char *rules_check(const char *rule)
{
	const char *rest, *pattern;
	size_t size;

	if (kind_of(rule, &rest) < 0)
		return "there is call=, bind=, run= and store=";
	while (next(&rest, &pattern, &size))
		if (!pattern_check(pattern, size))
			return "needs a pattern of names, such as fs.* or **";
	return NULL;
}

/* The patterns of one kind: counted, and written where @w is given. */
static uint32_t put_patterns(struct mp_writer *w, int kind,
			     const char *const *rules, unsigned n_rules)
{
	const char *rest, *pattern;
	uint32_t n = 0;
	size_t size;

	for (unsigned i = 0; i < n_rules; i++) {
		if (kind_of(rules[i], &rest) != kind)
			continue;
		for (; next(&rest, &pattern, &size); n++)
			if (w)
				mp_write_strn(w, pattern, size);
	}
	return n;
}

uint32_t rules_write(struct mp_writer *w, const char *key,
		     const char *const *rules, unsigned n_rules)
{
	uint32_t n[ARRAY_SIZE(kinds)], n_kinds = 0;

	if (n_rules == 0)
		return 0;
	if (!w)
		return 1;
	for (int i = 0; i < (int)ARRAY_SIZE(kinds); i++) {
		n[i] = put_patterns(NULL, i, rules, n_rules);
		n_kinds += n[i] > 0;
	}
	mp_write_str(w, key);
	mp_write_map(w, n_kinds);
	for (int i = 0; i < (int)ARRAY_SIZE(kinds); i++) {
		if (n[i] == 0)
			continue;
		mp_write_str(w, kinds[i]);
		mp_write_array(w, n[i]);
		put_patterns(w, i, rules, n_rules);
	}
	return 1;
}
