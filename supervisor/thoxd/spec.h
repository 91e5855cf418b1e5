#pragma once

/*
 * What shall run, and with what: the one form of it for everybody who starts
 * something, be that a client, a process or a service.
 *
 * Nothing here is owned, and all of it is needed only while run_start() runs.
 * Zero means "not said" everywhere, so that a designated initialiser names
 * what it cares about.
 */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/mp.h"

struct holding;
struct list;
struct policy;
struct principal;

#define RUN_NO_LIMIT UINT64_MAX

struct run_spec {
	/* what */
	struct mp_bytes name;	 /* `hello`, `cc#worm@3`; of a text: to show */
	struct mp_bytes file;	 /* where a text is from */
	struct mp_bytes runtime; /* default: `#`, the first line, native */
	bool text;		 /* a fourth descriptor holds it */
	bool interactive;	 /* texts come by run_eval() */
	bool expression;	 /* what the text returns is printed */

	/* with what */
	const char *service;	 /* `NAME` or `NAME:INSTANCE`; NULL: none */
	struct mp_bytes args;	 /* an encoded array of str */
	struct mp_bytes env;	 /* an encoded map of str to str */
	struct mp_bytes secrets; /* an encoded map of str to str */
	bool demand_stdin;	 /* stdin is a demand socket */
	uint64_t rows;		 /* of the terminal that stdout is */
	uint64_t columns;

	/* what it may */
	struct policy *policy; /* NULL: everything */
	/* whose child it is, whose limits are the default and the most, and
	 * whose policy says whether it may be run; NULL: nobody's */
	struct principal *parent;
	/* rights (holding.h) that become its own when it is accepted: what is
	 * its context 0 instead of thoxd, what its storage is instead of its
	 * program's; a list of those that its arguments name (of_call) */
	struct holding *base;
	struct holding *storage;
	struct list *gifts;

	/* limits; default: the instance's; RUN_NO_LIMIT: none */
	uint64_t memory_bytes;
	uint64_t cpu_ms;
	uint64_t wall_ms;
	uint64_t grace_ms; /* from terminate to kill; none: the starter's */
	uint64_t tasks;
	uint64_t descriptors;
	uint64_t storage_bytes; /* of its program; 0: storaged's own */
	uint64_t messages;	/* calls that wait in it; 0: as many as may */
	uint64_t processes;	/* that come of it, at a time */
};
