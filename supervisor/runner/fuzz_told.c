/* Fuzz: what thoxd tells of contexts is taken apart within its bounds. */

#include <assert.h>
#include <stdlib.h>

#include "rpc/control.h"
#include "runner/grants.h"
#include "runner/told.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct mp_bytes b, const uint8_t *data, size_t size)
{
	if (b.size == 0)
		return;
	assert((const uint8_t *)b.p >= data);
	assert((const uint8_t *)b.p + b.size <= data + size);
}

/* A grant admits the same name twice, and explains itself where it does not. */
static void try_grants(struct mp_bytes raw)
{
	static const struct mp_bytes name = { "fs.dir.read", 11 };
	struct grants *g = grants_new(raw);
	char rule[200];
	bool admitted;

	if (!g)
		return;
	admitted = grants_admit(g, name);
	assert(grants_admit(g, name) == admitted);
	if (!admitted)
		grants_explain(g, name, rule, sizeof(rule));
	grants_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct told t;

	if (told_parse(data, size, &t) < 0)
		return 0;
	assert(told_is(t.kind));
	check_within(t.name, data, size);
	check_within(t.grants, data, size);
	check_within(t.program, data, size);
	check_within(t.service, data, size);
	check_within(t.text, data, size);
	check_within(t.links, data, size);
	if (t.grants.size > 0)
		try_grants(t.grants);
	return 0;
}
