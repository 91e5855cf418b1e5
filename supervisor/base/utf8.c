/*
 * Step 0, in every process: printable or not.
 */

#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_printable(const unsigned char *p)
{
	size_t n;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls are controls, too */
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0;
	return n;
}

#define HIGH_BITS UINT64_C(0x8080808080808080)
#define BLOCK	  64

/* How many bytes at the begin are ASCII; quick, since most text is. */
static size_t count_ascii(const unsigned char *p, size_t size)
{
	size_t n = 0;

	if (size == 0 || p[0] >= 0x80)
		return 0;
	while (size - n >= BLOCK) {
		uint64_t words[BLOCK / sizeof(uint64_t)], all = 0;

		memcpy(words, p + n, sizeof(words));
		for (size_t i = 0; i < BLOCK / sizeof(uint64_t); i++)
			all |= words[i];
		if (all & HIGH_BITS)
			break;
		n += BLOCK;
	}
	while (n < size && p[n] < 0x80)
		n++;
	return n;
}

/* How many bytes the character over ASCII at @p takes; 0: it is none. */
static size_t count_character(const unsigned char *p, size_t left)
{
	size_t n;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool utf8_valid(const char *text, size_t size)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t at = 0;

	for (;;) {
		size_t n;

		at += count_ascii(p + at, size - at);
		if (at == size)
			return true;
		n = count_character(p + at, size - at);
		if (n == 0)
			return false;
		at += n;
	}
}
