#pragma once

/*
 * What a program asks for: the arguments of `http.get` and `http.request`,
 * checked. They are hostile: nothing in them can add a header line, another
 * protocol, or more than the limits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

#define SPEC_URL_BYTES	    8192U
#define SPEC_HEADERS_MAX    64U
#define SPEC_HEADER_BYTES   8192U
#define SPEC_METHOD_BYTES   16
#define SPEC_TIMEOUT_MAX_MS 600000U

struct spec {
	char *url;
	char method[SPEC_METHOD_BYTES];
	char *headers[SPEC_HEADERS_MAX]; /* `Name: value` */
	unsigned n_headers;
	char *body; /* NULL: none */
	size_t body_size;
	uint64_t timeout_ms; /* 0: not said */
	bool follow;
};

/*
 * @args is the whole array of a call. -EINVAL: @ret_problem says what is wrong
 * with it; -ENOMEM.
 */
int spec_parse_get(struct mp_bytes args, struct spec *ret,
		   const char **ret_problem);
int spec_parse_request(struct mp_bytes args, struct spec *ret,
		       const char **ret_problem);
void spec_deinit(struct spec *s);

/* Take out the headers that are meant for one host alone. */
void spec_drop_secrets(struct spec *s);
