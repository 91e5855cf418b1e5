#pragma once

/* What `tree` tells (rpc/control.h): who started whom, and what they have of
 * each other. */

#include "rpc/mp.h"

struct server;

void tree_write(struct mp_writer *w, struct server *s);
