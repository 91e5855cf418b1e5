#pragma once

/*
 * Functions that serve, as the libraries in Lua register them.
 */

#include <lua.h>

/* In the zygote. */
void lua_handler_open(lua_State *L);
