#pragma once

/*
 * `require`: a library's text for a runner.
 */

#include "rpc/mp.h"

struct runner;

/* 0, or -errno when the runner cannot be answered any more. */
int library_answer(struct runner *r, uint64_t id, struct mp_bytes name);
