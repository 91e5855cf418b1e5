#pragma once

/*
 * Whether what somebody wants may run, and the run of it: for run.c alone.
 */

#include "thoxd/program.h"
#include "thoxd/run.h"

/*
 * A run of @program with its start message, its descriptors out of @fds (and
 * @program), and the rights that @spec names: of nobody yet, and in no list.
 * -1 and @ret_why.
 */
int run_accept(struct server *s, const struct run_spec *spec, int fds[4],
	       struct program *program, struct run **ret_run,
	       struct refusal *ret_why);
/* What run_accept() has made goes; in this turn's garbage. */
void run_discard(struct run *run);

/* The message and the text went to the runner. */
void run_drop_start(struct run *run);
