/*
 * Step 7, in a runner: functions that serve.
 *
 * A worker is a task that takes jobs from the queue, one after the other. A
 * callback adds a job and wakes an idle worker, or starts one; that can fail,
 * and then the job waits until another is done.
 */

#include "runner/handler.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "runner/call.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/event.h"
#include "runner/failure.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/lua_call.h"
#include "runner/lua_status.h"
#include "runner/mailbox.h"
#include "runner/map.h"
#include "runner/request_value.h"
#include "runner/runner.h"
#include "runner/served.h"
#include "runner/task.h"

enum kind {
	ON_CALL,
	ON_PUSH,
	ON_LAST,      /* nobody holds the context any more */
	ON_TERMINATE, /* the process is to end */
};

struct handler {
	unsigned refs; /* the table's and of jobs */
	enum kind kind;
	uint32_t context;     /* 0: the bus */
	int function;	      /* in the registry */
	struct handler *next; /* with the same hash */
	struct list list;     /* of all */
	size_t name_size;
	char name[WIRE_NAME_BYTES];
};

struct job {
	struct list list;
	struct handler *handler;
	struct served *served;	 /* ON_CALL */
	struct event *event;	 /* ON_PUSH */
	struct context *context; /* ON_LAST */
};

static struct map by_hash;
static struct list handlers = { &handlers, &handlers };
static struct list jobs = { &jobs, &jobs };
static struct list idle = { &idle, &idle }; /* workers that wait */
static unsigned n_workers, n_idle, n_serving, n_pushes;
static size_t push_bytes;
static bool stopped;
static const char no_memory[] = "not enough memory to serve it";

/* --- the table --------------------------------------------------------------
 */

static uint64_t hash_of(enum kind kind, uint32_t context, const char *name,
			size_t size)
{
	return map_hash(name, size) ^
	       ((uint64_t)context << 8 | kind) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct handler *find(enum kind kind, uint32_t context, const char *name,
			    size_t size)
{
	uint64_t hash = hash_of(kind, context, name, size);
	struct handler *h = map_get(&by_hash, hash);

	while (h && (h->kind != kind || h->context != context ||
		     h->name_size != size || memcmp(h->name, name, size) != 0))
		h = h->next;
	return h;
}

/* Of the longest name that @name is, or is below. */
static struct handler *find_above(enum kind kind, uint32_t context,
				  struct mp_bytes name)
{
	size_t size = name.size;

	if (list_empty(&handlers))
		return NULL;
	for (;;) {
		struct handler *h = find(kind, context, name.p, size);

		if (h || size == 0)
			return h;
		while (size > 0 && name.p[size - 1] != '.')
			size--;
		if (size > 0)
			size--;
	}
}

static void unref(struct handler *h)
{
	if (--h->refs > 0)
		return;
	luaL_unref(runner.L, LUA_REGISTRYINDEX, h->function);
	free(h);
}

static void count(const struct handler *h, int by)
{
	struct context *c = context_find(h->context);

	if (h->kind == ON_CALL || h->kind == ON_PUSH)
		n_serving += (unsigned)by;
	if (!c)
		return;
	c->n_handlers += (unsigned)by;
	context_settle(c);
}

static void remove_handler(struct handler *h)
{
	uint64_t hash = hash_of(h->kind, h->context, h->name, h->name_size);
	struct handler *first = map_get(&by_hash, hash), **at = &first;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	map_remove(&by_hash, hash);
	if (first)
		(void)map_put(&by_hash, hash, first); /* there is room now */
	list_remove(&h->list);
	count(h, -1);
	unref(h);
}

/* @function is taken, whatever comes of it. */
static bool add_handler(enum kind kind, uint32_t context, const char *name,
			size_t size, int function)
{
	uint64_t hash = hash_of(kind, context, name, size);
	struct handler *h = calloc(1, sizeof(*h)), *first;

	if (!h) {
		luaL_unref(runner.L, LUA_REGISTRYINDEX, function);
		return false;
	}
	h->refs = 1;
	h->kind = kind;
	h->context = context;
	h->function = function;
	h->name_size = size;
	memcpy(h->name, name, size);
	list_init(&h->list);
	first = map_get(&by_hash, hash);
	h->next = first;
	map_remove(&by_hash, hash);
	if (map_put(&by_hash, hash, h) < 0) {
		if (first)
			(void)map_put(&by_hash, hash, first);
		unref(h);
		return false;
	}
	list_append(&handlers, &h->list);
	count(h, 1);
	return true;
}

void handler_context_closed(struct context *c)
{
	struct handler *h, *after;

	if (c->n_handlers == 0)
		return;
	list_each(h, after, &handlers, list) if (h->context == c->id)
		remove_handler(h);
	c->n_handlers = 0; /* its number led nowhere already */
}

/* --- jobs -------------------------------------------------------------------
 */

static void count_push(const struct job *job, int by)
{
	if (!job->event)
		return;
	n_pushes += (unsigned)by;
	if (by > 0)
		push_bytes += job->event->bytes;
	else
		push_bytes -= job->event->bytes;
}

static void free_job(struct job *job)
{
	list_remove(&job->list);
	count_push(job, -1);
	unref(job->handler);
	served_unref(job->served);
	event_unref(job->event);
	if (job->context)
		context_unref(job->context);
	free(job);
}

static void fail(struct job *job, int status, const char *message, size_t size)
{
	if (job->served && job->served->cid)
		served_fail(job->served, status, message, size);
}

/* The mailbox of a worker goes, wherever its task was. */
void handler_worker_ended(struct mailbox *box)
{
	static const char message[] = "the task that served it was ended";
	struct job *job = box->job;

	n_workers--;
	if (box->idle)
		n_idle--;
	if (!job)
		return;
	fail(job, STATUS_ERROR, message, sizeof(message) - 1);
	free_job(job);
}

/* --- running one ------------------------------------------------------------
 */

/* Push what the function gets: their number, or -1 and a call is answered. */
static int push_arguments(lua_State *L, struct job *job)
{
	static const char too_many[] = "too many arguments";
	static const char bad[] = "an argument that Lua has no value for";
	struct incoming *in = job->served ? job->served->in : job->event->in;
	int n;

	request_value_push(L, job->served, job->event);
	n = incoming_push_values(in, L, LIMIT_ARGUMENTS);
	if (n >= 0) {
		incoming_strip(in);
		return 1 + n;
	}
	if (n == -E2BIG)
		fail(job, STATUS_TOO_LARGE, too_many, sizeof(too_many) - 1);
	else if (n == -ENOMEM)
		fail(job, STATUS_TOO_LARGE, no_memory, sizeof(no_memory) - 1);
	else
		fail(job, STATUS_INVALID, bad, sizeof(bad) - 1);
	return -1;
}

/* In the worker, protected: the job's function, and its answer. */
static int l_run(lua_State *L)
{
	struct job *job = lua_touserdata(L, 1);
	int n = 0;

	lua_rawgeti(L, LUA_REGISTRYINDEX, job->handler->function);
	if (job->served || job->event)
		n = push_arguments(L, job);
	if (n < 0)
		return 0;
	lua_call(L, n, LUA_MULTRET);
	n = lua_gettop(L) - 1;
	if (job->served && job->served->cid)
		served_answer(L, job->served, STATUS_OK, 2, n);
	return 0;
}

/* An error with a status of its own is an answer; any other is a fault, and
 * told with a traceback. */
static int l_on_error(lua_State *L)
{
	if (!lua_status_is_error(L, 1)) {
		lua_pushcfunction(L, failure_handler);
		lua_pushvalue(L, 1);
		lua_call(L, 1, 1); /* error text */
		failure_tell_error(L);
	}
	lua_settop(L, 1);
	return 1;
}

/* The error on the top is the call's answer. */
static void answer_error(lua_State *L, struct job *job)
{
	int status = STATUS_ERROR;
	const char *text;
	size_t size;

	if (!job->served || !job->served->cid)
		return;
	if (lua_status_is_error(L, -1)) {
		lua_getfield(L, -1, "status");
		status = (int)lua_tointeger(L, -1);
		lua_pop(L, 1);
		lua_getfield(L, -1, "message");
		if (status <= STATUS_OK || status > STATUS_TOO_LARGE)
			status = STATUS_ERROR;
	}
	text = lua_tolstring(L, -1, &size);
	if (text)
		fail(job, status, text, size);
	else
		fail(job, status, "", 0);
}

static void run_job(lua_State *L, struct mailbox *box, struct job *job)
{
	list_remove(&job->list);
	box->job = job;
	if (job->served)
		served_take(job->served, box);
	lua_settop(L, 0);
	lua_pushcfunction(L, l_on_error);
	lua_pushcfunction(L, l_run);
	lua_pushlightuserdata(L, job);
	if (lua_pcall(L, 1, 0, 1) != LUA_OK)
		answer_error(L, job);
	lua_settop(L, 0);
	box->serving = served_unref(box->serving);
	box->job = NULL;
	free_job(job);
}

/* --- workers ----------------------------------------------------------------
 */

/* The next job that still wants doing. */
static struct job *next_job(void)
{
	while (!list_empty(&jobs)) {
		struct job *job = list_first(&jobs, struct job, list);

		if (!job->served || job->served->cid)
			return job;
		free_job(job); /* given up before it began */
	}
	return NULL;
}

/* The function of a worker's task. */
static int l_work(lua_State *L)
{
	struct mailbox *box = mailbox_get(L);

	for (;;) {
		struct job *job = next_job();

		if (job) {
			run_job(L, box, job);
			continue;
		}
		if (n_idle >= LIMIT_IDLE_WORKERS)
			return 0;
		n_idle++;
		box->idle = true;
		task_wait_at(L, &idle, "something to serve", TASK_NO_DEADLINE);
		box->idle = false;
		n_idle--;
	}
}

static int l_start_worker(lua_State *L)
{
	struct task *t;

	lua_pushcfunction(L, l_work);
	t = task_start(L, 0, "handler");
	if (!mailbox_make_worker(t))
		task_kill(t);
	else
		n_workers++;
	return 0;
}

/* In a callback, so protected, in the one state that no task runs in. */
static void start_worker(void)
{
	lua_State *L = runner.L;

	if (n_workers >= LIMIT_WORKERS)
		return;
	lua_pushcfunction(L, l_start_worker);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK)
		lua_pop(L, 1);
}

static struct job *add_job(struct handler *h)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	h->refs++;
	job->handler = h;
	list_append(&jobs, &job->list);
	return job;
}

/* Somebody shall do it. */
static void hand_out(struct job *job)
{
	if (!list_empty(&idle)) {
		task_wake_first(&idle);
		return;
	}
	start_worker();
	if (n_workers > 0)
		return; /* if not a new one, then the first that is free */
	fail(job, STATUS_TOO_LARGE, no_memory, sizeof(no_memory) - 1);
	free_job(job);
}

/* --- what happens -----------------------------------------------------------
 */

bool handler_serve(struct served *s)
{
	struct handler *h = find_above(ON_CALL, s->context ? s->context->id : 0,
				       s->in->m.name);
	struct job *job;

	if (!h)
		return false;
	job = add_job(h);
	if (!job) {
		served_fail(s, STATUS_TOO_LARGE, no_memory,
			    sizeof(no_memory) - 1);
		return true;
	}
	s->by_function = true;
	job->served = served_ref(s);
	hand_out(job);
	return true;
}

bool handler_push(struct event *e)
{
	struct handler *h = find_above(ON_PUSH, e->context ? e->context->id : 0,
				       e->in->m.name);
	struct job *job;

	if (!h)
		return false;
	if (n_pushes >= LIMIT_EVENTS ||
	    (n_pushes > 0 && push_bytes + e->bytes > LIMIT_EVENT_BYTES) ||
	    !(job = add_job(h))) {
		event_lost(e->context, e->in->m.name, 1);
		return true;
	}
	job->event = event_ref(e);
	count_push(job, 1);
	hand_out(job);
	return true;
}

void handler_last_holder_gone(struct context *c)
{
	struct handler *h =
		c->n_handlers > 0 ? find(ON_LAST, c->id, "", 0) : NULL;
	struct job *job = h ? add_job(h) : NULL;

	if (!job)
		return;
	job->context = context_ref(c);
	hand_out(job);
}

bool handler_terminate(void)
{
	struct handler *h = find(ON_TERMINATE, 0, "", 0);
	struct job *job = h ? add_job(h) : NULL;

	if (!job)
		return false;
	hand_out(job);
	return true;
}

bool handler_serving(void)
{
	return !stopped &&
	       (n_serving > 0 || n_workers > n_idle || !list_empty(&jobs));
}

/* --- for programs -----------------------------------------------------------
 */

/* Slot @index has a function, or nil to take it away. */
static int set(lua_State *L, enum kind kind, uint32_t context, const char *name,
	       size_t size, int index)
{
	struct handler *h = find(kind, context, name, size);
	int function;

	if (!lua_isnil(L, index))
		luaL_checktype(L, index, LUA_TFUNCTION);
	if (h)
		remove_handler(h);
	if (lua_isnil(L, index)) {
		if (n_serving == 0)
			task_wake(task_main());
		return 0;
	}
	lua_pushvalue(L, index);
	function = luaL_ref(L, LUA_REGISTRYINDEX);
	if (!add_handler(kind, context, name, size, function))
		return luaL_error(L, "not enough memory");
	return 0;
}

/* A context of our own, or 0. */
static uint32_t check_served_context(lua_State *L, int index)
{
	struct context *c;

	if (!context_check(L, index, &c))
		luaL_argerror(L, index, "this context is closed");
	luaL_argcheck(L, !c || c->owned, index,
		      "a context of another cannot be served");
	return c ? c->id : 0;
}

/* "" is every name. */
static const char *check_name(lua_State *L, int index, size_t *ret_size)
{
	const char *name = luaL_checklstring(L, index, ret_size);

	luaL_argcheck(L, *ret_size == 0 || wire_check_name(name, *ret_size),
		      index, "no name of calls");
	return name;
}

/* thox.serve(ctx, name, function | nil): function(request, …) -> … */
static int l_serve(lua_State *L)
{
	uint32_t context = check_served_context(L, 1);
	size_t size;
	const char *name = check_name(L, 2, &size);

	return set(L, ON_CALL, context, name, size, 3);
}

/* thox.hear(ctx, name, function | nil): function(request, …) */
static int l_hear(lua_State *L)
{
	struct context *c;
	size_t size;
	const char *name = check_name(L, 2, &size);

	if (!context_check(L, 1, &c))
		return luaL_argerror(L, 1, "this context is closed");
	return set(L, ON_PUSH, c ? c->id : 0, name, size, 3);
}

/* thox.last(ctx, function | nil): when nobody holds it any more */
static int l_last(lua_State *L)
{
	struct context *c = context_check_owned(L, 1);

	return set(L, ON_LAST, c->id, "", 0, 2);
}

/* thox.terminate(function | nil): instead of the default */
static int l_terminate(lua_State *L)
{
	lua_settop(L, 1);
	return set(L, ON_TERMINATE, 0, "", 0, 1);
}

/* thox.stop(): the process ends when its main function has returned */
static int l_stop(lua_State *L)
{
	(void)L;
	stopped = true;
	task_wake(task_main());
	return 0;
}

static int l_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "hear", l_hear }, { "invoke", lua_call_invoke },
		{ "last", l_last }, { "serve", l_serve },
		{ "stop", l_stop }, { "terminate", l_terminate },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	return 1;
}

void handler_open(lua_State *L)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, l_open);
	lua_setfield(L, -2, "thox");
	lua_pop(L, 1);
}
