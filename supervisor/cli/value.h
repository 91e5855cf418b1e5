#pragma once

/*
 * Values between thoxd's MessagePack, JSON, and what people read.
 */

#include <jansson.h>
#include <stdbool.h>

#include "rpc/mp.h"

/* The next item; NULL when it is bad or memory is out. Bytes that are no
 * UTF-8 become U+FFFD; a binary or extension is a string likewise. */
json_t *value_from_mp(struct mp_reader *r);
void value_to_mp(struct mp_writer *w, const json_t *value);

/* A JSON string of any bytes. */
json_t *value_string(const char *text, size_t size);

/*
 * How a person reads it, after its key: `_bytes` as a size, `_us` and `_ms`
 * as a time, `started_ms`, `since_ms` and `ended_ms` as an
 * age. Control characters do not come through.
 */
#define VALUE_TEXT_BYTES 1024
void value_text(const char *key, const json_t *value,
		char ret[VALUE_TEXT_BYTES]);

void value_dump(const json_t *value); /* one JSON value and a line feed */
