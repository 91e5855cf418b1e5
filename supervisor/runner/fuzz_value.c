/* Fuzz: what is read of a message, and written, is read the same again. */

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/wire.h"
#include "runner/value.h"

#define LIMIT_BYTES  (1U << 20)
#define MEMORY_BYTES (64U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t memory_used;

static void *on_memory(void *data, void *block, size_t old, size_t new)
{
	(void)data;
	if (!block)
		old = 0;
	if (memory_used - old + new > MEMORY_BYTES)
		return NULL;
	if (new == 0) {
		free(block);
		memory_used -= old;
		return NULL;
	}
	block = realloc(block, new);
	if (block)
		memory_used += new - old;
	return block;
}

static void on_context(lua_State *L, void *data, uint64_t link)
{
	uintptr_t *u = lua_newuserdatauv(L, sizeof(*u), 0);

	(void)data;
	*u = (uintptr_t)link;
	luaL_setmetatable(L, VALUE_CONTEXT);
}

static int l_read(lua_State *L)
{
	struct mp_bytes *args = lua_touserdata(L, 1);
	struct value_reader v = { .push_context = on_context };

	mp_reader_init(&v.mp, args->p, args->size);
	lua_settop(L, 0);
	if (value_read(&v, L) < 0)
		return 0;
	assert(mp_end(&v.mp) == 0);
	return 1;
}

static int l_write(lua_State *L)
{
	struct value_writer *v = lua_touserdata(L, 2);
	int r;

	value_begin(v, LIMIT_BYTES);
	r = value_write(v, L, 1, "value");
	for (unsigned i = 0; r == 0 && i < v->n_contexts; i++)
		value_set_context(v, i, (uintptr_t)v->contexts[i].context);
	lua_pushboolean(L, r == 0);
	return 1;
}

/* Push the value of @args, or nothing. */
static bool read_value(lua_State *L, struct mp_bytes args)
{
	lua_settop(L, 0);
	lua_pushcfunction(L, l_read);
	lua_pushlightuserdata(L, &args);
	return lua_pcall(L, 1, 1, 0) == LUA_OK && !lua_isnil(L, -1);
}

static bool write_value(lua_State *L, struct value_writer *v)
{
	lua_pushcfunction(L, l_write);
	lua_insert(L, 1);
	lua_pushlightuserdata(L, v);
	return lua_pcall(L, 2, 1, 0) == LUA_OK && lua_toboolean(L, -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct value_writer once = { 0 }, twice = { 0 };
	struct wire_message m;
	lua_State *L;

	if (wire_parse(data, size, &m) < 0 || m.args.size == 0)
		return 0;
	L = lua_newstate(on_memory, NULL);
	luaL_newmetatable(L, VALUE_CONTEXT);
	if (read_value(L, m.args) && write_value(L, &once)) {
		struct mp_bytes bytes = { (const char *)value_data(&once),
					  value_size(&once) };
		bool ok = read_value(L, bytes) && write_value(L, &twice);

		/* maps have no order, so the sizes are what can be compared */
		assert(ok && value_size(&once) == value_size(&twice));
		assert(once.n_contexts == twice.n_contexts);
	}
	value_writer_deinit(&once);
	value_writer_deinit(&twice);
	lua_close(L);
	return 0;
}
