/* Asking about a text: is what it needs in the store? */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/store.h"
#include "fs/verify.h"

static const char *const kinds[DIR_COUNT] = {
	[DIR_PROGRAMS] = "program", [DIR_LIBRARIES] = "library",
	[DIR_RUNTIMES] = "runtime", [DIR_SERVICES] = "service",
	[DIR_DATA] = "stream",
};

static bool is_there(struct store *s, const struct verify_need *need,
		     uint64_t version)
{
	struct name_ref ref = { .kind = version ? REF_VERSION : REF_LIVE,
				.version = version };

	strcpy(ref.name, need->name);
	/* A store that cannot be read is no reason to refuse a text. */
	return store_resolve(s, need->dir, &ref, NULL, NULL) != -ENOENT;
}

static void refuse(struct verdict *v, const char *name,
		   const struct verify_need *need, uint64_t version)
{
	int n = snprintf(v->reason, sizeof(v->reason), "%s:%u: there is no ",
			 name, need->line);

	v->result = -EINVAL;
	if (version)
		snprintf(v->reason + n, sizeof(v->reason) - (size_t)n,
			 "version %llu of %s", (unsigned long long)version,
			 need->name);
	else
		snprintf(v->reason + n, sizeof(v->reason) - (size_t)n, "%s %s",
			 kinds[need->dir], need->name);
}

void verdict_check_needs(struct verdict *v, struct store *s, const char *name)
{
	for (uint32_t i = 0; v->result == 0 && i < v->n_needs; i++) {
		const struct verify_need *need = &v->needs[i];

		if (!is_there(s, need, 0))
			refuse(v, name, need, 0);
		else if (need->version && !is_there(s, need, need->version))
			refuse(v, name, need, need->version);
	}
}
