/* Storage, step 1: where a key lies in memory. */

#include "storaged/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

int hash_seed_init(struct hash_seed *seed)
{
	ssize_t n = getrandom(seed, sizeof(*seed), 0);

	/* So few bytes come whole. */
	return n == sizeof(*seed) ? 0 : n < 0 ? -errno : -EIO;
}

static inline uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void turn(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void take(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	turn(s);
	s->v0 ^= word;
}

uint64_t hash_bytes(const struct hash_seed *seed, const void *data, size_t size)
{
	struct sip s = { .v0 = 0x736f6d6570736575ULL ^ seed->k[0],
			 .v1 = 0x646f72616e646f6dULL ^ seed->k[1],
			 .v2 = 0x6c7967656e657261ULL ^ seed->k[0],
			 .v3 = 0x7465646279746573ULL ^ seed->k[1] };
	const unsigned char *p = data;
	uint64_t word, last = (uint64_t)size << 56;
	size_t left = size;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		take(&s, word);
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	take(&s, last);
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		turn(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
