#pragma once

/*
 * Lua values as MessagePack, and back: what calls, answers and pushes carry.
 *
 * nil, booleans, integers, floats, strings of any bytes, tables and contexts.
 * A string that is UTF-8 goes as str, another as bin; both come back as they
 * were. A table whose keys are 1 to n is an array, any other a map; `{}` is an
 * array. Metatables are not looked at. A context is written as a hole that
 * value_set_context() fills once it is shared.
 *
 * Nothing is owned across a raise: a writer's memory belongs to whoever made
 * it, and is reused after value_begin().
 */

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/link.h"
#include "rpc/mp.h"
#include "rpc/wire.h"

/* The metatable of a context; the userdata holds a struct context *, which is
 * NULL when it was closed. */
#define VALUE_CONTEXT "thox.context"

struct context;

struct value_writer {
	struct mp_writer mp; /* on the heap, with room before the message */
	size_t limit_bytes;
	unsigned n_contexts;
	struct {
		struct context *context;
		size_t offset; /* of the number, in the message */
	} contexts[WIRE_CONTEXTS_MAX];
};

/* Forget what was written; memory over 64 KiB is given back. */
void value_begin(struct value_writer *v, size_t limit_bytes);
void value_writer_deinit(struct value_writer *v);

/* The message; LINK_ROOM_BYTES before it may be written to. */
static inline uint8_t *value_data(const struct value_writer *v)
{
	return v->mp.data + LINK_ROOM_BYTES;
}

static inline size_t value_size(const struct value_writer *v)
{
	return v->mp.used - LINK_ROOM_BYTES;
}

/*
 * Append the value at @index, or an array of the @n values from slot @first
 * on. 0; -EMSGSIZE: over the limit; -ENOMEM. Raises `args[2].x.y: a function
 * cannot be sent` where it has no form in a message; @what is its "args".
 */
int value_write(struct value_writer *v, lua_State *L, int index,
		const char *what);
int value_write_args(struct value_writer *v, lua_State *L, int first, int n);

void value_set_context(struct value_writer *v, unsigned i, uint64_t link);

/*
 * Reading what a peer wrote. @push_context pushes one value for the number of
 * a link. Both push what they read: 0, or -EBADMSG and anything on the stack
 * for what Lua has no value for: other extensions, a table, nil or NaN as a
 * key. They raise only for memory and stack.
 */
struct value_reader {
	struct mp_reader mp;
	void (*push_context)(lua_State *L, void *data, uint64_t link);
	void *data;
};

int value_read(struct value_reader *v, lua_State *L);
/* An array as a table with its length in `n`, as table.pack makes it. */
int value_read_packed(struct value_reader *v, lua_State *L);

/* About how much memory of Lua's an array of values becomes. */
size_t value_weight(struct mp_bytes args);
