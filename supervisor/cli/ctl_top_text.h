#pragma once

/*
 * `thoxctl top`: what a terminal may see of it, and how much of that fits.
 */

#include <stddef.h>

#include "cli/ctl_top_order.h"

struct top_data;
struct top_row;

/*
 * @text as this terminal can show it, in at most @width columns, the last of
 * them `…` (or `~`) where it was cut. Whatever is no printable character of the
 * locale, or does not take up room, is `?`: so nothing that a program has
 * written moves the cursor, nor changes the direction of what stands beside.
 * How many columns it takes.
 */
#define TOP_TEXT_BYTES 1024
size_t top_text(const char *text, size_t width, char ret[TOP_TEXT_BYTES]);

/* What stands in a row at a column; `-`: not known, or there is none. */
void top_cell(const struct top_row *row, enum top_column column,
	      char ret[TOP_TEXT_BYTES]);
const char *top_head(enum top_column column);
bool top_is_number(enum top_column column); /* to the right, then */

/*
 * How wide the columns are on a terminal of @width: 0 is left out. The least
 * wanted go first; the name gives way last, and what remains is for the
 * reasons.
 */
#define TOP_GAP 1
void top_layout(const struct top_data *t, size_t width,
		size_t ret_widths[TOP_COLUMNS]);

/* `12 services: 10 running, 1 failed; 14 processes, CPU 3.5 %, …` */
void top_summary(const struct top_data *t, char ret[TOP_TEXT_BYTES]);
