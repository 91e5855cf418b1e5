#pragma once

/*
 * Pushes: messages without an answer, which no sender waits for. One that does
 * not fit is dropped and counted, and the next one that fits says how many.
 */

#include <lua.h>

/* In the zygote: os.push, os.listen. */
void push_open(lua_State *L);

/* Another thoxd is at the end of @c: what is listened to there, again. */
struct channel;
void push_listen_again(struct channel *c);

/* thox.tell(ctx, pid, name, …): to that holder alone, if it listens */
int push_tell(lua_State *L);
