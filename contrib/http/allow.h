#pragma once

/*
 * Which hosts may be asked: patterns from the command line.
 *
 * `example.org` admits that host on the port of its scheme, `example.org:8080`
 * and `[::1]:8080` that port alone, `*.example.org` every host below it, `*`
 * every host. A pattern with a `*` never leads to an address of this machine
 * or of a private network, whatever a name resolves to: such a one must be
 * named itself.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ALLOW_HOST_BYTES 256

struct allow_rule {
	char host[ALLOW_HOST_BYTES]; /* lower case; what follows `*` */
	bool wild;		     /* `*` stood before it */
	uint16_t port;		     /* 0: the scheme's own */
};

/* -EINVAL: not such a pattern. */
int allow_parse(const char *pattern, struct allow_rule *ret);

/* A place that is asked for. */
struct allow_place {
	char host[ALLOW_HOST_BYTES]; /* without brackets */
	uint16_t port;
	uint16_t default_port; /* of the scheme */
};

/* The rule that admits @place, the narrowest first; NULL: none. */
const struct allow_rule *allow_find(const struct allow_rule *rules, unsigned n,
				    const struct allow_place *place);

/* May a host that @rule admits lie at this address? */
bool allow_address(const struct allow_rule *rule, const struct sockaddr *a);
