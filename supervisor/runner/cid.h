#pragma once

/*
 * The numbers of calls: of those that this process makes, and of those that it
 * has received. One space for both, so that a program cannot take one for the
 * other; found without a search.
 */

#include <stdbool.h>
#include <stdint.h>

/* For @object; 0: there are too many calls, or no memory. */
uint32_t cid_new(void *object, bool served);

/* NULL: no such, any more, or it is one of the others. */
void *cid_find(uint64_t cid, bool served);

void cid_free(uint32_t cid);
