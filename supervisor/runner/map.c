/*
 * Step 7, in a runner: numbers that messages carry, found without a search.
 *
 * Linear probing, and what comes after a hole is moved into it on removal, so
 * that a chain is never longer than what is in the map.
 */

#include "runner/map.h"

#include <errno.h>
#include <stdlib.h>

#define SIZE_MIN 16

struct map_slot {
	uint64_t number; /* 0: free */
	void *value;
};

/* Numbers count up; the constant spreads them (2^64 over the golden mean). */
static size_t home(const struct map *m, uint64_t number)
{
	return (number * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (m->size - 1);
}

/* Where @number is, or the free slot where it would be. */
static size_t find(const struct map *m, uint64_t number)
{
	size_t i = home(m, number);

	while (m->slots[i].number && m->slots[i].number != number)
		i = (i + 1) & (m->size - 1);
	return i;
}

void *map_get(const struct map *m, uint64_t number)
{
	if (m->size == 0 || number == 0)
		return NULL;
	return m->slots[find(m, number)].value;
}

static int resize(struct map *m, size_t size)
{
	struct map old = *m;

	m->slots = calloc(size, sizeof(*m->slots));
	if (!m->slots) {
		m->slots = old.slots;
		return -ENOMEM;
	}
	m->size = size;
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i].number)
			m->slots[find(m, old.slots[i].number)] = old.slots[i];
	free(old.slots);
	return 0;
}

int map_put(struct map *m, uint64_t number, void *value)
{
	int r;

	if (4 * (m->used + 1) > 3 * m->size) {
		r = resize(m, m->size ? 2 * m->size : SIZE_MIN);
		if (r < 0)
			return r;
	}
	m->slots[find(m, number)] = (struct map_slot){ number, value };
	m->used++;
	return 0;
}

void map_remove(struct map *m, uint64_t number)
{
	size_t mask = m->size - 1, hole, i;

	if (!map_get(m, number))
		return;
	hole = i = find(m, number);
	for (;;) {
		size_t from;

		i = (i + 1) & mask;
		if (!m->slots[i].number)
			break;
		from = home(m, m->slots[i].number);
		/* may it lie in the hole: is its home at or before that? */
		if (((i - from) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){ 0 };
	m->used--;
}

/* FNV-1a. */
uint64_t map_hash(const char *name, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)name[i]) *
		       UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}

void *map_at(const struct map *m, size_t slot)
{
	return m->slots[slot].number ? m->slots[slot].value : NULL;
}
