/*
 * Step 7, in a runner: who hears of a push.
 *
 * A holder listens to a few names, so a list is as good as anything.
 */

#include "runner/listens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/wire.h"
#include "runner/limits.h"

struct listens {
	unsigned n;
	struct {
		size_t size;
		char text[WIRE_NAME_BYTES];
	} names[];
};

struct listens *listens_free(struct listens *l)
{
	free(l);
	return NULL;
}

static unsigned find(const struct listens *l, struct mp_bytes name)
{
	unsigned i = 0;

	while (i < l->n && (l->names[i].size != name.size ||
			    memcmp(l->names[i].text, name.p, name.size) != 0))
		i++;
	return i;
}

static int add(struct listens **l, struct mp_bytes name)
{
	unsigned n = *l ? (*l)->n : 0;
	struct listens *larger;

	if (n == LIMIT_LISTENS)
		return -E2BIG;
	larger = realloc(*l,
			 sizeof(*larger) + (n + 1) * sizeof(larger->names[0]));
	if (!larger)
		return -ENOMEM;
	larger->n = n + 1;
	larger->names[n].size = name.size;
	memcpy(larger->names[n].text, name.p, name.size);
	*l = larger;
	return 1;
}

int listens_set(struct listens **l, struct mp_bytes name, bool on)
{
	unsigned i = *l ? find(*l, name) : 0;
	bool is_on = *l && i < (*l)->n;

	if (is_on == on)
		return 0;
	if (on)
		return add(l, name);
	(*l)->names[i] = (*l)->names[--(*l)->n];
	if ((*l)->n == 0)
		*l = listens_free(*l);
	return 1;
}

bool listens_get(const struct listens *l, unsigned i, struct mp_bytes *ret)
{
	if (!l || i >= l->n)
		return false;
	*ret = (struct mp_bytes){ l->names[i].text, l->names[i].size };
	return true;
}

bool listens_want(const struct listens *l, struct mp_bytes name)
{
	for (unsigned i = 0; l && i < l->n; i++)
		if (wire_below(name, l->names[i].text, l->names[i].size))
			return true;
	return false;
}
