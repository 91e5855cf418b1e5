#pragma once

/*
 * os.pipe(): a pair of files, for a child's stdin, stdout or stderr.
 *
 * An end that is given to a child is closed here: only then is its end seen.
 */

#include <lua.h>
#include <stdbool.h>

/* In the zygote, behind `io`. */
void lua_pipe_open(lua_State *L);

/* Push how the pipe at @index is called in a call, {pipe=, end=}; false, and
 * nothing pushed: it is none. Raises when it is closed. */
bool lua_pipe_push_reference(lua_State *L, int index);

/* The file at @index, if it is a pipe's, is a child's from now on. */
void lua_pipe_give(lua_State *L, int index);

/* For io: the file at @index was closed by its program. */
void lua_pipe_closed(lua_State *L, int index);
