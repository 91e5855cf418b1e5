/*
 * Steps 4 to 9: what a process may.
 *
 * The patterns of a level are one list, each with its kind and whether it
 * allows; there are few, so a look goes through all of them.
 */

#include "thoxd/policy.h"

#include <errno.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/pattern.h"

const char *const policy_kind_name[POLICY_KIND_COUNT] = {
	[POLICY_CALL] = "call",
	[POLICY_BIND] = "bind",
	[POLICY_RUN] = "run",
	[POLICY_STORE] = "store",
};

/* As long as its pattern; the next one follows. */
struct rule {
	uint8_t kind; /* enum policy_kind */
	bool allow;
	uint8_t size;
	char pattern[];
};

struct policy {
	unsigned refs;
	unsigned level; /* 1: none above */
	struct policy *parent;
	uint8_t *rules;
	size_t rules_size;
	unsigned n_rules;
	bool restricted[POLICY_KIND_COUNT]; /* only what is allowed here */
	char origin[];
};

/* The one after @rule (NULL: the first), or NULL. */
static const struct rule *next_rule(const struct policy *p,
				    const struct rule *rule)
{
	const uint8_t *at = p->rules;

	if (rule)
		at = (const uint8_t *)rule->pattern + rule->size;
	if (p->n_rules == 0 || at == p->rules + p->rules_size)
		return NULL;
	return (const struct rule *)at;
}

#define each_rule(rule, p)                                                     \
	const struct rule *rule = next_rule(p, NULL);                          \
	rule;                                                                  \
	rule = next_rule(p, rule)

int policy_new(struct policy *parent, const char *origin,
	       struct policy **ret_policy)
{
	size_t origin_size = strnlen(origin, POLICY_ORIGIN_BYTES - 1);
	struct policy *p;

	if (parent && parent->level >= POLICY_LEVELS_MAX)
		return -E2BIG;
	p = calloc(1, sizeof(*p) + origin_size + 1);
	if (!p)
		return -ENOMEM;
	p->refs = 1;
	p->level = parent ? parent->level + 1 : 1;
	p->parent = policy_ref(parent);
	memcpy(p->origin, origin, origin_size);
	*ret_policy = p;
	return 0;
}

struct policy *policy_ref(struct policy *p)
{
	if (p)
		p->refs++;
	return p;
}

struct policy *policy_unref(struct policy *p)
{
	while (p && --p->refs == 0) {
		struct policy *parent = p->parent;

		free(p->rules);
		free(p);
		p = parent;
	}
	return NULL;
}

void policy_unrefp(struct policy **p)
{
	policy_unref(*p);
}

/* --- making one -----------------------------------------------------------
 */

static int add_rule(struct policy *p, enum policy_kind kind, bool allow,
		    const char *pattern, size_t size)
{
	size_t rule_size = sizeof(struct rule) + size;
	struct rule *rule;
	uint8_t *rules;

	if (!pattern_check(pattern, size))
		return -EINVAL;
	if (p->n_rules >= POLICY_PATTERNS_MAX)
		return -E2BIG;
	rules = realloc(p->rules, p->rules_size + rule_size);
	if (!rules)
		return -ENOMEM;
	p->rules = rules;
	rule = (struct rule *)(rules + p->rules_size);
	rule->kind = (uint8_t)kind;
	rule->allow = allow;
	rule->size = (uint8_t)size;
	memcpy(rule->pattern, pattern, size);
	p->rules_size += rule_size;
	p->n_rules++;
	if (allow)
		p->restricted[kind] = true;
	return 0;
}

int policy_allow(struct policy *p, enum policy_kind kind, const char *pattern,
		 size_t size)
{
	return add_rule(p, kind, true, pattern, size);
}

int policy_deny(struct policy *p, enum policy_kind kind, const char *pattern,
		size_t size)
{
	return add_rule(p, kind, false, pattern, size);
}

void policy_restrict(struct policy *p, enum policy_kind kind)
{
	p->restricted[kind] = true;
}

int policy_parse_list(struct policy *p, enum policy_kind kind, bool allow,
		      const char *text)
{
	static const char between[] = ", \t";

	if (allow)
		policy_restrict(p, kind);
	for (text += strspn(text, between); *text;
	     text += strspn(text, between)) {
		size_t size = strcspn(text, between);
		int r = add_rule(p, kind, allow, text, size);

		if (r < 0)
			return r;
		text += size;
	}
	return 0;
}

static int parse_kind(struct policy *p, bool allow, struct mp_reader *r)
{
	struct mp_bytes key = mp_read_str(r);
	uint32_t n = mp_read_array(r);
	int kind = 0, e = 0;

	while (kind < POLICY_KIND_COUNT &&
	       !mp_bytes_equal(key, policy_kind_name[kind]))
		kind++;
	if (kind == POLICY_KIND_COUNT)
		return -EBADMSG; /* passed over, it would allow too much */
	if (allow)
		policy_restrict(p, (enum policy_kind)kind);
	while (n-- > 0 && !r->bad && e == 0) {
		struct mp_bytes pattern = mp_read_str(r);

		e = add_rule(p, (enum policy_kind)kind, allow, pattern.p,
			     pattern.size);
	}
	return e == -EINVAL ? -EBADMSG : e;
}

int policy_parse_map(struct policy *p, bool allow, struct mp_bytes map)
{
	struct mp_reader r;
	uint32_t n;
	int e = 0;

	if (map.size == 0)
		return 0;
	mp_reader_init(&r, map.p, map.size);
	n = mp_read_map(&r);
	while (n-- > 0 && !r.bad && e == 0)
		e = parse_kind(p, allow, &r);
	return e ? e : mp_end(&r);
}

int policy_narrow(struct policy *parent, const char *origin,
		  struct mp_bytes allow, struct mp_bytes deny,
		  struct policy **ret_policy)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	bool says = false;
	int r;

	r = policy_new(parent, origin, &p);
	/* one that cannot be made is no error where none is wanted */
	if (r == -E2BIG && allow.size == 0 && deny.size == 0) {
		*ret_policy = policy_ref(parent);
		return 0;
	}
	r = r ? r : policy_parse_map(p, true, allow);
	r = r ? r : policy_parse_map(p, false, deny);
	if (r < 0)
		return r;
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++)
		says = says || p->restricted[kind];
	*ret_policy = says || p->n_rules > 0 ? steal(&p) : policy_ref(parent);
	return 0;
}

/* --- asking ---------------------------------------------------------------
 */

static bool matches(const struct rule *rule, struct mp_bytes name)
{
	return pattern_match(rule->pattern, rule->size, name.p, name.size);
}

static bool level_admits(const struct policy *p, enum policy_kind kind,
			 struct mp_bytes name, char *ret_rule)
{
	bool allowed = !p->restricted[kind];

	for (each_rule(rule, p)) {
		if (rule->kind != kind || (rule->allow && allowed) ||
		    !matches(rule, name))
			continue;
		if (rule->allow) {
			allowed = true;
			continue;
		}
		if (ret_rule)
			snprintf(ret_rule, POLICY_RULE_BYTES,
				 "rule \"deny %s %.*s\" of %s",
				 policy_kind_name[kind], (int)rule->size,
				 rule->pattern, p->origin);
		return false;
	}
	if (!allowed && ret_rule)
		snprintf(ret_rule, POLICY_RULE_BYTES,
			 "no rule \"allow %s\" of %s admits %.*s",
			 policy_kind_name[kind], p->origin,
			 (int)(name.size < 129 ? name.size : 129), name.p);
	return allowed;
}

bool policy_admits(const struct policy *p, enum policy_kind kind,
		   struct mp_bytes name, char ret_rule[POLICY_RULE_BYTES])
{
	for (; p; p = p->parent)
		if (!level_admits(p, kind, name, ret_rule))
			return false;
	return true;
}

bool policy_names(const struct policy *p, enum policy_kind kind,
		  struct mp_bytes name)
{
	while (p && p->parent)
		p = p->parent;
	if (!p)
		return true;
	for (each_rule(rule, p)) {
		if (rule->allow && rule->kind == kind &&
		    rule->pattern[0] != '*' && matches(rule, name))
			return true;
	}
	return false;
}

/* --- what can be kept of it ------------------------------------------------
 */

#define HASH_BYTES 32

/* Of this level and all above it. */
static void hash(const struct policy *p, uint8_t ret[HASH_BYTES])
{
	uint8_t above[HASH_BYTES];
	SHA2_CTX ctx;

	if (p->parent)
		hash(p->parent, above);
	SHA256Init(&ctx);
	if (p->parent)
		SHA256Update(&ctx, above, sizeof(above));
	for (unsigned i = 0; i < POLICY_KIND_COUNT; i++)
		SHA256Update(&ctx, (uint8_t[]){ p->restricted[i] }, 1);
	for (each_rule(rule, p)) {
		uint8_t head[] = { rule->kind, rule->allow, rule->size };

		SHA256Update(&ctx, head, sizeof(head));
		SHA256Update(&ctx, (const uint8_t *)rule->pattern, rule->size);
	}
	SHA256Final(ret, &ctx);
}

void policy_digest(const struct policy *p, char ret[POLICY_DIGEST_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t bytes[HASH_BYTES];
	size_t n = p ? HASH_BYTES : 0;

	if (p)
		hash(p, bytes);
	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = hex[bytes[i] >> 4];
		ret[2 * i + 1] = hex[bytes[i] & 15];
	}
	ret[2 * n] = '\0';
}

bool policy_within(const struct policy *p, const char *digest)
{
	char own[POLICY_DIGEST_BYTES];

	for (; p && digest[0]; p = p->parent) {
		policy_digest(p, own);
		if (strcmp(own, digest) == 0)
			return true;
	}
	return !digest[0];
}

/* --- grants ---------------------------------------------------------------
 */

static bool concerns(const struct rule *rule, const char *prefix)
{
	return rule->kind == POLICY_CALL &&
	       pattern_reaches(rule->pattern, rule->size, prefix,
			       strlen(prefix));
}

/* Some allow pattern admits all from the prefix on. */
static bool allows_all(const struct policy *p, const char *prefix)
{
	if (!p->restricted[POLICY_CALL])
		return true;
	for (each_rule(rule, p)) {
		if (rule->allow && rule->kind == POLICY_CALL &&
		    pattern_covers(rule->pattern, rule->size, prefix,
				   strlen(prefix)))
			return true;
	}
	return false;
}

static unsigned count(const struct policy *p, bool allow, const char *prefix)
{
	unsigned n = 0;

	for (each_rule(rule, p))
		n += rule->allow == allow && concerns(rule, prefix);
	return n;
}

static bool says_nothing(const struct policy *p, const char *prefix)
{
	return allows_all(p, prefix) && count(p, false, prefix) == 0;
}

static void write_rules(const struct policy *p, bool allow, const char *prefix,
			struct mp_writer *w)
{
	mp_write_array(w, count(p, allow, prefix));
	for (each_rule(rule, p)) {
		if (rule->allow == allow && concerns(rule, prefix))
			mp_write_strn(w, rule->pattern, rule->size);
	}
}

static void write_pair(const struct policy *p, const char *prefix,
		       struct mp_writer *w)
{
	mp_write_array(w, 2);
	if (allows_all(p, prefix)) {
		mp_write_array(w, 1);
		mp_write_str(w, "**");
	} else {
		write_rules(p, true, prefix, w);
	}
	write_rules(p, false, prefix, w);
}

bool policy_write_grants(const struct policy *p, const char *prefix,
			 struct mp_writer *w)
{
	uint32_t n = 0;

	for (const struct policy *at = p; at; at = at->parent)
		n += !says_nothing(at, prefix);
	if (n == 0)
		return false;
	mp_write_array(w, n);
	for (const struct policy *at = p; at; at = at->parent)
		if (!says_nothing(at, prefix))
			write_pair(at, prefix, w);
	return true;
}

/* --- kept for a later life ------------------------------------------------
 */

static void write_level(const struct policy *p, struct mp_writer *w)
{
	unsigned restricted = 0;

	for (unsigned i = 0; i < POLICY_KIND_COUNT; i++)
		restricted |= (unsigned)p->restricted[i] << i;
	mp_write_array(w, 3);
	mp_write_str(w, p->origin);
	mp_write_uint(w, restricted);
	mp_write_array(w, 3 * p->n_rules);
	for (each_rule(rule, p)) {
		mp_write_uint(w, rule->kind);
		mp_write_bool(w, rule->allow);
		mp_write_strn(w, rule->pattern, rule->size);
	}
}

void policy_write(const struct policy *p, struct mp_writer *w)
{
	const struct policy *levels[POLICY_LEVELS_MAX];
	unsigned n = 0;

	for (; p; p = p->parent)
		levels[n++] = p;
	mp_write_array(w, n);
	while (n > 0)
		write_level(levels[--n], w);
}

static int read_rules(struct mp_reader *r, struct policy *p)
{
	uint32_t n = mp_read_array(r);
	int e = 0;

	for (uint32_t i = 0; i < n && e == 0; i += 3) {
		uint64_t kind = mp_read_uint(r);
		bool allow = mp_read_bool(r);
		struct mp_bytes pattern = mp_read_str(r);

		if (r->bad || kind >= POLICY_KIND_COUNT)
			return -EBADMSG;
		e = add_rule(p, (enum policy_kind)kind, allow, pattern.p,
			     pattern.size);
	}
	return e == -EINVAL ? -EBADMSG : e;
}

/* Below *at, which it replaces. */
static int read_level(struct mp_reader *r, struct policy **at)
{
	struct policy *p = NULL;
	char origin[POLICY_ORIGIN_BYTES];
	struct mp_bytes text;
	uint64_t restricted;
	int e;

	if (mp_read_array(r) != 3)
		return -EBADMSG;
	text = mp_read_str(r);
	restricted = mp_read_uint(r);
	if (r->bad || mp_bytes_copy(text, origin, sizeof(origin)) < 0)
		return -EBADMSG;
	e = policy_new(*at, origin, &p);
	if (e < 0)
		return e;
	policy_unref(*at);
	*at = p;
	for (unsigned i = 0; i < POLICY_KIND_COUNT; i++)
		p->restricted[i] = restricted >> i & 1;
	return read_rules(r, p);
}

int policy_read(struct mp_reader *r, struct policy **ret_policy)
{
	struct policy *p = NULL;
	uint32_t n = mp_read_array(r);
	int e = 0;

	for (uint32_t i = 0; i < n && e == 0; i++)
		e = read_level(r, &p);
	if (e == 0 && r->bad)
		e = -EBADMSG;
	if (e < 0)
		policy_unref(p);
	else
		*ret_policy = p;
	return e;
}
