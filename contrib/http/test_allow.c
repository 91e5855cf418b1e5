/* Which hosts may be asked, and at which addresses they may lie. */

#include "contrib/http/allow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"

static bool admits(const char *pattern, const char *host, uint16_t port,
		   uint16_t default_port)
{
	struct allow_rule rule;
	struct allow_place place = { .port = port,
				     .default_port = default_port };

	strcpy(place.host, host);
	return allow_parse(pattern, &rule) == 0 &&
	       allow_find(&rule, 1, &place) == &rule;
}

/* Verify that a host means itself, on the scheme's port or the one given. */
static void test_hosts(void)
{
	CHECK(admits("example.org", "example.org", 443, 443));
	CHECK(admits("Example.org", "EXAMPLE.org", 80, 80));
	CHECK(!admits("example.org", "example.org", 8080, 80));
	CHECK(!admits("example.org", "www.example.org", 80, 80));
	CHECK(!admits("example.org", "example.org.evil", 80, 80));
	CHECK(admits("example.org:8080", "example.org", 8080, 80));
	CHECK(!admits("example.org:8080", "example.org", 80, 80));
	CHECK(admits("127.0.0.1:99", "127.0.0.1", 99, 80));
	CHECK(admits("[::1]:99", "::1", 99, 80));
	CHECK(admits("[::1]", "::1", 80, 80));
}

/* Verify that a star stands for what lies below, or for everything. */
static void test_stars(void)
{
	CHECK(admits("*.example.org", "a.b.example.org", 80, 80));
	CHECK(!admits("*.example.org", "example.org", 80, 80));
	CHECK(!admits("*.example.org", "evilexample.org", 80, 80));
	CHECK(admits("*", "anything", 443, 443));
	CHECK(!admits("*", "anything", 22, 80));
	CHECK(admits("*:22", "anything", 22, 80));
	CHECK(admits("*.example.org:22", "x.example.org", 22, 80));
}

/* Verify that what is no pattern is refused. */
static void test_refused(void)
{
	static const char *const bad[] = {
		"",	  ":80",	"a b",	     "http://a", "a/b",
		"a:",	  "a:0",	"a:65536",   "a:x",	 "*x",
		"*.",	  "**",		"a.*",	     "[::1",	 "[::1]x",
		"*[::1]", "[a.b/c]:80", "user@host", "\xff",	 "a:80:90",
	};
	struct allow_rule rule;
	char text[400];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(allow_parse(bad[i], &rule), -EINVAL);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	CHECK_EQ(allow_parse(text, &rule), -EINVAL);
}

/* Verify that of several the one without a star counts. */
static void test_narrowest(void)
{
	struct allow_rule rules[3];
	struct allow_place place = { "a.example.org", 80, 80 };

	CHECK_EQ(allow_parse("*", &rules[0]), 0);
	CHECK_EQ(allow_parse("a.example.org", &rules[1]), 0);
	CHECK_EQ(allow_parse("*.example.org", &rules[2]), 0);
	CHECK(allow_find(rules, 3, &place) == &rules[1]);
	strcpy(place.host, "b.example.net");
	CHECK(allow_find(rules, 3, &place) == &rules[0]);
	CHECK(!allow_find(rules, 0, &place));
}

static bool reaches(const char *pattern, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct allow_rule rule;

	if (allow_parse(pattern, &rule) < 0)
		return false;
	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
		return allow_address(&rule, (struct sockaddr *)&in);
	if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
		return allow_address(&rule, (struct sockaddr *)&in6);
	return false;
}

/* Verify that a star leads nowhere near, and a host by its name anywhere. */
static void test_addresses(void)
{
	static const char *const private[] = {
		"127.0.0.1",
		"127.255.0.1",
		"10.1.2.3",
		"172.16.0.1",
		"172.31.255.255",
		"192.168.1.1",
		"169.254.1.1",
		"0.0.0.0",
		"100.64.0.1",
		"224.0.0.1",
		"255.255.255.255",
		"192.0.0.8",
		"198.19.0.1",
		"::1",
		"::",
		"fe80::1",
		"fd00::1",
		"ff02::1",
		"::ffff:127.0.0.1",
		"::10.0.0.1",
		"64:ff9b::10.0.0.1",
	};
	static const char *const public[] = {
		"8.8.8.8",	 "172.32.0.1",	   "100.128.0.1",
		"198.20.0.1",	 "192.0.1.1",	   "2001:4860::8888",
		"9.255.255.255", "::ffff:8.8.8.8",
	};

	for (size_t i = 0; i < ARRAY_SIZE(private); i++) {
		CHECK(!reaches("*", private[i]));
		CHECK(!reaches("*.example.org", private[i]));
		CHECK(reaches("host.example.org", private[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(public); i++)
		CHECK(reaches("*", public[i]));
}

int main(void)
{
	RUN(test_hosts);
	RUN(test_stars);
	RUN(test_refused);
	RUN(test_narrowest);
	RUN(test_addresses);
	return tap_done();
}
