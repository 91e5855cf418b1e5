#pragma once

/*
 * Sizes and times as people write and read them.
 */

#include <stddef.h>
#include <stdint.h>

/*
 * `64M`, `64MiB`, `1.5G`, `65536`, `512k`, `10B`: powers of 1024, letters of
 * either case. -EINVAL for anything else, and for zero.
 */
int units_parse_bytes(const char *text, uint64_t *ret_bytes);

/*
 * `500ms`, `2s`, `1.5`, `5m`, `1h`: seconds without a unit. -EINVAL for
 * anything else, and for less than a millisecond.
 */
int units_parse_ms(const char *text, uint64_t *ret_ms);

#define UNITS_TEXT_BYTES 32

/* `512`, `1.5K`, `64M`; `0.4 ms`, `1.2 s`, `3 min 5 s`, `2 h 3 min`. */
void units_format_bytes(uint64_t bytes, char ret[UNITS_TEXT_BYTES]);
void units_format_us(uint64_t us, char ret[UNITS_TEXT_BYTES]);
