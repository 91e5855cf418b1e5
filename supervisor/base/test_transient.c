/* Memory for what does not stay. */

#include "base/transient.h"

#include <stdint.h>
#include <string.h>

#include "base/tap.h"

#define MANY 1000U

/* Verify that what is allocated is zeroed, aligned and nobody else's. */
static void test_each_has_its_own(void)
{
	struct transient t = { 0 };
	unsigned char *p[MANY];
	int same = 1, zeroed = 1, aligned = 1;

	for (unsigned i = 0; i < MANY; i++) {
		p[i] = transient_alloc(&t, 1 + i);
		aligned = aligned && (uintptr_t)p[i] % 16 == 0;
		for (unsigned k = 0; k <= i; k++)
			zeroed = zeroed && p[i][k] == 0;
		memset(p[i], (int)(i % 251) + 1, 1 + i);
	}
	for (unsigned i = 0; i < MANY; i++)
		for (unsigned k = 0; k <= i; k++)
			same = same && p[i][k] == i % 251 + 1;
	CHECK(zeroed);
	CHECK(aligned);
	CHECK(same);
	for (unsigned i = 0; i < MANY; i++)
		transient_free(&t, p[i]);
	CHECK(!t.current); /* more was used than is kept */
	transient_deinit(&t);
}

/* Verify that one at a time gets the same memory again and again. */
static void test_a_little_stays(void)
{
	struct transient t = { 0 };
	void *first = transient_alloc(&t, 100), *second;

	memset(first, 1, 100);
	CHECK(!transient_free(&t, first));
	second = transient_alloc(&t, 100);
	CHECK(second == first);
	CHECK_EQ(*(unsigned char *)second, 0);
	transient_free(&t, second);
	transient_deinit(&t);
	CHECK(!t.current);
}

/* Verify that one may outlive all blocks that came after its own, and that one
 * that is larger than a block has a block. */
static void test_order_does_not_matter(void)
{
	struct transient t = { 0 };
	unsigned char *old = transient_alloc(&t, 10), *large, *p[MANY];

	memset(old, 7, 10);
	large = transient_alloc(&t, 1U << 20);
	memset(large, 8, 1U << 20);
	for (unsigned i = 0; i < MANY; i++)
		p[i] = transient_alloc(&t, 500);
	transient_free(&t, large);
	for (unsigned i = MANY; i-- > 0;)
		transient_free(&t, p[i]);
	CHECK_EQ(old[9], 7);
	transient_free(&t, old);
	CHECK(!transient_free(&t, NULL));
	CHECK(!transient_alloc(&t, SIZE_MAX));
	transient_deinit(&t);
}

int main(void)
{
	RUN(test_each_has_its_own);
	RUN(test_a_little_stays);
	RUN(test_order_does_not_matter);
	return tap_done();
}
