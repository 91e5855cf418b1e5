#pragma once

/*
 * Programs that this process has started, and how they ended.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct context;

/* thoxd has answered that it runs; raises for memory. @base: the context 0
 * that it was given; @up: the one that stands for it; or NULL. */
void child_started(lua_State *L, pid_t pid, struct context *base,
		   struct context *up);
/* The same for a child's child, whose start and `up` came by here. */
void child_adopt(lua_State *L, pid_t pid, struct context *base,
		 struct context *up);
/* This context is closed, which may be such a one's `up`: it has ended. */
void child_up_closed(const struct context *up);
/* One more, or less, call is under way that starts a child (call.c). */
void child_starting(int by);
/* Push its `up`, or nil; waits while it may be a child that is being started:
 * what it calls comes over another link than the word that it was. */
void child_push_up(lua_State *L, pid_t pid);
/* -1: not that way. Before child_started(), perhaps. */
void child_ended(pid_t pid, int64_t code, int64_t signal);

/* Each that has not ended was killed: @tell is called for its PID. */
void child_all_killed(void (*tell)(pid_t pid));

/* Wait until @deadline_ns for its end, and push code and signal: 2; or nil and
 * why not. The end of a child can be had once. */
int child_wait(lua_State *L, pid_t pid, uint64_t deadline_ns);
