#pragma once

/*
 * Files of which descriptors were handed out, until nobody has any.
 *
 * A file that was replaced lives on as long as somebody has it open, whatever
 * he says, and takes room on the disk that nobody sees. So each is remembered
 * here, by a descriptor of our own, and the kernel asked whether others have
 * it open (a lease is granted when not): a program whose processes keep more
 * than STORAGE_PINS_OLD of them gets no further descriptor.
 *
 * Where the kernel tells nothing (a file system without leases), a file counts
 * as open.
 */

#include <stdint.h>

#include "base/list.h"

#define PIN_BUCKETS 256U

struct pins {
	struct list buckets[PIN_BUCKETS]; /* by program */
	unsigned count;
};

void pins_init(struct pins *p);
void pins_deinit(struct pins *p);

/* @fd, which is taken, of the file that @program has now is about to be handed
 * out. -EBUSY: not now. */
int pins_add(struct pins *p, const char *program, uint64_t inode, int fd);
/* Somebody may have closed that file. */
void pins_look(struct pins *p, const char *program, uint64_t inode);
