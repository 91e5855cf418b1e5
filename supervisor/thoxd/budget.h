#pragma once

/*
 * How many processes may come of one, its descendants all together.
 *
 * Each run has a budget below that of its parent; whatever starts below it is
 * counted in all of them, as long as it runs, also when those between have
 * ended. So no process can fill the instance by way of its children.
 */

#include <stdint.h>

struct budget;

#define BUDGET_DEPTH_MAX 16U /* children of children of … */

/* Below @parent (NULL: of nobody's child); @limit is never more than the
 * parent's. -ENOMEM; -EMLINK: too deep. */
int budget_new(struct budget *parent, uint64_t limit, struct budget **ret);
/* It goes when nobody counts on it any more; NULL allowed; NULL. */
struct budget *budget_unref(struct budget *b);

uint64_t budget_limit(const struct budget *b);
/* One more in @b and all above it; -EDQUOT, and whose limit that was. NULL:
 * nothing is counted. */
int budget_take(struct budget *b, uint64_t *ret_limit);
void budget_give(struct budget *b);
