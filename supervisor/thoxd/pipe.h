#pragma once

/*
 * Pipes: for a process and its children.
 *
 * A process asks for one and gets both ends. thoxd keeps a copy of each, so
 * that it can give it to a child, until the process closes its own or the end
 * has moved: then nobody but those who use it has it, and its end is seen.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct principal;

struct pipe {
	uint64_t number; /* machine-wide, never again */
	struct list list;
	int fds[2]; /* reader, writer; -1: not here any more */
};

/* CONTROL_WANT_PIPE: answered over the control link. A negative errno closes
 * it. */
int pipe_want(struct principal *p, uint64_t id);
/* CONTROL_PIPE_CLOSED; of one that is not its own, nothing. */
void pipe_closed(struct principal *p, uint64_t number, bool writer);
void pipe_principal_gone(struct principal *p);

/* A copy of an end of @p's, for a child; -ENOENT: it has none such. */
int pipe_copy(struct principal *p, uint64_t number, bool writer, int *ret_fd);
