#pragma once

/*
 * What calls carry, as JSON and back: for people and scripts that talk to
 * programs. thoxctl(1) documents the mapping.
 *
 * Nothing is lost on the way out: integers and floats stay apart (1 and 1.0),
 * bytes that are no UTF-8 become {"$bytes": "BASE64"}, a context
 * {"$context": NUMBER}, floats that JSON has not {"$float": "inf"}; keys of a
 * table that are no strings become their text. On the way in the same forms
 * are understood, but for contexts, which cannot be made of a number.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "rpc/mp.h"

/* The next item; NULL when it is bad or memory is out. */
json_t *luajson_from_mp(struct mp_reader *r);
/* -EINVAL for a form that cannot be sent, such as a context's; the writer is
 * then of no use. */
int luajson_to_mp(struct mp_writer *w, const json_t *value);

/* An argument of the command line: what parses as JSON is that, anything else
 * a string of those bytes. */
int luajson_write_argument(struct mp_writer *w, const char *text);

/*
 * The items of a whole array, for people: a line each; strings as they are, on
 * a @terminal with control characters made visible; tables as JSON. false
 * when it is no such array.
 */
bool luajson_print_lines(FILE *out, struct mp_bytes array, bool terminal);
/* The same side by side, strings of one word bare and others as JSON. */
bool luajson_print_words(FILE *out, struct mp_bytes array, bool terminal);

/* Foreign text, on a terminal without what could steer it. */
void luajson_print_text(FILE *out, const char *text, size_t size,
			bool terminal);
