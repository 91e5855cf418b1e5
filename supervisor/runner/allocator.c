/*
 * Step 5, in a runner: memory for Lua.
 *
 * Lua tells the size of what it gives back, so the account needs no header in
 * the block. For a new block the old size is a type tag and means nothing.
 *
 * A prepared block lies in one of malloc()'s, whose address is the word before
 * it. It is known by its own address: malloc()'s are multiples of two words.
 */

#include "runner/allocator.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runner/limits.h"

#define HUGE_PAGE_BYTES ((uintptr_t)2 << 20)
#define PAGE_BYTES	((uintptr_t)4096)

void allocator_init(struct allocator *a, size_t limit_bytes,
		    void (*exhausted)(void))
{
	*a = (struct allocator){
		.limit_bytes = limit_bytes,
		.exhausted = exhausted,
	};
}

void allocator_allow(struct allocator *a, size_t bytes)
{
	size_t room = SIZE_MAX - a->used_bytes;

	a->limit_bytes = a->used_bytes + (bytes < room ? bytes : room);
	a->refused = 0;
}

/* One request that is too large is a program's to handle. At the ceiling each
 * refusal costs a full collection, and leads into the interpreter's least
 * travelled code. */
static void *refuse(struct allocator *a)
{
	if (a->used_bytes > a->limit_bytes / 2 &&
	    ++a->refused > LIMIT_REFUSED_ALLOCATIONS)
		a->exhausted();
	return NULL;
}

bool allocator_charge(struct allocator *a, size_t bytes)
{
	if (bytes > a->limit_bytes - a->used_bytes) {
		refuse(a);
		return false;
	}
	a->used_bytes += bytes;
	return true;
}

void allocator_discharge(struct allocator *a, size_t bytes)
{
	a->used_bytes -= bytes;
}

/*
 * A block that large is a mapping of its own, new memory each time: to get it
 * in small pages costs several times what filling it does. None reaches over
 * the block's ends, so that it never takes more than the account says. One
 * that grows would be moved, and its huge pages taken apart again.
 */
static void use_huge_pages(void *block, size_t bytes)
{
	uintptr_t begin = (uintptr_t)block, end = begin + bytes;

	if (bytes < LIMIT_HEAP_BLOCK_BYTES)
		return;
	begin += -begin & (HUGE_PAGE_BYTES - 1);
	end &= ~(HUGE_PAGE_BYTES - 1);
	/* A kernel without them makes programs slower, and nothing else. */
	madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

/* --- prepared blocks --------------------------------------------------------
 */

static bool is_placed(const void *block)
{
	return (uintptr_t)block % (2 * sizeof(void *)) != 0;
}

static void *place(size_t bytes, size_t head_bytes)
{
	char *whole, *block;

	if (bytes > SIZE_MAX - PAGE_BYTES - sizeof(whole))
		return NULL;
	whole = malloc(sizeof(whole) + PAGE_BYTES + bytes);
	if (!whole)
		return NULL;
	block = whole + sizeof(whole);
	block += -(uintptr_t)(block + head_bytes) & (PAGE_BYTES - 1);
	memcpy(block - sizeof(whole), &whole, sizeof(whole));
	return block;
}

static __attribute__((cold, noinline)) void release_placed(struct allocator *a,
							   char *block,
							   size_t bytes)
{
	void *whole;

	memcpy(&whole, block - sizeof(whole), sizeof(whole));
	a->placed_bytes -= bytes;
	free(whole);
}

/* Lua never does it to what is prepared. */
static __attribute__((cold, noinline)) void *resize_placed(struct allocator *a,
							   void *block,
							   size_t old_bytes,
							   size_t new_bytes)
{
	void *p = malloc(new_bytes);

	if (!p)
		return NULL;
	memcpy(p, block, old_bytes < new_bytes ? old_bytes : new_bytes);
	release_placed(a, block, old_bytes);
	return p;
}

void *allocator_prepare(struct allocator *a, size_t bytes, size_t head_bytes)
{
	allocator_unprepare(a);
	if (bytes > a->limit_bytes - a->used_bytes)
		return NULL;
	a->prepared = place(bytes, head_bytes);
	if (!a->prepared)
		return NULL;
	use_huge_pages(a->prepared, bytes);
	a->prepared_bytes = bytes;
	a->placed_bytes += bytes;
	return a->prepared;
}

void allocator_unprepare(struct allocator *a)
{
	if (a->prepared)
		release_placed(a, a->prepared, a->prepared_bytes);
	a->prepared = NULL;
	a->prepared_bytes = 0;
}

/* --- Lua's ------------------------------------------------------------------
 */

void *allocator_call(void *context, void *block, size_t old_bytes,
		     size_t new_bytes)
{
	struct allocator *a = context;
	void *p;

	if (new_bytes == 0) {
		if (block) {
			a->used_bytes -= old_bytes;
			if (is_placed(block))
				release_placed(a, block, old_bytes);
			else
				free(block);
		}
		return NULL;
	}
	if (!block) {
		if (new_bytes > a->limit_bytes - a->used_bytes)
			return refuse(a);
		if (new_bytes == a->prepared_bytes) {
			p = a->prepared;
			a->prepared = NULL;
			a->prepared_bytes = 0;
			a->used_bytes += new_bytes;
			return p;
		}
		p = malloc(new_bytes);
		if (!p)
			return refuse(a);
		use_huge_pages(p, new_bytes);
		a->used_bytes += new_bytes;
		return p;
	}
	if (new_bytes > old_bytes &&
	    new_bytes - old_bytes > a->limit_bytes - a->used_bytes)
		return refuse(a);
	p = is_placed(block) ? resize_placed(a, block, old_bytes, new_bytes)
			     : realloc(block, new_bytes);
	if (!p) {
		/* Lua takes it that a block can always be made smaller. */
		if (new_bytes > old_bytes)
			return refuse(a);
		p = block;
	}
	a->used_bytes += new_bytes - old_bytes;
	return p;
}
