/*
 * Step 7, in a runner: where tasks have their C frames.
 *
 * The account: a page that was never touched reads as zeros, and reading it
 * costs no memory. A C frame leaves return addresses in any page that it
 * covers. So the page below what is accounted for tells whether more was used,
 * also by calls that have returned.
 */

#include "runner/stack.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "runner/limits.h"
#include "runner/runner.h"
#include "runner/switch.h"

#ifdef THOX_SANITIZED
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define NO_ADDRESS_CHECK __attribute__((no_sanitize("address")))
#else
#define NO_ADDRESS_CHECK
#endif

#define PAGE_BYTES  4096U
#define STACK_BYTES (LIMIT_TASK_STACK_BYTES - PAGE_BYTES)

struct stack {
	char *lowest; /* above the guard */
	size_t used_bytes;
	struct stack *next; /* in the pool */
};

static struct stack *pool;
static unsigned n_pool;

/* --- life -------------------------------------------------------------------
 */

static char *map(void)
{
	char *p = mmap(NULL, LIMIT_TASK_STACK_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (mprotect(p, PAGE_BYTES, PROT_NONE) < 0) {
		munmap(p, LIMIT_TASK_STACK_BYTES);
		return NULL;
	}
	return p + PAGE_BYTES;
}

struct stack *stack_new(void)
{
	struct stack *s = pool;

	if (s) {
		pool = s->next;
		n_pool--;
		return s;
	}
	if (!allocator_charge(&runner.allocator, LIMIT_TASK_LEAST_BYTES))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (s)
		s->lowest = map();
	if (!s || !s->lowest) {
		free(s);
		allocator_discharge(&runner.allocator, LIMIT_TASK_LEAST_BYTES);
		return NULL;
	}
	s->used_bytes = LIMIT_TASK_LEAST_BYTES;
	return s;
}

void stack_free(struct stack *s)
{
	if (!s)
		return;
	if (n_pool < LIMIT_KEPT_STACKS &&
	    s->used_bytes == LIMIT_TASK_LEAST_BYTES) {
		s->next = pool;
		pool = s;
		n_pool++;
		return;
	}
	munmap(s->lowest - PAGE_BYTES, LIMIT_TASK_STACK_BYTES);
	allocator_discharge(&runner.allocator, s->used_bytes);
	free(s);
}

void *stack_prepare(struct stack *s, void (*entry)(void))
{
#ifdef THOX_SANITIZED
	/* Whoever had it before never returned from its frames. */
	ASAN_UNPOISON_MEMORY_REGION(s->lowest, STACK_BYTES);
#endif
	return switch_prepare(s->lowest, STACK_BYTES, entry);
}

/* --- the account ------------------------------------------------------------
 */

/* The page below what is accounted for: was it ever used? */
NO_ADDRESS_CHECK static bool is_touched(const struct stack *s)
{
	const char *end = s->lowest + STACK_BYTES - s->used_bytes;
	const uint64_t *p = (const uint64_t *)(end - PAGE_BYTES);

	uint64_t any = 0;

	for (size_t i = 0; i < PAGE_BYTES / sizeof(*p); i++)
		any |= p[i]; /* no branch: the compiler takes many at once */
	return any != 0;
}

static void account(struct stack *s)
{
	while (s->used_bytes + PAGE_BYTES <= STACK_BYTES && is_touched(s)) {
		s->used_bytes += LIMIT_TASK_LEAST_BYTES;
		if (!allocator_charge(&runner.allocator,
				      LIMIT_TASK_LEAST_BYTES))
			runner.allocator.exhausted();
	}
}

/* --- switching --------------------------------------------------------------
 */

#ifdef THOX_SANITIZED

/* AddressSanitizer must know where the stack is that it looks at. */
static const void *own_bottom;
static size_t own_size;
static bool comes_from_own;

static void begin_switch(struct stack *to, void **fake)
{
	if (to)
		__sanitizer_start_switch_fiber(fake, to->lowest, STACK_BYTES);
	else
		__sanitizer_start_switch_fiber(fake, own_bottom, own_size);
}

static void end_switch(void *fake)
{
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(fake, &bottom, &size);
	if (comes_from_own) {
		own_bottom = bottom;
		own_size = size;
	}
}

void stack_switch(struct stack *from, void **save, struct stack *to,
		  void *to_sp, int gone)
{
	void *fake = NULL;

	if (from)
		account(from);
	comes_from_own = !from;
	begin_switch(to, gone ? NULL : &fake);
	switch_stack(save, to_sp);
	end_switch(fake);
}

void stack_entered(void)
{
	end_switch(NULL);
}

#else

void stack_switch(struct stack *from, void **save, struct stack *to,
		  void *to_sp, int gone)
{
	(void)to;
	(void)gone;
	if (from)
		account(from);
	switch_stack(save, to_sp);
}

void stack_entered(void)
{
}

#endif
