/* Step 4, for services: lists of names, as definitions have many. */

#include "service/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int names_add(struct names *names, const char *text, size_t size)
{
	char **items, *copy;

	items = realloc(names->items, (names->n + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	names->items = items;
	copy = strndup(text, size);
	if (!copy)
		return -ENOMEM;
	items[names->n++] = copy;
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
	for (uint32_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){ 0 };
}
