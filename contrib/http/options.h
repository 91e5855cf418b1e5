#pragma once

/*
 * The command line of thox-http.
 */

#include <stdbool.h>
#include <sys/socket.h>

#include "base/instance.h"
#include "contrib/http/fetch.h"
#include "contrib/http/gateway.h"

#define OPTIONS_RULES_MAX  256U
#define OPTIONS_EXPOSE_MAX 64U
#define OPTIONS_TOKEN_MAX  256U

struct http_options {
	bool help, version;
	enum instance_mode mode;
	const char *name; /* that is bound */
	struct allow_rule rules[OPTIONS_RULES_MAX];
	struct fetch_limits fetch;
	const char *listen; /* as it was given; NULL: nowhere */
	struct sockaddr_storage address;
	socklen_t address_size;
	const char *expose[OPTIONS_EXPOSE_MAX];
	char token[OPTIONS_TOKEN_MAX];
	struct gateway_limits gateway;
};

/* 0, or -EINVAL when it was used wrongly, which has been said. */
int http_options_parse(int argc, char **argv, struct http_options *ret);

extern const char http_usage[];
