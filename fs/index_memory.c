/* The store's memory, step 2: where each name's newest record stands. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fs/index.h"

/*
 * Nodes lie in an arena and never move; a table of pointers finds them by
 * hash. Names are never taken out, only lose their records: a reload after a
 * compaction forgets them. The ids are a second table, for those who ask.
 */
#define ARENA_BYTES (16U << 10)
struct arena_block {
	struct arena_block *next;
	size_t used;
	_Alignas(8) char bytes[ARENA_BYTES - 16];
};

struct index_id {
	uint64_t key; /* id, top bit for a draft's; 0: empty */
	uint32_t at;
};
#define DRAFT_KEY (1ULL << 63)

static uint32_t hash_name(enum store_dir dir, const char *name)
{
	uint32_t h = 2166136261U ^ (uint32_t)dir;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619U;
	return h ^ h >> 15;
}

void index_forget(struct index *ix)
{
	for (struct arena_block *b = ix->arena, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	for (size_t i = 0; i < DIR_COUNT; i++) {
		free(ix->sorted[i]);
		ix->sorted[i] = NULL;
		ix->live_count[i] = 0;
	}
	free(ix->table);
	free(ix->ids);
	ix->arena = NULL;
	ix->table = NULL;
	ix->ids = NULL;
	ix->table_size = ix->node_count = 0;
	ix->ids_size = ix->ids_count = 0;
	ix->used_bytes = ix->records = ix->dead = 0;
}

static struct index_node *new_node(struct index *ix, size_t name_size)
{
	size_t size = offsetof(struct index_node, name) + name_size + 1;
	struct arena_block *b = ix->arena;
	struct index_node *node;

	size = (size + 7) & ~(size_t)7;
	if (!b || b->used + size > sizeof(b->bytes)) {
		b = malloc(sizeof(*b));
		if (!b)
			return NULL;
		b->next = ix->arena;
		b->used = 0;
		ix->arena = b;
	}
	node = (struct index_node *)(void *)(b->bytes + b->used);
	b->used += size;
	memset(node, 0, size);
	return node;
}

static int grow_table(struct index *ix)
{
	size_t size = ix->table_size ? ix->table_size * 2 : 64;
	struct index_node **table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < ix->table_size; i++) {
		struct index_node *node = ix->table[i];
		size_t at;

		if (!node)
			continue;
		at = node->hash & (size - 1);
		while (table[at])
			at = (at + 1) & (size - 1);
		table[at] = node;
	}
	free(ix->table);
	ix->table = table;
	ix->table_size = size;
	return 0;
}

/* Where @name is, or the free slot where it would be. */
static struct index_node **slot_of(struct index *ix, enum store_dir dir,
				   const char *name, uint32_t hash)
{
	size_t mask = ix->table_size - 1, at = hash & mask;

	for (; ix->table[at]; at = (at + 1) & mask) {
		struct index_node *node = ix->table[at];

		if (node->hash == hash && node->dir == dir &&
		    strcmp(node->name, name) == 0)
			break;
	}
	return &ix->table[at];
}

struct index_node *index_find(struct index *ix, enum store_dir dir,
			      const char *name)
{
	if (!ix->table)
		return NULL;
	return *slot_of(ix, dir, name, hash_name(dir, name));
}

static int find_or_add(struct index *ix, enum store_dir dir, const char *name,
		       struct index_node **ret_node)
{
	uint32_t hash = hash_name(dir, name);
	struct index_node **slot;
	int r;

	if (ix->node_count + 1 > ix->table_size / 4 * 3) {
		r = grow_table(ix);
		if (r < 0)
			return r;
	}
	slot = slot_of(ix, dir, name, hash);
	if (!*slot) {
		struct index_node *node = new_node(ix, strlen(name));

		if (!node)
			return -ENOMEM;
		node->hash = hash;
		node->dir = (uint8_t)dir;
		strcpy(node->name, name);
		*slot = node;
		ix->node_count++;
	}
	*ret_node = *slot;
	return 0;
}

static struct index_id *id_slot(struct index_id *ids, size_t size, uint64_t key)
{
	size_t at = (key * 0x9e3779b97f4a7c15ULL >> 20) & (size - 1);

	while (ids[at].key && ids[at].key != key)
		at = (at + 1) & (size - 1);
	return &ids[at];
}

/* @at 0 says that the content is gone. */
static int set_id(struct index *ix, uint64_t key, uint32_t at)
{
	struct index_id *slot;

	if (ix->ids_count + 1 > ix->ids_size / 4 * 3) {
		size_t size = ix->ids_size ? ix->ids_size * 2 : 256;
		struct index_id *ids = calloc(size, sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		for (size_t i = 0; i < ix->ids_size; i++)
			if (ix->ids[i].key)
				*id_slot(ids, size, ix->ids[i].key) =
					ix->ids[i];
		free(ix->ids);
		ix->ids = ids;
		ix->ids_size = size;
	}
	slot = id_slot(ix->ids, ix->ids_size, key);
	if (!slot->key)
		ix->ids_count++;
	slot->key = key;
	slot->at = at;
	return 0;
}

static int note_ids(struct index *ix, const struct index_node *node,
		    const struct record *rec, uint32_t at)
{
	int r = 0;

	if (!ix->ids_wanted)
		return 0;
	if (rec->type == RECORD_DROPPED)
		return set_id(ix, rec->id, 0);
	if (rec->type != RECORD_PUBLISHED && rec->type != RECORD_REJECTED)
		return 0;
	if (rec->flags & RECORD_REPLACES && node->id && node->id != rec->id)
		r = set_id(ix, node->id, 0);
	if (r == 0)
		r = set_id(ix, rec->id, at);
	if (r == 0)
		r = set_id(ix, rec->draft_id | DRAFT_KEY, at);
	return r;
}

static void set_live(struct index *ix, struct index_node *node, uint32_t at,
		     uint64_t id)
{
	if (!node->live != !at) {
		free(ix->sorted[node->dir]);
		ix->sorted[node->dir] = NULL;
		ix->live_count[node->dir] += at ? 1 : (size_t)-1;
	}
	node->live = at;
	node->id = id;
}

static void subtract(struct index *ix, uint64_t bytes)
{
	ix->used_bytes -= bytes < ix->used_bytes ? bytes : ix->used_bytes;
}

static void apply_published(struct index *ix, struct index_node *node,
			    const struct record *rec, uint32_t at)
{
	struct record old;

	if (node->live)
		ix->dead +=
			(rec->flags & (RECORD_TOUCHED | RECORD_REPLACES)) > 0;
	if (rec->flags & RECORD_REPLACES && node->live &&
	    index_record(ix, node->live, &old) == 0)
		subtract(ix, old.size_bytes);
	if (!(rec->flags & RECORD_TOUCHED)) {
		ix->used_bytes += rec->size_bytes;
		node->flags = NODE_CHECK | (node->flags & NODE_REJECTS);
	}
	if (rec->target[0])
		node->flags |= NODE_SYMLINK;
	if (rec->version > node->version)
		node->version = (uint32_t)rec->version;
	set_live(ix, node, at, rec->id);
}

int index_apply(struct index *ix, const struct record *rec, uint32_t at)
{
	struct index_node *node;
	int r;

	r = find_or_add(ix, rec->dir, rec->name, &node);
	if (r < 0)
		return r;
	r = note_ids(ix, node, rec, at);
	if (r < 0)
		return r;

	ix->records++;
	node->last = at;
	switch (rec->type) {
	case RECORD_PUBLISHED:
		apply_published(ix, node, rec, at);
		break;
	case RECORD_REJECTED:
		node->flags |= NODE_CHECK | NODE_REFUSED | NODE_REJECTS;
		ix->used_bytes += rec->size_bytes;
		break;
	case RECORD_REMOVED:
		set_live(ix, node, 0, 0);
		node->flags = NODE_CHECK | (node->flags & NODE_REJECTS);
		if (rec->flags & RECORD_MOVED)
			node->flags |= NODE_MOVED;
		break;
	case RECORD_DROPPED:
		subtract(ix, rec->size_bytes);
		ix->dead += 2;
		break;
	case RECORD_PURGED:
		subtract(ix, rec->size_bytes);
		ix->dead += 2;
		set_live(ix, node, 0, 0);
		node->last = node->version = 0;
		node->flags = 0;
		break;
	}
	if (rec->id > ix->max_id)
		ix->max_id = rec->id;
	if (rec->journal_epoch) {
		ix->journal_epoch = rec->journal_epoch;
		ix->journal_seq = rec->journal_seq;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct index_node *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int index_sorted(struct index *ix, enum store_dir dir,
		 struct index_node ***ret_nodes, size_t *ret_count)
{
	size_t count = ix->live_count[dir], n = 0;
	struct index_node **list;

	if (!ix->sorted[dir]) {
		list = malloc((count + 1) * sizeof(struct index_node *));
		if (!list)
			return -ENOMEM;
		for (size_t i = 0; i < ix->table_size && n < count; i++) {
			struct index_node *node = ix->table[i];

			if (node && node->dir == dir && node->live)
				list[n++] = node;
		}
		qsort(list, n, sizeof(*list), by_name);
		ix->sorted[dir] = list;
	}
	*ret_nodes = ix->sorted[dir];
	*ret_count = count;
	return 0;
}

uint32_t index_at_id(const struct index *ix, uint64_t id, bool draft)
{
	uint64_t key = draft ? id | DRAFT_KEY : id;
	const struct index_id *slot;

	if (id == 0 || id >> STORE_ID_BITS || ix->ids_count == 0)
		return 0;
	slot = id_slot(ix->ids, ix->ids_size, key);
	return slot->key ? slot->at : 0;
}
