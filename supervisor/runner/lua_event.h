#pragma once

/*
 * Events as programs see them: os.pull, os.queue, os.alarm.
 */

#include <lua.h>

/* In the zygote. */
void lua_event_open(lua_State *L);
