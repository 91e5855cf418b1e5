/* Step 3, in thoxctl top: the table of keys. */

#include "cli/ctl_top_keys.h"

#include <curses.h>

#include "base/util.h"

#define ANY TOP_NAME /* no column is meant */

const struct top_key top_keys[] = {
	{ KEY_UP, "Up", TOP_UP, ANY, "choose the service above" },
	{ KEY_DOWN, "Down", TOP_DOWN, ANY, "choose the service below" },
	{ KEY_PPAGE, "PgUp", TOP_PAGE_UP, ANY, "a page up" },
	{ KEY_NPAGE, "PgDn", TOP_PAGE_DOWN, ANY, "a page down" },
	{ KEY_HOME, "Home", TOP_FIRST, ANY, "the first, whichever it is" },
	{ KEY_END, "End", TOP_LAST, ANY, "the last" },
	{ 'r', "r", TOP_RESTART, ANY, "restart it, or start it" },
	{ 's', "s", TOP_STOP, ANY, "stop it" },
	{ 'l', "l", TOP_LOGS, ANY, "follow its log, until Ctrl-C" },
	{ 'N', "N", TOP_SORT, TOP_NAME, "sort by name" },
	{ 'S', "S", TOP_SORT, TOP_STATE, "sort by state, bad ones first" },
	{ 'P', "P", TOP_SORT, TOP_CPU, "sort by use of the processors" },
	{ 'M', "M", TOP_SORT, TOP_MEMORY, "sort by memory" },
	{ 'C', "C", TOP_SORT, TOP_CALLS, "sort by calls a second" },
	{ 'Q', "Q", TOP_SORT, TOP_QUEUE, "sort by calls that wait" },
	{ 'T', "T", TOP_SORT, TOP_RESTARTS, "sort by restarts" },
	{ '<', "<", TOP_SORT_LEFT, ANY, "sort by the column to the left" },
	{ '>', ">", TOP_SORT_RIGHT, ANY, "sort by the column to the right" },
	{ KEY_LEFT, "Left", TOP_SORT_LEFT, ANY, NULL },
	{ KEY_RIGHT, "Right", TOP_SORT_RIGHT, ANY, NULL },
	{ 'R', "R", TOP_REVERSE, ANY, "turn the order round" },
	{ ' ', "Space", TOP_REFRESH, ANY, "look again now" },
	{ 'h', "h", TOP_HELP, ANY, "this page" },
	{ '?', "?", TOP_HELP, ANY, NULL },
	{ 'q', "q", TOP_QUIT, ANY, "leave" },
};
const size_t top_n_keys = ARRAY_SIZE(top_keys);

const struct top_key *top_key_find(int key)
{
	for (size_t i = 0; i < ARRAY_SIZE(top_keys); i++)
		if (top_keys[i].key == key)
			return &top_keys[i];
	return NULL;
}
