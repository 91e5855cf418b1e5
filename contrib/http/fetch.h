#pragma once

/*
 * What programs ask of the network: `http.get` and `http.request`, by libcurl.
 *
 * Only http and https, only hosts that a rule admits, redirects checked like
 * the first address; sizes, times and the number of transfers are limited.
 * Nothing here waits: curl's sockets are the native process's watches, and
 * its timer is for the loop.
 */

#include <stdint.h>

#include "contrib/http/allow.h"
#include "native/native.h"

#define FETCH_REDIRECTS_MAX 5U
#define FETCH_HEADER_BYTES  65536U

struct fetch_limits {
	const struct allow_rule *rules;
	unsigned n_rules;
	uint64_t body_bytes; /* of an answer */
	uint64_t timeout_ms; /* when nobody says less */
	unsigned transfers;  /* at a time */
};

struct fetcher;

/* @limits must stay valid. */
int fetcher_new(struct native *n, const struct fetch_limits *limits,
		struct fetcher **ret);
/* Transfers that are under way end unanswered: the process goes. */
struct fetcher *fetcher_free(struct fetcher *f);

/* For a bound name: the calls below it. */
extern const struct native_handler fetch_handler; /* user: the fetcher */

/* How long the loop may wait, in ms; -1: as long as it likes. */
int fetcher_timeout(const struct fetcher *f);
/* After each turn of the loop. */
void fetcher_run(struct fetcher *f);
