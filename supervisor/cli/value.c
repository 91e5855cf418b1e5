/*
 * Step 2, in thoxctl: an answer of thoxd becomes JSON, and JSON text.
 *
 * Nothing here knows what a command answers: a new key is shown without a
 * change, after the unit that its name ends with.
 */

#include "cli/value.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "base/utf8.h"
#include "base/util.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

json_t *value_string(const char *text, size_t size)
{
	json_t *value = json_stringn(text, size);
	char *clean;
	size_t n = 0;

	if (value)
		return value;
	/* Not UTF-8: what is printable ASCII stays. */
	clean = malloc(size * 3 + 1);
	if (!clean)
		return NULL;
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)text[i] < 0x80) {
			clean[n++] = text[i];
		} else {
			memcpy(clean + n, replacement, 3);
			n += 3;
		}
	}
	value = json_stringn(clean, n);
	free(clean);
	return value;
}

static json_t *from_mp(struct mp_reader *r, unsigned depth);

static json_t *array_from_mp(struct mp_reader *r, unsigned depth)
{
	json_t *array = json_array();

	for (uint32_t n = mp_read_array(r); n > 0 && !r->bad; n--)
		if (json_array_append_new(array, from_mp(r, depth + 1)) < 0)
			r->bad = true;
	return array;
}

static json_t *map_from_mp(struct mp_reader *r, unsigned depth)
{
	json_t *object = json_object();

	for (uint32_t n = mp_read_map(r); n > 0 && !r->bad; n--) {
		struct mp_bytes key = mp_read_str(r);
		char name[128];

		if (mp_bytes_copy(key, name, sizeof(name)) < 0 ||
		    json_object_set_new(object, name, from_mp(r, depth + 1)) <
			    0)
			r->bad = true;
	}
	return object;
}

static json_t *from_mp(struct mp_reader *r, unsigned depth)
{
	struct mp_bytes bytes;
	int8_t type;

	if (depth > MP_DEPTH_MAX) {
		r->bad = true;
		return NULL;
	}
	switch (mp_peek(r)) {
	case MP_NIL:
		mp_read_nil(r);
		return json_null();
	case MP_BOOL:
		return json_boolean(mp_read_bool(r));
	case MP_INT:
		return json_integer(mp_read_int(r));
	case MP_UINT:
		return json_real((double)mp_read_uint(r));
	case MP_DOUBLE:
		return json_real(mp_read_double(r));
	case MP_STR:
	case MP_BIN:
		bytes = mp_read_str(r);
		return value_string(bytes.p, bytes.size);
	case MP_EXT:
		bytes = mp_read_ext(r, &type);
		return value_string(bytes.p, bytes.size);
	case MP_ARRAY:
		return array_from_mp(r, depth);
	case MP_MAP:
		return map_from_mp(r, depth);
	case MP_BAD:
		break;
	}
	r->bad = true;
	return NULL;
}

json_t *value_from_mp(struct mp_reader *r)
{
	json_t *value = from_mp(r, 1);

	if (r->bad) {
		json_decref(value);
		return NULL;
	}
	return value;
}

void value_to_mp(struct mp_writer *w, const json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_NULL:
		mp_write_nil(w);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		mp_write_bool(w, json_is_true(value));
		break;
	case JSON_INTEGER:
		mp_write_int(w, json_integer_value(value));
		break;
	case JSON_REAL:
		mp_write_double(w, json_real_value(value));
		break;
	case JSON_STRING:
		mp_write_strn(w, json_string_value(value),
			      json_string_length(value));
		break;
	case JSON_ARRAY:
		mp_write_array(w, (uint32_t)json_array_size(value));
		json_array_foreach((json_t *)value, i, item)
			value_to_mp(w, item);
		break;
	case JSON_OBJECT:
		mp_write_map(w, (uint32_t)json_object_size(value));
		json_object_foreach((json_t *)value, key, item)
		{
			mp_write_str(w, key);
			value_to_mp(w, item);
		}
		break;
	}
}

/* --- for people ------------------------------------------------------------
 */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void printable(const char *text, char ret[VALUE_TEXT_BYTES])
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = 0;

	while (*p && n + 5 < VALUE_TEXT_BYTES) {
		size_t length = utf8_printable(p);

		if (length == 0) {
			ret[n++] = '?';
			p++;
			continue;
		}
		memcpy(ret + n, p, length);
		n += length;
		p += length;
	}
	ret[n] = '\0';
}

/* A moment that is to come. */
static void future_text(uint64_t value_ms, char ret[VALUE_TEXT_BYTES])
{
	char text[UNITS_TEXT_BYTES];
	struct timespec now;
	uint64_t now_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	units_format_us(value_ms > now_ms ? (value_ms - now_ms) * 1000 : 0,
			text);
	snprintf(ret, VALUE_TEXT_BYTES, "in %s", text);
}

static void integer_text(const char *key, json_int_t number,
			 char ret[VALUE_TEXT_BYTES])
{
	uint64_t value = number < 0 ? 0 : (uint64_t)number;
	char text[UNITS_TEXT_BYTES];

	if (strcmp(key, "next_ms") == 0) {
		if (value > 0)
			future_text(value, ret);
		else
			strcpy(ret, "-");
		return;
	}
	if (strcmp(key, "started_ms") == 0 || strcmp(key, "since_ms") == 0 ||
	    strcmp(key, "ended_ms") == 0) {
		struct timespec now;
		uint64_t now_ms;

		clock_gettime(CLOCK_REALTIME, &now);
		now_ms = (uint64_t)now.tv_sec * 1000 +
			 (uint64_t)now.tv_nsec / 1000000;
		units_format_us(now_ms > value ? (now_ms - value) * 1000 : 0,
				text);
	} else if (ends_with(key, "_bytes")) {
		units_format_bytes(value, text);
	} else if (ends_with(key, "_ms")) {
		units_format_us(value * 1000, text);
	} else if (ends_with(key, "_us")) {
		units_format_us(value, text);
	} else {
		snprintf(text, sizeof(text), "%lld", (long long)number);
	}
	snprintf(ret, VALUE_TEXT_BYTES, "%s", text);
}

/* The items of an array side by side. */
static void list_text(const char *key, const json_t *array,
		      char ret[VALUE_TEXT_BYTES])
{
	size_t used = 0, i;
	json_t *item;

	ret[0] = '\0';
	json_array_foreach((json_t *)array, i, item)
	{
		char text[VALUE_TEXT_BYTES];
		int n;

		value_text(key, item, text);
		n = snprintf(ret + used, VALUE_TEXT_BYTES - used, "%s%s",
			     i ? " " : "", text);
		used += (size_t)n;
		if (used >= VALUE_TEXT_BYTES)
			return;
	}
}

void value_text(const char *key, const json_t *value,
		char ret[VALUE_TEXT_BYTES])
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		printable(json_string_value(value), ret);
		break;
	case JSON_INTEGER:
		integer_text(key, json_integer_value(value), ret);
		break;
	case JSON_REAL:
		snprintf(ret, VALUE_TEXT_BYTES, "%g", json_real_value(value));
		break;
	case JSON_TRUE:
		snprintf(ret, VALUE_TEXT_BYTES, "yes");
		break;
	case JSON_FALSE:
		snprintf(ret, VALUE_TEXT_BYTES, "no");
		break;
	case JSON_ARRAY:
		list_text(key, value, ret);
		break;
	default:
		snprintf(ret, VALUE_TEXT_BYTES, "-");
	}
}

void value_dump(const json_t *value)
{
	size_t flags = JSON_ENCODE_ANY;

	flags |= isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT;
	json_dumpf(value, stdout, flags);
	putchar('\n');
}
