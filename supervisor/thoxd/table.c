/*
 * At any step: finding by name or number.
 *
 * A chain for each bucket, doubled when there are more entries than buckets
 * and never made smaller: what was once needed is soon needed again. Until
 * the first buckets are there, and when they cannot be had, all entries are
 * in one chain.
 *
 * The hash is a polynomial over a prime field, at a secret point: two inputs
 * meet with a chance of their length in 2^61, whoever chose them.
 */

#include "thoxd/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/util.h"

#define FIRST_BUCKETS 64
#define FIELD	      ((1ULL << 61) - 1)
#define CHUNK_BYTES   7 /* what fits below the field's size for sure */

/* --- the hash -------------------------------------------------------------
 */

static uint64_t reduce(unsigned __int128 value)
{
	uint64_t sum = (uint64_t)(value & FIELD) + (uint64_t)(value >> 61);

	return sum >= FIELD ? sum - FIELD : sum;
}

static uint64_t secret(unsigned i)
{
	static uint64_t secrets[2];

	/* without entropy at this point the machine has none for anybody; the
	 * fallback only makes tables slow for an attacker who knows it */
	if (secrets[0] == 0 &&
	    getrandom(secrets, sizeof(secrets), 0) != sizeof(secrets))
		secrets[0] = secrets[1] = (uint64_t)time(NULL);
	return secrets[i] | 1;
}

/*
 * A bucket is chosen by the low bits, so each of them must depend on all bits
 * of the polynomial. One product does not do for every secret: what differs
 * in a byte of the last chunk moves few bits of it. Two rounds do.
 */
static uint64_t spread(uint64_t hash)
{
	for (unsigned i = 0; i < 2; i++) {
		hash ^= hash >> 32;
		hash *= secret(1);
	}
	return hash ^ hash >> 32;
}

uint64_t table_hash(const void *data, size_t size)
{
	const uint64_t point = secret(0) & FIELD;
	uint64_t hash = size + 1;

	for (size_t at = 0; at < size; at += CHUNK_BYTES) {
		size_t n = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
		uint64_t chunk = 0;

		memcpy(&chunk, (const char *)data + at, n);
		hash = reduce((unsigned __int128)hash * point + chunk);
	}
	return spread(hash);
}

/* --- chains ---------------------------------------------------------------
 */

void table_init(struct table *t)
{
	*t = (struct table){ .n_buckets = 1 };
}

void table_deinit(struct table *t)
{
	free(t->buckets);
	table_init(t);
}

static struct table_entry **bucket(const struct table *t, uint64_t hash)
{
	if (!t->buckets)
		return (struct table_entry **)&t->first;
	return &t->buckets[hash & (t->n_buckets - 1)];
}

static void grow(struct table *t)
{
	size_t n = t->buckets ? t->n_buckets * 2 : FIRST_BUCKETS;
	struct table_entry **buckets = calloc(n, sizeof(*buckets));
	struct table old = *t;

	if (!buckets)
		return; /* slower, and still right */
	*t = (struct table){ .buckets = buckets, .n_buckets = n };
	for (size_t i = 0; i < old.n_buckets; i++) {
		struct table_entry *e =
			old.buckets ? old.buckets[i] : old.first;

		while (e) {
			struct table_entry *next = e->next;

			table_add(t, e, e->hash);
			e = next;
		}
	}
	free(old.buckets);
}

void table_add(struct table *t, struct table_entry *e, uint64_t hash)
{
	struct table_entry **at;

	if (t->count >= t->n_buckets && (t->buckets || t->count >= 8))
		grow(t);
	at = bucket(t, hash);
	e->hash = hash;
	e->next = *at;
	*at = e;
	t->count++;
}

void table_remove(struct table *t, struct table_entry *e)
{
	struct table_entry **at = bucket(t, e->hash);

	while (*at && *at != e)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = e->next;
	e->next = NULL;
	t->count--;
}

static struct table_entry *with(struct table_entry *e, uint64_t hash)
{
	while (e && e->hash != hash)
		e = e->next;
	return e;
}

struct table_entry *table_find(const struct table *t, uint64_t hash)
{
	return with(*bucket(t, hash), hash);
}

struct table_entry *table_next(const struct table_entry *e)
{
	return with(e->next, e->hash);
}
