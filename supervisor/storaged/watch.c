/* Storage, step 7: changes that wait for those who want to know. */

#include "storaged/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/limits.h"

#define FIRST_BUCKETS 16U

/* One key that changed. */
struct pending {
	struct list list; /* the watch's queue, the oldest change first */
	struct pending *next;
	uint64_t hash;
	uint64_t version;
	struct blob *value; /* NULL: gone, or large */
	bool large;
	uint32_t key_size;
	char key[];
};

int watch_new(struct mp_bytes prefix, const struct hash_seed *seed, void *user,
	      struct watch **ret_watch)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->user = user;
	w->seed = seed;
	list_init(&w->list);
	list_init(&w->queue);
	w->prefix = blob_new(prefix.p ? prefix.p : "", prefix.size);
	if (!w->prefix) {
		free(w);
		return -ENOMEM;
	}
	*ret_watch = w;
	return 0;
}

static struct pending **bucket_of(struct watch *w, uint64_t hash)
{
	return &w->buckets[hash & (w->n_buckets - 1)];
}

static void forget(struct watch *w, struct pending *p)
{
	struct pending **at = bucket_of(w, p->hash);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	list_remove(&p->list);
	w->count--;
	w->key_bytes -= p->key_size;
	w->value_bytes -= p->value ? p->value->size : 0;
	blob_unref(p->value);
	free(p);
}

static void forget_all(struct watch *w)
{
	while (!list_empty(&w->queue))
		forget(w, list_first(&w->queue, struct pending, list));
}

struct watch *watch_free(struct watch *w)
{
	if (!w)
		return NULL;
	forget_all(w);
	list_remove(&w->list);
	blob_unref(w->prefix);
	free(w->buckets);
	free(w);
	return NULL;
}

bool watch_has(const struct watch *w)
{
	return w->lost || w->count > 0;
}

bool watch_lose(struct watch *w)
{
	bool had = watch_has(w);

	forget_all(w);
	w->lost = true;
	return !had;
}

static int grow(struct watch *w)
{
	size_t n = w->n_buckets ? w->n_buckets * 2 : FIRST_BUCKETS;
	struct pending **buckets = calloc(n, sizeof(struct pending *));
	struct pending *p, *after;

	if (!buckets)
		return -ENOMEM;
	free(w->buckets);
	w->buckets = buckets;
	w->n_buckets = n;
	list_each(p, after, &w->queue, list)
	{
		p->next = *bucket_of(w, p->hash);
		*bucket_of(w, p->hash) = p;
	}
	return 0;
}

static struct pending *find(struct watch *w, uint64_t hash, struct mp_bytes key)
{
	struct pending *p = w->n_buckets ? *bucket_of(w, hash) : NULL;

	while (p && (p->hash != hash || p->key_size != key.size ||
		     (key.size && memcmp(p->key, key.p, key.size) != 0)))
		p = p->next;
	return p;
}

/* NULL: no memory. */
static struct pending *add(struct watch *w, uint64_t hash, struct mp_bytes key)
{
	struct pending *p;

	if (w->count >= w->n_buckets && grow(w) < 0)
		return NULL;
	p = calloc(1, sizeof(*p) + key.size);
	if (!p)
		return NULL;
	p->hash = hash;
	p->key_size = (uint32_t)key.size;
	if (key.size)
		memcpy(p->key, key.p, key.size);
	p->next = *bucket_of(w, hash);
	*bucket_of(w, hash) = p;
	list_append(&w->queue, &p->list);
	w->count++;
	w->key_bytes += key.size;
	return p;
}

static void set(struct watch *w, struct pending *p, uint64_t version,
		struct blob *value)
{
	w->value_bytes -= p->value ? p->value->size : 0;
	blob_unref(p->value);
	p->value = NULL;
	p->version = version;
	p->large = value && w->value_bytes + value->size > STORAGE_WATCH_BYTES;
	if (!value || p->large)
		return;
	p->value = blob_ref(value);
	w->value_bytes += value->size;
}

static bool admits(const struct watch *w, struct mp_bytes key)
{
	return key.size >= w->prefix->size &&
	       (w->prefix->size == 0 ||
		memcmp(key.p, w->prefix->data, w->prefix->size) == 0);
}

bool watch_changed(struct watch *w, struct mp_bytes key, uint64_t version,
		   struct blob *value)
{
	bool had = watch_has(w);
	struct pending *p;
	uint64_t hash;

	if (w->lost || !admits(w, key))
		return false; /* all will be looked at anyway */
	hash = hash_bytes(w->seed, key.p ? key.p : "", key.size);
	p = find(w, hash, key);
	if (!p && (w->count >= STORAGE_WATCH_KEYS ||
		   w->key_bytes + key.size > STORAGE_WATCH_BYTES))
		return watch_lose(w);
	if (!p)
		p = add(w, hash, key);
	if (!p)
		return watch_lose(w);
	set(w, p, version, value);
	return !had;
}

static void write_pending(const struct pending *p, struct mp_writer *to)
{
	mp_write_strn(to, p->key, p->key_size);
	mp_write_uint(to, p->version);
	mp_write_int(to, p->value   ? WATCH_SET
			 : p->large ? WATCH_LARGE
				    : WATCH_GONE);
	if (p->value)
		mp_write_raw(to, p->value->data, p->value->size);
	else
		mp_write_nil(to);
}

void watch_take(struct watch *w, size_t limit_bytes, struct mp_writer *to)
{
	struct pending *p, *after;
	size_t size = 0;
	uint32_t n = 0;

	/* How many go into it has to be known first; at least one does. */
	list_each(p, after, &w->queue, list)
	{
		size += p->key_size + (p->value ? p->value->size : 0);
		if (n == STORAGE_LIST_MAX || (n > 0 && size > limit_bytes))
			break;
		n++;
	}
	mp_write_array(to, 1 + 4 * n);
	mp_write_bool(to, w->lost);
	w->lost = false;
	for (; n > 0; n--) {
		p = list_first(&w->queue, struct pending, list);
		write_pending(p, to);
		forget(w, p);
	}
}
