#pragma once

/*
 * What thoxd tells a process about contexts, over the control link: the kinds
 * from 88 on of rpc/control.h, and what becomes of them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/link.h"
#include "rpc/mp.h"

struct told {
	int64_t kind;
	uint64_t number; /* the link, or the id of what is answered */
	/* opened, hold */
	uint64_t context, over;
	struct mp_bytes name;	/* a bound one, size 0: none */
	struct mp_bytes grants; /* raw, size 0: every name is granted */
	bool zero, resolves;
	bool file; /* hold: a second descriptor is there */
	/* opened: it is also the answer to what was asked by that id */
	bool answers;
	uint64_t answered;
	/* opened, hold, a child's end */
	int64_t pid;
	struct mp_bytes program, service;
	/* shared, revoked, pipe */
	int64_t status;
	uint64_t value; /* of an OK one: link, pipe */
	struct mp_bytes
		text; /* of another: message; forget, move, trace: name */
	struct mp_bytes links; /* revoked: a raw array */
	/* a child's end */
	bool has_code, has_signal;
	int64_t code, signal;
	bool on; /* trace */
};

/* Is it one of these kinds? Views point into @data. 0, or -EBADMSG. */
bool told_is(int64_t kind);
int told_parse(const void *data, size_t size, struct told *ret);

/*
 * Do what it says. False: it cannot be from thoxd. Like the callback of a
 * watch: does not wait, raise, or run Lua. Descriptors are taken from @raw.
 */
bool told_take(struct link_message *raw);
