/* Step 8, in thox-http: may this host be asked? */

#include "contrib/http/allow.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static int parse_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	port = strtoul(text, &end, 10);
	if (*end || port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

static bool is_host(const char *host, bool address)
{
	if (!*host)
		return false;
	for (; *host; host++)
		if (!isalnum((unsigned char)*host) &&
		    !strchr(address ? ":." : ".-_", *host))
			return false;
	return true;
}

/* The host's part of `[::1]:80`, `a.b:80` or `a.b`; what follows it. */
static const char *take_host(const char *text, char ret[ALLOW_HOST_BYTES],
			     bool *ret_address)
{
	const char *end;
	size_t n;

	*ret_address = *text == '[';
	if (*ret_address) {
		text++;
		end = strchr(text, ']');
		if (!end)
			return NULL;
	} else {
		end = text + strcspn(text, ":");
	}
	n = (size_t)(end - text);
	if (n >= ALLOW_HOST_BYTES)
		return NULL;
	for (size_t i = 0; i < n; i++)
		ret[i] = (char)tolower((unsigned char)text[i]);
	ret[n] = '\0';
	return *ret_address ? end + 1 : end;
}

int allow_parse(const char *pattern, struct allow_rule *ret)
{
	struct allow_rule rule = { 0 };
	const char *rest;
	bool address;

	if (*pattern == '*') {
		rule.wild = true;
		pattern++;
		if (*pattern && *pattern != '.' && *pattern != ':')
			return -EINVAL;
	}
	rest = take_host(pattern, rule.host, &address);
	if (!rest || (rule.wild && address))
		return -EINVAL;
	if (rule.wild ? rule.host[0] && !is_host(rule.host + 1, false)
		      : !is_host(rule.host, address))
		return -EINVAL;
	if (*rest && (*rest != ':' || parse_port(rest + 1, &rule.port) < 0))
		return -EINVAL;
	*ret = rule;
	return 0;
}

static bool admits(const struct allow_rule *rule,
		   const struct allow_place *place)
{
	size_t n = strlen(rule->host), m = strlen(place->host);

	if (place->port != (rule->port ? rule->port : place->default_port))
		return false;
	if (!rule->wild)
		return strcasecmp(rule->host, place->host) == 0;
	/* `.example.org` has a host before it */
	return n == 0 ||
	       (m > n && strcasecmp(place->host + m - n, rule->host) == 0);
}

const struct allow_rule *allow_find(const struct allow_rule *rules, unsigned n,
				    const struct allow_place *place)
{
	const struct allow_rule *found = NULL;

	for (unsigned i = 0; i < n; i++) {
		if (!admits(&rules[i], place))
			continue;
		if (!rules[i].wild)
			return &rules[i];
		found = &rules[i];
	}
	return found;
}

/* --- addresses --------------------------------------------------------------
 */

/* Those that are not of the world at large. */
static const struct {
	uint32_t net;
	unsigned bits;
} private_nets[] = {
	{ 0x00000000, 8 },  /* this network */
	{ 0x0a000000, 8 },  /* private */
	{ 0x64400000, 10 }, /* a provider's */
	{ 0x7f000000, 8 },  /* this machine */
	{ 0xa9fe0000, 16 }, /* this link; clouds' own services */
	{ 0xac100000, 12 }, /* private */
	{ 0xc0000000, 24 }, /* protocols' */
	{ 0xc0a80000, 16 }, /* private */
	{ 0xc6120000, 15 }, /* benchmarks */
	{ 0xe0000000, 3 },  /* to many, reserved */
};

static bool is_private4(uint32_t address)
{
	for (size_t i = 0; i < ARRAY_SIZE(private_nets); i++)
		if ((address ^ private_nets[i].net) >>
			    (32 - private_nets[i].bits) ==
		    0)
			return true;
	return false;
}

static uint32_t last4(const struct in6_addr *a)
{
	const uint8_t *p = a->s6_addr + 12;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static bool is_private6(const struct in6_addr *a)
{
	static const uint8_t translated[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) ||
	    memcmp(a->s6_addr, translated, sizeof(translated)) == 0)
		return is_private4(last4(a));
	/* only 2000::/3 is given out */
	return (a->s6_addr[0] & 0xe0) != 0x20;
}

bool allow_address(const struct allow_rule *rule, const struct sockaddr *a)
{
	if (!rule->wild)
		return true;
	if (a->sa_family == AF_INET)
		return !is_private4(ntohl(
			((const struct sockaddr_in *)a)->sin_addr.s_addr));
	if (a->sa_family == AF_INET6)
		return !is_private6(
			&((const struct sockaddr_in6 *)a)->sin6_addr);
	return false;
}
