#pragma once

/*
 * A program that is not in the store: a text as a sealed memfd.
 */

#include <limits.h>

#define TEXT_BYTES_MAX (16U << 20)

struct text {
	int fd; /* owned; -1: the name is one of the store */
	const char *name;
	/* the canonical path, where the file lies in a FUSE mount; else "" */
	char path[PATH_MAX];
};

/*
 * Fill @ret from -e's @text; from standard input for the name `-`; from a
 * file for a name with a slash; else leave fd at -1. Negative errno: -EFBIG
 * over TEXT_BYTES_MAX, or what open() or read() said.
 */
int text_open(const char *text, const char *name, struct text *ret);
void text_close(struct text *t);
