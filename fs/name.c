/* Step 1 of a program's way: may this name be in the store at all? */

#include "fs/name.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define SCRATCH_MAX_BYTES 255

static const char *const dir_names[DIR_COUNT] = {
	[DIR_PROGRAMS] = "programs", [DIR_LIBRARIES] = "libraries",
	[DIR_RUNTIMES] = "runtimes", [DIR_SERVICES] = "services",
	[DIR_DATA] = "data",
};

/* Not isalnum(): the locale has no say in what a name is. */
static bool allowed(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '+' ||
	       c == '-';
}

static const char *rule_of(const char *name, size_t size)
{
	if (size == 0)
		return "a name is not empty";
	if (size > NAME_MAX_BYTES)
		return "a name is at most 128 bytes";
	if (name[0] == '.')
		return "a name does not start with a dot";
	for (size_t i = 0; i < size; i++)
		if (!allowed(name[i]))
			return "a name is made of A-Za-z0-9._+-";
	return NULL;
}

const char *name_rule(const char *name)
{
	return rule_of(name, strnlen(name, NAME_MAX_BYTES + 1));
}

bool name_valid(const char *name)
{
	return !name_rule(name);
}

bool name_scratch(const char *name)
{
	size_t size = strnlen(name, SCRATCH_MAX_BYTES + 1);

	if (size == 0 || size > SCRATCH_MAX_BYTES || memchr(name, '/', size))
		return false;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	return name[0] == '.' || name[size - 1] == '~' ||
	       strcmp(name, "4913") == 0;
}

/* Decimal without sign, space or leading zero; 0 when it is no version. */
static uint64_t parse_version(const char *text)
{
	uint64_t version = 0;

	if (*text == '0')
		return 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || version > UINT64_MAX / 10 - 1)
			return 0;
		version = version * 10 + (uint64_t)(*text - '0');
	}
	return version;
}

static const char *parse_suffix(const char *suffix, struct name_ref *ref)
{
	if (strcmp(suffix, "rejected") == 0) {
		ref->kind = REF_REJECTED;
		return NULL;
	}
	ref->kind = REF_VERSION;
	ref->version = parse_version(suffix);
	return ref->version ? NULL : "after @ comes a version or `rejected`";
}

static const char *parse(const char *text, bool runtime_allowed,
			 struct name_ref *ref)
{
	const char *hash = strchr(text, '#'), *at, *rule;
	size_t size;

	if (hash) {
		if (!runtime_allowed)
			return "no runtime# belongs here";
		size = (size_t)(hash - text);
		rule = rule_of(text, size);
		if (rule)
			return rule;
		memcpy(ref->runtime, text, size);
		text = hash + 1;
	}

	at = strchr(text, '@');
	size = at ? (size_t)(at - text) : strlen(text);
	rule = rule_of(text, size);
	if (rule)
		return rule;
	memcpy(ref->name, text, size);
	return at ? parse_suffix(at + 1, ref) : NULL;
}

int name_parse(const char *text, bool runtime_allowed, struct name_ref *ret_ref,
	       const char **ret_rule)
{
	struct name_ref ref = { .kind = REF_LIVE };
	const char *rule;

	rule = parse(text, runtime_allowed, &ref);
	if (ret_rule)
		*ret_rule = rule;
	if (rule)
		return -EINVAL;
	*ret_ref = ref;
	return 0;
}

bool name_alternate(enum store_dir dir, const char *name,
		    char ret_name[NAME_MAX_BYTES + 1])
{
	const char *ext = dir == DIR_SERVICES ? ".service" : ".lua";
	size_t size = strlen(name), ext_size = strlen(ext);

	if (dir == DIR_DATA || !name_valid(name))
		return false;
	if (size > ext_size && strcmp(name + size - ext_size, ext) == 0) {
		memcpy(ret_name, name, size - ext_size);
		ret_name[size - ext_size] = '\0';
		return true;
	}
	if (size + ext_size > NAME_MAX_BYTES)
		return false;
	memcpy(ret_name, name, size);
	memcpy(ret_name + size, ext, ext_size + 1);
	return true;
}

const char *store_dir_name(enum store_dir dir)
{
	return dir_names[dir];
}

int store_dir_parse(const char *text, enum store_dir *ret_dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(dir_names); i++) {
		if (strcmp(text, dir_names[i]) == 0) {
			*ret_dir = (enum store_dir)i;
			return 0;
		}
	}
	return -ENOENT;
}
