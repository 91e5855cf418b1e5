/* Finding by hash: what was added is found, what was removed is not. */

#include "thoxd/table.h"

#include <stdlib.h>

#include "base/tap.h"
#include "base/util.h"

struct item {
	struct table_entry entry;
	unsigned key;
};

static struct item *find(const struct table *t, unsigned key)
{
	struct table_entry *e = table_find(t, table_hash(&key, sizeof(key)));

	for (; e; e = table_next(e)) {
		struct item *item = container_of(e, struct item, entry);

		if (item->key == key)
			return item;
	}
	return NULL;
}

/* Verify that a table that grows loses nothing, and finds nothing else. */
static void test_many(void)
{
	static struct item items[10000];
	struct table t;

	table_init(&t);
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++) {
		CHECK(!find(&t, i));
		items[i].key = i;
		table_add(&t, &items[i].entry, table_hash(&i, sizeof(i)));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		CHECK(find(&t, i) == &items[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(items); i += 2)
		table_remove(&t, &items[i].entry);
	CHECK_EQ(t.count, ARRAY_SIZE(items) / 2);
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		CHECK(find(&t, i) == (i % 2 ? &items[i] : NULL));
	table_deinit(&t);
}

/* Verify that several entries may share a hash. */
static void test_same_hash(void)
{
	struct item a = { .key = 1 }, b = { .key = 2 };
	struct table t;
	struct table_entry *e;

	table_init(&t);
	table_add(&t, &a.entry, 7);
	table_add(&t, &b.entry, 7);
	e = table_find(&t, 7);
	CHECK(e && table_next(e) && !table_next(table_next(e)));
	table_remove(&t, e);
	CHECK(table_find(&t, 7) && !table_next(table_find(&t, 7)));
	CHECK(!table_find(&t, 8));
	table_deinit(&t);
}

/* Verify that the hash tells lengths and contents apart, and spreads: of
 * names that count up, no bucket gets far more than its part. */
static void test_spread(void)
{
	unsigned buckets[256] = { 0 };
	char name[32];

	CHECK(table_hash("a", 1) != table_hash("a\0", 2));
	CHECK(table_hash("ab", 2) != table_hash("ba", 2));
	for (unsigned i = 0; i < 25600; i++) {
		int n = snprintf(name, sizeof(name), "service.name-%u", i);

		buckets[table_hash(name, (size_t)n) % ARRAY_SIZE(buckets)]++;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(buckets); i++)
		CHECK(buckets[i] > 40 && buckets[i] < 200);
}

int main(void)
{
	RUN(test_many);
	RUN(test_same_hash);
	RUN(test_spread);
	return tap_done();
}
