#pragma once

/*
 * What thoxd tells a native process on its control link, decoded
 * (rpc/control.h has the forms). thoxd is trusted, its bytes are not: 0, or
 * -EBADMSG for anything that is not such a message, with nothing left over. A
 * kind that is not known comes back as it is. Views point into the message.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/mp.h"

struct native_control {
	unsigned kind; /* CONTROL_… */
	uint64_t link; /* opened, hold, shared */
	uint64_t id;   /* shared, revoked, pipe, reply, again, answers */
	int status;    /* likewise */
	struct mp_bytes message; /* unless OK */
	struct mp_bytes links;	 /* revoked: a whole array */
	struct mp_bytes name;	 /* move, trace, forget, event, a bound name */
	bool has_name;
	/* opened */
	uint64_t context; /* 0: a bound name */
	bool answers;	  /* it is CONTROL_SHARED of that id, too */
	pid_t pid;
	struct mp_bytes program, service, storage; /* size 0: not said */
	uint64_t storage_since;
	uint64_t storage_bytes; /* 0: not said */
	struct mp_bytes grants; /* a whole array; size 0: all */
	/* hold */
	bool zero;
	bool resolves;
	uint64_t over; /* 0: not said */
	bool on;       /* trace */
};

int native_control_parse(const void *data, size_t size, unsigned n_fds,
			 struct native_control *ret);

/* Does the grant admit @name? @grants is what native_control_parse() has
 * checked; size 0 admits every name. */
bool native_grants_admit(struct mp_bytes grants, struct mp_bytes name);
