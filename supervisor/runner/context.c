/*
 * Step 7, in a runner: contexts and their userdata.
 *
 * A table of the registry, weak in its values, has the userdata by number: the
 * same context is the same value everywhere in a program. A userdata that is
 * about to be collected has left the table before its __gc is called, so there
 * may be a newer one by then.
 */

#include "runner/context.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "runner/channel.h"
#include "runner/child.h"
#include "runner/event.h"
#include "runner/handler.h"
#include "runner/limits.h"
#include "runner/listens.h"
#include "runner/map.h"
#include "runner/tell.h"
#include "runner/value.h"

struct context_userdata {
	struct context *context; /* first, for value.c; NULL: closed */
	uint32_t id;
};

static const char table_key; /* its address is the weak table's key */

static struct map contexts;		       /* by id */
static struct list loans = { &loans, &loans }; /* contexts */
static uint32_t last_id;

/* --- life -------------------------------------------------------------------
 */

static struct context *new_context(bool owned)
{
	struct context *c;

	if (contexts.used >= LIMIT_CONTEXTS)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = last_id + 1;
	c->owned = owned;
	list_init(&c->holders);
	list_init(&c->loan);
	if (map_put(&contexts, c->id, c) < 0) {
		free(c);
		return NULL;
	}
	last_id++;
	return c;
}

struct context *context_find(uint64_t id)
{
	return map_get(&contexts, id);
}

struct context *context_ref(struct context *c)
{
	c->refs++;
	return c;
}

struct context *context_unref(struct context *c)
{
	c->refs--;
	context_settle(c);
	return NULL;
}

/* Its number leads nowhere from now on, and its userdata is a closed one. */
static void forget(struct context *c)
{
	c->closed = true;
	map_remove(&contexts, c->id);
	if (c->userdata)
		c->userdata->context = NULL;
	c->userdata = NULL;
	if (!c->owned && c->refs > 0)
		child_up_closed(c);
}

static bool is_needed(const struct context *c)
{
	const struct channel *held;

	if (c->userdata || c->refs > 0)
		return true;
	if (c->closed)
		return false;
	if (c->owned)
		return c->n_holders > 0 || (c->lent && c->n_handlers > 0);
	held = channel_find(c->link, false);
	return held && (held->n_calls > 0 || c->listens);
}

void context_settle(struct context *c)
{
	if (is_needed(c))
		return;
	if (c->closed) {
		listens_free(c->listens);
		list_remove(&c->loan);
		free(c);
	} else if (!c->owned || !handler_deserted(c)) {
		context_close(c); /* which comes here again */
	}
}

void context_close(struct context *c)
{
	struct channel *channel, *after;

	if (c->closed)
		return;
	context_ref(c);
	forget(c);
	if (c->owned) {
		tell_context_closed(c->id);
		list_each(channel, after, &c->holders, list)
			channel_close(channel, false);
	} else {
		channel = channel_find(c->link, false);
		if (channel &&
		    (c->passed_on || c->listens || !channel_return(channel)))
			channel_close(channel, true);
	}
	handler_context_closed(c);
	context_unref(c);
}

/* --- with thoxd, for others -------------------------------------------------
 */

void context_lend(struct context *c, uint32_t cid)
{
	if (!c->owned || c->n_holders > 0)
		return;
	c->lent = cid;
	list_remove(&c->loan);
	list_append(&loans, &c->loan);
}

static void end_loan(struct context *c)
{
	c->lent = 0;
	list_remove(&c->loan);
}

void context_call_ended(uint32_t cid)
{
	struct context *c, *after;

	list_each(c, after, &loans, loan)
	{
		if (c->lent != cid)
			continue;
		context_ref(c);
		end_loan(c);
		handler_look();
		context_unref(c);
	}
}

void context_give(struct context *c)
{
	context_ref(c);
	c->passed_on = true;
	c->n_children++;
}

void context_take_back(struct context *c)
{
	c->n_children--;
	handler_look();
	context_unref(c);
}

/* --- their channels ---------------------------------------------------------
 */

void context_add_holder(struct context *c, struct channel *holder)
{
	holder->context = c;
	list_append(&c->holders, &holder->list);
	c->n_holders++;
	end_loan(c);
	c->deserted = false;
	event_of_context(EV_OPEN, c, holder->peer);
}

void context_remove_holder(struct context *c, struct channel *holder,
			   bool by_us)
{
	context_ref(c);
	holder->context = NULL;
	list_remove(&holder->list);
	c->n_holders--;
	if (!by_us)
		event_of_context(EV_CLOSE, c, holder->peer);
	if (c->n_holders == 0 && !c->closed) {
		handler_deserted(c);
		handler_look();
	}
	context_unref(c);
}

void context_lost(struct context *c, struct channel *held, bool by_us)
{
	held->context = NULL;
	if (c->closed)
		return; /* by context_close() */
	context_ref(c);
	if (!by_us)
		event_of_context(EV_CLOSE, c, held->peer);
	handler_deserted(c); /* a function may want to know */
	forget(c);
	handler_context_closed(c);
	context_unref(c);
}

/* --- in messages ------------------------------------------------------------
 */

/* The channel of a context that this very message brought, or NULL. */
static struct channel *find_named(uint64_t link, uint64_t over)
{
	struct channel *c = channel_find(link, false);

	if (!c || c->kind != CHANNEL_HELD || (c->over && c->over != over))
		return NULL;
	return c;
}

void context_push_named(lua_State *L, uint64_t link, uint64_t over, uint64_t id)
{
	struct channel *held = find_named(link, over);

	if (!held || !channel_claimable(held, id)) {
		context_push(L, NULL);
		return;
	}
	channel_claim(held, id);
	if (!held->context) {
		struct context *c = new_context(false);

		if (!c) {
			channel_close(held, true);
			luaL_error(L, "too many contexts");
			return;
		}
		c->link = link;
		held->context = c;
	}
	context_push(L, held->context);
}

void context_close_named(uint64_t link, uint64_t over, uint64_t id)
{
	struct channel *held = find_named(link, over);

	if (held && (channel_claimable(held, id) || (held->returned && !id)))
		channel_close(held, true);
}

/* --- userdata ---------------------------------------------------------------
 */

static struct context_userdata *new_userdata(lua_State *L, struct context *c)
{
	struct context_userdata *u = lua_newuserdatauv(L, sizeof(*u), 0);

	u->context = NULL;
	u->id = c ? c->id : 0;
	luaL_setmetatable(L, VALUE_CONTEXT);
	return u;
}

void context_push(lua_State *L, struct context *c)
{
	struct context_userdata *u;

	luaL_checkstack(L, LUA_MINSTACK, NULL);
	if (!c) {
		new_userdata(L, NULL);
		return;
	}
	lua_rawgetp(L, LUA_REGISTRYINDEX, &table_key); /* table */
	if (lua_rawgeti(L, -1, c->id) != LUA_TUSERDATA) {
		lua_pop(L, 1);
		context_ref(c);		/* the collector may run */
		u = new_userdata(L, c); /* table userdata */
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, c->id);
		if (!c->closed) {
			u->context = c;
			c->userdata = u;
		}
		context_unref(c);
	}
	lua_remove(L, -2);
}

struct context *context_create(lua_State *L)
{
	struct context *c = new_context(true);

	if (!c) {
		luaL_error(L, "more than %d contexts in a process",
			   LIMIT_CONTEXTS);
		return NULL;
	}
	context_push(L, c);
	return c;
}

bool context_check(lua_State *L, int index, struct context **ret)
{
	struct context_userdata *u;

	*ret = NULL;
	if (lua_isinteger(L, index)) {
		lua_Integer id = lua_tointeger(L, index);

		luaL_argcheck(L, id >= 0 && id <= (lua_Integer)last_id, index,
			      "no such context");
		*ret = context_find((uint64_t)id);
		return id == 0 || *ret;
	}
	u = luaL_testudata(L, index, VALUE_CONTEXT);
	luaL_argexpected(L, u, index, "context");
	*ret = u->context;
	return *ret;
}

struct context *context_check_owned(lua_State *L, int index)
{
	struct context *c;

	if (!context_check(L, index, &c))
		luaL_argerror(L, index, "this context is closed");
	luaL_argcheck(L, c && c->owned, index,
		      "a context of this process's own is wanted");
	return c;
}

static int l_gc(lua_State *L)
{
	struct context_userdata *u = luaL_checkudata(L, 1, VALUE_CONTEXT);
	struct context *c = u->context;

	u->context = NULL;
	if (c && c->userdata == u) {
		c->userdata = NULL;
		context_settle(c);
	}
	return 0;
}

/* ctx:close(), and the end of a `<close>` variable's scope. */
static int l_close(lua_State *L)
{
	struct context_userdata *u = luaL_checkudata(L, 1, VALUE_CONTEXT);

	if (u->context)
		context_close(u->context);
	return 0;
}

static int l_tostring(lua_State *L)
{
	struct context_userdata *u = luaL_checkudata(L, 1, VALUE_CONTEXT);

	if (u->context)
		lua_pushfstring(L, "context: %I", (LUAI_UACINT)u->id);
	else
		lua_pushliteral(L, "context: closed");
	return 1;
}

/* ctx.id, ctx.close */
static int l_index(lua_State *L)
{
	struct context_userdata *u = luaL_checkudata(L, 1, VALUE_CONTEXT);
	const char *key = lua_tostring(L, 2);

	if (key && strcmp(key, "id") == 0)
		lua_pushinteger(L, u->id);
	else if (key && strcmp(key, "close") == 0)
		lua_pushcfunction(L, l_close);
	else
		lua_pushnil(L);
	return 1;
}

/* os.context() -> ctx */
static int l_context(lua_State *L)
{
	context_create(L);
	return 1;
}

/* os.close(ctx) */
static int l_os_close(lua_State *L)
{
	struct context *c;

	if (context_check(L, 1, &c) && !c)
		return luaL_argerror(L, 1, "the default context stays");
	if (c)
		context_close(c);
	return 0;
}

void context_open(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__close", l_close }, { "__gc", l_gc },
		{ "__index", l_index }, { "__tostring", l_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "context", l_context },
		{ "close", l_os_close },
		{ NULL, NULL },
	};

	luaL_newmetatable(L, VALUE_CONTEXT); /* metatable */
	luaL_setfuncs(L, metamethods, 0);
	lua_pushliteral(L, "context");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
	lua_newtable(L); /* table */
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &table_key);
	lua_getglobal(L, "os");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
