#pragma once

/*
 * From numbers to pointers: links, contexts, processes.
 *
 * Open addressing; what lies in it is owned by others. 0 is no number.
 */

#include <stddef.h>
#include <stdint.h>

struct map {
	struct map_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t used;
};

/* NULL: not there. */
void *map_get(const struct map *m, uint64_t number);
/* @number is not there. 0, or -ENOMEM. */
int map_put(struct map *m, uint64_t number, void *value);
void map_remove(struct map *m, uint64_t number);

/* For whoever goes through all of them: slots from 0 to size; NULL: empty. */
void *map_at(const struct map *m, size_t slot);

/* Of a name, for a map of those; never 0. Two names may have the same. */
uint64_t map_hash(const char *name, size_t size);
