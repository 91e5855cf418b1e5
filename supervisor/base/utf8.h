#pragma once

/*
 * Is it text? For those who print or encode what somebody else wrote.
 */

#include <stdbool.h>
#include <stddef.h>

/* How many bytes of one printable UTF-8 character start at @p, which ends
 * with a NUL at the latest: 0 for a control character, or for what is no
 * UTF-8. */
size_t utf8_printable(const unsigned char *p);

/* Are these bytes UTF-8, whole: no surrogates, nothing longer than need be? */
bool utf8_valid(const char *text, size_t size);
