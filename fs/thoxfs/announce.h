#pragma once

/*
 * What the kernel was told to remember: for each name that was answered with
 * a long timeout, the id of the content (0: that there is none).
 *
 * An invalidation costs a system call and the kernel's next look; with this
 * only names that the kernel really holds are invalidated, and only when they
 * show something else now. After a take-over nothing is known, so everything
 * counts as announced.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/name.h"

struct thoxfs;

struct announce_slot;

struct announce {
	struct announce_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t used;
	bool everything; /* was announced, for all that is known */
};

void announce_deinit(struct announce *a);

/* The kernel keeps @id as the content of the name. */
void announce_set(struct announce *a, enum store_dir dir, const char *name,
		  uint64_t id);
/* The kernel keeps nothing of the name any more. */
void announce_clear(struct announce *a, enum store_dir dir, const char *name);
/* Does the kernel keep that there is none? */
bool announce_missing(const struct announce *a, enum store_dir dir,
		      const char *name);
/* Does the kernel keep something else than @id? (0: than "there is none") */
bool announce_differs(const struct announce *a, enum store_dir dir,
		      const char *name, uint64_t id);
