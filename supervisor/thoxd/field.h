#pragma once

/* Entries of the maps that thoxd answers with: a key, and a value of a kind. */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/mp.h"

/* @value NULL: "" */
static inline void field_text(struct mp_writer *w, const char *key,
			      const char *value)
{
	mp_write_str(w, key);
	mp_write_str(w, value ? value : "");
}

static inline void field_number(struct mp_writer *w, const char *key,
				uint64_t value)
{
	mp_write_str(w, key);
	mp_write_uint(w, value);
}

static inline void field_flag(struct mp_writer *w, const char *key, bool value)
{
	mp_write_str(w, key);
	mp_write_bool(w, value);
}
