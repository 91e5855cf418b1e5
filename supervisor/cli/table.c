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
#define LABEL_BYTES	 64

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

static size_t measure(const struct column *columns, const json_t *rows,
		      size_t *widths)
{
	char text[VALUE_TEXT_BYTES];
	json_t *row;
	size_t i, n;

	for (n = 0; columns[n].head && n < COLUMNS_MAX; n++)
		widths[n] = width_of(columns[n].head);
	json_array_foreach((json_t *)rows, i, row) for (size_t c = 0; c < n;
							c++)
	{
		size_t width;

		cell_text(&columns[c], row, text);
		width = width_of(text);
		if (width > widths[c])
			widths[c] = width;
	}
	return n;
}

/* Take from the widest column that may shrink until the line fits; then
 * leave out the last ones. How many columns stay. */
static size_t shrink(const struct column *columns, size_t n, size_t *widths,
		     size_t indent)
{
	size_t screen = screen_width();

	while (n > 1) {
		size_t total = indent, widest = n;

		for (size_t c = 0; c < n; c++) {
			total += widths[c] + (c ? INDENT : 0);
			if (columns[c].shrinks &&
			    widths[c] > COLUMN_WIDTH_MIN &&
			    (widest == n || widths[c] > widths[widest]))
				widest = c;
		}
		if (total <= screen)
			break;
		if (widest < n)
			widths[widest]--;
		else
			n--;
	}
	return n;
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

static void print(const struct column *columns, const json_t *rows,
		  size_t indent)
{
	size_t widths[COLUMNS_MAX], n, i;
	char text[VALUE_TEXT_BYTES];
	json_t *row;

	n = measure(columns, rows, widths);
	n = shrink(columns, n, widths, indent);
	printf("%*s%s", (int)indent, "", table_colour(COLOUR_BOLD));
	for (size_t c = 0; c < n; c++) {
		snprintf(text, sizeof(text), "%s", columns[c].head);
		put_cell(&columns[c], c + 1 == n, text, widths[c]);
	}
	printf("%s\n", table_colour(COLOUR_NONE));
	json_array_foreach((json_t *)rows, i, row)
	{
		printf("%*s", (int)indent, "");
		for (size_t c = 0; c < n; c++) {
			cell_text(&columns[c], row, text);
			put_cell(&columns[c], c + 1 == n, text, widths[c]);
		}
		putchar('\n');
	}
}

void table_print(const struct column *columns, const json_t *rows)
{
	print(columns, rows, 0);
}

/* --- an object, key by key -------------------------------------------------
 */

/* `uptime_ms` reads `uptime`, `keeper_pid` reads `keeper pid`. */
static void label(const char *key, char ret[LABEL_BYTES])
{
	static const char *const units[] = { "_bytes", "_ms", "_us" };
	size_t n;

	snprintf(ret, LABEL_BYTES, "%s", key);
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

/* Objects that thoxd sent as a list: the first one's keys are the columns. */
static void print_objects(const json_t *rows, size_t indent)
{
	struct column columns[COLUMNS_MAX + 1] = { 0 };
	char heads[COLUMNS_MAX][LABEL_BYTES];
	const json_t *first = json_array_get(rows, 0);
	const char *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)first, key, value)
	{
		if (n == COLUMNS_MAX)
			break;
		label(key, heads[n]);
		for (char *p = heads[n]; *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		columns[n].head = heads[n];
		columns[n].key = key;
		columns[n].right = json_is_number(value);
		columns[n].shrinks = json_is_string(value);
		n++;
	}
	print(columns, rows, indent);
}

static bool is_nested(const json_t *value)
{
	return json_is_object(value) ||
	       json_is_object(json_array_get(value, 0));
}

static void print_object(const json_t *object, size_t indent);

static void print_nested(const char *name, const json_t *value, size_t indent)
{
	printf("%*s%s%s:%s\n", (int)indent, "", table_colour(COLOUR_BOLD), name,
	       table_colour(COLOUR_NONE));
	if (json_is_object(value))
		print_object(value, indent + INDENT);
	else
		print_objects(value, indent + INDENT);
}

static void print_object(const json_t *object, size_t indent)
{
	char text[VALUE_TEXT_BYTES], name[LABEL_BYTES];
	size_t width = 0;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		label(key, name);
		if (!is_nested(value) && width_of(name) > width)
			width = width_of(name);
	}
	json_object_foreach((json_t *)object, key, value)
	{
		label(key, name);
		if (is_nested(value)) {
			print_nested(name, value, indent);
			continue;
		}
		value_text(key, value, text);
		printf("%*s%s:%*s%s\n", (int)indent, "", name,
		       (int)(width - width_of(name)) + INDENT, "",
		       *text ? text : "-");
	}
}

void table_print_object(const json_t *object)
{
	print_object(object, 0);
}
