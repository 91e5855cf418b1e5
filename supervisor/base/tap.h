#pragma once

/*
 * Unit tests: RUN() around functions named test_…, each one behaviour.
 *
 *	static void test_a_dot_is_refused(void) { CHECK(!name_valid(".x")); }
 *	int main(void)
 *	{
 *		RUN(test_a_dot_is_refused);
 *		return tap_done();
 *	}
 *
 * A failed CHECK ends its test function, not the program; what follows runs.
 * Only for void functions of test programs.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_count_, tap_failed_;
static bool tap_ok_;
static const char *tap_skip_;

#define CHECK(expr)                                                            \
	do {                                                                   \
		if (!(expr)) {                                                 \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #expr);    \
			tap_ok_ = false;                                       \
			return;                                                \
		}                                                              \
	} while (0)

/* Compare whole numbers and say both when they differ. */
#define CHECK_EQ(a, b)                                                         \
	do {                                                                   \
		long long a_ = (long long)(a), b_ = (long long)(b);            \
		if (a_ != b_) {                                                \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__,    \
			       __LINE__, #a, a_, b_);                          \
			tap_ok_ = false;                                       \
			return;                                                \
		}                                                              \
	} while (0)

#define CHECK_STR(a, b)                                                        \
	do {                                                                   \
		const char *a_ = (a), *b_ = (b);                               \
		if (strcmp(a_, b_) != 0) {                                     \
			printf("# %s:%d: %s is \"%s\", not \"%s\"\n",          \
			       __FILE__, __LINE__, #a, a_, b_);                \
			tap_ok_ = false;                                       \
			return;                                                \
		}                                                              \
	} while (0)

/* The rest of this test cannot be had here; @why says what is missing. */
#define SKIP(why)                                                              \
	do {                                                                   \
		tap_skip_ = (why);                                             \
		return;                                                        \
	} while (0)

#define RUN(fn) tap_run_(#fn, fn)

static inline void tap_run_(const char *name, void (*fn)(void))
{
	tap_ok_ = true;
	tap_skip_ = NULL;
	fn();
	if (!tap_ok_)
		tap_failed_++;
	printf("%s %d - %s%s%s\n", tap_ok_ ? "ok" : "not ok", ++tap_count_,
	       name, tap_skip_ ? " # SKIP " : "", tap_skip_ ? tap_skip_ : "");
	fflush(stdout);
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count_);
	return tap_failed_ > 0;
}
