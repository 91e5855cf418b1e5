/* Step 1, in thox-http: the command line. */

#include "contrib/http/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/say.h"
#include "rpc/pattern.h"

const char http_usage[] =
	"Usage: thox-http [OPTION...]\n\n"
	"Bind `http` for programs of a thox instance, and call them by "
	"HTTP.\n\n"
	"  -a, --allow HOST[:PORT]    programs may ask it; *.HOST: what lies "
	"below\n"
	"                             it; *: every host of the public network\n"
	"      --name NAME            bind NAME instead of http\n"
	"      --timeout TIME         of a transfer (30s)\n"
	"      --max-answer SIZE      of a transfer's body (8M)\n"
	"      --max-transfers COUNT  at a time (64)\n"
	"  -l, --listen ADDR:PORT     POST /NAME there calls NAME\n"
	"  -e, --expose PATTERN       names that may be called so\n"
	"      --token-file FILE      only with `Authorization: Bearer` and "
	"its text\n"
	"      --call-timeout TIME    of a call (30s)\n"
	"      --max-body SIZE        of a request's body (1M)\n"
	"      --user, --system       the user's instance (default) or the "
	"system's\n"
	"  -h, --help\n"
	"  -V, --version\n";

enum long_option {
	OPT_NAME = 256,
	OPT_TIMEOUT,
	OPT_MAX_ANSWER,
	OPT_MAX_TRANSFERS,
	OPT_TOKEN_FILE,
	OPT_CALL_TIMEOUT,
	OPT_MAX_BODY,
	OPT_USER,
	OPT_SYSTEM,
};

static const struct option long_options[] = {
	{ "allow", required_argument, NULL, 'a' },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "max-answer", required_argument, NULL, OPT_MAX_ANSWER },
	{ "max-transfers", required_argument, NULL, OPT_MAX_TRANSFERS },
	{ "listen", required_argument, NULL, 'l' },
	{ "expose", required_argument, NULL, 'e' },
	{ "token-file", required_argument, NULL, OPT_TOKEN_FILE },
	{ "call-timeout", required_argument, NULL, OPT_CALL_TIMEOUT },
	{ "max-body", required_argument, NULL, OPT_MAX_BODY },
	{ "user", no_argument, NULL, OPT_USER },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int add_rule(struct http_options *o, const char *text)
{
	if (o->fetch.n_rules == OPTIONS_RULES_MAX) {
		say("--allow: at most %u", OPTIONS_RULES_MAX);
		return -EINVAL;
	}
	if (allow_parse(text, &o->rules[o->fetch.n_rules]) < 0) {
		say("--allow %s: not a host, such as example.org, "
		    "*.example.org, [::1]:8080",
		    text);
		return -EINVAL;
	}
	o->fetch.n_rules++;
	return 0;
}

/* thoxd's own names (process, program, …) must not be exposed by accident: so
 * the first part of a pattern is a word. */
static int add_expose(struct http_options *o, const char *text)
{
	if (o->gateway.n_expose == OPTIONS_EXPOSE_MAX) {
		say("--expose: at most %u", OPTIONS_EXPOSE_MAX);
		return -EINVAL;
	}
	if (!pattern_check(text, strlen(text)) || *text == '*') {
		say("--expose %s: not a pattern whose first part is a word, "
		    "such as greeter.greet, kv.**",
		    text);
		return -EINVAL;
	}
	o->expose[o->gateway.n_expose++] = text;
	return 0;
}

static int parse_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;
	unsigned long value;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end || errno || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* ADDR:PORT or [ADDR]:PORT; no names: whom it serves is to be seen. */
static int parse_listen(struct http_options *o, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&o->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&o->address;
	const char *colon = strrchr(text, ':');
	char host[64];
	unsigned long port;
	size_t n = colon ? (size_t)(colon - text) : 0;

	o->listen = text;
	if (!colon || n >= sizeof(host) ||
	    parse_number(colon + 1, 65535, &port) < 0)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		o->address_size = sizeof(*in);
		return 0;
	}
	if (n < 3 || host[0] != '[' || host[n - 1] != ']')
		return -EINVAL;
	host[n - 1] = '\0';
	if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	o->address_size = sizeof(*in6);
	return 0;
}

/* Its first line. */
static int read_token(struct http_options *o, const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n = -1;
	int r = 0;

	if (file) {
		n = getline(&line, &room, file);
		fclose(file);
	}
	if (n < 0) {
		say("--token-file %s: %s", path,
		    file ? "it is empty" : strerror(errno));
		r = -EINVAL;
	} else {
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line || strlen(line) >= sizeof(o->token)) {
			say("--token-file %s: a line of up to %u bytes is "
			    "wanted",
			    path, OPTIONS_TOKEN_MAX - 1);
			r = -EINVAL;
		} else {
			strcpy(o->token, line);
			o->gateway.token = o->token;
		}
	}
	free(line);
	return r;
}

static int parse_size(const char *option, const char *text, uint64_t *ret)
{
	/* What a message holds, with room for the rest of it. */
	if (units_parse_bytes(text, ret) == 0 &&
	    *ret <= LINK_MESSAGE_BYTES - 131072U)
		return 0;
	say("--%s %s: not a size, such as 64K, 8M, or too large", option, text);
	return -EINVAL;
}

static int parse_time(const char *option, const char *text, uint64_t *ret)
{
	if (units_parse_ms(text, ret) == 0 && *ret <= 3600000)
		return 0;
	say("--%s %s: not a time, such as 500ms, 30s, up to an hour", option,
	    text);
	return -EINVAL;
}

static int parse_transfers(struct http_options *o, const char *text)
{
	unsigned long count;

	if (parse_number(text, 1024, &count) < 0 || count == 0) {
		say("--max-transfers %s: not a number from 1 to 1024", text);
		return -EINVAL;
	}
	o->fetch.transfers = (unsigned)count;
	return 0;
}

static int take_option(struct http_options *o, int option, char **argv)
{
	switch (option) {
	case 'a':
		return add_rule(o, optarg);
	case 'e':
		return add_expose(o, optarg);
	case 'l':
		if (parse_listen(o, optarg) == 0)
			return 0;
		say("--listen %s: not an address and a port, such as "
		    "127.0.0.1:8080, [::1]:8080",
		    optarg);
		return -EINVAL;
	case OPT_NAME:
		o->name = optarg;
		if (wire_check_name(optarg, strlen(optarg)))
			return 0;
		say("--name %s: not a name", optarg);
		return -EINVAL;
	case OPT_TIMEOUT:
		return parse_time("timeout", optarg, &o->fetch.timeout_ms);
	case OPT_CALL_TIMEOUT:
		return parse_time("call-timeout", optarg,
				  &o->gateway.timeout_ms);
	case OPT_MAX_ANSWER:
		return parse_size("max-answer", optarg, &o->fetch.body_bytes);
	case OPT_MAX_BODY:
		return parse_size("max-body", optarg, &o->gateway.body_bytes);
	case OPT_MAX_TRANSFERS:
		return parse_transfers(o, optarg);
	case OPT_TOKEN_FILE:
		return read_token(o, optarg);
	case OPT_USER:
	case OPT_SYSTEM:
		o->mode = option == OPT_USER ? INSTANCE_USER : INSTANCE_SYSTEM;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case 'V':
		o->version = true;
		return 0;
	}
	say("%s: no such option, or its argument is missing", argv[optind - 1]);
	return -EINVAL;
}

static int check(const struct http_options *o, int argc, char **argv)
{
	if (o->help || o->version)
		return 0;
	if (optind < argc)
		say("%s: no operand is wanted", argv[optind]);
	else if (o->listen && o->gateway.n_expose == 0)
		say("--listen without --expose would serve nothing");
	else if (!o->listen && (o->gateway.n_expose || o->gateway.token))
		say("--expose and --token-file are for --listen");
	else if (!o->listen && o->fetch.n_rules == 0)
		say("neither --allow nor --listen: there is nothing to do");
	else
		return 0;
	return -EINVAL;
}

int http_options_parse(int argc, char **argv, struct http_options *o)
{
	int option, r = 0;

	*o = (struct http_options){
		.name = "http",
		.fetch = { .body_bytes = 8U << 20,
			   .timeout_ms = 30000,
			   .transfers = 64 },
		.gateway = { .body_bytes = 1U << 20, .timeout_ms = 30000 },
	};
	o->fetch.rules = o->rules;
	o->gateway.expose = o->expose;
	opterr = 0;
	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "a:e:l:hV",
					       long_options, NULL)) != -1)
		r = take_option(o, option, argv);
	if (r == 0)
		r = check(o, argc, argv);
	if (r < 0)
		say("try 'thox-http --help'");
	return r;
}
