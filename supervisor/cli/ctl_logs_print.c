/* Step 9, in thoxctl: one line of a log, for people and for programs. */

#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/ctl_logs.h"
#include "cli/table.h"
#include "cli/value.h"

/* `worker` means all instances, `worker:blue` one; either may be a pattern. */
static bool name_matches(const char *name, const char *service,
			 const char *instance)
{
	const char *colon = strchr(name, ':');
	char head[256];

	if (!colon)
		return fnmatch(name, service, 0) == 0;
	snprintf(head, sizeof(head), "%.*s", (int)(colon - name), name);
	return fnmatch(head, service, 0) == 0 &&
	       (!instance || fnmatch(colon + 1, instance, 0) == 0);
}

static bool any_matches(const struct logs_filter *f, const char *service,
			const char *instance)
{
	for (int i = 0; i < f->n_names; i++)
		if (name_matches(f->names[i], service, instance))
			return true;
	return f->n_names == 0;
}

bool logs_service_wanted(const struct logs_filter *f, const char *service)
{
	return any_matches(f, service, NULL);
}

static bool grep_matches(regex_t *grep, const struct line *line)
{
	char text[LINE_TEXT_BYTES + 1];

	memcpy(text, line->text, line->size);
	text[line->size] = '\0';
	return regexec(grep, text, 0, NULL, 0) == 0;
}

bool logs_wanted(const struct logs_filter *f, const char *service,
		 const struct line *line)
{
	if (line->time_us < f->since_us ||
	    (f->until_us && line->time_us > f->until_us) ||
	    line->level > f->level || line->size > LINE_TEXT_BYTES)
		return false;
	return any_matches(f, service, line->instance) &&
	       (!f->grep || grep_matches(f->grep, line));
}

/* What a program printed must not move the reader's cursor. */
static void print_safely(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static void print_head(const char *service, const struct line *line)
{
	time_t seconds = (time_t)(line->time_us / 1000000);
	char when[32];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%b %d %H:%M:%S", &tm);
	printf("%s %s%s%s[%d]: ", when, service, line->instance[0] ? ":" : "",
	       line->instance, (int)line->pid);
}

static void print_short(const char *service, const struct line *line)
{
	enum colour colour = line->level <= LINE_ERR	   ? COLOUR_RED
			     : line->level == LINE_WARNING ? COLOUR_YELLOW
							   : COLOUR_NONE;

	print_head(service, line);
	if (colour != COLOUR_NONE)
		fputs(table_colour(colour), stdout);
	print_safely(line->text, line->size);
	if (colour != COLOUR_NONE)
		fputs(table_colour(COLOUR_NONE), stdout);
	putchar('\n');
}

static void print_json(const char *service, const struct line *line)
{
	char time[LINE_TIME_BYTES];
	json_t *o = json_object();

	line_write_time(line->time_us, time);
	json_object_set_new(o, "time", json_string(time));
	json_object_set_new(o, "service", json_string(service));
	if (line->instance[0])
		json_object_set_new(o, "instance", json_string(line->instance));
	json_object_set_new(o, "pid", json_integer(line->pid));
	json_object_set_new(o, "level",
			    json_string(line_level_name[line->level]));
	json_object_set_new(o, "stream",
			    json_string(line->error ? "err" : "out"));
	json_object_set_new(o, "message", value_string(line->text, line->size));
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static void print_cat(const struct line *line)
{
	if (isatty(STDOUT_FILENO))
		print_safely(line->text, line->size);
	else
		fwrite(line->text, 1, line->size, stdout);
	putchar('\n');
}

void logs_print(enum logs_output output, const char *service,
		const struct line *line)
{
	switch (output) {
	case LOGS_SHORT:
		print_short(service, line);
		break;
	case LOGS_JSON:
		print_json(service, line);
		break;
	case LOGS_CAT:
		print_cat(line);
		break;
	case LOGS_TEXT:
		print_safely(line->text, line->size);
		putchar('\n');
		break;
	}
}
