/*
 * Step 3, in thoxctl top: rows on the screen.
 *
 * Only the rows that are seen are made into text. All text goes through
 * top_text(): no byte of a name or a reason reaches the terminal as it came.
 */

#include "cli/ctl_top_screen.h"

#include <curses.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <time.h>
#include <unistd.h>

#include "cli/ctl_top_keys.h"
#include "cli/ctl_top_text.h"
#include "cli/terminal.h"

/* Lines above the rows: title, summary, message, heads; below: keys. */
#define LINES_ABOVE 4
#define LINES_BELOW 1
#define ESCAPE_MS   25 /* that a key's bytes may be apart */

enum pair {
	PAIR_BAD = 1,
	PAIR_WARNING,
	PAIR_GOOD,
};

static SCREEN *screen;
static bool coloured;

/* --- life ----------------------------------------------------------------- */

/* newterm() takes any terminal; where the cursor cannot be moved there is
 * nothing to draw. */
static bool can_draw(void)
{
	bool can;
	int error;

	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return false;
	can = cursor_address && clear_screen;
	del_curterm(cur_term);
	return can;
}

static void begin_colours(void)
{
	const char *no = getenv("NO_COLOR");

	coloured = !(no && *no) && has_colors() && start_color() == OK;
	if (!coloured)
		return;
	use_default_colors();
	init_pair(PAIR_BAD, COLOR_RED, -1);
	init_pair(PAIR_WARNING, COLOR_YELLOW, -1);
	init_pair(PAIR_GOOD, COLOR_GREEN, -1);
}

int top_screen_open(void)
{
	if (!can_draw())
		return -ENOTTY;
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return -ENOTTY;
	set_escdelay(ESCAPE_MS);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	begin_colours();
	return 0;
}

void top_screen_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

void top_screen_leave(void)
{
	endwin();
}

void top_screen_return(void)
{
	top_screen_resize();
	clearok(stdscr, TRUE);
	refresh();
}

void top_screen_resize(void)
{
	unsigned high, wide;

	if (terminal_size(STDOUT_FILENO, &high, &wide) && high && wide)
		resizeterm((int)high, (int)wide);
	clearok(stdscr, TRUE);
}

int top_screen_key(void)
{
	int key = getch();

	return key == ERR ? -1 : key;
}

size_t top_screen_rows(void)
{
	int rows = LINES - LINES_ABOVE - LINES_BELOW;

	return rows > 1 ? (size_t)rows : 1;
}

/* --- lines ---------------------------------------------------------------- */

/* A whole line in one look. */
static void put_line(int line, const char *text, attr_t look)
{
	char shown[TOP_TEXT_BYTES];
	size_t used;

	if (line < 0 || line >= LINES)
		return;
	used = top_text(text, (size_t)COLS, shown);
	attrset(look);
	mvaddstr(line, 0, shown);
	for (; used < (size_t)COLS && look & A_REVERSE; used++)
		addch(' ');
	attrset(A_NORMAL);
}

static void draw_title(const struct top_view *v)
{
	char text[TOP_TEXT_BYTES], when[16];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "thoxctl top - %s  %.900s", when,
		 v->place);
	put_line(0, text, A_BOLD);
	top_summary(v->data, text);
	put_line(1, text, A_NORMAL);
}

static attr_t look_of(enum pair pair)
{
	return coloured ? (attr_t)COLOR_PAIR((int)pair) : A_NORMAL;
}

/* What thoxd has said of an order is read before its absence. */
static void draw_message(const struct top_view *v)
{
	if (v->message)
		put_line(2, v->message, A_BOLD);
	else if (v->trouble)
		put_line(2, v->trouble, look_of(PAIR_BAD) | A_BOLD);
}

static void draw_hints(void)
{
	put_line(LINES - 1,
		 "q quit  h help  r restart  s stop  l logs  < > sort  "
		 "R reverse",
		 A_REVERSE);
}

/* --- the table ------------------------------------------------------------ */

static void put_cell(enum top_column column, const char *text, size_t width)
{
	char shown[TOP_TEXT_BYTES];
	size_t used = top_text(text, width, shown);
	int padding = (int)(width - used);

	if (top_is_number(column))
		printw("%*s", padding, "");
	addstr(shown);
	if (!top_is_number(column))
		printw("%*s", padding, "");
}

static void draw_heads(const struct top_view *v, const size_t *widths)
{
	int x = 0;

	for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
		char text[TOP_TEXT_BYTES];

		if (!widths[c])
			continue;
		snprintf(text, sizeof(text), "%s", top_head(c));
		move(LINES_ABOVE - 1, x);
		attrset(c == v->order.column ? A_BOLD | A_REVERSE : A_BOLD);
		put_cell(c, text, widths[c]);
		x += (int)widths[c] + TOP_GAP;
	}
	attrset(A_NORMAL);
}

static attr_t look_of_state(const struct top_row *row)
{
	if (strcmp(row->state, "failed") == 0)
		return look_of(PAIR_BAD) | A_BOLD;
	if (strcmp(row->state, "back-off") == 0 ||
	    strcmp(row->state, "starting") == 0 ||
	    strcmp(row->state, "stopping") == 0)
		return look_of(PAIR_WARNING);
	if (strcmp(row->state, "running") == 0)
		return look_of(PAIR_GOOD);
	return A_NORMAL;
}

static void draw_row(int line, const struct top_row *row, const size_t *widths,
		     bool chosen)
{
	attr_t look = chosen ? A_REVERSE : A_NORMAL;
	int x = 0;

	if (chosen)
		put_line(line, "", look);
	for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
		char text[TOP_TEXT_BYTES];

		if (!widths[c])
			continue;
		top_cell(row, c, text);
		move(line, x);
		attrset(c == TOP_STATE ? look | look_of_state(row) : look);
		put_cell(c, text, widths[c]);
		x += (int)widths[c] + TOP_GAP;
	}
	attrset(A_NORMAL);
}

/* The chosen row is seen. */
static void scroll_to(struct top_view *v)
{
	size_t rows = top_screen_rows();

	if (v->first > v->chosen)
		v->first = v->chosen;
	if (v->chosen >= v->first + rows)
		v->first = v->chosen - rows + 1;
	if (v->data->n_rows <= rows)
		v->first = 0;
	else if (v->first + rows > v->data->n_rows)
		v->first = v->data->n_rows - rows;
}

static void draw_table(struct top_view *v)
{
	size_t widths[TOP_COLUMNS], rows = top_screen_rows();

	top_layout(v->data, (size_t)COLS, widths);
	draw_heads(v, widths);
	scroll_to(v);
	for (size_t i = 0; i < rows && v->first + i < v->data->n_rows; i++)
		draw_row(LINES_ABOVE + (int)i, &v->data->rows[v->first + i],
			 widths, v->first + i == v->chosen);
}

/* In two columns, should one be too long. */
static void draw_help(void)
{
	int line = LINES_ABOVE, x = 0;

	for (size_t i = 0; i < top_n_keys; i++) {
		char text[TOP_TEXT_BYTES], shown[TOP_TEXT_BYTES];

		if (!top_keys[i].help)
			continue;
		if (line >= LINES - LINES_BELOW && x == 0) {
			line = LINES_ABOVE;
			x = COLS / 2;
		}
		if (line >= LINES - LINES_BELOW)
			break;
		snprintf(text, sizeof(text), "%6s  %s", top_keys[i].shown,
			 top_keys[i].help);
		top_text(text, (size_t)(x ? COLS - x : COLS / 2), shown);
		mvaddstr(line++, x, shown);
	}
	put_line(LINES_ABOVE - 1, "Keys (any key goes back)", A_BOLD);
}

void top_screen_draw(struct top_view *v)
{
	erase();
	draw_title(v);
	draw_message(v);
	if (v->help)
		draw_help();
	else
		draw_table(v);
	draw_hints();
	refresh();
}
