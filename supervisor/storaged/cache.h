#pragma once

/*
 * Keys in memory, of all programs: what gets are served from.
 *
 * An entry says what a key holds now, or that there is none such. One whose
 * last change the database does not have yet is pinned; the others go, the
 * least recently used first, when the cache is over its limit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "storaged/hash.h"
#include "storaged/value.h"

struct keys;

struct entry {
	struct entry *next; /* of its bucket */
	struct list used;   /* the cache's, unless pinned */
	struct list mine;   /* its keys' */
	struct keys *keys;
	struct blob *value;   /* NULL: there is no such key */
	uint64_t version;     /* of its last change; 0: not known, or none */
	uint64_t deadline_ms; /* clock_boot_ms(); 0: never expires */
	uint64_t dirty;	      /* serial of the batch that has its last change */
	uint64_t sync;	      /* ... its last change that was to be synced */
	uint64_t told;	      /* the version that watches know */
	uint32_t change;      /* its place in batch `dirty` */
	uint32_t key_size;
	uint64_t hash;
	bool pinned;
	char key[];
};

struct cache {
	struct hash_seed seed;
	struct entry **buckets;
	size_t n_buckets, count;
	size_t used_bytes, limit_bytes;
	struct list used; /* the least recently first */
};

int cache_init(struct cache *c, size_t limit_bytes);
void cache_deinit(struct cache *c); /* of all entries */

/* NULL: not in memory. Counts as a use. */
struct entry *cache_find(struct cache *c, struct keys *keys,
			 struct mp_bytes key);
/* A new one, without a value, in @mine; NULL: no memory. May push out others,
 * never this one. */
struct entry *cache_add(struct cache *c, struct keys *keys, struct list *mine,
			struct mp_bytes key);
/* Takes @value (NULL: none). */
void cache_set(struct cache *c, struct entry *e, struct blob *value);
void cache_pin(struct cache *c, struct entry *e);
void cache_unpin(struct cache *c, struct entry *e);
void cache_remove(struct cache *c, struct entry *e);

static inline struct mp_bytes entry_key(const struct entry *e)
{
	return (struct mp_bytes){ e->key, e->key_size };
}
