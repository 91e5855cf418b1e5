#pragma once

/*
 * Status codes of answers: the same in C, on the wire, in Lua (`os.status`).
 */

#include <stdint.h>

enum status {
	STATUS_OK = 0,
	STATUS_ERROR = 1,     /* failed; the message says how */
	STATUS_NOT_FOUND = 2, /* nobody and nothing of that name */
	STATUS_DENIED = 3,    /* policy refused; the message names the rule */
	STATUS_CLOSED = 4,
	STATUS_TIMEOUT = 5,
	STATUS_CANCELLED = 6,
	STATUS_INVALID = 7,   /* bad arguments; the message says which */
	STATUS_TOO_LARGE = 8, /* a limit was met; the message names it */
};

/* What CLOSED says where nobody knows more. */
#define STATUS_CLOSED_TEXT "it ended before it answered"

/* Such as "NOT_FOUND"; "?" for what is no status. */
const char *status_name(uint64_t status);
