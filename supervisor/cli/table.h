#pragma once

/*
 * Tables and lists on standard output, that fit into the terminal.
 */

#include <jansson.h>
#include <stdbool.h>

struct column {
	const char *head;
	const char *key;
	bool right;   /* numbers */
	bool shrinks; /* gives way when the terminal is narrow */
};

/* Objects in @rows, a line each: NULL-terminated @columns are shown, keys
 * that a row has not as `-`. No line but the head for an empty array. */
void table_print(const struct column *columns, const json_t *rows);

/* `Key:  value`, a line each; objects inside are indented below their key. */
void table_print_object(const json_t *object);

/* Colours, only on terminals and without NO_COLOR. */
enum colour {
	COLOUR_NONE,
	COLOUR_BOLD,
	COLOUR_RED,
	COLOUR_YELLOW,
};
const char *table_colour(enum colour colour); /* the escape, or "" */
