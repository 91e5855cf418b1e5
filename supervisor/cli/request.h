#pragma once

/*
 * The run that thox-exec asks for, as a message.
 */

#include <stdbool.h>

#include "cli/options.h"
#include "cli/text.h"
#include "rpc/mp.h"

struct request {
	const struct options *options;
	const struct text *text;
	bool demand_stdin;
	bool has_size;
	unsigned rows, columns;
};

/* Into memory of its own where the small buffer does not do; the caller
 * deinits @ret either way. -ENOMEM, or -EMSGSIZE over the protocol's limits. */
int request_write(const struct request *q, struct mp_writer *ret);
