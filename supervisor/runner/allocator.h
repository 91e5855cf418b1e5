#pragma once

/*
 * Lua's memory, with a ceiling: malloc() with exact accounts.
 *
 * What Lua holds never exceeds limit_bytes; a request over it is refused, and
 * the program sees "not enough memory". A process that goes on asking at the
 * ceiling is ended (LIMIT_REFUSED_ALLOCATIONS).
 */

#include <stdbool.h>
#include <stddef.h>

struct allocator {
	size_t used_bytes;
	size_t limit_bytes;
	unsigned refused;
	void *prepared; /* the next new block of exactly prepared_bytes */
	size_t prepared_bytes;
	size_t placed_bytes;	 /* of what was prepared and was not freed */
	void (*exhausted)(void); /* does not return */
};

void allocator_init(struct allocator *a, size_t limit_bytes,
		    void (*exhausted)(void));

/* From now on @bytes more than what is used may be had. */
void allocator_allow(struct allocator *a, size_t bytes);

/* Memory of a program that is not Lua's: false: it may not have it. */
bool allocator_charge(struct allocator *a, size_t bytes);
void allocator_discharge(struct allocator *a, size_t bytes);

/*
 * A block that is filled before Lua asks for it: the next new one of exactly
 * @bytes, in which a page begins after @head_bytes, an odd number of words.
 * NULL: it would not be had. In the end it is either Lua's, or freed by
 * allocator_unprepare().
 */
void *allocator_prepare(struct allocator *a, size_t bytes, size_t head_bytes);
void allocator_unprepare(struct allocator *a);

/* lua_Alloc; @context is the struct allocator. */
void *allocator_call(void *context, void *block, size_t old_bytes,
		     size_t new_bytes);
