/*
 * Step 3, in the zygote: memory that its children will share.
 *
 * In the order of addresses: Lua's own objects; those of a runtime, from one
 * boundary of huge pages to the next; what children allocate. The largest
 * blocks, among them Lua's table of strings, which every program writes to,
 * are mappings of their own.
 */

#include "runner/heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner/limits.h"

#define HUGE_PAGE_BYTES ((uintptr_t)2 << 20)

#define LEAST_TOP_BYTES 64 /* malloc() never uses it up */
#define TOP_BLOCK_BYTES (LIMIT_LOADED_BLOCK_BYTES / 4)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

static uintptr_t runtime_begin;

void heap_init(void)
{
	/* A second arena would want calls that the table has not. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, LIMIT_LOADED_BLOCK_BYTES);
}

/* Blocks go on at the next boundary; where the heap ends is returned. */
static uintptr_t go_to_boundary(void)
{
	uintptr_t end = (uintptr_t)sbrk(0);
	uintptr_t gap = -end & (HUGE_PAGE_BYTES - 1);

	/* malloc() goes on where the break is, once its top is used up. */
	while (mallinfo2().keepcost > 2 * TOP_BLOCK_BYTES)
		(void)!malloc(TOP_BLOCK_BYTES);
	(void)!malloc(mallinfo2().keepcost - LEAST_TOP_BYTES);
	sbrk((intptr_t)gap);
	return end;
}

void heap_begin_runtime(void)
{
	go_to_boundary();
	runtime_begin = (uintptr_t)sbrk(0);
}

void heap_end_runtime(void)
{
	uintptr_t end;

	heap_fill_holes();
	/* A few pages are cheaper than a huge one that a write takes apart. */
	if ((uintptr_t)sbrk(0) - runtime_begin < LIMIT_SMALL_RUNTIME_BYTES)
		return;
	go_to_boundary();
	end = (uintptr_t)sbrk(0);
	/* A kernel that cannot makes starts slower, and nothing else. */
	madvise((void *)runtime_begin, end - runtime_begin, MADV_COLLAPSE);
}

#ifndef THOX_SANITIZED /* whose malloc() has no such heap */
/* Take blocks of this size for as long as they lie before the heap's top. */
static void fill(size_t size, const char *top)
{
	static unsigned filled;
	char *p;

	do
		p = malloc(size);
	while (p && p < top && ++filled < LIMIT_HOLES);
	/* What malloc() would cache when freed stays. */
	if (size > LIMIT_CACHED_BYTES)
		free(p);
}
#endif

void heap_fill_holes(void)
{
#ifndef THOX_SANITIZED
	size_t size = LIMIT_LOADED_BLOCK_BYTES / 8 * 7;
	char *top = (char *)sbrk(0) - mallinfo2().keepcost;

	/* What an eighth leaves is for the next ones. */
	for (; size > LIMIT_FINE_HOLE_BYTES; size -= size / 8)
		fill(size & -(2 * sizeof(void *)), top);
	for (size &= -(2 * sizeof(void *)); size > sizeof(void *);
	     size -= 2 * sizeof(void *))
		fill(size - sizeof(void *), top);
#endif
}

void heap_settle(void)
{
	mallopt(M_MMAP_THRESHOLD, LIMIT_HEAP_BLOCK_BYTES);
	mallopt(M_TRIM_THRESHOLD, 2 * LIMIT_HEAP_BLOCK_BYTES);
}
