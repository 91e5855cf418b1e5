#pragma once

/*
 * A keyed hash of foreign bytes: who does not know the seed cannot choose keys
 * that meet in one bucket. SipHash-1-3 (Aumasson and Bernstein).
 */

#include <stddef.h>
#include <stdint.h>

struct hash_seed {
	uint64_t k[2];
};

int hash_seed_init(struct hash_seed *seed); /* from getrandom(2) */
uint64_t hash_bytes(const struct hash_seed *seed, const void *data,
		    size_t size);
