/* Fuzz: no text makes a name that leaves its directory. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fs/name.h"
#include "fs/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ref(const char *text, bool runtime_allowed)
{
	struct name_ref ref;
	const char *rule;

	if (name_parse(text, runtime_allowed, &ref, &rule) < 0) {
		assert(rule);
		return;
	}
	assert(!rule && name_valid(ref.name));
	assert(!ref.runtime[0] || name_valid(ref.runtime));
	assert(ref.kind != REF_VERSION || ref.version > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), name[NAME_MAX_BYTES + 1];
	char file[DRAFT_NAME_BYTES];
	uint64_t draft_id, id;
	enum store_dir dir;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';

	check_ref(text, true);
	check_ref(text, false);
	if (name_valid(text)) {
		assert(!strchr(text, '/') && text[0] != '.');
		for (int i = 0; i < DIR_COUNT; i++)
			if (name_alternate((enum store_dir)i, text, name))
				assert(name_valid(name));
	}
	if (name_scratch(text))
		assert(!strchr(text, '/') && strcmp(text, "..") != 0);
	if (draft_name_parse(text, &draft_id, &id, &dir, name) == 0) {
		draft_name(draft_id, id, dir, name, file);
		assert(strcmp(file, text) == 0);
	}
	free(text);
	return 0;
}
