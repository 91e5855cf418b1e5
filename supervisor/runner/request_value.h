#pragma once

/*
 * The `request` that a serving function gets: who called or pushed, and what.
 * A userdata whose fields are made when they are asked for.
 *
 * That of a call knows it by its number, and has what may be asked for later
 * itself: so what the call takes goes when it has been answered, whoever keeps
 * the request, and the collector has nothing to end.
 */

#include <lua.h>

struct event;
struct served;

/* The metatable; in the zygote. */
void request_value_open(lua_State *L);

/* The call that the value at slot @index is of; raises where it is of none.
 * NULL: it has been answered, or was given up; it may be so after any wait. */
struct served *request_value_find(lua_State *L, int index);
/* The same, and raises for that, too. */
struct served *request_value_check(lua_State *L, int index);

/* thox.pass(request): its contexts are passed on, and not kept */
int request_value_pass(lua_State *L);

/* Push one of a call or of a push; the other is NULL. */
void request_value_push(lua_State *L, struct served *s, struct event *e);
