#pragma once

/*
 * The name that somebody may have meant: the nearest by edit distance.
 */

#define SUGGEST_BYTES 128 /* a longer word is near to none */

struct suggest {
	const char *wanted;	      /* stays the caller's */
	char name[SUGGEST_BYTES + 1]; /* the best one; "" when none is near */
	unsigned distance;
};

void suggest_init(struct suggest *s, const char *wanted);
void suggest_offer(struct suggest *s, const char *name);

/* Insertions, deletions, changes and swaps of neighbours; @limit + 1 when
 * more. */
unsigned suggest_distance(const char *a, const char *b, unsigned limit);
