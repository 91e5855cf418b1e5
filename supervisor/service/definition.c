/*
 * Step 4, for services: a definition's text becomes a definition.
 *
 * inih takes the lines apart. It is handed one at a time, so that the line is
 * known to whoever complains, and none that it would cut. Sections are looked
 * at here as well, because it does not tell of an empty one.
 */

#include "service/definition.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "service/definition_private.h"

#define SUFFIX ".service"

/* --- notes --------------------------------------------------------------- */

/* What was quoted may have been cut within a character. */
static void mend(char *text)
{
	for (char *p = text; *p;) {
		size_t n = utf8_printable((const unsigned char *)p);

		if (n == 0)
			*p = '?';
		p += n ? n : 1;
	}
}

static void note(struct reading *rd, unsigned line, bool warning,
		 const char *format, va_list args)
{
	struct definition_notes *notes = rd->notes;
	size_t at = notes->n;

	if (warning)
		notes->warnings++;
	else
		notes->errors++;
	if (notes->n == DEFINITION_NOTES_MAX)
		return;
	/* In the order of lines; those of the whole at the end. */
	while (at > 0 && line > 0 &&
	       (notes->items[at - 1].line > line ||
		notes->items[at - 1].line == 0)) {
		notes->items[at] = notes->items[at - 1];
		at--;
	}
	notes->n++;
	notes->items[at].line = line;
	notes->items[at].warning = warning;
	vsnprintf(notes->items[at].text, DEFINITION_NOTE_BYTES, format, args);
	mend(notes->items[at].text);
}

void note_error(struct reading *rd, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(rd, line, false, format, args);
	va_end(args);
}

void note_warning(struct reading *rd, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(rd, line, true, format, args);
	va_end(args);
}

void definition_reason(const struct definition_notes *notes, const char *name,
		       char *ret, size_t size)
{
	ret[0] = '\0';
	for (size_t i = 0; i < notes->n; i++) {
		const struct definition_note *n = &notes->items[i];

		if (n->warning)
			continue;
		if (n->line > 0)
			snprintf(ret, size, "%s:%u: %s", name, n->line,
				 n->text);
		else
			snprintf(ret, size, "%s: %s", name, n->text);
		return;
	}
}

/* --- lines --------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool printable(const char *line, size_t size)
{
	char copy[DEFINITION_LINE_BYTES + 4];
	const char *p = copy;

	memcpy(copy, line, size);
	memset(copy + size, 0, 4); /* what a cut character is seen by */
	while (p < copy + size) {
		size_t n = *p == '\t' || (*p == '\r' && p + 1 == copy + size)
				   ? 1
				   : utf8_printable((const unsigned char *)p);

		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

static void check_section(struct reading *rd, const char *line)
{
	const char *end = strchr(line, ']'), *near;
	char section[DEFINITION_LINE_BYTES + 1];

	rd->key = NULL;
	if (!end)
		return; /* inih complains */
	snprintf(section, sizeof(section), "%.*s", (int)(end - line - 1),
		 line + 1);
	if (section_exists(section))
		return;
	near = section_near(section);
	note_error(rd, rd->line, "no such section: [%.60s]%s%s%s", section,
		   near ? "; did you mean [" : "", near ? near : "",
		   near ? "]?" : "");
}

/* What inih takes for going on with the last key. */
static bool continues(const struct reading *rd, const char *line)
{
	const char *p = line;

	while (is_space(*p))
		p++;
	return p > line && rd->key && *p && *p != ';' && *p != '#';
}

/* The next line for inih, with its line feed; NULL at the end. */
static char *next_line(char *buf, int size, void *user)
{
	struct reading *rd = user;
	const char *newline;
	size_t n, most = DEFINITION_LINE_BYTES;

	if (rd->p == rd->end || rd->overlong)
		return NULL;
	rd->line++;
	newline = memchr(rd->p, '\n', (size_t)(rd->end - rd->p));
	n = (size_t)((newline ? newline : rd->end) - rd->p);
	if ((size_t)size < most + 2)
		most = (size_t)size - 2;
	if (n > most) {
		note_error(rd, rd->line,
			   "a line is at most %zu bytes; lists and args go on "
			   "in a line that begins with a space",
			   most);
		rd->overlong = true;
		return NULL;
	}
	if (rd->line == 1 && n >= 3 && memcmp(rd->p, "\xef\xbb\xbf", 3) == 0) {
		rd->p += 3; /* a byte order mark, which is no character */
		n -= 3;
	}
	memcpy(buf, rd->p, n);
	buf[n] = '\n';
	buf[n + 1] = '\0';
	rd->p = newline ? newline + 1 : rd->end;
	if (!printable(buf, n)) {
		note_error(rd, rd->line,
			   "there is a control character, or what is no UTF-8");
		strcpy(buf, "\n");
	}
	rd->indented = continues(rd, buf);
	if (!rd->indented && buf[strspn(buf, " \t")] == '[')
		check_section(rd, buf + strspn(buf, " \t"));
	return buf;
}

/* --- keys ---------------------------------------------------------------- */

static void no_such_key(struct reading *rd, const char *section,
			const char *name)
{
	const char *near = key_near(section, name);
	const char *other = key_elsewhere(section, name);

	if (!*section)
		note_error(rd, rd->line,
			   "'%.60s' stands before the first [section]", name);
	else if (other)
		note_error(rd, rd->line,
			   "no such key in [%s]: '%.60s' belongs in [%s]",
			   section, name, other);
	else
		note_error(rd, rd->line, "no such key in [%s]: '%.60s'%s%s%s",
			   section, name, near ? "; did you mean '" : "",
			   near ? near : "", near ? "'?" : "");
}

static void read_key(struct reading *rd, const char *section, const char *name,
		     const char *value)
{
	static const struct key unknown; /* its next lines are passed over */
	const struct key *key = key_find(section, name);
	unsigned *line;

	rd->key = key ? key : &unknown;
	if (!key) {
		/* The keys of a section that is none are nobody's. */
		if (!*section || section_exists(section))
			no_such_key(rd, section, name);
		return;
	}
	line = &rd->lines[key - definition_keys];
	if (*line > 0 && key->type != KEY_ENV && key->type != KEY_SECRET) {
		note_error(rd, rd->line, "%s is given in line %u already", name,
			   *line);
		return;
	}
	*line = rd->line;
	value_read(rd, key, name, value);
}

/* Somebody may have indented a key. */
static void warn_of_key(struct reading *rd, const char *value)
{
	char name[DEFINITION_LINE_BYTES + 1];
	size_t n = strcspn(value, " \t=");

	snprintf(name, sizeof(name), "%.*s", (int)n, value);
	if (value[n + strspn(value + n, " \t")] == '=' &&
	    key_find(rd->key->section, name))
		note_warning(rd, rd->line,
			     "this line goes on with %s; to set %s, begin it "
			     "without a space",
			     rd->key->name, name);
}

/* Without a comment behind it: inih leaves that in. */
static void read_more(struct reading *rd, const char *value)
{
	char copy[DEFINITION_LINE_BYTES + 1];
	size_t n = strlen(value);

	if (!rd->key->name)
		return;
	if (!key_is_list(rd->key)) {
		note_error(rd, rd->line,
			   "a line that begins with a space goes on with the "
			   "one before, but %s takes one value",
			   rd->key->name);
		return;
	}
	snprintf(copy, sizeof(copy), "%s", value);
	for (size_t i = 1; i < n; i++)
		if (copy[i] == ';' && is_space(copy[i - 1]))
			copy[i] = '\0';
	for (n = strlen(copy); n > 0 && is_space(copy[n - 1]); n--)
		copy[n - 1] = '\0';
	warn_of_key(rd, copy);
	value_read(rd, rd->key, rd->key->name, copy);
}

/* 1 goes on */
static int on_value(void *user, const char *section, const char *name,
		    const char *value)
{
	struct reading *rd = user;

	if (rd->indented)
		read_more(rd, value);
	else
		read_key(rd, section, name, value);
	return rd->error == 0;
}

/* --- the whole ----------------------------------------------------------- */

static bool acceptable(struct reading *rd)
{
	const struct definition_source *source = rd->source;
	const char *nul = memchr(source->text, '\0', source->size);
	unsigned line = 1;

	if (source->size > DEFINITION_BYTES) {
		note_error(rd, 0, "a service file is at most %u KiB",
			   DEFINITION_BYTES >> 10);
		return false;
	}
	if (!nul)
		return true;
	for (const char *p = source->text; p < nul; p++)
		line += *p == '\n';
	note_error(rd, line, "the text contains a NUL byte");
	return false;
}

static void read_text(struct reading *rd)
{
	int line;

	definition_set_defaults(rd);
	if (!acceptable(rd))
		return;
	line = ini_parse_stream(next_line, rd, on_value, rd);
	if (line > 0 && rd->error == 0)
		note_error(rd, (unsigned)line,
			   "neither `[section]` nor `key = value`");
	if (line < 0)
		rd->error = -ENOMEM;
	if (rd->error == 0 && !rd->overlong)
		definition_check(rd);
}

static int set_name(struct definition *d, const struct definition_source *s)
{
	size_t name_size,
		instance_size = s->instance ? strlen(s->instance) + 1 : 0;
	struct service_ref ref;

	if (service_ref_parse(s->name, &ref, NULL) < 0 || ref.instance[0] ||
	    (s->instance && !name_valid(s->instance)))
		return -EINVAL;
	name_size = strlen(ref.name) + 1;
	d->name = malloc(name_size + instance_size);
	if (!d->name)
		return -ENOMEM;
	memcpy(d->name, ref.name, name_size);
	if (s->instance)
		d->instance =
			memcpy(d->name + name_size, s->instance, instance_size);
	return 0;
}

static void definition_freep(struct definition **d)
{
	definition_free(*d);
}

int definition_parse(const struct definition_source *source,
		     struct definition **ret_definition,
		     struct definition_notes *ret_notes)
{
	_cleanup_(definition_freep) struct definition *d =
		calloc(1, sizeof(*d));
	struct reading rd = {
		.source = source,
		.d = d,
		.notes = ret_notes,
		.p = source->text,
		.end = source->text + source->size,
	};
	int r;

	ret_notes->n = ret_notes->errors = ret_notes->warnings = 0;
	if (!d)
		return -ENOMEM;
	r = set_name(d, source);
	if (r == -EINVAL)
		note_error(&rd, 0, "its name is none: %s",
			   name_rule(source->name) ? name_rule(source->name)
						   : "instances have no file");
	if (r < 0)
		return r;
	read_text(&rd);
	if (rd.error < 0)
		return rd.error;
	if (ret_notes->errors > 0)
		return -EINVAL;
	*ret_definition = steal(&d);
	return 0;
}

struct definition *definition_free(struct definition *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < definition_n_keys; i++) {
		void *field = (char *)d + definition_keys[i].offset;

		switch (definition_keys[i].type) {
		case KEY_TEXT:
		case KEY_PROGRAM:
		case KEY_RUNTIME:
		case KEY_CALL_NAME:
		case KEY_ON_LIMIT:
			free(*(char **)field);
			break;
		case KEY_ARGS:
		case KEY_ENV:
		case KEY_SECRET:
		case KEY_CALL_NAMES:
		case KEY_SERVICES:
		case KEY_PATTERNS:
			names_deinit(field);
			break;
		default:
			break;
		}
	}
	free(d->schedule_text);
	free(d->schedule);
	free(d->success);
	free(d->name);
	free(d);
	return NULL;
}

bool definition_success(const struct definition *d, int code, int signal)
{
	const struct definition_success *s = d->success;

	if (signal > 0)
		return s && signal < 64 && (s->signals & 1ULL << signal);
	if (code == 0)
		return true;
	return s && code > 0 && code < 256 &&
	       (s->codes[code / 64] & 1ULL << code % 64);
}

/* --- names of services --------------------------------------------------- */

int service_ref_parse(const char *text, struct service_ref *ret_ref,
		      const char **ret_rule)
{
	const char *colon = strchr(text, ':'), *rule;
	size_t size = colon ? (size_t)(colon - text) : strlen(text);
	size_t suffix = strlen(SUFFIX);
	struct service_ref ref = { 0 };

	if (size > NAME_MAX_BYTES) {
		rule = "a name is at most 128 bytes";
	} else {
		memcpy(ref.name, text, size);
		rule = name_rule(ref.name);
	}
	if (!rule && colon) {
		rule = name_rule(colon + 1);
		if (!rule)
			strcpy(ref.instance, colon + 1);
	}
	if (ret_rule)
		*ret_rule = rule;
	if (rule)
		return -EINVAL;
	if (size > suffix && strcmp(ref.name + size - suffix, SUFFIX) == 0)
		ref.name[size - suffix] = '\0';
	*ret_ref = ref;
	return 0;
}

void service_ref_format(const char *name, const char *instance,
			char ret[SERVICE_NAME_BYTES])
{
	snprintf(ret, SERVICE_NAME_BYTES, "%s%s%s", name,
		 instance && *instance ? ":" : "", instance ? instance : "");
}
