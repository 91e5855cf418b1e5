#pragma once

/*
 * Moments as people write them, for --since and --until.
 */

#include <stdint.h>

/*
 * `now`, `today`, `yesterday`, `10m ago` or `-10m`, `09:30`, `2026-11-27`,
 * `2026-11-27 09:30:15.5` (a T may stand for the space; a Z behind it means
 * UTC, else it is local time), `@1795759490`: microseconds since 1970, as
 * seen from @now_us. -EINVAL for anything else.
 */
int when_parse(const char *text, uint64_t now_us, uint64_t *ret_us);
