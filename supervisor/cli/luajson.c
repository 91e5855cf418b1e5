/* Step 7, in thoxctl: values of programs become JSON, or lines of text. */

#include "cli/luajson.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "rpc/wire.h"

#define NUMBER_BYTES 64

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";

/* --- base64 -----------------------------------------------------------------
 */

static json_t *base64_encode(const char *data, size_t size)
{
	_cleanup_(freep) char *text = malloc((size + 2) / 3 * 4 + 1);
	const uint8_t *p = (const uint8_t *)data;
	size_t n = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		size_t have = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)p[i] << 16;

		if (have > 1)
			bits |= (uint32_t)p[i + 1] << 8;
		if (have > 2)
			bits |= p[i + 2];
		for (size_t k = 0; k < 4; k++)
			text[n++] =
				k <= have
					? base64_digits[(bits >> (18 - 6 * k)) &
							63]
					: '=';
	}
	return json_stringn(text, n);
}

static int digit_of(char c)
{
	const char *at = c ? strchr(base64_digits, c) : NULL;

	return at ? (int)(at - base64_digits) : -1;
}

/* Into @ret, which has room for as many bytes as @text has; -1: none. */
static ssize_t base64_decode(const char *text, size_t size, uint8_t *ret)
{
	size_t n = 0;

	if (size % 4 != 0)
		return -1;
	for (size_t i = 0; i < size; i += 4) {
		bool last = i + 4 == size;
		size_t have = 4;
		uint32_t bits = 0;

		if (last && text[i + 3] == '=')
			have = text[i + 2] == '=' ? 2 : 3;
		for (size_t k = 0; k < 4; k++) {
			int digit = k < have ? digit_of(text[i + k]) : 0;

			if (digit < 0)
				return -1;
			bits = bits << 6 | (uint32_t)digit;
		}
		for (size_t k = 0; k + 1 < have; k++)
			ret[n++] = (uint8_t)(bits >> (16 - 8 * k));
	}
	return (ssize_t)n;
}

/* --- to JSON ----------------------------------------------------------------
 */

static json_t *wrap(const char *key, json_t *value)
{
	json_t *object = json_object();

	if (json_object_set_new(object, key, value) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static json_t *from_string(struct mp_bytes bytes)
{
	json_t *value = json_stringn(bytes.p, bytes.size);

	if (value)
		return value;
	return wrap("$bytes", base64_encode(bytes.p, bytes.size));
}

static json_t *from_double(double d)
{
	if (isnan(d))
		return wrap("$float", json_string("nan"));
	if (isinf(d))
		return wrap("$float", json_string(d < 0 ? "-inf" : "inf"));
	return json_real(d);
}

/* As many digits as tell it from its neighbours; never like an integer. */
static void double_text(double d, char ret[NUMBER_BYTES])
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(ret, NUMBER_BYTES, "%.*g", digits, d);
		if (strtod(ret, NULL) == d)
			break;
	}
	if (isfinite(d) && !strpbrk(ret, ".e"))
		strcat(ret, ".0");
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

/* The text of a key; @ret_size its bytes. Freed by the caller. */
static char *read_key(struct mp_reader *r, size_t *ret_size)
{
	char number[NUMBER_BYTES];
	struct mp_bytes bytes = { number, 0 };
	char *key;

	switch (mp_peek(r)) {
	case MP_STR:
	case MP_BIN:
		bytes = mp_read_str(r);
		break;
	case MP_INT:
		snprintf(number, sizeof(number), "%lld",
			 (long long)mp_read_int(r));
		break;
	case MP_UINT:
		snprintf(number, sizeof(number), "%llu",
			 (unsigned long long)mp_read_uint(r));
		break;
	case MP_DOUBLE:
		double_text(mp_read_double(r), number);
		break;
	case MP_BOOL:
		strcpy(number, mp_read_bool(r) ? "true" : "false");
		break;
	case MP_EXT:
		snprintf(number, sizeof(number), "context: %llu",
			 (unsigned long long)wire_read_context(r));
		break;
	default:
		r->bad = true;
		return NULL;
	}
	if (bytes.p == number)
		bytes.size = strlen(number);
	key = malloc(bytes.size + 1);
	if (!key) {
		r->bad = true;
		return NULL;
	}
	memcpy(key, bytes.p, bytes.size);
	key[bytes.size] = '\0';
	*ret_size = bytes.size;
	return key;
}

/* JSON's keys are text: of other bytes what is ASCII stays. */
static void make_text(char *key, size_t size)
{
	if (utf8_valid(key, size))
		return;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)key[i] >= 0x80)
			key[i] = '?';
}

static json_t *map_from_mp(struct mp_reader *r, unsigned depth)
{
	json_t *object = json_object();

	for (uint32_t n = mp_read_map(r); n > 0 && !r->bad; n--) {
		size_t size = 0;
		_cleanup_(freep) char *key = read_key(r, &size);

		if (!key)
			break;
		make_text(key, size);
		if (json_object_set_new(object, key, from_mp(r, depth + 1)) < 0)
			r->bad = true;
	}
	return object;
}

static json_t *from_mp(struct mp_reader *r, unsigned depth)
{
	uint64_t number;

	if (depth > MP_DEPTH_MAX + 1) {
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
		return from_double(mp_read_double(r));
	case MP_STR:
	case MP_BIN:
		return from_string(mp_read_str(r));
	case MP_EXT:
		number = wire_read_context(r);
		return wrap("$context", json_integer((json_int_t)number));
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

json_t *luajson_from_mp(struct mp_reader *r)
{
	json_t *value = from_mp(r, 1);

	if (r->bad) {
		json_decref(value);
		return NULL;
	}
	return value;
}

/* --- from JSON --------------------------------------------------------------
 */

static void write_string(struct mp_writer *w, const char *text, size_t size)
{
	if (utf8_valid(text, size))
		mp_write_strn(w, text, size);
	else
		mp_write_bin(w, text, size);
}

static int write_bytes(struct mp_writer *w, const json_t *value)
{
	_cleanup_(freep) uint8_t *data = NULL;
	ssize_t n;

	if (!json_is_string(value))
		return -EINVAL;
	data = malloc(json_string_length(value) + 1);
	if (!data)
		return -ENOMEM;
	n = base64_decode(json_string_value(value), json_string_length(value),
			  data);
	if (n < 0)
		return -EINVAL;
	write_string(w, (char *)data, (size_t)n);
	return 0;
}

static int write_float(struct mp_writer *w, const json_t *value)
{
	static const struct {
		const char *text;
		double value;
	} floats[] = {
		{ "inf", INFINITY },
		{ "-inf", -INFINITY },
		{ "nan", NAN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(floats); i++) {
		if (!json_is_string(value) ||
		    strcmp(json_string_value(value), floats[i].text) != 0)
			continue;
		mp_write_double(w, floats[i].value);
		return 0;
	}
	return -EINVAL;
}

static int write_object(struct mp_writer *w, const json_t *object)
{
	const char *key;
	json_t *item;
	int r = 0;

	if (json_object_size(object) == 1) {
		item = json_object_get(object, "$bytes");
		if (item)
			return write_bytes(w, item);
		item = json_object_get(object, "$float");
		if (item)
			return write_float(w, item);
		if (json_object_get(object, "$context"))
			return -EINVAL;
	}
	mp_write_map(w, (uint32_t)json_object_size(object));
	json_object_foreach((json_t *)object, key, item)
	{
		mp_write_str(w, key);
		if (r == 0)
			r = luajson_to_mp(w, item);
	}
	return r;
}

int luajson_to_mp(struct mp_writer *w, const json_t *value)
{
	json_t *item;
	size_t i;
	int r = 0;

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
		{
			if (r == 0)
				r = luajson_to_mp(w, item);
		}
		return r;
	case JSON_OBJECT:
		return write_object(w, value);
	}
	return 0;
}

int luajson_write_argument(struct mp_writer *w, const char *text)
{
	json_t *value = json_loads(
		text, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES,
		NULL);
	int r = 0;

	if (value)
		r = luajson_to_mp(w, value);
	else
		write_string(w, text, strlen(text));
	json_decref(value);
	return r;
}

/* --- for people -------------------------------------------------------------
 */

void luajson_print_text(FILE *out, const char *text, size_t size, bool terminal)
{
	/* with a NUL behind it, as utf8_printable() wants */
	_cleanup_(freep) char *copy = terminal ? malloc(size + 1) : NULL;

	if (!copy) {
		if (!terminal)
			fwrite(text, 1, size, out);
		return;
	}
	memcpy(copy, text, size);
	copy[size] = '\0';
	for (size_t i = 0; i < size;) {
		size_t n = utf8_printable((unsigned char *)copy + i);

		if (n == 0 && (copy[i] == '\n' || copy[i] == '\t'))
			n = 1;
		if (n > 0)
			fwrite(copy + i, 1, n, out);
		else
			fprintf(out, "\\x%02x", (unsigned char)copy[i]);
		i += n ? n : 1;
	}
}

static void print_json(FILE *out, struct mp_reader *r)
{
	json_t *value = luajson_from_mp(r);

	/* ASCII only: what could steer a terminal is escaped. */
	if (value)
		json_dumpf(value, out,
			   JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(value);
}

static bool is_word(struct mp_bytes text)
{
	for (size_t i = 0; i < text.size; i++)
		if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f)
			return false;
	return text.size > 0 && utf8_valid(text.p, text.size);
}

static void print_string(FILE *out, struct mp_reader *r, bool words,
			 bool terminal)
{
	struct mp_reader copy = *r;
	struct mp_bytes text = mp_read_str(r);

	if (r->bad)
		return;
	if (words && !is_word(text))
		print_json(out, &copy);
	else
		luajson_print_text(out, text.p, text.size, terminal);
}

static void print_item(FILE *out, struct mp_reader *r, bool words,
		       bool terminal)
{
	char number[NUMBER_BYTES];

	switch (mp_peek(r)) {
	case MP_NIL:
		mp_read_nil(r);
		fputs("nil", out);
		break;
	case MP_DOUBLE:
		double_text(mp_read_double(r), number);
		fputs(number, out);
		break;
	case MP_EXT:
		fprintf(out, "context: %llu",
			(unsigned long long)wire_read_context(r));
		break;
	case MP_STR:
	case MP_BIN:
		print_string(out, r, words, terminal);
		break;
	default:
		print_json(out, r);
	}
}

static bool print_items(FILE *out, struct mp_bytes array, bool words,
			bool terminal)
{
	struct mp_reader r;
	uint32_t items;

	mp_reader_init(&r, array.p, array.size);
	for (items = mp_read_array(&r); items > 0 && !r.bad; items--) {
		if (words)
			fputc(' ', out);
		print_item(out, &r, words, terminal);
		if (!words)
			fputc('\n', out);
	}
	return mp_end(&r) == 0;
}

bool luajson_print_lines(FILE *out, struct mp_bytes array, bool terminal)
{
	return print_items(out, array, false, terminal);
}

bool luajson_print_words(FILE *out, struct mp_bytes array, bool terminal)
{
	return print_items(out, array, true, terminal);
}
