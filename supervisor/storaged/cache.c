/* Storage, step 3: the keys that are in memory. */

#include "storaged/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define FIRST_BUCKETS 1024U

int cache_init(struct cache *c, size_t limit_bytes)
{
	int r;

	memset(c, 0, sizeof(*c));
	list_init(&c->used);
	c->limit_bytes = limit_bytes;
	r = hash_seed_init(&c->seed);
	if (r < 0)
		return r;
	c->buckets = calloc(FIRST_BUCKETS, sizeof(struct entry *));
	if (!c->buckets)
		return -ENOMEM;
	c->n_buckets = FIRST_BUCKETS;
	return 0;
}

void cache_deinit(struct cache *c)
{
	for (size_t i = 0; i < c->n_buckets; i++)
		while (c->buckets[i])
			cache_remove(c, c->buckets[i]);
	free(c->buckets);
}

static struct entry **bucket_of(struct cache *c, uint64_t hash)
{
	return &c->buckets[hash & (c->n_buckets - 1)];
}

/* Programs may have equal keys: they meet nowhere else. */
static uint64_t hash_of(struct cache *c, const struct keys *keys,
			struct mp_bytes key)
{
	return hash_bytes(&c->seed, key.p ? key.p : "", key.size) ^
	       (uintptr_t)keys * 0x9e3779b97f4a7c15ULL;
}

static size_t cost_of(const struct entry *e)
{
	return sizeof(*e) + e->key_size +
	       (e->value ? sizeof(*e->value) + e->value->size : 0);
}

/* More memory only makes it faster: without, it stays as it is. */
static void grow(struct cache *c)
{
	size_t n = c->n_buckets * 2;
	struct entry **old = c->buckets, *e;
	struct entry **new = calloc(n, sizeof(struct entry *));
	size_t n_old = c->n_buckets;

	if (!new)
		return;
	c->buckets = new;
	c->n_buckets = n;
	for (size_t i = 0; i < n_old; i++)
		while ((e = old[i])) {
			old[i] = e->next;
			e->next = *bucket_of(c, e->hash);
			*bucket_of(c, e->hash) = e;
		}
	free(old);
}

static void push_out(struct cache *c)
{
	while (c->used_bytes > c->limit_bytes && !list_empty(&c->used))
		cache_remove(c, list_first(&c->used, struct entry, used));
}

struct entry *cache_find(struct cache *c, struct keys *keys,
			 struct mp_bytes key)
{
	uint64_t hash = hash_of(c, keys, key);
	struct entry *e = *bucket_of(c, hash);

	while (e &&
	       (e->hash != hash || e->keys != keys || e->key_size != key.size ||
		(key.size && memcmp(e->key, key.p, key.size) != 0)))
		e = e->next;
	if (e && !e->pinned) {
		list_remove(&e->used);
		list_append(&c->used, &e->used);
	}
	return e;
}

struct entry *cache_add(struct cache *c, struct keys *keys, struct list *mine,
			struct mp_bytes key)
{
	struct entry *e = calloc(1, sizeof(*e) + key.size);

	if (!e)
		return NULL;
	e->keys = keys;
	e->hash = hash_of(c, keys, key);
	e->key_size = (uint32_t)key.size;
	if (key.size)
		memcpy(e->key, key.p, key.size);
	if (c->count >= c->n_buckets)
		grow(c);
	e->next = *bucket_of(c, e->hash);
	*bucket_of(c, e->hash) = e;
	c->count++;
	c->used_bytes += cost_of(e);
	push_out(c);
	list_append(&c->used, &e->used);
	list_append(mine, &e->mine);
	return e;
}

void cache_set(struct cache *c, struct entry *e, struct blob *value)
{
	c->used_bytes -= cost_of(e);
	blob_unref(e->value);
	e->value = value;
	c->used_bytes += cost_of(e);
}

void cache_pin(struct cache *c, struct entry *e)
{
	(void)c;
	list_remove(&e->used);
	e->pinned = true;
}

void cache_unpin(struct cache *c, struct entry *e)
{
	if (e->pinned)
		list_append(&c->used, &e->used);
	e->pinned = false;
	push_out(c);
}

void cache_remove(struct cache *c, struct entry *e)
{
	struct entry **at = bucket_of(c, e->hash);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	c->count--;
	c->used_bytes -= cost_of(e);
	list_remove(&e->used);
	list_remove(&e->mine);
	blob_unref(e->value);
	free(e);
}
