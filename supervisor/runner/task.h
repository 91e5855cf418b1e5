#pragma once

/*
 * Tasks: Lua threads that run in turns, each on a C stack of its own.
 *
 * One task runs at a time. It gives way where it waits, and, by a hook that
 * switches C stacks, between any two instructions of Lua (preempt.h). C code
 * is never interrupted, so what it checks before task_wait() still holds
 * there.
 *
 * The main task is the program's main function; it runs on the process's own
 * stack and is always there. Any other exists from task_start() until its
 * function has returned, erred, or been abandoned.
 *
 * A task that is to end does not return from where it waits or computes: its
 * C frames are abandoned, as by a longjmp, and its `<close>` variables are
 * closed from its base. So C that Lua can call owns nothing across a call
 * that can wait or run Lua; lua_toclose() and userdata own for it.
 */

#include <lua.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "runner/timer.h"

#define TASK_MAIN	 1U
#define TASK_NAME_MAX	 128
#define TASK_NO_DEADLINE TIMER_NEVER

/* A task's userdata is in the registry under its address. User value 1 is its
 * thread. */
#define TASK_THREAD_VALUE 1
#define TASK_STATE_VALUE  2 /* of task.getstate() */
#define TASK_VALUES	  2

struct running; /* preempt.h */
struct stack;
struct task;

/* What one task at a time waits with, such as a stream: others wait for it. */
struct task_turn {
	struct task *user;
	struct list others;
};

enum task_state {
	TASK_READY,
	TASK_RUNNING,
	TASK_WAITING,
	TASK_ENDED,
};

enum task_end {
	TASK_RETURNED,
	TASK_ERRED,
	TASK_KILLED,
};

struct task {
	/* to read */
	uint32_t id;
	enum task_state state;
	lua_State *L;	     /* its thread, from its base on */
	const char *waiting; /* in what, while it waits: a word for people */
	uint64_t preempted;  /* how often a hook has stopped it */
	char name[TASK_NAME_MAX + 1]; /* "" without */

	uint32_t awaits; /* the task whose doing it waits for; 0: none */

	/* of events.c: what the task has been told; task_hooks frees it */
	void *events;
	uint64_t talked_ns; /* when it took a call, or made one */

	/* private */
	struct list all, queue, place, waiters;
	struct timer timer;
	struct running *innermost; /* while it does not run */
	struct stack *stack;	   /* NULL: the process's own */
	void *sp;
	jmp_buf base;
	lua_State **abandoned;
	size_t n_abandoned;
	struct task_turn *turn; /* that it has */
	struct list *woken_at;	/* task_wake_first(), and it has not run */
	int fd;			/* that it waits for (watch.c) … */
	short fd_events;
	unsigned atomic;
	unsigned n_waiters; /* that were woken by its end */
	enum task_end end;
	bool computes; /* a hook had stopped it before this turn */
	bool can_jump; /* `base` is a live frame */
	bool killed;   /* to be abandoned when it runs next */
	bool closing;  /* it has been, and its variables are being closed */
	bool leaving;  /* killed where it waits next */
	bool woken;
	bool kept; /* its results are for task.wait() */
};

/* --- who ------------------------------------------------------------------ */

struct task *task_current(void);
struct task *task_main(void);
struct task *task_find(uint32_t id); /* NULL: no such, or it has ended */
unsigned task_count(void);	     /* with the main one */
uint32_t task_newest(void);	     /* the id of the one started last */
bool task_alone(void);		     /* nobody could run while this one waits */

/* One that has ended, whose starter set `kept`: what it returned, or its
 * error, lies on its thread above the first slot. The last that many are kept
 * as may run at a time, each until task_forget(). */
struct task *task_find_ended(uint32_t id);
void task_forget(struct task *t);

/* Each of them: @fn may not start or end any. */
void task_each(void (*fn)(struct task *t, void *context), void *context);

/* Is @L the base of a task? It can then not yield, as Lua's main thread. */
bool task_is_base(const lua_State *L);

/* Is it among what another task has running, itself or in each other? */
bool task_runs_elsewhere(const lua_State *L);

/* --- starting --------------------------------------------------------------
 * Pop a function and its @n arguments off @L; they run when others wait.
 * Raises where there are too many, or no memory. @name may be NULL. An error
 * of the function is told on stderr.
 */
struct task *task_start(lua_State *L, int n, const char *name);

/* --- waiting ---------------------------------------------------------------
 * Both wait until task_wake(), or until @deadline_ns of CLOCK_MONOTONIC
 * (TASK_NO_DEADLINE) and then return false. They may wake for another reason
 * than the caller's, who looks again; they may not return. They raise where
 * task_check_wait() does; after task_can_wait() @L may be NULL. @what must be
 * static.
 */
bool task_wait(lua_State *L, const char *what, uint64_t deadline_ns);

/* The same as the last of @place, a list of whoever waits there. */
bool task_wait_at(lua_State *L, struct list *place, const char *what,
		  uint64_t deadline_ns);

/* Let all others that are ready have a turn before. May not return; raises as
 * task_wait() does. */
void task_yield(lua_State *L);

/*
 * Wait until no other task has the turn, and have it until task_give_turn() or
 * until this one is killed. false: another has it, and nobody can wait here.
 */
bool task_take_turn(struct task_turn *turn, const char *what);
void task_give_turn(struct task_turn *turn);

/* Wake: nothing when it does not wait. From anywhere but a signal handler. */
void task_wake(struct task *t);

/* If the first of @place is killed before it runs, the next one is woken. So
 * @place must be what those who wait there keep alive. */
void task_wake_first(struct list *place);
void task_wake_all(struct list *place);

/* Can the current task wait here? Not in a finaliser, in task.atomic(), while
 * a runtime loads, at the end of the process, or in a watch's callback. */
bool task_can_wait(void);
void task_check_wait(lua_State *L); /* raises why not */

/* --- ending ----------------------------------------------------------------
 * Kill: its variables are closed when it runs next; nothing when they are
 * already. Of the current one, does not return, unless from a callback.
 */
void task_kill(struct task *t);

/* Tell it once (hooks), and kill it where it waits next; at once when it
 * waits now and cannot be told. */
void task_terminate(struct task *t);

/* Run @body for the current task, which can be abandoned in it: false when it
 * was; its variables are closed then, and it is not killed any more. */
bool task_run(int (*body)(void *context), void *context, int *ret);

/* Kill all, the current one, too; nothing is started from then on. It returns
 * where the current one cannot jump. */
void task_kill_all(void);
bool task_is_ending(void); /* nothing is started any more */

/* In the main task, when it has ended: give the others some time to close
 * their variables. From then on nobody waits but the whole process. */
void task_end_all(void);

/* --- switching: for preempt.c ---------------------------------------------- */

/* Let others run that are ready, if any, unless the task is in an atomic
 * section; abandon the current one if it has been killed. */
void task_give_way(void);
bool task_wants_turn(void); /* would that change anything? */
bool task_others_ready(void);
void task_atomic_enter(void);
void task_atomic_leave(void);
void task_set_cooperative(bool on);

/* --- what others add -------------------------------------------------------- */

struct task_hooks {
	/* A task has ended: free its `events`, which may be NULL. */
	void (*release)(struct task *t);
	/* Offer it `terminate`: false when it waits for something else. */
	bool (*terminate)(struct task *t);
	/* Does the process go on, now that its main function has returned?
	 * The main task waits until task_wake(task_main()), as by the end of
	 * the last other task, and asks again. */
	bool (*serving)(void);
};
extern const struct task_hooks task_hooks; /* dispatch.c */
