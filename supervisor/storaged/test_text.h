#pragma once

/*
 * MessagePack as text and back, for tests: `["a",1,nil,{"k":true}]`.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/mp.h"

#define TEXT_BYTES 4096

struct text {
	char p[TEXT_BYTES];
	size_t used;
};

__attribute__((format(printf, 2, 3))) static inline void text_add(
	struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->p + t->used, sizeof(t->p) - t->used, format, ap);
	va_end(ap);
	if (n > 0)
		t->used += (size_t)n;
	if (t->used >= sizeof(t->p))
		t->used = sizeof(t->p) - 1;
}

static inline void text_item(struct text *t, struct mp_reader *r)
{
	struct mp_bytes b;
	int8_t type;
	uint32_t n;

	switch (mp_peek(r)) {
	case MP_NIL:
		mp_read_nil(r);
		text_add(t, "nil");
		break;
	case MP_BOOL:
		text_add(t, mp_read_bool(r) ? "true" : "false");
		break;
	case MP_INT:
		text_add(t, "%" PRId64, mp_read_int(r));
		break;
	case MP_UINT:
		text_add(t, "%" PRIu64, mp_read_uint(r));
		break;
	case MP_DOUBLE:
		text_add(t, "%g", mp_read_double(r));
		break;
	case MP_STR:
	case MP_BIN:
		b = mp_read_str(r);
		text_add(t, "\"%.*s\"", (int)b.size, b.p);
		break;
	case MP_ARRAY:
		n = mp_read_array(r);
		text_add(t, "[");
		for (uint32_t i = 0; i < n && !r->bad; i++) {
			text_add(t, i ? "," : "");
			text_item(t, r);
		}
		text_add(t, "]");
		break;
	case MP_MAP:
		n = mp_read_map(r);
		text_add(t, "{");
		for (uint32_t i = 0; i < n && !r->bad; i++) {
			text_add(t, i ? "," : "");
			text_item(t, r);
			text_add(t, ":");
			text_item(t, r);
		}
		text_add(t, "}");
		break;
	case MP_EXT:
		b = mp_read_ext(r, &type);
		text_add(t, "<%d>", type);
		break;
	default:
		r->bad = true;
		text_add(t, "?");
	}
}

static inline void text_of(struct text *t, const void *data, size_t size)
{
	struct mp_reader r;

	t->used = 0;
	t->p[0] = '\0';
	mp_reader_init(&r, data, size);
	text_item(t, &r);
	if (mp_end(&r) < 0)
		text_add(t, "!");
}

/* How many items are in the brackets that @p is behind. */
static inline uint32_t text_count(const char *p, char end)
{
	uint32_t n = *p != end;
	int depth = 0;

	for (; *p && (depth > 0 || *p != end); p++) {
		if (*p == '"')
			p = strchr(p + 1, '"');
		else if (strchr("[{", *p))
			depth++;
		else if (strchr("]}", *p))
			depth--;
		else if (*p == ',' && depth == 0)
			n++;
	}
	return n;
}

/* Into @w; returns what is behind the item. `<` is a context. */
static inline const char *text_write(struct mp_writer *w, const char *p)
{
	static const char context[8];
	char close = *p == '[' ? ']' : '}';
	const char *end;
	char *number_end;

	if (*p == '[' || *p == '{') {
		p++;
		if (close == ']')
			mp_write_array(w, text_count(p, close));
		else
			mp_write_map(w, text_count(p, close));
		while (*p != close) {
			p = text_write(w, p);
			if (*p == ',' || *p == ':')
				p++;
		}
		return p + 1;
	}
	if (*p == '"') {
		end = strchr(p + 1, '"');
		mp_write_strn(w, p + 1, (size_t)(end - p - 1));
		return end + 1;
	}
	if (*p == '<') {
		mp_write_ext(w, 1, context, sizeof(context));
		return p + 1;
	}
	if (strncmp(p, "nil", 3) == 0) {
		mp_write_nil(w);
		return p + 3;
	}
	if (strncmp(p, "true", 4) == 0 || strncmp(p, "false", 5) == 0) {
		mp_write_bool(w, *p == 't');
		return p + (*p == 't' ? 4 : 5);
	}
	end = p + strspn(p, "-+0123456789");
	if (*end == '.') {
		mp_write_double(w, strtod(p, &number_end));
		return number_end;
	}
	mp_write_int(w, strtoll(p, &number_end, 10));
	if (number_end == p)
		abort(); /* the test is wrong */
	return number_end;
}
