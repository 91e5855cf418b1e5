/*
 * Step 4, for services: lists of names, as definitions have many.
 *
 * Most have one name, which lies behind the pointer to it in one block; of
 * several each has its own.
 */

#include "service/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_first(struct names *names, const char *text, size_t size)
{
	char **items = malloc(sizeof(*items) + size + 1), *copy;

	if (!items)
		return -ENOMEM;
	copy = memcpy(items + 1, text, size);
	copy[size] = '\0';
	items[0] = copy;
	*names = (struct names){ .items = items, .n = 1 };
	return 0;
}

/* The first of two gets a block of its own; room for both. NULL: no memory. */
static char **divide(const struct names *names)
{
	char **items = malloc(2 * sizeof(*items));
	char *copy = strdup(names->items[0]);

	if (!items || !copy) {
		free(items);
		free(copy);
		return NULL;
	}
	items[0] = copy;
	free(names->items);
	return items;
}

static int add_further(struct names *names, char *copy)
{
	char **items = names->n == 1 ? divide(names)
				     : realloc(names->items,
					       (names->n + 1) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	names->items = items;
	items[names->n++] = copy;
	return 0;
}

int names_add(struct names *names, const char *text, size_t size)
{
	char *copy;

	if (names->n == 0)
		return add_first(names, text, size);
	copy = strndup(text, size);
	if (!copy || add_further(names, copy) < 0) {
		free(copy);
		return -ENOMEM;
	}
	return 0;
}

bool names_has(const struct names *names, const char *text)
{
	for (uint32_t i = 0; i < names->n; i++)
		if (strcmp(names->items[i], text) == 0)
			return true;
	return false;
}

void names_deinit(struct names *names)
{
	for (uint32_t i = 0; names->n > 1 && i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){ 0 };
}
