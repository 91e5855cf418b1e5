#pragma once

/*
 * A record of a trace, as a traced process has written it: hostile until it
 * was parsed (rpc/control.h has the forms).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/wire.h"

#define TRACE_NAME_BYTES (WIRE_NAME_BYTES + 1)

enum trace_what {
	TRACE_CALL,
	TRACE_ANSWER,
	TRACE_PUSH,
	TRACE_CANCEL,
	TRACE_LOST,
	TRACE_WHAT_COUNT,
};
extern const char *const trace_what_name[TRACE_WHAT_COUNT];

struct trace_record {
	enum trace_what what;
	uint64_t time_us; /* CLOCK_REALTIME */
	uint64_t link;
	uint64_t cid;
	bool out;
	pid_t pid;		     /* of the other end; 0: not said */
	char name[TRACE_NAME_BYTES]; /* of a call and a push, checked */
	uint64_t status;
	uint64_t took_us;
	uint64_t bytes;
	uint64_t lost;
};

/* 0, or -EBADMSG. */
int trace_record_parse(const void *data, size_t size, struct trace_record *ret);
