#pragma once

/*
 * Pre-emption: how what happens outside reaches Lua that computes.
 *
 * A message signals the process (SIGIO), and so does the alarm, which is set
 * only while something needs it: tasks that are ready beside the one that
 * computes, deadlines, descriptors that do not signal. The handler arms a
 * one-shot hook on the Lua state that runs, and the hook looks at the watches
 * and gives way to other tasks. Nothing is counted and nothing ticks while one
 * task computes alone.
 *
 * Hooks belong to a Lua state. So the running one must be known: whoever
 * resumes a coroutine says so with running_enter() and running_leave().
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/* A Lua state that runs, on the C stack of whoever runs it. */
struct running {
	lua_State *L;
	struct running *outer;
};

void running_enter(struct running *r, lua_State *L);
void running_leave(struct running *r);

/* Of the current task, innermost first; NULL: it runs no Lua. */
struct running *running_innermost(void);

/* Another task's turn: its innermost, for the one that was. */
struct running *running_swap(struct running *r);

/* In the zygote: the handlers, and what must be known of this Lua (@L is left
 * as it is). 0, or negative errno. */
int preempt_install(void);
void preempt_learn(lua_State *L);

/* Before Lua goes on: set the alarm if something needs it. */
void preempt_update(void);

/* Have the hook called soon: a switch was put off, and can be now. */
void preempt_soon(void);

/* Around a wait for the kernel. While many sockets are watched signals are
 * held back, since each costs more than the message that it tells of. */
void preempt_sleep_begin(bool links);
void preempt_sleep_end(void);

/* Hold them for so long once Lua goes on, in nanoseconds: a process whose calls
 * take their time is not hurt by looking up as late. It stays between
 * LIMIT_HOLD_NS and the quantum. */
void preempt_hold(uint64_t ns);

/* Around a wait for one socket, which an alarm ends within LIMIT_HOLD_NS.
 * False: something is due before, or it is time to ask about all. */
bool preempt_wait_begin(void);
void preempt_wait_end(void);
/* Has there been an alarm since all were asked about? They are now. */
bool preempt_all_due(void);
void preempt_ask_all(void);

/* Has a signal come since the watches were looked at? @clear: it is so now. */
bool preempt_signalled(bool clear);

/* Did the alarm go off since the last time? Then whoever computes has had
 * enough. */
bool preempt_quantum_over(void);

/* Is the current hook's or finaliser's state such that Lua's collector is in
 * the middle of something? No other task may run then. */
bool preempt_in_finalizer(void);

/* Let hooks be called in @L again, which was left in the middle of one. */
void preempt_allow_hooks(lua_State *L);
