#pragma once

/*
 * What a run may use of everything: for run.c alone.
 *
 * Limits not said are the instance's, for a child those of its parent, which
 * are also the most that it may have.
 */

#include "thoxd/run.h"

/* Its limits and timers, of which none runs. -ENOMEM; -EMLINK: too deep below
 * others; -EDQUOT: too many, and *ret_most of them there may be. */
int run_limits_init(struct run *run, const struct run_spec *spec,
		    uint64_t *ret_most);
void run_limits_begin(struct run *run); /* there is a process */
void run_limits_grace(struct run *run); /* it was told to end */
void run_limits_end(struct run *run);
