#pragma once

/*
 * A list of texts, in the order in which they were added. Zero is an empty
 * one; embedded by value.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct names {
	char **items;
	uint32_t n;
};

int names_add(struct names *names, const char *text, size_t size);
bool names_has(const struct names *names, const char *text);
void names_deinit(struct names *names);
