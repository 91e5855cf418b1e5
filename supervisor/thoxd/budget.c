/* Step 4, for a child: is there room for one more? */

#include "thoxd/budget.h"

#include <errno.h>
#include <stdlib.h>

struct budget {
	struct budget *parent; /* a reference */
	unsigned refs;
	unsigned depth;
	uint64_t limit;
	uint64_t count;
};

int budget_new(struct budget *parent, uint64_t limit, struct budget **ret)
{
	struct budget *b;

	if (parent && parent->depth + 1 >= BUDGET_DEPTH_MAX)
		return -EMLINK;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->refs = 1;
	b->limit = limit;
	if (parent) {
		parent->refs++;
		b->parent = parent;
		b->depth = parent->depth + 1;
		if (b->limit > parent->limit)
			b->limit = parent->limit;
	}
	*ret = b;
	return 0;
}

struct budget *budget_unref(struct budget *b)
{
	while (b && --b->refs == 0) {
		struct budget *parent = b->parent;

		free(b);
		b = parent;
	}
	return NULL;
}

uint64_t budget_limit(const struct budget *b)
{
	return b->limit;
}

int budget_take(struct budget *b, uint64_t *ret_limit)
{
	for (struct budget *at = b; at; at = at->parent) {
		if (at->count < at->limit)
			continue;
		*ret_limit = at->limit;
		return -EDQUOT;
	}
	for (struct budget *at = b; at; at = at->parent)
		at->count++;
	if (b)
		b->refs++;
	return 0;
}

void budget_give(struct budget *b)
{
	for (struct budget *at = b; at; at = at->parent)
		at->count--;
	budget_unref(b);
}
