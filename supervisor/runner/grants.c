/*
 * Step 7, in a runner: may this caller call this name?
 *
 * The patterns stay as they came. The names that were admitted last are kept
 * whole, so that a caller who uses a few names is held against no pattern.
 */

#include "runner/grants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/pattern.h"
#include "rpc/wire.h"

#define RECENT 4

struct grants {
	struct {
		size_t size;
		char name[WIRE_NAME_BYTES];
	} recent[RECENT];
	unsigned next; /* to be replaced */
	size_t size;
	uint8_t raw[];
};

/* An array of patterns: does one admit @name? */
static bool any_admits(struct mp_reader *r, struct mp_bytes name,
		       struct mp_bytes *ret_pattern)
{
	bool found = false;

	for (uint32_t n = mp_read_array(r); n > 0 && !r->bad; n--) {
		struct mp_bytes pattern = mp_read_str(r);

		if (found ||
		    !pattern_match(pattern.p, pattern.size, name.p, name.size))
			continue;
		found = true;
		*ret_pattern = pattern;
	}
	return found;
}

struct pair {
	bool allowed, denied;
	struct mp_bytes pattern; /* that denies it */
};

/* The next pair of [allow, deny] held against @name. */
static struct pair next_pair(struct mp_reader *r, struct mp_bytes name)
{
	struct pair pair = { 0 };

	if (mp_read_array(r) != 2)
		r->bad = true;
	pair.allowed = any_admits(r, name, &pair.pattern);
	pair.denied = any_admits(r, name, &pair.pattern);
	return pair;
}

struct grants *grants_new(struct mp_bytes raw)
{
	struct grants *g = calloc(1, sizeof(*g) + raw.size);
	struct mp_reader r;

	if (!g)
		return NULL;
	g->size = raw.size;
	memcpy(g->raw, raw.p, raw.size);
	mp_reader_init(&r, g->raw, g->size);
	for (uint32_t n = mp_read_array(&r); n > 0 && !r.bad; n--)
		next_pair(&r, (struct mp_bytes){ "", 0 });
	return mp_end(&r) < 0 ? grants_free(g) : g;
}

struct grants *grants_free(struct grants *g)
{
	free(g);
	return NULL;
}

static bool is_recent(const struct grants *g, struct mp_bytes name)
{
	for (unsigned i = 0; i < RECENT; i++)
		if (g->recent[i].size == name.size &&
		    memcmp(g->recent[i].name, name.p, name.size) == 0)
			return true;
	return false;
}

static void remember(struct grants *g, struct mp_bytes name)
{
	unsigned i = g->next;

	g->next = (i + 1) % RECENT;
	g->recent[i].size = name.size;
	memcpy(g->recent[i].name, name.p, name.size);
}

bool grants_admit(struct grants *g, struct mp_bytes name)
{
	struct mp_reader r;

	if (!g || is_recent(g, name))
		return true;
	mp_reader_init(&r, g->raw, g->size);
	for (uint32_t n = mp_read_array(&r); n > 0 && !r.bad; n--) {
		struct pair pair = next_pair(&r, name);

		if (!pair.allowed || pair.denied)
			return false;
	}
	if (r.bad)
		return false;
	remember(g, name);
	return true;
}

void grants_explain(const struct grants *g, struct mp_bytes name, char *ret,
		    size_t size)
{
	struct mp_reader r;

	mp_reader_init(&r, g->raw, g->size);
	for (uint32_t n = mp_read_array(&r); n > 0 && !r.bad; n--) {
		struct pair pair = next_pair(&r, name);

		if (pair.denied)
			snprintf(ret, size,
				 "rule \"deny call %.*s\" of the link",
				 (int)pair.pattern.size, pair.pattern.p);
		else if (!pair.allowed)
			snprintf(ret, size,
				 "no rule \"allow call\" of the link admits "
				 "%.*s",
				 (int)name.size, name.p);
		else
			continue;
		return;
	}
	snprintf(ret, size, "%.*s is not granted", (int)name.size, name.p);
}
