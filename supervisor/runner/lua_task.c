/*
 * Step 5, in the zygote: the library `task`.
 *
 * It is made when it is first required: most programs have one task.
 */

#include <lauxlib.h>
#include <string.h>

#include "runner/environment.h"
#include "runner/task.h"

/* --- starting and finding ---------------------------------------------------
 */

int lua_task_start(lua_State *L, int n, const char *name)
{
	struct task *t = task_start(L, n, name);

	t->kept = true;
	lua_pushinteger(L, t->id);
	return 1;
}

/* task.start(function [, name]) -> id */
static int l_start(lua_State *L)
{
	size_t size = 0;
	const char *name = luaL_optlstring(L, 2, NULL, &size);

	luaL_checktype(L, 1, LUA_TFUNCTION);
	luaL_argcheck(L, size <= TASK_NAME_MAX, 2, "name too long");
	lua_pushvalue(L, 1);
	return lua_task_start(L, 0, name);
}

/* The task of the id at slot @i, by default the current one; NULL: none. */
static struct task *opt_task(lua_State *L, int i)
{
	lua_Integer id;

	if (lua_isnoneornil(L, i))
		return task_current();
	id = luaL_checkinteger(L, i);
	return id > 0 && id <= UINT32_MAX ? task_find((uint32_t)id) : NULL;
}

struct search {
	const char *name;
	struct task *found;
};

static void on_search(struct task *t, void *context)
{
	struct search *s = context;

	if (!s->found && strcmp(t->name, s->name) == 0)
		s->found = t;
}

/* task.getid([name]) -> id | nil: of the current task, or the first of it */
static int l_getid(lua_State *L)
{
	struct search s = { .name = luaL_optstring(L, 1, "") };

	if (s.name[0])
		task_each(on_search, &s);
	else
		s.found = task_current();
	if (s.found)
		lua_pushinteger(L, s.found->id);
	else
		lua_pushnil(L);
	return 1;
}

/* Push the table, which is made when it is first asked for. */
static void push_state(lua_State *L, struct task *t)
{
	static const char of_main;

	if (t == task_main()) {
		if (lua_rawgetp(L, LUA_REGISTRYINDEX, &of_main) == LUA_TTABLE)
			return;
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &of_main);
		return;
	}
	lua_rawgetp(L, LUA_REGISTRYINDEX, t); /* task */
	if (lua_getiuservalue(L, -1, TASK_STATE_VALUE) == LUA_TTABLE)
		return;
	lua_newtable(L);
	lua_pushvalue(L, -1); /* task nil state state */
	lua_setiuservalue(L, -4, TASK_STATE_VALUE);
}

/* task.getstate([id]) -> table | nil: it is the task's own, and others'. */
static int l_getstate(lua_State *L)
{
	struct task *t = opt_task(L, 1);

	if (!t) {
		lua_pushnil(L);
		return 1;
	}
	push_state(L, t);
	return 1;
}

static void add_to_list(struct task *t, void *context)
{
	lua_State *L = context;

	lua_createtable(L, 0, 4); /* list entry */
	lua_pushinteger(L, t->id);
	lua_setfield(L, -2, "id");
	lua_pushinteger(L, (lua_Integer)t->preempted);
	lua_setfield(L, -2, "preempted");
	if (t->name[0]) {
		lua_pushstring(L, t->name);
		lua_setfield(L, -2, "name");
	}
	if (t->state == TASK_WAITING && t->waiting) {
		lua_pushstring(L, t->waiting);
		lua_setfield(L, -2, "waiting");
	}
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* task.list() -> {{id=, name=, waiting=}, …} */
static int l_list(lua_State *L)
{
	lua_createtable(L, (int)task_count(), 0);
	task_each(add_to_list, L);
	return 1;
}

/* --- ending -----------------------------------------------------------------
 */

/* What an ended task left: true and its values, or false and why. */
static int push_end(lua_State *L, struct task *t)
{
	int n = lua_gettop(t->L) - 1;

	lua_pushboolean(L, t->end == TASK_RETURNED);
	if (t->end == TASK_KILLED) {
		lua_pushliteral(L, "killed");
		return 2;
	}
	luaL_checkstack(L, n + LUA_MINSTACK, "too many results");
	for (int i = 1; i <= n; i++)
		lua_pushvalue(t->L, 1 + i);
	lua_xmove(t->L, L, n);
	return 1 + n;
}

/* task.wait(id [, timeout]) -> true, value… | false, message
 * | nil, "timeout". The values can be had once. */
static int l_wait(lua_State *L)
{
	lua_Integer id = luaL_checkinteger(L, 1);
	uint64_t deadline_ns = lua_check_deadline(L, 2);
	struct task *t;
	bool waited = false;
	int n;

	luaL_argcheck(L, id != task_current()->id, 1,
		      "a task cannot wait for itself");
	luaL_argcheck(L, id != TASK_MAIN, 1, "the main task has no results");
	while ((t = opt_task(L, 1))) {
		waited = true;
		if (!task_wait_at(L, &t->waiters, "task.wait", deadline_ns))
			return lua_push_failure(L, "timeout");
	}
	t = id > 0 && id <= UINT32_MAX ? task_find_ended((uint32_t)id) : NULL;
	if (!t) {
		lua_pushboolean(L, 0);
		lua_pushliteral(L, "no such task");
		return 2;
	}
	n = push_end(L, t);
	if (waited)
		t->n_waiters--;
	if (t->n_waiters == 0)
		task_forget(t);
	return n;
}

/* task.kill(id) -> whether there was one */
static int l_kill(lua_State *L)
{
	struct task *t;

	luaL_checkinteger(L, 1);
	t = opt_task(L, 1);
	if (t)
		task_kill(t);
	lua_pushboolean(L, t != NULL);
	return 1;
}

/* task.terminate(id) -> whether there was one */
static int l_terminate(lua_State *L)
{
	struct task *t;

	luaL_checkinteger(L, 1);
	t = opt_task(L, 1);
	if (t)
		task_terminate(t);
	lua_pushboolean(L, t != NULL);
	return 1;
}

/* --- switching --------------------------------------------------------------
 */

static int l_atomic_close(lua_State *L)
{
	(void)L;
	task_atomic_leave();
	return 0;
}

/* task.atomic(function, …) -> value…; upvalue: what closes it */
static int l_atomic(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1); /* guard function argument… */
	lua_toclose(L, 1);
	task_atomic_enter();
	lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
	return lua_gettop(L) - 1;
}

/* task.cooperative(on) */
static int l_cooperative(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TBOOLEAN);
	task_set_cooperative(lua_toboolean(L, 1));
	return 0;
}

/* --- the library ------------------------------------------------------------
 */

static void add_atomic(lua_State *L)
{
	lua_newtable(L); /* task guard */
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_atomic_close);
	lua_setfield(L, -2, "__close");
	lua_setmetatable(L, -2);
	lua_pushcclosure(L, l_atomic, 1);
	lua_setfield(L, -2, "atomic");
}

static int open_task(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "cooperative", l_cooperative },
		{ "getid", l_getid },
		{ "getstate", l_getstate },
		{ "kill", l_kill },
		{ "list", l_list },
		{ "queue", lua_queue_new },
		{ "start", l_start },
		{ "terminate", l_terminate },
		{ "wait", l_wait },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	add_atomic(L);
	lua_queue_open(L);
	return 1;
}

void lua_task_open(lua_State *L)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, open_task);
	lua_setfield(L, -2, "task");
	lua_pop(L, 1);
}
