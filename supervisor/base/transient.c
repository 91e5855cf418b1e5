/*
 * Beside all steps: blocks of what does not stay.
 *
 * A block is only ever filled up, and begins anew when it is empty. Those but
 * the last are full; each knows how much in it is used, and each allocation
 * its block.
 */

#include "base/transient.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Over thoxd's threshold for mapping blocks (main.c), so that they go back. */
#define BLOCK_BYTES (96U << 10)
/* An empty one of which more was used goes back, too. */
#define KEPT_BYTES (8U << 10)

struct transient_block {
	size_t size, used;
	unsigned live;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct head {
	_Alignas(max_align_t) struct transient_block *block;
};

static struct transient_block *add_block(struct transient *t, size_t size)
{
	size_t room = BLOCK_BYTES - sizeof(struct transient_block);
	struct transient_block *b;

	if (size > room)
		room = size;
	b = malloc(sizeof(*b) + room);
	if (!b)
		return NULL;
	b->size = room;
	b->used = 0;
	b->live = 0;
	/* the one before is somebody's, who gives it back */
	if (t->current && t->current->live == 0)
		free(t->current);
	t->current = b;
	return b;
}

void *transient_alloc(struct transient *t, size_t size)
{
	struct transient_block *b = t->current;
	struct head *h;
	size_t whole;

	if (size > SIZE_MAX / 2)
		return NULL;
	whole = sizeof(*h) + (size + sizeof(*h) - 1) / sizeof(*h) * sizeof(*h);
	if (!b || b->size - b->used < whole)
		b = add_block(t, whole);
	if (!b)
		return NULL;
	h = (struct head *)(b->bytes + b->used);
	b->used += whole;
	b->live++;
	h->block = b;
	return memset(h + 1, 0, size);
}

void *transient_free(struct transient *t, void *p)
{
	struct transient_block *b;

	if (!p)
		return NULL;
	b = ((struct head *)p - 1)->block;
	if (--b->live > 0)
		return NULL;
	if (b == t->current && b->used <= KEPT_BYTES) {
		b->used = 0;
		return NULL;
	}
	if (b == t->current)
		t->current = NULL;
	free(b);
	return NULL;
}

void transient_deinit(struct transient *t)
{
	free(t->current);
	t->current = NULL;
}
