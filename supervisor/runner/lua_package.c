/*
 * Step 5, in the zygote: `require` from the library store.
 *
 * package.searchers has two entries: package.preload, and thoxd, which sends
 * the text of a library over the control link. There is no path.
 */

#include <lauxlib.h>
#include <string.h>

#include "base/fd.h"
#include "rpc/status.h"
#include "runner/control.h"
#include "runner/environment.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/text.h"

/* Upvalues of require(). */
enum {
	UP_PACKAGE = 1,
	UP_LOADING, /* name of a module -> the task that loads it */
	UP_GUARD,   /* metatable: how loading ends */
};

#define SEARCHERS 4 /* stack slot, in require() */

/* Searcher 1: a function in package.preload. */
static int l_search_preload(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE); /* preload */
	if (lua_getfield(L, -1, name) == LUA_TNIL) {
		lua_pushfstring(L, "no field package.preload['%s']", name);
		return 1;
	}
	lua_pushliteral(L, ":preload:");
	return 2;
}

/* Searcher 2: the library store. */
static int l_search_store(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct control_library *l;
	int status;

	if (runner.loading)
		return luaL_error(L, "a runtime cannot require a library while "
				     "it is loaded; the function that it "
				     "returns can");
	l = control_want_library(L, name); /* name library */
	if (l->status == STATUS_NOT_FOUND) {
		lua_pushfstring(L, "no library '%s'", name);
		return 1;
	}
	if (l->status != STATUS_OK || l->fd < 0)
		return luaL_error(L, "error loading library '%s':\n\t%s", name,
				  l->message);
	status = text_load(L, l->fd, name);
	l->fd = fd_close(l->fd);
	if (status != LUA_OK)
		return luaL_error(L, "error loading library '%s':\n\t%s", name,
				  lua_tostring(L, -1));
	lua_pushstring(L, name);
	return 2; /* loader name */
}

/* Leave loader and data of module @name on the stack, or raise. */
static void find_loader(lua_State *L, const char *name)
{
	luaL_Buffer tried;

	if (lua_getfield(L, lua_upvalueindex(UP_PACKAGE), "searchers") !=
	    LUA_TTABLE)
		luaL_error(L, "'package.searchers' must be a table");
	luaL_buffinit(L, &tried);
	for (int i = 1;; i++) {
		if (lua_rawgeti(L, SEARCHERS, i) == LUA_TNIL) {
			lua_pop(L, 1);
			luaL_pushresult(&tried);
			luaL_error(L, "module '%s' not found:%s", name,
				   lua_tostring(L, -1));
		}
		lua_pushstring(L, name);
		lua_call(L, 1, 2); /* … loader data */
		if (lua_isfunction(L, -2))
			return;
		lua_pop(L, 1);
		if (lua_isstring(L, -1)) {
			lua_pushliteral(L, "\n\t");
			lua_insert(L, -2);
			lua_concat(L, 2);
			luaL_addvalue(&tried);
		} else {
			lua_pop(L, 1);
		}
	}
}

/* --- two tasks that want the same --------------------------------------------
 */

/* Tasks that wait for a module which another one loads. */
static struct list waiters = { &waiters, &waiters };

/* Does @t wait, by way of others, for the current task? */
static bool awaits_us(const struct task *t)
{
	while (t && t != task_current())
		t = t->awaits ? task_find(t->awaits) : NULL;
	return t != NULL;
}

/* While another task loads the module: wait for it, unless it waits for one
 * that this one loads. */
static void wait_for_loader(lua_State *L, const char *name)
{
	struct task *loader;

	while (lua_getfield(L, lua_upvalueindex(UP_LOADING), name) ==
	       LUA_TNUMBER) {
		loader = task_find((uint32_t)lua_tointeger(L, -1));
		if (!loader || awaits_us(loader) || !task_can_wait())
			break;
		lua_pop(L, 1);
		task_current()->awaits = loader->id;
		task_wait_at(L, &waiters, "require", TASK_NO_DEADLINE);
		task_current()->awaits = 0;
	}
	lua_pop(L, 1);
}

/* __close of the guard, which holds the name: the module is loaded, or not. */
static int l_loaded(lua_State *L)
{
	lua_rawgeti(L, 1, 1);
	lua_pushnil(L);
	lua_settable(L, lua_upvalueindex(1));
	task_wake_all(&waiters);
	return 0;
}

/* Push a guard: until it is closed, this task loads the module. */
static void begin_loading(lua_State *L, const char *name)
{
	lua_createtable(L, 1, 0); /* guard */
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	lua_pushvalue(L, lua_upvalueindex(UP_GUARD));
	lua_setmetatable(L, -2);
	lua_pushinteger(L, task_current()->id);
	lua_setfield(L, lua_upvalueindex(UP_LOADING), name);
	lua_toclose(L, -1);
}

static bool is_loaded(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	if (lua_toboolean(L, -1))
		return true;
	lua_pop(L, 1);
	return false;
}

/* require(name) -> value, data */
static int l_require(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	lua_settop(L, 1);
	lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); /* name loaded */
	if (is_loaded(L, name))
		return 1;
	wait_for_loader(L, name);
	if (is_loaded(L, name))
		return 1;
	begin_loading(L, name); /* name loaded guard */
	find_loader(L, name);	/* … searchers … loader data */
	lua_rotate(L, -2, 1);	/* … data loader */
	lua_pushvalue(L, 1);
	lua_pushvalue(L, -3);
	lua_call(L, 2, 1); /* … data value */
	if (!lua_isnil(L, -1))
		lua_setfield(L, 2, name);
	else
		lua_pop(L, 1); /* … data */
	if (lua_getfield(L, 2, name) == LUA_TNIL) {
		lua_pushboolean(L, 1);
		lua_copy(L, -1, -2);
		lua_setfield(L, 2, name); /* … data true */
	}
	lua_rotate(L, -2, 1); /* … value data */
	return 2;
}

void lua_package_open(lua_State *L)
{
	control_open(L);
	lua_newtable(L); /* package */
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_setfield(L, -2, "loaded");
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_setfield(L, -2, "preload");
	lua_createtable(L, 2, 0); /* package searchers */
	lua_pushcfunction(L, l_search_preload);
	lua_rawseti(L, -2, 1);
	lua_pushcfunction(L, l_search_store);
	lua_rawseti(L, -2, 2);
	lua_setfield(L, -2, "searchers");
	/* Programs that add to it find a string; nothing is looked for. */
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "/\n;\n?\n!\n-\n");
	lua_setfield(L, -2, "config");

	lua_pushvalue(L, -1);
	lua_newtable(L);	  /* package package loading */
	lua_createtable(L, 0, 1); /* … guard's metatable */
	lua_pushvalue(L, -2);
	lua_pushcclosure(L, l_loaded, 1);
	lua_setfield(L, -2, "__close");
	lua_pushcclosure(L, l_require, UP_GUARD);
	lua_setglobal(L, "require"); /* package */
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "package"); /* package loaded */
	lua_pop(L, 1);
	lua_setglobal(L, "package");
}
