/*
 * What status codes are called, wherever people read them.
 */

#include "rpc/status.h"

#include "base/util.h"

const char *status_name(uint64_t status)
{
	static const char *const names[] = {
		[STATUS_OK] = "OK",
		[STATUS_ERROR] = "ERROR",
		[STATUS_NOT_FOUND] = "NOT_FOUND",
		[STATUS_DENIED] = "DENIED",
		[STATUS_CLOSED] = "CLOSED",
		[STATUS_TIMEOUT] = "TIMEOUT",
		[STATUS_CANCELLED] = "CANCELLED",
		[STATUS_INVALID] = "INVALID",
		[STATUS_TOO_LARGE] = "TOO_LARGE",
	};

	return status < ARRAY_SIZE(names) ? names[status] : "?";
}
