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
#include "runner/context.h"
#include "runner/environment.h"
#include "runner/limits.h"
#include "runner/map.h"
#include "runner/task.h"

struct child {
	struct list list; /* of those that have ended, in their order */
	pid_t pid;
	bool started, ended;
	int64_t code, signal;
	struct context *up; /* a reference, or NULL */
};

static struct map children; /* by PID */
static struct list ended = { &ended, &ended };
static unsigned n_ended;
static struct list waiters = { &waiters, &waiters }; /* tasks */

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

static void forget_up(struct child *c)
{
	if (c->up)
		c->up = context_unref(c->up);
}

static void release(struct child *c)
{
	forget_up(c);
	if (c->ended)
		n_ended--;
	list_remove(&c->list);
	map_remove(&children, (uint64_t)c->pid);
	free(c);
}

void child_started(lua_State *L, pid_t pid, struct context *up)
{
	struct child *c = find(pid);

	if (c && c->started) { /* an earlier one, whose end nobody wanted */
		release(c);
		c = NULL;
	}
	if (!c)
		c = add(pid);
	if (!c)
		luaL_error(L, "not enough memory");
	else
		c->started = true;
	if (c && up && !c->ended)
		c->up = context_ref(up);
}

void child_push_up(lua_State *L, pid_t pid)
{
	const struct child *c = find(pid);

	if (c && c->up)
		context_push(L, c->up);
	else
		lua_pushnil(L);
}

void child_ended(pid_t pid, int64_t code, int64_t signal)
{
	struct child *c = find(pid);

	if (c && c->ended) {
		release(c);
		c = NULL;
	}
	if (!c)
		c = add(pid);
	if (!c)
		return;
	forget_up(c);
	c->ended = true;
	c->code = code;
	c->signal = signal;
	list_append(&ended, &c->list);
	if (++n_ended > LIMIT_ENDED_CHILDREN)
		release(list_first(&ended, struct child, list));
	task_wake_all(&waiters);
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
		if (!c)
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
