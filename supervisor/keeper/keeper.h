#pragma once

/*
 * The keeper: parent and only reaper of every process of an instance.
 *
 * It starts thoxd and starts it again when it dies, starts what thoxd asks
 * for, tells it of every exit, keeps descriptors and a state for the next
 * thoxd, and at the end leaves nothing behind. It knows nothing of programs.
 *
 * When thoxd dies, every other process ends before the next thoxd starts:
 * nobody would know them any more. What is kept are descriptors.
 */

#include <stdbool.h>

#include "base/instance.h"

struct keeper_options {
	const struct instance *instance;
	bool system;
	int control_fd; /* listening */
	int ready_fd;	/* the starter's, or -1; the keeper closes it */
	char **env;	/* what thoxd and its helpers get */
};

/* Until the end: the process's exit code. Logs what happens. */
int keeper_run(const struct keeper_options *options);
