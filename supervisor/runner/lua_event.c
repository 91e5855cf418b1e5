/*
 * Step 5, in the zygote: os.pull() and what else programs do with events.
 */

#include "runner/lua_event.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/status.h"
#include "runner/call.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/environment.h"
#include "runner/event.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/mailbox.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/timer.h"

#define NS_PER_S 1000000000.0
#define FILTER	 1 /* stack slot of os.pull()'s filter */

/* --- the fields of events ---------------------------------------------------
 * Each pushes one value.
 */

static void push_type(lua_State *L, const struct event *e)
{
	lua_pushstring(L, event_type_name[e->type]);
}

static void push_number(lua_State *L, const struct event *e)
{
	lua_pushinteger(L, (lua_Integer)e->number);
}

static void push_cid(lua_State *L, const struct event *e)
{
	lua_pushinteger(L, e->served->cid);
}

static void push_context(lua_State *L, const struct event *e)
{
	if (e->context)
		context_push(L, e->context);
	else
		lua_pushinteger(L, 0);
}

static const struct incoming *incoming_of(const struct event *e)
{
	return e->served ? e->served->in : e->in;
}

static void push_name(lua_State *L, const struct event *e)
{
	const struct incoming *in = incoming_of(e);

	if (in)
		lua_pushlstring(L, in->m.name.p, in->m.name.size);
	else
		lua_pushlstring(L, e->name, e->name_size);
}

static void push_pid(lua_State *L, const struct event *e)
{
	pid_t pid = e->peer ? e->peer->pid : e->pid;

	if (pid)
		lua_pushinteger(L, pid);
	else
		lua_pushnil(L);
}

static void push_program(lua_State *L, const struct event *e)
{
	lua_pushstring(L, e->peer ? e->peer->program : NULL);
}

static void push_service(lua_State *L, const struct event *e)
{
	lua_pushstring(L, e->peer ? e->peer->service : NULL);
}

static void push_deadline(lua_State *L, const struct event *e)
{
	const struct served *s = e->served;

	if (s->deadline_ns == TIMER_NEVER)
		lua_pushnil(L);
	else
		lua_pushnumber(L,
			       ((double)s->deadline_ns - (double)clock_ns()) /
				       NS_PER_S);
}

static void push_code(lua_State *L, const struct event *e)
{
	if (e->code >= 0)
		lua_pushinteger(L, e->code);
	else
		lua_pushnil(L);
}

static void push_signal(lua_State *L, const struct event *e)
{
	if (e->signal >= 0)
		lua_pushinteger(L, e->signal);
	else
		lua_pushnil(L);
}

static void push_on(lua_State *L, const struct event *e)
{
	lua_pushboolean(L, e->on);
}

static const struct field {
	unsigned types;
	const char *name;
	void (*push)(lua_State *L, const struct event *e);
} fields[] = {
#define FROM_PEER                                                              \
	(EV_BIT(EV_CALL) | EV_BIT(EV_PUSH) | EV_BIT(EV_OPEN) |                 \
	 EV_BIT(EV_CLOSE) | EV_BIT(EV_LISTEN))
	{ EV_ALL & ~EV_BIT(EV_OWN), "type", push_type },
	{ EV_BIT(EV_CALL), "cid", push_cid },
	{ EV_BIT(EV_CANCEL), "cid", push_number },
	{ EV_BIT(EV_ALARM), "id", push_number },
	{ FROM_PEER | EV_BIT(EV_LOST), "ctx", push_context },
	{ EV_BIT(EV_CALL) | EV_BIT(EV_PUSH) | EV_BIT(EV_LOST) |
		  EV_BIT(EV_LISTEN),
	  "name", push_name },
	{ EV_BIT(EV_LOST), "count", push_number },
	{ FROM_PEER | EV_BIT(EV_EXIT), "pid", push_pid },
	{ FROM_PEER, "program", push_program },
	{ FROM_PEER, "service", push_service },
	{ EV_BIT(EV_CALL), "deadline", push_deadline },
	{ EV_BIT(EV_EXIT), "code", push_code },
	{ EV_BIT(EV_EXIT), "signal", push_signal },
	{ EV_BIT(EV_LISTEN), "on", push_on },
};

/* Push the field of this name, or nil. */
static void push_field(lua_State *L, const struct event *e, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if ((fields[i].types & EV_BIT(e->type)) &&
		    strcmp(fields[i].name, name) == 0) {
			fields[i].push(L, e);
			return;
		}
	lua_pushnil(L);
}

/* --- filters ----------------------------------------------------------------
 */

/* Which types of event a name stands for: one may be of os.queue(), too. */
static unsigned bit_of(const char *name)
{
	for (unsigned i = 0; i < EV_COUNT; i++)
		if (event_type_name[i] && strcmp(event_type_name[i], name) == 0)
			return EV_BIT(i) | EV_BIT(EV_OWN);
	return EV_BIT(EV_OWN);
}

/* The types that the filter in its slot admits, as far as names tell. */
static unsigned check_filter(lua_State *L)
{
	unsigned types = 0;
	lua_Integer n;

	if (lua_isnoneornil(L, FILTER))
		return EV_ALL;
	if (lua_type(L, FILTER) == LUA_TSTRING)
		return bit_of(lua_tostring(L, FILTER));
	luaL_checktype(L, FILTER, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, FILTER);
	for (lua_Integer i = 1; i <= n; i++) {
		if (lua_rawgeti(L, FILTER, i) != LUA_TSTRING)
			luaL_argerror(L, FILTER, "a type is a string");
		types |= bit_of(lua_tostring(L, -1));
		lua_pop(L, 1);
	}
	lua_pushliteral(L, "type");
	if (lua_rawget(L, FILTER) == LUA_TSTRING)
		types |= bit_of(lua_tostring(L, -1));
	else if (n == 0)
		types = EV_ALL;
	lua_pop(L, 1);
	return types;
}

/* The signals that it names, rather than admits. */
static unsigned named_signals(lua_State *L, unsigned types)
{
	return types == EV_ALL || lua_isnoneornil(L, FILTER) ? 0 : types;
}

/* Is the type on the top, which is popped, one of the filter's? */
static bool admits_type(lua_State *L)
{
	int type = lua_gettop(L);
	lua_Integer n = (lua_Integer)lua_rawlen(L, FILTER);
	bool is = n == 0;

	for (lua_Integer i = 1; i <= n && !is; i++) {
		lua_rawgeti(L, FILTER, i);
		is = lua_rawequal(L, -1, type);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return is;
}

/* What an event has, for the filter: its field named by the key in slot
 * @key. */
typedef void (*push_field_fn)(lua_State *L, const void *what, const char *name);

/* Do the fields of the filter that have names equal those of @what? */
static bool admits_fields(lua_State *L, push_field_fn push, const void *what)
{
	bool is = true;

	lua_pushnil(L); /* key */
	while (is && lua_next(L, FILTER)) {
		if (lua_type(L, -2) == LUA_TSTRING) {
			push(L, what, lua_tostring(L, -2));
			is = lua_rawequal(L, -1, -2);
			lua_pop(L, 1);
		}
		lua_pop(L, 1); /* key */
	}
	if (!is)
		lua_pop(L, 1);
	return is;
}

static bool admits(lua_State *L, push_field_fn push, const void *what)
{
	if (lua_isnoneornil(L, FILTER))
		return true;
	push(L, what, "type");
	if (lua_type(L, FILTER) == LUA_TSTRING) {
		bool is = lua_rawequal(L, -1, FILTER);

		lua_pop(L, 1);
		return is;
	}
	return admits_type(L) && admits_fields(L, push, what);
}

static void push_event_field(lua_State *L, const void *what, const char *name)
{
	const struct event *e = what;

	if (e->type != EV_OWN) {
		push_field(L, e, name);
		return;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, e->own); /* table */
	lua_pushstring(L, name);
	lua_rawget(L, -2);
	lua_remove(L, -2);
}

static void push_answer_field(lua_State *L, const void *what, const char *name)
{
	const struct call *call = what;

	if (strcmp(name, "type") == 0)
		lua_pushliteral(L, "answer");
	else if (strcmp(name, "cid") == 0)
		lua_pushinteger(L, call->cid);
	else if (strcmp(name, "status_code") == 0)
		lua_pushinteger(L, call->status);
	else
		lua_pushnil(L);
}

/* --- making the table -------------------------------------------------------
 */

/* Complain to the caller, or count it: an event that cannot be had. */
static void spoil(struct event *e, int r)
{
	static const char bad[] = "an argument that Lua has no value for";
	static const char none[] = "not enough memory for the arguments";

	if (e->type == EV_PUSH)
		event_lost(e->context, e->in->m.name, 1);
	else if (r == -ENOMEM)
		served_fail(e->served, STATUS_TOO_LARGE, none,
			    sizeof(none) - 1);
	else
		served_fail(e->served, STATUS_INVALID, bad, sizeof(bad) - 1);
}

/* Push the table of an event that the task has taken: false: it cannot be. */
static bool push_event(lua_State *L, struct mailbox *box, struct event *e)
{
	struct incoming *in = NULL;
	int r;

	if (e->type == EV_OWN) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, e->own);
		return true;
	}
	lua_createtable(L, 0, 8); /* event */
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].types & EV_BIT(e->type)) {
			fields[i].push(L, e);
			lua_setfield(L, -2, fields[i].name);
		}
	if (e->type == EV_CALL) {
		served_take(e->served, box);
		in = e->served->in;
	} else if (e->type == EV_PUSH) {
		in = e->in;
	}
	if (!in)
		return true;
	r = incoming_push_packed(in, L);
	if (r < 0) {
		lua_pop(L, 1);
		spoil(e, r);
		return false;
	}
	lua_setfield(L, -2, "args");
	if (!e->listed) /* no other task comes for it */
		incoming_strip(in);
	return true;
}

static void push_answer_event(lua_State *L, struct call *call)
{
	lua_createtable(L, 0, 4);
	lua_pushliteral(L, "answer");
	lua_setfield(L, -2, "type");
	lua_pushinteger(L, call->cid);
	lua_setfield(L, -2, "cid");
	call_push_packed(L, call);
	lua_setfield(L, -2, "args");
	lua_pushinteger(L, call->status);
	lua_setfield(L, -2, "status_code");
	call_release(call);
}

static void push_plain(lua_State *L, const char *type)
{
	lua_createtable(L, 0, 1);
	lua_pushstring(L, type);
	lua_setfield(L, -2, "type");
}

/* --- os.pull ----------------------------------------------------------------
 */

/* The first answer that the filter admits. */
static struct call *find_answer(lua_State *L, struct mailbox *box)
{
	struct call *call, *after;

	list_each(call, after, &box->answered,
		  mine) if (!call->resolve &&
			    admits(L, push_answer_field, call)) return call;
	return NULL;
}

/* The first event that the filter admits; it is box->looked_at, whatever a
 * finaliser does meanwhile. */
static struct event *find_event(lua_State *L, struct mailbox *box,
				unsigned types)
{
	struct event *e = event_peek(box, types, NULL);

	while (e) {
		event_unref(box->looked_at);
		box->looked_at = event_ref(e);
		if (e->type == EV_TERMINATE || admits(L, push_event_field, e))
			return e;
		event_leave(box, e);
		e = event_peek(box, types, e);
	}
	return NULL;
}

/* Push what is there already: false: nothing. */
static bool push_next(lua_State *L, struct mailbox *box, unsigned types)
{
	struct call *call;
	struct event *e;
	bool ok = false;

	if (box->told_to_terminate) {
		box->told_to_terminate = false;
		push_plain(L, "terminate");
		return true;
	}
	while (!ok) {
		e = find_event(L, box, types);
		call = (types & EV_BIT(EV_ANSWER)) ? find_answer(L, box) : NULL;
		if (call && (!e || call->order < e->order)) {
			push_answer_event(L, call);
			ok = true;
		} else if (e) {
			event_take(box, e);
			ok = push_event(L, box, e);
		} else {
			break;
		}
	}
	box->looked_at = event_unref(box->looked_at);
	return ok;
}

/* os.pull([filter [, timeout]]) -> event | nil */
static int l_pull(lua_State *L)
{
	struct mailbox *box = mailbox_get(L);
	unsigned types = check_filter(L);
	uint64_t deadline_ns = lua_check_deadline(L, 2);
	bool in_time = true;

	lua_settop(L, 2);
	event_name_signals(box, named_signals(L, types));
	while (!push_next(L, box, types)) {
		struct channel *c = channel_latest();

		if (!in_time) {
			lua_pushnil(L);
			return 1;
		}
		task_check_wait(L);
		if (c)
			channel_expect(c, false);
		event_pull_begin(box, types);
		in_time = task_wait(L, "os.pull", deadline_ns);
		event_pull_end(box);
	}
	return 1;
}

/* --- making events ----------------------------------------------------------
 */

/* os.queue{type=, …} */
static int l_queue(lua_State *L)
{
	int own, r;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_pushliteral(L, "type");
	luaL_argcheck(L, lua_rawget(L, 1) == LUA_TSTRING, 1,
		      "an event has a type, which is a string");
	lua_settop(L, 1);
	own = luaL_ref(L, LUA_REGISTRYINDEX);
	r = event_queue(own);
	if (r < 0) {
		luaL_unref(L, LUA_REGISTRYINDEX, own);
		return luaL_error(L, r == -ENOBUFS ? "the queue is full"
						   : "not enough memory");
	}
	return 0;
}

struct alarm {
	struct timer timer;
	uint64_t id;
};

static uint64_t last_alarm;
static unsigned n_alarms;

static void on_alarm(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	n_alarms--;
	event_alarm(a->id);
	free(a);
}

/* os.alarm(seconds) -> id */
static int l_alarm(lua_State *L)
{
	uint64_t due_ns;
	struct alarm *a;

	luaL_checknumber(L, 1);
	due_ns = lua_check_deadline(L, 1);
	if (n_alarms >= LIMIT_ALARMS)
		return luaL_error(L, "more than %d alarms", LIMIT_ALARMS);
	a = malloc(sizeof(*a));
	if (!a)
		return luaL_error(L, "not enough memory");
	n_alarms++;
	a->id = ++last_alarm;
	timer_init(&a->timer, on_alarm);
	timer_start(&a->timer, due_ns);
	lua_pushinteger(L, (lua_Integer)a->id);
	return 1;
}

void lua_event_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "alarm", l_alarm },
		{ "pull", l_pull },
		{ "queue", l_queue },
		{ NULL, NULL },
	};

	lua_getglobal(L, "os");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
