#pragma once

/*
 * What a directory lists, in an order that stays: by a hash of the name.
 *
 * The hash is the position that the kernel comes back with, so a reader goes
 * on at the right place whatever was added or removed meanwhile, and under
 * another thoxfs too. Nothing is kept per open directory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/name.h"

struct thoxfs;

struct listing_item {
	off_t position; /* above 2; the same for the same name */
	uint64_t ino;
	mode_t mode; /* the type only */
	char *name;
};

struct listing {
	struct listing_item *items;
	size_t count;
	size_t room;
	bool valid;
	bool told; /* the kernel may hold it */
};

struct listings {
	struct listing dirs[DIR_COUNT];
};

/* Spread evenly over 64 bits, and the same for ever. */
uint64_t name_hash(const char *name);

/* The directory as it is now; valid until the next call. */
int listing_get(struct thoxfs *fs, enum store_dir dir,
		struct listing **ret_listing);
/* The index of the first item behind @position. */
size_t listing_seek(const struct listing *l, off_t position);
const struct listing_item *listing_find(const struct listing *l,
					const char *name);
void listing_changed(struct thoxfs *fs, enum store_dir dir);
void listings_deinit(struct thoxfs *fs);
