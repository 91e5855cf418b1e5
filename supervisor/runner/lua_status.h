#pragma once

/*
 * `os.status`, and the errors of calls that fail: {status=, message=, name=}.
 */

#include <lua.h>
#include <stdbool.h>

/* In the zygote. */
void lua_status_open(lua_State *L);

/* Replace the message on the top by an error object; @name: what was called,
 * or NULL. Whatever is no string becomes one. */
void lua_status_push_error(lua_State *L, int status, const char *name);

/* Is the value a table with a status, as such an error has? */
bool lua_status_is_error(lua_State *L, int index);
