/*
 * Step 0, in every process: a word that is none, and the one that was meant.
 */

#include "base/suggest.h"

#include <stdio.h>
#include <string.h>

/* One mistake in three bytes, three at most. */
static unsigned limit_for(const char *wanted)
{
	size_t n = strlen(wanted) / 3;

	return n < 1 ? 1 : n > 3 ? 3 : (unsigned)n;
}

void suggest_init(struct suggest *s, const char *wanted)
{
	*s = (struct suggest){ .wanted = wanted };
	s->distance = limit_for(wanted) + 1;
}

void suggest_offer(struct suggest *s, const char *name)
{
	unsigned d = suggest_distance(s->wanted, name, s->distance - 1);

	if (d >= s->distance)
		return;
	s->distance = d;
	snprintf(s->name, sizeof(s->name), "%s", name);
}

static unsigned min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned suggest_distance(const char *a, const char *b, unsigned limit)
{
	/* rows of the table: before the last, last, this */
	unsigned rows[3][SUGGEST_BYTES + 2];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > SUGGEST_BYTES || n_b > SUGGEST_BYTES ||
	    (n_a > n_b ? n_a - n_b : n_b - n_a) > limit)
		return limit + 1;
	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned *this = rows[i % 3], *last = rows[(i + 2) % 3],
			 *before = rows[(i + 1) % 3];

		this[0] = (unsigned)i;
		for (size_t j = 1; j <= n_b; j++) {
			this[j] = min(min(last[j], this[j - 1]) + 1,
				      last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				this[j] = min(this[j], before[j - 2] + 1);
		}
	}
	return min(rows[n_a % 3][n_b], limit + 1);
}
