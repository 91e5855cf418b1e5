/*
 * Step 7, in a runner: children.
 *
 * A PID comes round again, and the word that a child has ended comes over
 * another link than the word that it was started, so perhaps before it.
 * `started` tells an end that belongs to an earlier child of that PID.
 */

#include "runner/child.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/util.h"
#include "runner/context.h"
#include "runner/environment.h"
#include "runner/limits.h"
#include "runner/map.h"
#include "runner/task.h"

struct child {
	struct list list; /* of those that have ended, in their order, or of
			     those that are children of children */
	pid_t pid;
	bool started, ended;
	bool adopted;
	int64_t code, signal;
	struct context *base; /* given, or NULL */
	struct context *up;   /* a reference, or NULL */
};

static struct map children; /* by PID */
static struct list ended = { &ended, &ended };
static struct list adopted = { &adopted, &adopted };
static unsigned n_ended;
static struct list waiters = { &waiters, &waiters }; /* tasks */
static struct list up_waiters = { &up_waiters, &up_waiters };
static unsigned n_starting;

static struct child *find(pid_t pid)
{
	return map_get(&children, (uint64_t)pid);
}

static struct child *add(pid_t pid)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c || map_put(&children, (uint64_t)pid, c) < 0) {
		free(c);
		return NULL;
	}
	list_init(&c->list);
	c->pid = pid;
	return c;
}

static void forget_contexts(struct child *c)
{
	struct context *base = steal(&c->base), *up = steal(&c->up);

	if (base)
		context_take_back(base);
	if (up)
		context_unref(up);
}

static void release(struct child *c)
{
	if (c->ended)
		n_ended--;
	list_remove(&c->list);
	map_remove(&children, (uint64_t)c->pid);
	forget_contexts(c);
	free(c);
}

void child_started(lua_State *L, pid_t pid, struct context *base,
		   struct context *up)
{
	struct child *c = find(pid);

	if (c && c->started) { /* an earlier one, whose end nobody wanted */
		release(c);
		c = NULL;
	}
	if (!c)
		c = add(pid);
	if (!c) {
		luaL_error(L, "not enough memory");
		return;
	}
	c->started = true;
	if (c->ended)
		return;
	if (up)
		c->up = context_ref(up);
	if (base) {
		context_give(base);
		c->base = base;
	}
}

void child_adopt(lua_State *L, pid_t pid, struct context *base,
		 struct context *up)
{
	struct child *c = find(pid);

	if (up->closed)
		return;
	if (c) /* an earlier one */
		release(c);
	child_started(L, pid, base, up);
	c = find(pid);
	if (!c)
		return;
	c->adopted = true;
	list_append(&adopted, &c->list);
}

void child_up_closed(const struct context *up)
{
	struct child *c, *after;

	list_each(c, after, &adopted, list)
	{
		if (c->up == up) {
			release(c);
			return;
		}
	}
}

void child_starting(int by)
{
	n_starting += (unsigned)by;
	if (by < 0)
		task_wake_all(&up_waiters);
}

void child_push_up(lua_State *L, pid_t pid)
{
	const struct child *c;

	while (!((c = find(pid)) && c->up) && n_starting > 0)
		task_wait_at(L, &up_waiters, "a child to be started",
			     TASK_NO_DEADLINE);
	if (c && c->up)
		context_push(L, c->up);
	else
		lua_pushnil(L);
}

void child_ended(pid_t pid, int64_t code, int64_t signal)
{
	struct child *c = find(pid);

	if (c && (c->ended || c->adopted)) { /* an earlier one */
		release(c);
		c = NULL;
	}
	if (!c)
		c = add(pid);
	if (!c)
		return;
	c->ended = true;
	c->code = code;
	c->signal = signal;
	list_append(&ended, &c->list);
	forget_contexts(c);
	if (++n_ended > LIMIT_ENDED_CHILDREN)
		release(list_first(&ended, struct child, list));
	task_wake_all(&waiters);
}

/* Whoever is told changes the table: so they are named first. */
void child_all_killed(void (*tell)(pid_t pid))
{
	pid_t *pids = calloc(children.used + 1, sizeof(*pids));
	size_t n = 0;

	for (size_t i = 0; pids && i < children.size; i++) {
		const struct child *c = map_at(&children, i);

		if (c && c->started && !c->ended)
			pids[n++] = c->pid;
	}
	while (n > 0)
		tell(pids[--n]);
	free(pids);
}

static void push_number(lua_State *L, int64_t value)
{
	if (value >= 0)
		lua_pushinteger(L, value);
	else
		lua_pushnil(L);
}

int child_wait(lua_State *L, pid_t pid, uint64_t deadline_ns)
{
	struct child *c;
	bool in_time = true;

	for (;;) {
		c = find(pid);
		if (!c || c->adopted)
			return lua_push_failure(L, "no such child");
		if (c->ended || !in_time)
			break;
		in_time = task_wait_at(L, &waiters, "the end of a child",
				       deadline_ns);
	}
	if (!c->ended)
		return lua_push_failure(L, "timeout");
	push_number(L, c->code);
	push_number(L, c->signal);
	release(c);
	return 2;
}
