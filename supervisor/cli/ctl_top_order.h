#pragma once

/*
 * `thoxctl top`: its columns, and rows in the order of one of them.
 */

#include <stdbool.h>
#include <stddef.h>

struct top_data;

/* From left to right. */
enum top_column {
	TOP_NAME,
	TOP_STATE,
	TOP_CPU,
	TOP_MEMORY,
	TOP_CALLS,
	TOP_QUEUE,
	TOP_RESTARTS,
	TOP_PID,
	TOP_WHY,
	TOP_COLUMNS,
};

struct top_order {
	enum top_column column;
	bool reverse; /* of what one wants to see first */
};

/* By the name it has in --sort, a prefix is enough: -EINVAL. */
int top_order_parse(const char *text, enum top_column *ret_column);
const char *top_column_name(enum top_column column);

/* The next column that one can sort by; @step is 1 or -1. */
enum top_column top_order_step(enum top_column column, int step);

/*
 * Names from A to Z, states from bad to idle, numbers from the largest; what
 * is not known last. Equal rows go by name. All orders are total: rows do not
 * jump about when nothing has changed.
 */
void top_order_apply(struct top_data *t, struct top_order order);
