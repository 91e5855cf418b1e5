/*
 * Fuzz: no text makes a definition that says what it may not.
 *
 * The first byte chooses the name and the instance.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/pattern.h"
#include "rpc/wire.h"
#include "service/definition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int has(void *user, const struct definition_need *need)
{
	const size_t *size = user;

	assert(name_valid(need->name));
	assert(need->dir < DIR_COUNT);
	return *size % 3 == 0 ? 1 : *size % 3 == 1 ? 0 : -1;
}

static void check_services(const struct names *names)
{
	char text[SERVICE_NAME_BYTES];
	struct service_ref ref;

	for (uint32_t i = 0; i < names->n; i++) {
		assert(service_ref_parse(names->items[i], &ref, NULL) == 0);
		service_ref_format(ref.name, ref.instance, text);
		assert(strcmp(text, names->items[i]) == 0 ||
		       strstr(ref.name, ".service"));
	}
}

static void check_patterns(const struct names *names)
{
	for (uint32_t i = 0; i < names->n; i++) {
		const char *p = names->items[i];

		p += *p == '!';
		assert(pattern_check(p, strlen(p)));
	}
}

static void check_secrets(const struct names *names)
{
	for (uint32_t i = 0; i < names->n; i++) {
		const char *file = strchr(names->items[i], '=');

		assert(file && file[1] && file[1] != '/');
		assert(!strstr(file, ".."));
	}
}

static void check(const struct definition *d)
{

	assert(d->program && name_valid(d->program));
	assert(!d->runtime || name_valid(d->runtime));
	for (uint32_t i = 0; i < d->provides.n; i++)
		assert(wire_check_name(d->provides.items[i],
				       strlen(d->provides.items[i])));
	check_services(&d->requires);
	check_services(&d->wants);
	check_services(&d->after);
	check_services(&d->before);
	check_services(&d->part_of);
	check_patterns(&d->call);
	check_patterns(&d->bind);
	check_patterns(&d->run);
	check_patterns(&d->store);
	check_secrets(&d->secrets);
	assert(d->args.n <= DEFINITION_ARGS_MAX);
	assert(d->env.n <= DEFINITION_ENV_MAX);
	assert(d->policy.restart.factor >= 1 &&
	       d->policy.restart.factor <= 100);
	assert(d->policy.restart.jitter >= 0 && d->policy.restart.jitter <= 1);
	assert(!d->schedule_text || schedule_comes(d->schedule));
	assert(definition_success(d, 0, 0));
	assert(d->policy.stop_timeout_ms > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct definition_lookup lookup = { .has = has, .user = &size };
	struct definition_source source = { .name = "greeter",
					    .now_s = 1800000000 };
	struct definition_notes notes;
	struct definition *d = NULL;

	if (size < 1)
		return 0;
	if (data[0] & 1)
		source.instance = data[0] & 2 ? "a+b.c" : "blue";
	if (data[0] & 4)
		source.lookup = &lookup;
	source.text = (const char *)data + 1;
	source.size = size - 1;
	if (definition_parse(&source, &d, &notes) == 0) {
		assert(notes.errors == 0);
		check(d);
	} else {
		assert(notes.errors > 0 && !d);
	}
	assert(notes.n <= DEFINITION_NOTES_MAX);
	for (size_t i = 1; i < notes.n; i++)
		assert(notes.items[i].line >= notes.items[i - 1].line ||
		       notes.items[i].line == 0);
	definition_free(d);
	return 0;
}
