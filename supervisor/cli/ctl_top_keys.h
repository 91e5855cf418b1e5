#pragma once

/*
 * `thoxctl top`: what the keys do. The help page and the man page's test read
 * this table.
 */

#include "cli/ctl_top_order.h"

enum top_action {
	TOP_NOTHING,
	TOP_QUIT,
	TOP_HELP,
	TOP_RESTART,
	TOP_STOP,
	TOP_LOGS,
	TOP_REFRESH,
	TOP_SORT, /* by the key's column */
	TOP_SORT_LEFT,
	TOP_SORT_RIGHT,
	TOP_REVERSE,
	TOP_UP,
	TOP_DOWN,
	TOP_PAGE_UP,
	TOP_PAGE_DOWN,
	TOP_FIRST,
	TOP_LAST,
};

struct top_key {
	int key; /* as curses has it */
	const char *shown;
	enum top_action action;
	enum top_column column; /* of TOP_SORT */
	const char *help;	/* NULL: the same as the one before */
};

extern const struct top_key top_keys[];
extern const size_t top_n_keys;

const struct top_key *top_key_find(int key); /* or NULL */
