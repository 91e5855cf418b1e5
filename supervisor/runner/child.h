#pragma once

/*
 * Programs that this process has started, and how they ended.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct context;

/* thoxd has answered that it runs; raises for memory. @up: the context that
 * stands for it, or NULL. */
void child_started(lua_State *L, pid_t pid, struct context *up);
/* Push that, or nil. */
void child_push_up(lua_State *L, pid_t pid);
/* -1: not that way. Before child_started(), perhaps. */
void child_ended(pid_t pid, int64_t code, int64_t signal);

/* Wait until @deadline_ns for its end, and push code and signal: 2; or nil and
 * why not. The end of a child can be had once. */
int child_wait(lua_State *L, pid_t pid, uint64_t deadline_ns);
