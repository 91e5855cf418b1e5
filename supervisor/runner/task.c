/*
 * Step 7, in a runner: whose turn it is.
 *
 * Two queues of those that are ready. In `woken` are those that something has
 * happened to: they go first, so that a message is not kept waiting by those
 * that compute. In `computing` are those that a hook has stopped: the first of
 * them goes on when a quantum has passed that was used by `woken`. So both get
 * on, whatever the others do.
 *
 * A task that gives way goes to the next one directly. When nobody is ready it
 * waits for the kernel on its own stack, whoever it is; even one that has
 * ended, whose stack is taken away by the next.
 *
 * A task is a userdata, kept by the registry under its own address until it
 * has ended, or until nobody may ask for its results any more.
 */

#include "runner/task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runner/failure.h"
#include "runner/limits.h"
#include "runner/preempt.h"
#include "runner/runner.h"
#include "runner/stack.h"
#include "runner/watch.h"

static void on_due(struct timer *timer);

#define LIST(l)                                                                \
	{                                                                      \
		&(l), &(l)                                                     \
	}

static struct list woken = LIST(woken);
static struct list computing = LIST(computing);
static struct list all = LIST(all);
static struct list kept = LIST(kept); /* have ended */
static unsigned n_kept;

static struct task main_task = {
	.id = TASK_MAIN,
	.state = TASK_RUNNING,
	.name = "main",
	.queue = LIST(main_task.queue),
	.place = LIST(main_task.place),
	.waiters = LIST(main_task.waiters),
	.timer = { .on_due = on_due },
	.fd = -1,
};
static struct task *current = &main_task;
static struct task *gone; /* has ended, and its stack was just left */
static unsigned n_others;
static uint32_t last_id = TASK_MAIN;
static bool cooperative;
static bool ending; /* nothing is started any more */
static bool ended;  /* nobody waits any more */

/* --- who --------------------------------------------------------------------
 */

struct task *task_current(void)
{
	return current;
}

struct task *task_main(void)
{
	return &main_task;
}

unsigned task_count(void)
{
	return n_others + 1;
}

uint32_t task_newest(void)
{
	return last_id;
}

bool task_alone(void)
{
	return n_others == 0 && !watch_are_links();
}

struct task *task_find(uint32_t id)
{
	struct task *t, *after;

	if (id == TASK_MAIN)
		return &main_task;
	list_each(t, after, &all, all) if (t->id == id) return t;
	return NULL;
}

void task_each(void (*fn)(struct task *t, void *context), void *context)
{
	struct task *t, *after;

	fn(&main_task, context);
	list_each(t, after, &all, all) fn(t, context);
}

bool task_is_base(const lua_State *L)
{
	struct task *t, *after;

	if (L == current->L || L == main_task.L)
		return true;
	list_each(t, after, &all, all) if (t->L == L) return true;
	return false;
}

static bool runs_in(const struct task *t, const lua_State *L)
{
	for (struct running *r = t->innermost; r && t != current; r = r->outer)
		if (r->L == L)
			return true;
	return false;
}

bool task_runs_elsewhere(const lua_State *L)
{
	struct task *t, *after;

	if (runs_in(&main_task, L))
		return true;
	list_each(t, after, &all, all) if (runs_in(t, L)) return true;
	return false;
}

/* --- turns ------------------------------------------------------------------
 */

bool task_others_ready(void)
{
	return !list_empty(&woken) || !list_empty(&computing);
}

bool task_wants_turn(void)
{
	return task_others_ready() && !cooperative;
}

static void make_ready(struct task *t)
{
	bool first = !task_others_ready();

	t->state = TASK_READY;
	list_remove(&t->place);
	timer_stop(&t->timer);
	list_append(&woken, &t->queue);
	/* Who runs now shall be stopped in time. */
	if (first && !watch_in_callback() && current->state == TASK_RUNNING)
		preempt_update();
}

/* The next one; NULL: nobody is ready. */
static struct task *pick(bool computing_first)
{
	struct list *from = &woken;
	struct task *t;

	if (list_empty(&woken) || (computing_first && !list_empty(&computing)))
		from = &computing;
	if (list_empty(from))
		return NULL;
	t = list_first(from, struct task, queue);
	list_remove(&t->queue);
	t->computes = from == &computing;
	t->state = TASK_RUNNING;
	return t;
}

/* Lua may free it from now on. No new key: nothing is allocated. */
static void unregister(struct task *t)
{
	lua_pushnil(runner.L);
	lua_rawsetp(runner.L, LUA_REGISTRYINDEX, t);
}

struct task *task_find_ended(uint32_t id)
{
	struct task *t, *after;

	list_each(t, after, &kept, all) if (t->id == id) return t;
	return NULL;
}

void task_forget(struct task *t)
{
	list_remove(&t->all);
	n_kept--;
	unregister(t);
}

/* On the stack that was gone to. */
static void bury(void)
{
	struct task *t = gone;

	if (!t)
		return;
	gone = NULL;
	stack_free(steal(&t->stack));
	if (!t->kept) {
		unregister(t);
		return;
	}
	list_append(&kept, &t->all);
	if (++n_kept > runner.tasks)
		task_forget(list_first(&kept, struct task, all));
}

static void go_to(struct task *t, bool for_good)
{
	struct task *from = current;

	if (t == from)
		return;
	from->innermost = running_swap(t->innermost);
	current = t;
	if (for_good)
		gone = from;
	stack_switch(from->stack, &from->sp, t->stack, t->sp, for_good);
	bury();
}

/* The current task does not run on: somebody else does, or it does again. */
static void leave(bool computing_first, bool for_good)
{
	struct task *t;

	/* Now, and not by an alarm as soon as the next one has begun. */
	watch_call_timers();
	while (!(t = pick(computing_first)))
		watch_sleep();
	go_to(t, for_good);
}

/* --- ending -----------------------------------------------------------------
 */

/* What runs in the current task, innermost first, is left for good. */
static _Noreturn void abandon(void)
{
	struct task *t = current;
	size_t n = 0;

	for (struct running *r = running_innermost(); r; r = r->outer)
		n++;
	t->abandoned = malloc(n * sizeof(lua_State *) + 1);
	t->n_abandoned = 0;
	for (struct running *r = running_innermost(); r; r = r->outer)
		if (t->abandoned)
			t->abandoned[t->n_abandoned++] = r->L;
	running_swap(NULL);
	if (t->turn)
		task_give_turn(t->turn);
	if (t->woken_at)
		task_wake_first(steal(&t->woken_at));
	t->closing = true;
	t->can_jump = false;
	t->fd = -1;
	t->awaits = 0;
	_longjmp(t->base, 1);
}

static void check_killed(void)
{
	struct task *t = current;

	if (t->killed && t->can_jump && !watch_in_callback())
		abandon();
}

/* After that: close what the abandoned states have open. Lua runs in them, so
 * others have their turns meanwhile. */
static void close_abandoned(struct task *t)
{
	t->atomic = 0;
	for (size_t i = 0; i < t->n_abandoned; i++) {
		lua_State *L = t->abandoned[i];
		struct running r;

		preempt_allow_hooks(L);
		running_enter(&r, L);
		preempt_update();
		if (lua_resetthread(L) != LUA_OK)
			failure_tell_error(L);
		running_leave(&r);
	}
	free(steal(&t->abandoned));
	t->n_abandoned = 0;
	t->closing = t->killed = t->leaving = false;
}

bool task_run(int (*body)(void *context), void *context, int *ret)
{
	struct task *t = current;

	if (_setjmp(t->base) == 0) {
		t->can_jump = true;
		*ret = body(context);
		t->can_jump = false;
		return true;
	}
	close_abandoned(current);
	return false;
}

void task_kill(struct task *t)
{
	if (t->closing)
		return;
	t->killed = true;
	if (t->state == TASK_WAITING)
		make_ready(t);
	else if (t == current)
		check_killed();
}

void task_terminate(struct task *t)
{
	bool told = task_hooks.terminate && task_hooks.terminate(t);

	if (!told && t->state == TASK_WAITING)
		task_kill(t);
	else
		t->leaving = true;
}

void task_kill_all(void)
{
	struct task *t, *after;

	ending = true;
	list_each(t, after, &all, all) if (t != current) task_kill(t);
	if (current != &main_task)
		task_kill(&main_task);
	task_kill(current);
}

bool task_is_ending(void)
{
	return ending;
}

void task_end_all(void)
{
	uint64_t until_ns;

	ending = true;
	if (n_others > 0) {
		task_kill_all();
		until_ns = clock_ns() + LIMIT_CLOSING_NS;
		while (n_others > 0 &&
		       task_wait(NULL, "the end of the others", until_ns))
			;
	}
	ended = true;
}

/* --- waiting ----------------------------------------------------------------
 */

static const char *why_not(void)
{
	if (runner.loading)
		return "nobody can wait while a runtime is loaded";
	if (ended || watch_in_callback() || current->state != TASK_RUNNING)
		return "nobody can wait here";
	if (preempt_in_finalizer())
		return "a finalizer cannot wait";
	if (current->atomic)
		return "nobody can wait in task.atomic";
	return NULL;
}

bool task_can_wait(void)
{
	return !why_not();
}

void task_check_wait(lua_State *L)
{
	const char *why = why_not();

	if (why)
		luaL_error(L, "%s", why);
}

static void on_due(struct timer *timer)
{
	make_ready(container_of(timer, struct task, timer));
}

/* May it wait here, and may it live so long? */
static void begin_wait(lua_State *L)
{
	if (L)
		task_check_wait(L);
	if (current->leaving && !current->closing)
		current->killed = true;
	check_killed();
}

bool task_wait_at(lua_State *L, struct list *place, const char *what,
		  uint64_t deadline_ns)
{
	struct task *t = current;

	begin_wait(L);
	t->woken = false;
	t->waiting = what;
	t->state = TASK_WAITING;
	if (place)
		list_append(place, &t->place);
	timer_start(&t->timer, deadline_ns);
	leave(false, false);
	t->waiting = NULL;
	check_killed();
	t->woken_at = NULL;
	preempt_update();
	return t->woken;
}

bool task_wait(lua_State *L, const char *what, uint64_t deadline_ns)
{
	return task_wait_at(L, NULL, what, deadline_ns);
}

void task_yield(lua_State *L)
{
	begin_wait(L);
	current->state = TASK_READY;
	list_append(&computing, &current->queue);
	leave(false, false);
	check_killed();
	preempt_update();
}

void task_wake(struct task *t)
{
	if (t->state != TASK_WAITING)
		return;
	t->woken = true;
	make_ready(t);
}

void task_wake_first(struct list *place)
{
	struct task *t;

	if (list_empty(place))
		return;
	t = list_first(place, struct task, place);
	t->woken_at = place;
	task_wake(t);
}

void task_wake_all(struct list *place)
{
	while (!list_empty(place))
		task_wake(list_first(place, struct task, place));
}

bool task_take_turn(struct task_turn *turn, const char *what)
{
	while (turn->user && turn->user != current) {
		if (!task_can_wait())
			return false;
		task_wait_at(NULL, &turn->others, what, TASK_NO_DEADLINE);
	}
	turn->user = current;
	current->turn = turn;
	return true;
}

void task_give_turn(struct task_turn *turn)
{
	turn->user->turn = NULL;
	turn->user = NULL;
	task_wake_first(&turn->others);
}

/* --- giving way -------------------------------------------------------------
 */

void task_give_way(void)
{
	struct task *t = current;
	bool over;

	if (t->state != TASK_RUNNING || watch_in_callback())
		return;
	if (preempt_in_finalizer()) {
		/* The end of all needs no collector. */
		if (ending)
			check_killed();
		return;
	}
	over = preempt_quantum_over();
	if (task_wants_turn() && !t->atomic) {
		t->preempted++;
		t->state = TASK_READY;
		list_append(&computing, &t->queue);
		leave(over && !t->computes, false);
	}
	check_killed();
}

void task_atomic_enter(void)
{
	current->atomic++;
}

void task_atomic_leave(void)
{
	if (current->atomic > 0 && --current->atomic == 0 && task_wants_turn())
		preempt_soon();
}

void task_set_cooperative(bool on)
{
	cooperative = on;
	if (task_wants_turn())
		preempt_soon();
}

/* --- starting ---------------------------------------------------------------
 */

static int call_function(void *context)
{
	struct task *t = context;
	lua_State *L = t->L;
	struct running r;
	int status;

	lua_pushcfunction(L, failure_handler);
	lua_insert(L, 1); /* handler function argument… */
	running_enter(&r, L);
	preempt_update();
	status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
	running_leave(&r);
	if (status != LUA_OK)
		failure_tell_task(t);
	return status;
}

static void wake_waiters(struct task *t)
{
	while (!list_empty(&t->waiters)) {
		task_wake(list_first(&t->waiters, struct task, place));
		t->n_waiters++;
	}
}

static void entry(void)
{
	struct task *t = current;
	int status;

	stack_entered();
	bury();
	if (t->killed || !task_run(call_function, t, &status))
		t->end = TASK_KILLED;
	else
		t->end = status == LUA_OK ? TASK_RETURNED : TASK_ERRED;
	wake_waiters(t);
	list_remove(&t->all);
	n_others--;
	if (n_others == 0)
		task_wake(&main_task);
	if (task_hooks.release)
		task_hooks.release(t);
	t->state = TASK_ENDED;
	leave(false, true);
	abort();
}

/* Push a task that has all but its stack and its place. */
static struct task *new_task(lua_State *L, int n, const char *name)
{
	struct task *t = lua_newuserdatauv(L, sizeof(*t), TASK_VALUES);

	memset(t, 0, sizeof(*t)); /* … task */
	t->state = TASK_READY;
	t->fd = -1;
	list_init(&t->queue);
	list_init(&t->place);
	list_init(&t->waiters);
	timer_init(&t->timer, on_due);
	if (name)
		strncpy(t->name, name, TASK_NAME_MAX);
	t->L = lua_newthread(L); /* … task thread */
	lua_setiuservalue(L, -2, TASK_THREAD_VALUE);
	if (!lua_checkstack(t->L, n + LUA_MINSTACK))
		luaL_error(L, "too many arguments");
	return t;
}

struct task *task_start(lua_State *L, int n, const char *name)
{
	struct task *t;

	if (ending || runner.loading)
		luaL_error(L, "no task can be started here");
	if (task_count() >= runner.tasks)
		luaL_error(L, "too many tasks (%d)", (int)runner.tasks);
	luaL_checkstack(L, LUA_MINSTACK, "too many arguments");
	t = new_task(L, n, name); /* function argument… task */
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, t);
	t->stack = stack_new();
	if (!t->stack) {
		lua_pushnil(L);
		lua_rawsetp(L, LUA_REGISTRYINDEX, t);
		lua_pushliteral(L, "not enough memory"); /* as Lua says it */
		lua_error(L);
	}
	t->sp = stack_prepare(t->stack, entry);
	lua_pop(L, 1);
	lua_xmove(L, t->L, n + 1);
	t->id = ++last_id;
	list_append(&all, &t->all);
	n_others++;
	make_ready(t);
	return t;
}
