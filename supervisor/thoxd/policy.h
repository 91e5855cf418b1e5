#pragma once

/*
 * Who may what: chains of rules.
 *
 * A policy is a level of patterns (rpc/pattern.h) for each kind of authority,
 * above another policy or none. A name is admitted when every level admits
 * it: one of its allow patterns does, if the level says anything of what it
 * allows, and none of its deny patterns. So whoever adds a level can only
 * narrow. Policies do not change once they are used, and are counted.
 *
 * Without any policy (NULL) everything is admitted: the user's own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

enum policy_kind {
	POLICY_CALL,  /* call, push to and listen to a name */
	POLICY_BIND,  /* provide a name */
	POLICY_RUN,   /* run a program; control others */
	POLICY_STORE, /* change the store */
	POLICY_KIND_COUNT,
};
extern const char *const policy_kind_name[POLICY_KIND_COUNT];

#define POLICY_PATTERNS_MAX 256U /* of a level */
#define POLICY_LEVELS_MAX   16U
#define POLICY_ORIGIN_BYTES 96U
#define POLICY_RULE_BYTES   300U

struct policy;

/* A level without rules above @parent, which may be NULL. @origin is said in
 * refusals: `[exec] in thoxd.conf`. -E2BIG: too many levels. */
int policy_new(struct policy *parent, const char *origin,
	       struct policy **ret_policy);
struct policy *policy_ref(struct policy *p);   /* NULL allowed */
struct policy *policy_unref(struct policy *p); /* NULL, always */
void policy_unrefp(struct policy **p);

/*
 * Add to the rules of a new level. -EINVAL: no pattern; -E2BIG: too many.
 * policy_restrict() says that something is said: without an allow pattern
 * beside it, nothing of that kind is allowed.
 */
int policy_allow(struct policy *p, enum policy_kind kind, const char *pattern,
		 size_t size);
int policy_deny(struct policy *p, enum policy_kind kind, const char *pattern,
		size_t size);
void policy_restrict(struct policy *p, enum policy_kind kind);
/* Patterns with spaces or commas between. */
int policy_parse_list(struct policy *p, enum policy_kind kind, bool allow,
		      const char *text);
/* An encoded map of kind to an array of patterns, as in CONTROL_RUN; size 0:
 * nothing. -EBADMSG: not such a map. */
int policy_parse_map(struct policy *p, bool allow, struct mp_bytes map);

/*
 * A level for @allow and @deny above @parent; without any rule it is @parent
 * itself. In both cases *ret_policy is a reference of the caller's.
 */
int policy_narrow(struct policy *parent, const char *origin,
		  struct mp_bytes allow, struct mp_bytes deny,
		  struct policy **ret_policy);

/* False: the rule that says no is put into @ret_rule, which may be NULL. */
bool policy_admits(const struct policy *p, enum policy_kind kind,
		   struct mp_bytes name, char ret_rule[POLICY_RULE_BYTES]);

/* Does the level that all others narrow admit it by a pattern that does not
 * begin with a wildcard? Somebody thought of this name then. */
bool policy_names(const struct policy *p, enum policy_kind kind,
		  struct mp_bytes name);

/*
 * What a policy is, in a word that can be kept: the same for the same levels
 * of the same rules, and for no others. "" of NULL.
 */
#define POLICY_DIGEST_BYTES 65U
void policy_digest(const struct policy *p, char ret[POLICY_DIGEST_BYTES]);
/* Is it the policy of that digest, or one with levels below it? Then it is no
 * wider. Of "" everything is. */
bool policy_within(const struct policy *p, const char *digest);

/* All of its levels, for a thoxd that comes later, and back: -EBADMSG, -E2BIG,
 * -ENOMEM. */
void policy_write(const struct policy *p, struct mp_writer *w);
int policy_read(struct mp_reader *r, struct policy **ret_policy);

/*
 * The grants of a link to what is called @prefix ("": any name): the array of
 * [allow, deny] of control.h, without what concerns no name below it. False,
 * and nothing is written: all are admitted.
 */
bool policy_write_grants(const struct policy *p, const char *prefix,
			 struct mp_writer *w);
