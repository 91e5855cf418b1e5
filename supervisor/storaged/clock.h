#pragma once

/*
 * The two clocks of expiry.
 *
 * Deadlines in memory are of CLOCK_BOOTTIME, which nobody sets and which goes
 * on while the machine sleeps. On disk they are of the wall clock, which goes
 * on while the machine is off. clock_skew_ms() is what lies between the two:
 * it changes only when somebody sets the wall clock.
 */

#include <stdint.h>

#define CLOCK_BOOT_ID_BYTES 37

uint64_t clock_boot_ms(void);
int64_t clock_wall_ms(void);
int64_t clock_skew_ms(void); /* wall - boot */

/* What this boot of the machine is called; "" when the kernel does not say.
 * The first call reads /proc; before confinement. */
const char *clock_boot_id(void);

/* For tests: move the clocks. */
void clock_shift(int64_t boot_ms, int64_t wall_ms);
