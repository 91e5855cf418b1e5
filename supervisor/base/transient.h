#pragma once

/*
 * Memory for what does not stay.
 *
 * When thousands of things begin at once, each needs a little for a moment
 * and leaves something that stays. From one heap both would lie between each
 * other, and the holes would never go back to the kernel. What is allocated
 * here lies in blocks of its own, which go back when nothing in them is used
 * any more.
 */

#include <stddef.h>

struct transient_block;

/* All zero: nothing is allocated. */
struct transient {
	struct transient_block *current; /* NULL, or what is allocated from */
};

/* Zeroed, and aligned for everything; NULL: no memory. */
void *transient_alloc(struct transient *t, size_t size);
/* @p is of @t, or NULL. Returns NULL. */
void *transient_free(struct transient *t, void *p);
/* Nothing is used any more. */
void transient_deinit(struct transient *t);
