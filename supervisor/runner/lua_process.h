#pragma once

/*
 * `os` beyond one process: names, children, the store, the supervisor.
 *
 * What a child or a name needs is asked by calls on context 0, so that
 * whoever stands between this process and its authority sees it.
 */

#include <lua.h>

/* In the zygote: os.bind, os.run_program and so on. */
void lua_process_open(lua_State *L);
