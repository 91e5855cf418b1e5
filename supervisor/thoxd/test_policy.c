/* Who may what: what rules admit, what refusals say, what grants carry. */

#include "thoxd/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "rpc/pattern.h"

static char rule[POLICY_RULE_BYTES];

static struct mp_bytes text(const char *s)
{
	return (struct mp_bytes){ s, strlen(s) };
}

static bool may(const struct policy *p, enum policy_kind kind, const char *name)
{
	rule[0] = '\0';
	return policy_admits(p, kind, text(name), rule);
}

/* Verify that without a policy, and by one that says nothing, all is
 * admitted. */
static void test_nothing_said(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;

	CHECK(may(NULL, POLICY_STORE, "anything"));
	CHECK_EQ(policy_new(NULL, "here", &p), 0);
	CHECK(may(p, POLICY_CALL, "a.b"));
	CHECK_STR(rule, "");
}

/* Verify that a deny pattern wins, and that the refusal names the rule. */
static void test_deny(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;

	CHECK_EQ(policy_new(NULL, "[exec] in thoxd.conf", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_CALL, true, "fs.**"), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_CALL, false, "fs.write,fs.rm.*"),
		 0);
	CHECK(may(p, POLICY_CALL, "fs.read"));
	CHECK(!may(p, POLICY_CALL, "fs.write"));
	CHECK_STR(rule, "rule \"deny call fs.write\" of [exec] in thoxd.conf");
	CHECK(!may(p, POLICY_CALL, "fs.rm.all"));
	CHECK(!may(p, POLICY_CALL, "net.get"));
	CHECK_STR(rule, "no rule \"allow call\" of [exec] in thoxd.conf admits "
			"net.get");
	CHECK(may(p, POLICY_BIND, "fs.write"));
}

/* Verify that what is restricted without a pattern is not admitted. */
static void test_restricted(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;

	CHECK_EQ(policy_new(NULL, "x", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_RUN, true, " "), 0);
	CHECK(!may(p, POLICY_RUN, "hello"));
	CHECK(may(p, POLICY_STORE, "hello"));
}

/* Verify that a level can only narrow what is above it. */
static void test_levels_narrow(void)
{
	_cleanup_(policy_unrefp) struct policy *top = NULL, *p = NULL;

	CHECK_EQ(policy_new(NULL, "top", &top), 0);
	CHECK_EQ(policy_deny(top, POLICY_CALL, "a.x", 3), 0);
	CHECK_EQ(policy_new(top, "own", &p), 0);
	CHECK_EQ(policy_allow(p, POLICY_CALL, "**", 2), 0);
	CHECK(!may(p, POLICY_CALL, "a.x"));
	CHECK_STR(rule, "rule \"deny call a.x\" of top");
	CHECK(may(p, POLICY_CALL, "a.y"));
}

/* Verify that the chain keeps its upper levels alive, and has an end. */
static void test_levels_end(void)
{
	struct policy *p = NULL, *next;
	unsigned n = 0;

	while (policy_new(p, "deeper", &next) == 0) {
		policy_unref(p);
		p = next;
		n++;
	}
	CHECK_EQ(n, POLICY_LEVELS_MAX);
	policy_unref(p);
}

static void write_rules(struct mp_writer *w, uint32_t n, const char *kind,
			const char *pattern)
{
	mp_write_map(w, n);
	mp_write_str(w, kind);
	mp_write_array(w, 1);
	mp_write_str(w, pattern);
}

static struct mp_bytes bytes(const struct mp_writer *w)
{
	return (struct mp_bytes){ (const char *)w->data, w->used };
}

/* Verify that the maps of a request narrow, and an empty array allows
 * nothing. */
static void test_maps(void)
{
	static const struct mp_bytes none;
	_cleanup_(policy_unrefp) struct policy *top = NULL, *p = NULL,
					       *q = NULL;
	uint8_t buf[200];
	struct mp_writer w;

	CHECK_EQ(policy_new(NULL, "top", &top), 0);
	CHECK_EQ(policy_narrow(top, "own", none, none, &p), 0);
	CHECK(p == top);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_map(&w, 2);
	mp_write_str(&w, "call");
	mp_write_array(&w, 1);
	mp_write_str(&w, "a.*");
	mp_write_str(&w, "run");
	mp_write_array(&w, 0);
	CHECK_EQ(policy_narrow(top, "own", bytes(&w), none, &q), 0);
	CHECK(may(q, POLICY_CALL, "a.b"));
	CHECK(!may(q, POLICY_CALL, "a"));
	CHECK(!may(q, POLICY_RUN, "a"));
	CHECK(may(q, POLICY_BIND, "a"));
}

/* Verify that what is no map of rules is refused: also a kind that nobody
 * knows, which a newer client might have meant to deny. */
static void test_wrong_maps(void)
{
	static const struct mp_bytes none;
	struct policy *p = NULL;
	uint8_t buf[200];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	write_rules(&w, 1, "calls", "a");
	CHECK_EQ(policy_narrow(NULL, "", bytes(&w), none, &p), -EBADMSG);
	mp_writer_init(&w, buf, sizeof(buf));
	write_rules(&w, 1, "call", "a..b");
	CHECK_EQ(policy_narrow(NULL, "", none, bytes(&w), &p), -EBADMSG);
	mp_writer_init(&w, buf, sizeof(buf));
	write_rules(&w, 2, "call", "a");
	CHECK_EQ(policy_narrow(NULL, "", none, bytes(&w), &p), -EBADMSG);
	mp_writer_init(&w, buf, sizeof(buf));
	write_rules(&w, 1, "call", "a");
	for (size_t size = 1; size < w.used; size++) {
		struct mp_bytes cut = { (const char *)buf, size };

		CHECK_EQ(policy_narrow(NULL, "", none, cut, &p), -EBADMSG);
	}
	CHECK(!p);
}

/* Verify that a level takes no more than its number of patterns. */
static void test_too_many(void)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;

	CHECK_EQ(policy_new(NULL, "", &p), 0);
	for (unsigned i = 0; i < POLICY_PATTERNS_MAX; i++)
		CHECK_EQ(policy_deny(p, POLICY_CALL, "a", 1), 0);
	CHECK_EQ(policy_deny(p, POLICY_CALL, "a", 1), -E2BIG);
}

/* Verify that a name is thought of only where the first level names it. */
static void test_named(void)
{
	_cleanup_(policy_unrefp) struct policy *top = NULL, *p = NULL;

	CHECK(policy_names(NULL, POLICY_BIND, text("a.b")));
	CHECK_EQ(policy_new(NULL, "top", &top), 0);
	CHECK_EQ(policy_parse_list(top, POLICY_BIND, true, "** a.** b.c"), 0);
	CHECK_EQ(policy_new(top, "own", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_BIND, true, "d.e"), 0);
	CHECK(policy_names(p, POLICY_BIND, text("a.x")));
	CHECK(policy_names(p, POLICY_BIND, text("b.c")));
	CHECK(!policy_names(p, POLICY_BIND, text("b.d")));
	CHECK(!policy_names(p, POLICY_BIND, text("d.e")));
	CHECK(!policy_names(p, POLICY_CALL, text("a.x")));
}

/* The grants as text: `allow,…/deny,…;` for each pair. */
static const char *grants(const struct policy *p, const char *prefix)
{
	static char out[300];
	uint8_t buf[600];
	struct mp_writer w;
	struct mp_reader r;
	size_t used = 0;

	out[0] = '\0';
	mp_writer_init(&w, buf, sizeof(buf));
	if (!policy_write_grants(p, prefix, &w))
		return "all";
	mp_reader_init(&r, buf, w.used);
	for (uint32_t n = mp_read_array(&r); n > 0; n--) {
		if (mp_read_array(&r) != 2)
			return "not a pair";
		for (int side = 0; side < 2; side++) {
			for (uint32_t k = mp_read_array(&r); k > 0; k--) {
				struct mp_bytes b = mp_read_str(&r);

				used += (size_t)snprintf(out + used,
							 sizeof(out) - used,
							 "%.*s%s", (int)b.size,
							 b.p, k > 1 ? "," : "");
			}
			used += (size_t)snprintf(out + used, sizeof(out) - used,
						 "%s", side ? ";" : "/");
		}
	}
	return mp_end(&r) == 0 ? out : "bad";
}

/* Verify that a link carries what concerns its name, and nothing else. */
static void test_grants(void)
{
	_cleanup_(policy_unrefp) struct policy *top = NULL, *p = NULL;

	CHECK_STR(grants(NULL, "fs"), "all");
	CHECK_EQ(policy_new(NULL, "top", &top), 0);
	CHECK_EQ(policy_parse_list(top, POLICY_CALL, true, "**"), 0);
	CHECK_EQ(policy_parse_list(top, POLICY_CALL, false, "fs.write net.**"),
		 0);
	CHECK_EQ(policy_parse_list(top, POLICY_RUN, false, "fs"), 0);
	CHECK_STR(grants(top, "chat"), "all");
	CHECK_STR(grants(top, "fs"), "**/fs.write;");
	CHECK_STR(grants(top, "fs.read"), "all");
	CHECK_STR(grants(top, "net.http"), "**/net.**;");
	CHECK_EQ(policy_new(top, "own", &p), 0);
	CHECK_EQ(policy_parse_list(p, POLICY_CALL, true, "fs.read chat.**"), 0);
	CHECK_STR(grants(p, "fs"), "fs.read/;**/fs.write;");
	CHECK_STR(grants(p, "chat"), "all");
	CHECK_STR(grants(p, "mail"), "/;");
	CHECK_STR(grants(p, ""), "fs.read,chat.**/;**/fs.write,net.**;");
}

/* Verify which patterns reach below a name, and which cover all of it. */
static void test_below(void)
{
	static const struct {
		const char *pattern, *prefix;
		bool covers, reaches;
	} rows[] = {
		{ "**", "", true, true },
		{ "**", "a.b", true, true },
		{ "a.**", "a", true, true },
		{ "a.**", "a.b.c", true, true },
		{ "a.**", "", false, true },
		{ "a.**", "b", false, false },
		{ "a", "a", false, true },
		{ "a", "a.b", false, false },
		{ "a.b", "a", false, true },
		{ "a.*", "a", false, true },
		{ "*.b", "a", false, true },
		{ "*", "a", false, true },
		{ "*.**", "a", true, true },
		{ "a.b", "a.c", false, false },
		{ "a.b.c", "a.b", false, true },
		{ "*.*", "a.b.c", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mp_bytes p = text(rows[i].pattern);
		struct mp_bytes n = text(rows[i].prefix);

		CHECK_EQ(pattern_covers(p.p, p.size, n.p, n.size),
			 rows[i].covers);
		CHECK_EQ(pattern_reaches(p.p, p.size, n.p, n.size),
			 rows[i].reaches);
	}
}

static struct policy *level(struct policy *parent, const char *allowed)
{
	struct policy *p = NULL;

	if (policy_new(parent, allowed, &p) < 0 ||
	    policy_parse_list(p, POLICY_CALL, true, allowed) < 0)
		abort();
	return p;
}

/* Verify that a policy is within itself and all above it, whoever made the
 * same again, and within no other. */
static void test_within(void)
{
	_cleanup_(policy_unrefp) struct policy *top = level(NULL, "a.**");
	_cleanup_(policy_unrefp) struct policy *low = level(top, "a.b");
	_cleanup_(policy_unrefp) struct policy *again = level(NULL, "a.**");
	_cleanup_(policy_unrefp) struct policy *again_low = level(again, "a.c");
	_cleanup_(policy_unrefp) struct policy *alone = level(NULL, "a.b");
	char of_top[POLICY_DIGEST_BYTES], of_low[POLICY_DIGEST_BYTES];
	char of_none[POLICY_DIGEST_BYTES];

	policy_digest(top, of_top);
	policy_digest(low, of_low);
	policy_digest(NULL, of_none);
	CHECK_EQ(strlen(of_top), POLICY_DIGEST_BYTES - 1);
	CHECK_STR(of_none, "");
	CHECK(policy_within(top, of_top) && policy_within(low, of_top));
	CHECK(policy_within(low, of_low) && !policy_within(top, of_low));
	CHECK(policy_within(again, of_top) && policy_within(again_low, of_top));
	CHECK(!policy_within(again_low, of_low));
	CHECK(!policy_within(alone, of_low) && !policy_within(alone, of_top));
	CHECK(!policy_within(NULL, of_top));
	CHECK(policy_within(NULL, "") && policy_within(low, ""));
}

int main(void)
{
	RUN(test_nothing_said);
	RUN(test_deny);
	RUN(test_restricted);
	RUN(test_levels_narrow);
	RUN(test_levels_end);
	RUN(test_maps);
	RUN(test_wrong_maps);
	RUN(test_too_many);
	RUN(test_named);
	RUN(test_grants);
	RUN(test_below);
	RUN(test_within);
	return tap_done();
}
