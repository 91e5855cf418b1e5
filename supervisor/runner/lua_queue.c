/*
 * Step 5, in the zygote: task.queue(), where tasks hand values on.
 *
 * The values are in a table, the queue's user value, from `first` on. Who
 * waits is in two lists. C is not interrupted, so what is seen of the queue
 * holds until the next wait.
 */

#include <lauxlib.h>

#include "runner/environment.h"
#include "runner/task.h"

#define QUEUE_TYPE "task.queue"

struct queue {
	struct list getters, putters;
	lua_Integer first, count, size;
	bool closed;
};

static struct queue *check_queue(lua_State *L)
{
	return luaL_checkudata(L, 1, QUEUE_TYPE);
}

/* task.queue([size]) -> queue, of any number of values without @size */
int lua_queue_new(lua_State *L)
{
	lua_Integer size = luaL_optinteger(L, 1, LUA_MAXINTEGER);
	struct queue *q;

	luaL_argcheck(L, size > 0, 1, "size must be positive");
	q = lua_newuserdatauv(L, sizeof(*q), 1);
	*q = (struct queue){ .first = 1, .size = size };
	list_init(&q->getters);
	list_init(&q->putters);
	luaL_setmetatable(L, QUEUE_TYPE);
	lua_newtable(L);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

/* queue:put(value [, timeout]) -> true | nil, "timeout" */
static int l_put(lua_State *L)
{
	struct queue *q = check_queue(L);
	uint64_t deadline_ns = lua_check_deadline(L, 3);

	luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "a value expected");
	while (q->count >= q->size && !q->closed)
		if (!task_wait_at(L, &q->putters, "queue:put", deadline_ns))
			return lua_push_failure(L, "timeout");
	if (q->closed)
		return luaL_error(L, "the queue is closed");
	lua_getiuservalue(L, 1, 1); /* queue value … values */
	lua_pushvalue(L, 2);
	lua_rawseti(L, -2, q->first + q->count);
	q->count++;
	task_wake_first(&q->getters);
	lua_pushboolean(L, 1);
	return 1;
}

static void push_first(lua_State *L, struct queue *q)
{
	lua_getiuservalue(L, 1, 1);
	lua_rawgeti(L, -1, q->first); /* … values value */
	lua_pushnil(L);
	lua_rawseti(L, -3, q->first++);
	if (--q->count == 0)
		q->first = 1;
}

/* queue:get([timeout]) -> value | nil, "closed" | nil, "timeout" */
static int l_get(lua_State *L)
{
	struct queue *q = check_queue(L);
	uint64_t deadline_ns = lua_check_deadline(L, 2);

	while (q->count == 0 && !q->closed)
		if (!task_wait_at(L, &q->getters, "queue:get", deadline_ns))
			return lua_push_failure(L, "timeout");
	if (q->count == 0)
		return lua_push_failure(L, "closed");
	push_first(L, q);
	task_wake_first(&q->putters);
	return 1;
}

/* queue:close(): nothing is put any more; what is there can be got. */
static int l_close(lua_State *L)
{
	struct queue *q = check_queue(L);

	q->closed = true;
	task_wake_all(&q->getters);
	task_wake_all(&q->putters);
	return 0;
}

static int l_len(lua_State *L)
{
	lua_pushinteger(L, check_queue(L)->count);
	return 1;
}

void lua_queue_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "close", l_close },
		{ "get", l_get },
		{ "put", l_put },
		{ NULL, NULL },
	};

	luaL_newmetatable(L, QUEUE_TYPE);
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, l_len);
	lua_setfield(L, -2, "__len");
	lua_pushcfunction(L, l_close);
	lua_setfield(L, -2, "__close");
	lua_pop(L, 1);
}
