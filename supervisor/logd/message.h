#pragma once

/*
 * What thoxd sends to thox-logd, taken apart. Views point into the message.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/mp.h"

#define LOGD_SERVICE_BYTES 128U /* a name's */

struct logd_message {
	unsigned kind; /* LOGD_… */
	uint64_t stream;
	uint64_t token;
	pid_t pid;
	char service[LOGD_SERVICE_BYTES + 1];
	char instance[LOGD_SERVICE_BYTES + 1];
	bool error;
	uint64_t keep, rotate_bytes, rotate_ms, rate_bytes;
};

/* 0, or -EBADMSG. A service's name can be a directory's. */
int logd_message_parse(const void *data, size_t size, unsigned n_fds,
		       struct logd_message *ret);
