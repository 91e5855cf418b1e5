/*
 * Step 3, in thoxctl: what a person sees.
 */

#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/value.h"

#define COLUMNS_MAX	 12
#define COLUMN_WIDTH_MIN 8
#define WIDTH_UNLIMITED	 100000U
#define INDENT		 2

const char *table_colour(enum colour colour)
{
	static const char *const escapes[] = {
		[COLOUR_NONE] = "\033[0m",
		[COLOUR_BOLD] = "\033[1m",
		[COLOUR_RED] = "\033[31m",
		[COLOUR_YELLOW] = "\033[33m",
	};
	static int wanted = -1;

	if (wanted < 0) {
		const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

		wanted = isatty(STDOUT_FILENO) && !(no && *no) && term &&
			 strcmp(term, "dumb") != 0;
	}
	return wanted ? escapes[colour] : "";
}

/* A pipe or a file takes any width. */
static size_t screen_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return WIDTH_UNLIMITED;
}

/* Characters, not bytes: a character's later bytes are 10xxxxxx. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void cell_text(const struct column *c, const json_t *row,
		      char ret[VALUE_TEXT_BYTES])
{
	const json_t *value = json_object_get(row, c->key);

	if (!value || json_is_null(value) ||
	    (json_is_string(value) && json_string_length(value) == 0))
		strcpy(ret, "-");
	else
		value_text(c->key, value, ret);
}

static void measure(const struct column *columns, const json_t *rows,
		    size_t *widths)
{
	char text[VALUE_TEXT_BYTES];
	json_t *row;
	size_t i;

	for (size_t c = 0; columns[c].head; c++)
		widths[c] = width_of(columns[c].head);
	json_array_foreach((json_t *)rows, i, row) for (size_t c = 0;
							columns[c].head; c++)
	{
		size_t width;

		cell_text(&columns[c], row, text);
		width = width_of(text);
		if (width > widths[c])
			widths[c] = width;
	}
}

/* Take from the widest column that may shrink until the line fits. */
static void shrink(const struct column *columns, size_t *widths)
{
	size_t screen = screen_width();

	for (;;) {
		size_t total = 0, widest = COLUMNS_MAX;

		for (size_t c = 0; columns[c].head; c++) {
			total += widths[c] + (c ? INDENT : 0);
			if (columns[c].shrinks &&
			    widths[c] > COLUMN_WIDTH_MIN &&
			    (widest == COLUMNS_MAX ||
			     widths[c] > widths[widest]))
				widest = c;
		}
		if (total <= screen || widest == COLUMNS_MAX)
			return;
		widths[widest]--;
	}
}

/* @text cut to @width characters, the last of them `…`. */
static void cut(char *text, size_t width)
{
	size_t n = 0;

	if (width_of(text) <= width)
		return;
	for (; *text; text++) {
		if ((*text & 0xc0) == 0x80)
			continue;
		if (++n == width) {
			strcpy(text, "…");
			return;
		}
	}
}

static void put_cell(const struct column *c, bool last, char *text,
		     size_t width)
{
	int padding;

	cut(text, width);
	padding = (int)(width - width_of(text));
	if (c->right)
		printf("%*s%s", padding, "", text);
	else
		printf("%s%*s", text, last ? 0 : padding, "");
	if (!last)
		printf("%*s", INDENT, "");
}

void table_print(const struct column *columns, const json_t *rows)
{
	size_t widths[COLUMNS_MAX];
	char text[VALUE_TEXT_BYTES];
	json_t *row;
	size_t i;

	measure(columns, rows, widths);
	shrink(columns, widths);
	fputs(table_colour(COLOUR_BOLD), stdout);
	for (size_t c = 0; columns[c].head; c++) {
		snprintf(text, sizeof(text), "%s", columns[c].head);
		put_cell(&columns[c], !columns[c + 1].head, text, widths[c]);
	}
	printf("%s\n", table_colour(COLOUR_NONE));
	json_array_foreach((json_t *)rows, i, row)
	{
		for (size_t c = 0; columns[c].head; c++) {
			cell_text(&columns[c], row, text);
			put_cell(&columns[c], !columns[c + 1].head, text,
				 widths[c]);
		}
		putchar('\n');
	}
}

/* `uptime_ms` reads `uptime`, `keeper_pid` reads `keeper pid`. */
static void label(const char *key, char ret[64])
{
	static const char *const units[] = { "_bytes", "_ms", "_us" };
	size_t n;

	snprintf(ret, 64, "%s", key);
	n = strlen(ret);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t m = strlen(units[i]);

		if (n > m && strcmp(ret + n - m, units[i]) == 0)
			ret[n - m] = '\0';
	}
	for (char *p = ret; *p; p++)
		if (*p == '_')
			*p = ' ';
}

static void print_object(const json_t *object, int indent)
{
	char text[VALUE_TEXT_BYTES], name[64];
	size_t width = 0;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		label(key, name);
		if (!json_is_object(value) && width_of(name) > width)
			width = width_of(name);
	}
	json_object_foreach((json_t *)object, key, value)
	{
		label(key, name);
		if (json_is_object(value)) {
			printf("%*s%s%s:%s\n", indent, "",
			       table_colour(COLOUR_BOLD), name,
			       table_colour(COLOUR_NONE));
			print_object(value, indent + INDENT);
			continue;
		}
		value_text(key, value, text);
		printf("%*s%s:%*s%s\n", indent, "", name,
		       (int)(width - width_of(name)) + INDENT, "",
		       *text ? text : "-");
	}
}

void table_print_object(const json_t *object)
{
	print_object(object, 0);
}
