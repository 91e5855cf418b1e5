#pragma once

/*
 * A run of a process that an earlier thoxd started, and that lives on.
 */

#include "thoxd/record.h"
#include "thoxd/run.h"

/* As its record says, of @service and with @policy; @st has it. Takes
 * descriptors out of @fds (record.h has their order). -ENOMEM. */
int run_adopt(struct server *s, const struct record_process *r,
	      const char *service, struct policy *policy, pid_t pid, int *fds,
	      struct starter *st);
