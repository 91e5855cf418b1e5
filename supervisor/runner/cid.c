/*
 * Step 7, in a runner: numbers of calls.
 *
 * A number is a slot's index and how often the slot was used before, so that
 * an old number does not find the slot's next call.
 */

#include "runner/cid.h"

#include <stdlib.h>

#include "runner/limits.h"

#define INDEX_BITS  14
#define CHUNK_SLOTS 256
#define N_CHUNKS    (LIMIT_CALLS / CHUNK_SLOTS)

_Static_assert(LIMIT_CALLS <= 1 << INDEX_BITS, "an index must fit");

struct slot {
	void *object;
	uint32_t cid;
	uint32_t next; /* a free one's: index + 1 */
	bool served;
};

static struct slot *chunks[N_CHUNKS];
static uint32_t n_slots;
static uint32_t first_free; /* index + 1; 0: none */

static struct slot *slot_of(uint32_t i)
{
	return &chunks[i / CHUNK_SLOTS][i % CHUNK_SLOTS];
}

static bool add_chunk(void)
{
	struct slot *chunk;

	if (n_slots == LIMIT_CALLS)
		return false;
	chunk = calloc(CHUNK_SLOTS, sizeof(*chunk));
	if (!chunk)
		return false;
	chunks[n_slots / CHUNK_SLOTS] = chunk;
	for (uint32_t i = n_slots; i < n_slots + CHUNK_SLOTS; i++) {
		chunk[i - n_slots].cid = i;
		chunk[i - n_slots].next =
			i + 1 < n_slots + CHUNK_SLOTS ? i + 2 : 0;
	}
	first_free = n_slots + 1;
	n_slots += CHUNK_SLOTS;
	return true;
}

uint32_t cid_new(void *object, bool served)
{
	struct slot *s;

	if (first_free == 0 && !add_chunk())
		return 0;
	s = slot_of(first_free - 1);
	first_free = s->next;
	s->cid += 1 << INDEX_BITS; /* may come round after 2^18 uses */
	if (s->cid < 1 << INDEX_BITS)
		s->cid += 1 << INDEX_BITS; /* 0 is no number */
	s->object = object;
	s->served = served;
	return s->cid;
}

void *cid_find(uint64_t cid, bool served)
{
	uint32_t i = (uint32_t)cid & ((1 << INDEX_BITS) - 1);
	struct slot *s;

	if (i >= n_slots)
		return NULL;
	s = slot_of(i);
	return s->object && s->cid == cid && s->served == served ? s->object
								 : NULL;
}

void cid_free(uint32_t cid)
{
	uint32_t i = cid & ((1 << INDEX_BITS) - 1);
	struct slot *s = slot_of(i);

	s->object = NULL;
	s->next = first_free;
	first_free = i + 1;
}
