#pragma once

/*
 * What the commands about storage share: a program's storage, as a context
 * that thox-storaged gave to thoxctl. What goes wrong has been said when an
 * exit code other than CTL_OK comes back.
 */

#include <jansson.h>

#include "cli/ctl.h"
#include "native/native.h"

struct ctl_storage {
	const char *program;
	struct native *native;
	struct native_link *link; /* NULL: calls go to the bus */
};

/* @program NULL: no storage, only the bus. */
int ctl_storage_open(struct ctl *ctl, const char *program,
		     struct ctl_storage *ret);
void ctl_storage_close(struct ctl_storage *s); /* for _cleanup_ */

/* Call @name and wait; @args NULL: none. The answer, which is OK, is the
 * caller's to free. */
int ctl_storage_ask(struct ctl_storage *s, const char *name,
		    const struct native_values *args,
		    struct native_answer *ret_answer);
/* The same where the answer does not matter. */
int ctl_storage_do(struct ctl_storage *s, const char *name,
		   const struct native_values *args);
/* The same for an answer that is a context; the caller closes it. */
int ctl_storage_take(struct ctl_storage *s, const char *name,
		     const struct native_values *args,
		     struct native_link **ret_link);

/* `[{"key":…},…]` or lines: all keys below @prefix, one @fn each; not 0: end
 * with that exit code. */
struct ctl_key {
	struct mp_bytes key, value; /* the value as MessagePack */
	uint64_t version;
	double ttl; /* 0: never expires */
};
typedef int (*ctl_key_fn)(const struct ctl_key *key, void *user);
int ctl_storage_keys(struct ctl_storage *s, const char *prefix, bool values,
		     ctl_key_fn fn, void *user);

/* {key, value, version, ttl}; @values: with the value. */
json_t *ctl_key_json(const struct ctl_key *key, bool values);
