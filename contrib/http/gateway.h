#pragma once

/*
 * `POST /NAME` becomes a call of NAME, and its answer the body: by
 * libmicrohttpd, without threads.
 *
 * Only names that a pattern exposes, only to who knows the token where there
 * is one, never for a page of another site (a request with `Origin` is
 * refused). Sizes, times and the number of connections are limited.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "native/native.h"

#define GATEWAY_CONNECTIONS_MAX 256U
#define GATEWAY_IDLE_S		30U

struct gateway_limits {
	const char *const *expose; /* patterns of names (rpc/pattern.h) */
	unsigned n_expose;
	const char *token; /* NULL: none is asked for */
	uint64_t body_bytes;
	uint64_t timeout_ms; /* of a call */
};

struct gateway;

/*
 * @fd is a listening socket, taken in every case; @limits must stay valid.
 * -EIO when libmicrohttpd does not want to.
 */
int gateway_new(struct native *n, int fd, const struct gateway_limits *limits,
		struct gateway **ret);
/* Before native_free(): calls under way are given up. */
struct gateway *gateway_free(struct gateway *g);

int gateway_timeout(const struct gateway *g); /* ms; -1: none */
void gateway_run(struct gateway *g);	      /* after each turn of the loop */
