#pragma once

/*
 * Program texts, read from a descriptor by Lua's parser.
 *
 * Text only: compiled Lua and NUL are refused with a message of their own. A
 * first line that begins with `#` is skipped.
 */

#include <lua.h>
#include <stddef.h>

/*
 * Push the function of the text of @fd (not closed) named @name in messages:
 * LUA_OK, or LUA_ERRSYNTAX, LUA_ERRMEM and push the message.
 */
int text_load(lua_State *L, int fd, const char *name);

/* The same for a text that may be an expression, whose values it returns. */
int text_load_expression(lua_State *L, const char *text, size_t size,
			 const char *name);

/* The same for a text that is run for its values: a chunk if it can be one, so
 * that a call's values are shown only when it says `return`; else an
 * expression. */
int text_load_values(lua_State *L, const char *text, size_t size,
		     const char *name);

/* Push the text of @fd as a string; raises what text_load() returns. */
void text_push(lua_State *L, int fd, const char *name);

/*
 * Notes in runner.has_finalizers that a text may define one: the end of a
 * program then closes the Lua state, which would take longer than all else.
 * Every text is looked at, and any `gc` that no letter follows counts, so that
 * a name put together does; one spelled by escapes does not.
 */
void text_look_for_finalizers(const char *text, size_t size);

/* Touch the memory that the first text will be read into. */
void text_rehearse(void);
