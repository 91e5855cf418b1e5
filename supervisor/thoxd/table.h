#pragma once

/*
 * Hash tables through their members, as lists are: an entry is embedded in
 * what it finds, and belongs to one table at a time.
 *
 * The hash of bytes is keyed by secrets of this process, so that nobody who
 * chooses names can make them meet. A table never fails to take an entry: one
 * that finds no memory to grow in gets slower.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
	struct table_entry *next;
	uint64_t hash;
};

struct table {
	struct table_entry **buckets; /* NULL: the one in @first */
	struct table_entry *first;
	size_t n_buckets; /* a power of two */
	size_t count;
};

uint64_t table_hash(const void *data, size_t size);

/* Empty; its entries are not touched. */
void table_init(struct table *t);
void table_deinit(struct table *t);

void table_add(struct table *t, struct table_entry *e, uint64_t hash);
/* One that is in no table: nothing happens. */
void table_remove(struct table *t, struct table_entry *e);

/* All that have this hash, one after another; NULL: no more. */
struct table_entry *table_find(const struct table *t, uint64_t hash);
struct table_entry *table_next(const struct table_entry *e);
