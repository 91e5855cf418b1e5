/* Beside the way of a write: which of the kernel's memories may be wrong. */

#include "announce.h"

#include <stdlib.h>
#include <string.h>

#include "listing.h"

/*
 * An open-addressed table of 64-bit hashes of names: two names with one hash
 * would cost an invalidation too few, which 2^-64 makes no concern. A slot
 * that was cleared keeps its key, so that probing goes on past it.
 */

#define NOTHING	  UINT64_MAX
#define SLOTS_MIN 1024
#define SLOTS_MAX (1U << 19) /* past this, everything counts as announced */

struct announce_slot {
	uint64_t key; /* 0: free */
	uint64_t id;
};

static uint64_t hash_name(enum store_dir dir, const char *name)
{
	uint64_t h = name_hash(name) ^ (uint64_t)(dir + 1) << 56;

	return h ? h : 1;
}

static struct announce_slot *find(const struct announce *a, uint64_t key)
{
	size_t i = key & (a->size - 1);

	while (a->slots[i].key && a->slots[i].key != key)
		i = (i + 1) & (a->size - 1);
	return &a->slots[i];
}

void announce_deinit(struct announce *a)
{
	free(a->slots);
	memset(a, 0, sizeof(*a));
}

static void give_up(struct announce *a)
{
	announce_deinit(a);
	a->everything = true;
}

/* Room for one more; what was cleared is left behind. */
static bool grow(struct announce *a)
{
	struct announce old = *a;
	size_t live = 0;

	if (a->size && a->used * 2 < a->size)
		return true;
	for (size_t i = 0; i < old.size; i++)
		live += old.slots[i].key && old.slots[i].id != NOTHING;
	a->size = SLOTS_MIN;
	while (a->size < live * 4)
		a->size *= 2;
	a->used = 0;
	a->slots =
		a->size > SLOTS_MAX ? NULL : calloc(a->size, sizeof(*a->slots));
	if (!a->slots) {
		*a = old;
		return false;
	}
	for (size_t i = 0; i < old.size; i++) {
		if (!old.slots[i].key || old.slots[i].id == NOTHING)
			continue;
		*find(a, old.slots[i].key) = old.slots[i];
		a->used++;
	}
	free(old.slots);
	return true;
}

void announce_set(struct announce *a, enum store_dir dir, const char *name,
		  uint64_t id)
{
	uint64_t key = hash_name(dir, name);
	struct announce_slot *slot;

	if (a->everything)
		return;
	if (!grow(a)) {
		give_up(a);
		return;
	}
	slot = find(a, key);
	if (!slot->key)
		a->used++;
	slot->key = key;
	slot->id = id;
}

void announce_clear(struct announce *a, enum store_dir dir, const char *name)
{
	struct announce_slot *slot;

	if (a->everything || !a->size)
		return;
	slot = find(a, hash_name(dir, name));
	if (slot->key)
		slot->id = NOTHING;
}

bool announce_differs(const struct announce *a, enum store_dir dir,
		      const char *name, uint64_t id)
{
	const struct announce_slot *slot;

	if (a->everything)
		return true;
	if (!a->size)
		return false;
	slot = find(a, hash_name(dir, name));
	return slot->key && slot->id != NOTHING && slot->id != id;
}

bool announce_missing(const struct announce *a, enum store_dir dir,
		      const char *name)
{
	const struct announce_slot *slot;

	if (a->everything)
		return true;
	if (!a->size)
		return false;
	slot = find(a, hash_name(dir, name));
	return slot->key && slot->id == 0;
}
