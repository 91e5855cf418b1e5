#pragma once

/*
 * The descriptor that came with a context (of a stream of thox-storaged's),
 * as the library `storage` has it: bytes at a place, read and written without
 * anybody's help. Nothing here waits but for the disk.
 */

#include <lua.h>

/* In the zygote: the metatable. */
void lua_file_open(lua_State *L);

/* thox.file(ctx) -> file | nil: once for each context. */
int lua_file_take(lua_State *L);
