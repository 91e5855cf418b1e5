/*
 * Step 5, in the zygote: the basic functions that differ from Lua's own.
 */

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "runner/environment.h"
#include "runner/runner.h"
#include "runner/text.h"

/* print(…): to the buffered stdout; errors of it are ignored, as in Lua. */
static int l_print(lua_State *L)
{
	const char end = '\n'; /* on a page that is there already */
	int n = lua_gettop(L);

	if (runner.loading)
		return luaL_error(L, "there are no streams while a runtime is "
				     "loaded");
	/* A __tostring may be long, and others print meanwhile. */
	for (int i = 1; i <= n; i++) {
		luaL_tolstring(L, i, NULL);
		lua_replace(L, i);
	}
	for (int i = 1; i <= n; i++) {
		size_t size;
		const char *text = lua_tolstring(L, i, &size);

		if (i > 1)
			stream_write(&runner.output, "\t", 1);
		stream_write(&runner.output, text, size);
	}
	stream_write(&runner.output, &end, 1);
	return 0;
}

#define LOAD_CHUNK 5 /* stack slot that keeps a piece alive */

/* lua_Reader over a function that returns pieces. */
static const char *on_piece(lua_State *L, void *data, size_t *ret_size)
{
	const char *piece;

	(void)data;
	luaL_checkstack(L, 2, "too many nested functions");
	lua_pushvalue(L, 1);
	lua_call(L, 0, 1); /* … piece */
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		*ret_size = 0;
		return NULL;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "reader function must return a string");
	lua_replace(L, LOAD_CHUNK);
	piece = lua_tolstring(L, LOAD_CHUNK, ret_size);
	text_look_for_finalizers(piece, *ret_size);
	return piece;
}

/* load(chunk [, chunkname [, mode [, env]]]) -> function | nil, message:
 * text only, whatever the mode says. */
static int l_load(lua_State *L)
{
	int has_env = !lua_isnone(L, 4);
	size_t size;
	const char *text = lua_tolstring(L, 1, &size);
	const char *mode = luaL_optstring(L, 3, "bt");
	const char *name;
	int status;

	lua_settop(L, LOAD_CHUNK);
	if (!strchr(mode, 't')) {
		lua_pushnil(L);
		lua_pushfstring(
			L, "attempt to load a text chunk (mode is '%s')", mode);
		return 2;
	}
	if (text) {
		text_look_for_finalizers(text, size);
		name = luaL_optstring(L, 2, text);
		status = luaL_loadbufferx(L, text, size, name, "t");
	} else {
		name = luaL_optstring(L, 2, "=(load)");
		luaL_checktype(L, 1, LUA_TFUNCTION);
		status = lua_load(L, on_piece, NULL, name, "t");
	}
	if (status != LUA_OK) {
		lua_pushnil(L);
		lua_insert(L, -2); /* nil message */
		return 2;
	}
	if (has_env) {
		lua_pushvalue(L, 4);
		if (!lua_setupvalue(L, -2, 1))
			lua_pop(L, 1);
	}
	return 1;
}

/* warn("@on"), warn("@off"), warn(piece…), as lua does it. */
static void on_warn(void *data, const char *message, int to_be_continued)
{
	static bool enabled, inside;

	(void)data;
	if (!inside && !to_be_continued && message[0] == '@') {
		if (strcmp(message, "@on") == 0)
			enabled = true;
		else if (strcmp(message, "@off") == 0)
			enabled = false;
		return;
	}
	if (enabled && !inside)
		stream_write(&runner.error, "Lua warning: ", 13);
	if (enabled)
		stream_write(&runner.error, message, strlen(message));
	if (enabled && !to_be_continued)
		stream_write(&runner.error, "\n", 1);
	inside = to_be_continued;
}

void lua_base_open(lua_State *L)
{
	lua_register(L, "print", l_print);
	lua_register(L, "load", l_load);
	lua_setwarnf(L, on_warn, NULL);
}
