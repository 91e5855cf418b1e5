#pragma once

/*
 * The names whose pushes a holder wants (WIRE_LISTEN).
 */

#include <stdbool.h>
#include <stddef.h>

#include "rpc/mp.h"

struct listens;

/*
 * *@l is NULL while there are none. 1: it is new; 0: it was so already;
 * -E2BIG: too many; -ENOMEM.
 */
int listens_set(struct listens **l, struct mp_bytes name, bool on);
struct listens *listens_free(struct listens *l); /* NULL */

/* In turn, from 0 on: false when there are no more. */
bool listens_get(const struct listens *l, unsigned i, struct mp_bytes *ret);

/* Is it, or a name above it, wanted? */
bool listens_want(const struct listens *l, struct mp_bytes name);
