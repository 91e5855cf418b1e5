/* Step 4, for services: definitions out of a store. */

#include "service/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

/* --- what a definition needs --------------------------------------------- */

static int has(void *user, const struct definition_need *need)
{
	struct name_ref ref = {
		.kind = need->version ? REF_VERSION : REF_LIVE,
		.version = need->version,
	};
	int r;

	strcpy(ref.name, need->name);
	r = store_resolve(user, need->dir, &ref, NULL, NULL);
	return r == 0 ? 1 : r == -ENOENT ? 0 : -ENODATA;
}

struct definition_lookup load_lookup(struct store *store)
{
	return (struct definition_lookup){ .has = has, .user = store };
}

/* --- one ----------------------------------------------------------------- */

/* All of it, and no more than one byte over the limit. */
static int read_text(int fd, char **ret_text, size_t *ret_size)
{
	_cleanup_(freep) char *text = malloc(DEFINITION_BYTES + 1);
	size_t size = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	while (size <= DEFINITION_BYTES) {
		n = pread(fd, text + size, DEFINITION_BYTES + 1 - size,
			  (off_t)size);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret_text = steal(&text);
	*ret_size = size;
	return 0;
}

static int load(struct store *store, struct name_ref *ref, const char *name,
		const char *instance, struct definition **ret_definition,
		struct definition_notes *ret_notes,
		struct store_entry *ret_entry)
{
	struct definition_lookup lookup = load_lookup(store);
	struct definition_source source = { .instance = instance,
					    .lookup = &lookup };
	_cleanup_(freep) char *text = NULL;
	_cleanup_(fd_closep) int fd = -1;
	struct store_entry entry;
	int r;

	ret_notes->n = ret_notes->errors = ret_notes->warnings = 0;
	if (!name_valid(name))
		return -ENOENT;
	strcpy(ref->name, name);
	r = store_resolve(store, DIR_SERVICES, ref, &entry, &fd);
	if (r == 0)
		r = read_text(fd, &text, &source.size);
	if (r < 0)
		return r;
	source.name = entry.name;
	source.text = text;
	if (ret_entry)
		*ret_entry = entry;
	return definition_parse(&source, ret_definition, ret_notes);
}

int load_definition(struct store *store, const char *name, const char *instance,
		    struct definition **ret_definition,
		    struct definition_notes *ret_notes,
		    struct store_entry *ret_entry)
{
	struct name_ref ref = { .kind = REF_LIVE };

	return load(store, &ref, name, instance, ret_definition, ret_notes,
		    ret_entry);
}

int load_definition_version(struct store *store, const char *name,
			    const char *instance, uint64_t version,
			    struct definition **ret_definition,
			    struct definition_notes *ret_notes)
{
	struct name_ref ref = { .kind = REF_VERSION, .version = version };

	return load(store, &ref, name, instance, ret_definition, ret_notes,
		    NULL);
}

struct order_links load_links(const struct definition *d)
{
	return (struct order_links){
		.requires = &d->requires,
		.wants = &d->wants,
		.after = &d->after,
		.before = &d->before,
		.part_of = &d->part_of,
	};
}

/* --- all ----------------------------------------------------------------- */

static int on_name(const char *name, uint64_t id, bool builtin, bool symlink,
		   void *user)
{
	struct service_ref ref;

	(void)id;
	(void)builtin;
	(void)symlink;
	if (service_ref_parse(name, &ref, NULL) < 0)
		return 0;
	return names_add(user, ref.name, strlen(ref.name));
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Both spellings of a name may be there: they are neighbours then. */
int load_names(struct store *store, load_name_fn fn, void *user)
{
	struct names names = { 0 };
	int r = store_names(store, DIR_SERVICES, on_name, &names);

	if (names.n > 1)
		qsort(names.items, names.n, sizeof(*names.items), compare);
	for (uint32_t i = 0; r == 0 && i < names.n; i++)
		if (i == 0 || strcmp(names.items[i], names.items[i - 1]) != 0)
			r = fn(user, names.items[i]);
	names_deinit(&names);
	return r;
}
