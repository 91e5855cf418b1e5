#pragma once

/*
 * Everything thox-storaged asks of the kernel once it serves, and who in it
 * asks. What is not in the table fails with ENOSYS.
 */

#include "base/confine.h"

extern const struct confine_call storaged_calls[];
extern const size_t storaged_n_calls;
