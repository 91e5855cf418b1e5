/* Step 4, for services: a definition in use, and what it allows. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/pattern.h"
#include "rpc/wire.h"
#include "thoxd/policy.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

static int add_patterns(struct policy *p, enum policy_kind kind,
			const struct names *patterns)
{
	int r = 0;

	policy_restrict(p, kind);
	for (uint32_t i = 0; r == 0 && i < patterns->n; i++) {
		const char *text = patterns->items[i];

		r = text[0] == '!'
			    ? policy_deny(p, kind, text + 1, strlen(text + 1))
			    : policy_allow(p, kind, text, strlen(text));
	}
	return r;
}

/* What it provides it may bind, with all below. */
static int add_provided(struct policy *p, const struct names *provides)
{
	char pattern[WIRE_NAME_BYTES + 4];
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < provides->n; i++) {
		int n = snprintf(pattern, sizeof(pattern), "%s.**",
				 provides->items[i]);

		/* a name so long has nothing below it */
		if (n > (int)PATTERN_BYTES)
			n -= 3;
		r = policy_allow(p, POLICY_BIND, pattern, (size_t)n);
	}
	return r;
}

/* Nothing but what it says: an empty list allows nothing. */
static int make_policy(const char *name, const struct definition *d,
		       struct policy **ret_policy)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	char origin[POLICY_ORIGIN_BYTES];
	int r;

	snprintf(origin, sizeof(origin), "[allow] of service %.70s", name);
	r = policy_new(NULL, origin, &p);
	if (r == 0)
		r = add_patterns(p, POLICY_CALL, &d->call);
	if (r == 0)
		r = add_patterns(p, POLICY_BIND, &d->bind);
	if (r == 0)
		r = add_patterns(p, POLICY_RUN, &d->run);
	if (r == 0)
		r = add_patterns(p, POLICY_STORE, &d->store);
	if (r == 0)
		r = add_provided(p, &d->provides);
	if (r == 0)
		*ret_policy = steal(&p);
	return r;
}

int service_config_new(const char *name, struct definition **definition,
		       uint64_t version, struct service_config **ret_config)
{
	struct service_config *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = make_policy(name, *definition, &c->policy);
	if (r < 0) {
		free(c);
		return r;
	}
	c->refs = 1;
	c->definition = steal(definition);
	c->version = version;
	*ret_config = c;
	return 0;
}

struct service_config *service_config_ref(struct service_config *c)
{
	c->refs++;
	return c;
}

struct service_config *service_config_unref(struct service_config *c)
{
	if (!c || --c->refs > 0)
		return NULL;
	definition_free(c->definition);
	policy_unref(c->policy);
	free(c);
	return NULL;
}

/* The instances of a template that are only numbered have texts of their
 * own: `%i` is their number. */
static int load_numbered(struct service_instance *in,
			 struct service_config **ret_config)
{
	struct service *sv = in->service;
	struct definition *d = NULL;
	struct definition_notes notes;
	struct store_entry entry;
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%u", in->number);
	r = load_definition(services_store(sv->services), sv->ref.name, number,
			    &d, &notes, &entry);
	if (r == 0)
		r = service_config_new(sv->name, &d, entry.version, ret_config);
	definition_free(d);
	return r;
}

int service_config_for(struct service_instance *in,
		       struct service_config **ret_config)
{
	struct service_config *c = in->service->config;

	if (!c)
		return -ENOENT;
	if (c->definition->is_template && !c->definition->instance)
		return load_numbered(in, ret_config);
	*ret_config = service_config_ref(c);
	return 0;
}

int service_config_of_version(struct service_instance *in, uint64_t version,
			      struct service_config **ret_config)
{
	const struct service *sv = in->service;
	struct definition *d = NULL;
	struct definition_notes notes;
	char number[16];
	const char *instance = sv->ref.instance[0] ? sv->ref.instance : NULL;
	int r;

	if (sv->config && sv->config->version == version && !in->number) {
		*ret_config = service_config_ref(sv->config);
		return 0;
	}
	snprintf(number, sizeof(number), "%u", in->number);
	r = load_definition_version(services_store(sv->services), sv->ref.name,
				    in->number ? number : instance, version, &d,
				    &notes);
	if (r < 0)
		return service_config_for(in, ret_config);
	r = service_config_new(sv->name, &d, version, ret_config);
	definition_free(d);
	return r;
}
