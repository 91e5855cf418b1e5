#pragma once

/*
 * Calls as programs make them, for the other parts of `os` that do.
 */

#include <lua.h>
#include <stddef.h>

struct call;

/* In the zygote: os.call, os.wait, os.cancel, os.answer, os.revoke. */
void lua_call_open(lua_State *L);

/* The name of a call at slot @index; raises where it is none. */
const char *lua_call_check_name(lua_State *L, int index, size_t *ret_size);

/* Wait for the answer and push its values: their number; raises an error
 * object that names @name unless it is OK. */
int lua_call_finish(lua_State *L, struct call *call, const char *name);

/* The same for a call of @name on context 0 with the top @n values. */
int lua_call_zero(lua_State *L, const char *name, int n);

/* thox.invoke(), thox.forward() and thox.relay() */
int lua_call_invoke(lua_State *L);
int lua_call_forward(lua_State *L);
int lua_call_relay(lua_State *L);
/* thox.run(), of lua_process.c */
int lua_process_run_for(lua_State *L);

/* The call of the latter, which is to be finished. */
struct call *lua_call_begin_forward(lua_State *L);

/* A call of @name on context 0 with the top @n values: to be finished. */
struct call *lua_call_begin_zero(lua_State *L, const char *name, int n);
