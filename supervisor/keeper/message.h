#pragma once

/*
 * What thoxd may ask of its keeper, decoded (rpc/keeper.h has the forms).
 *
 * Pure functions over bytes. thoxd is trusted, yet a message that is not one
 * of these must be told from one that is: -EBADMSG, or -E2BIG over a limit.
 * Strings point into a decoded copy that the request owns.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/keeper.h"
#include "rpc/link.h"

struct keeper_request {
	unsigned kind; /* KEEPER_SPAWN … KEEPER_REEXEC */
	uint64_t token;
	char role[16];
	char name[KEEPER_NAME_BYTES + 1];
	/* of KEEPER_SPAWN: both lists end with NULL */
	char *args[KEEPER_ARGS_MAX + 2]; /* [0] is left for the executable */
	char *env[KEEPER_ENV_MAX + 1];	 /* NAME=VALUE */
	int numbers[LINK_FDS_MAX];
	unsigned n_numbers;
	pid_t pid; /* of KEEPER_KEEP */
	/* of KEEPER_STATE and KEEPER_FAILED, the record of KEEPER_KEEP: points
	 * into the message */
	const char *bytes;
	size_t bytes_size;

	char *strings; /* owns what args and env point to */
};

int keeper_request_parse(const void *data, size_t size, unsigned n_fds,
			 struct keeper_request *ret_request);
void keeper_request_deinit(struct keeper_request *q);
