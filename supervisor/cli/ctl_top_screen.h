#pragma once

/*
 * `thoxctl top`: the terminal, by ncurses. Draws what a view says and gives
 * keys; decides nothing. There is one.
 *
 * Whatever ends the program properly goes through top_screen_close(), which
 * leaves the terminal as it was.
 */

#include <stdbool.h>

#include "cli/ctl_top_data.h"
#include "cli/ctl_top_order.h"

struct top_view {
	const struct top_data *data;
	struct top_order order;
	const char *place;   /* of the instance */
	const char *trouble; /* with thoxd; NULL: none */
	const char *message; /* NULL: none */
	size_t chosen;	     /* a row */
	size_t first;	     /* row that is drawn: kept up by the drawing */
	bool help;
};

/* -ENOTTY: TERM says nothing that can be drawn on. */
int top_screen_open(void);
void top_screen_close(void);

/* For another program in between; @again: back. */
void top_screen_leave(void);
void top_screen_return(void);

void top_screen_resize(void); /* to what the terminal has now */
void top_screen_draw(struct top_view *v);
size_t top_screen_rows(void); /* that are seen at once */

/* The next key; -1: no more. */
int top_screen_key(void);
