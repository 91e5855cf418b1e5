/*
 * Step 7, in a runner: functions that serve.
 */

#include "runner/handler.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "runner/context.h"
#include "runner/event.h"
#include "runner/incoming.h"
#include "runner/map.h"
#include "runner/relay.h"
#include "runner/runner.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/worker.h"

static struct map by_hash;
static struct list handlers = { &handlers, &handlers };
static bool stopped;

/* --- the table --------------------------------------------------------------
 */

static uint64_t hash_of(enum handler_kind kind, uint32_t context,
			const char *name, size_t size)
{
	return map_hash(name, size) ^
	       ((uint64_t)context << 8 | kind) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct handler *find(enum handler_kind kind, uint32_t context,
			    const char *name, size_t size)
{
	uint64_t hash = hash_of(kind, context, name, size);
	struct handler *h = map_get(&by_hash, hash);

	while (h && (h->kind != kind || h->context != context ||
		     h->name_size != size || memcmp(h->name, name, size) != 0))
		h = h->next;
	return h;
}

/* Of the longest name that @name is, or is below. */
static struct handler *find_above(enum handler_kind kind, uint32_t context,
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

void handler_unref(struct handler *h)
{
	if (--h->refs > 0)
		return;
	luaL_unref(runner.L, LUA_REGISTRYINDEX, h->function);
	free(h);
}

static void count(const struct handler *h, int by)
{
	struct context *c = context_find(h->context);

	if (!c)
		return;
	c->n_handlers += (unsigned)by;
	c->handlings++;
	context_settle(c);
}

/* Can anybody reach it? */
static bool is_reachable(const struct handler *h)
{
	const struct context *c = context_find(h->context);

	if (h->kind == ON_LAST || h->kind == ON_TERMINATE)
		return false;
	return !c || !c->owned || c->n_holders > 0 || c->lent || c->n_children;
}

bool handler_wanted(void)
{
	struct handler *h, *after;

	if (stopped)
		return false;
	list_each(h, after, &handlers, list) if (is_reachable(h)) return true;
	return false;
}

/* Nobody waits for what does not come. */
void handler_look(void)
{
	if (handler_wanted())
		return;
	worker_dismiss();
	task_wake(task_main());
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
	handler_unref(h);
	handler_look();
}

/* @function is taken, whatever comes of it. */
static bool add_handler(enum handler_kind kind, uint32_t context,
			const char *name, size_t size, int function)
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
		handler_unref(h);
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

void handler_set(lua_State *L, enum handler_kind kind, uint32_t context,
		 const char *name, size_t size, int index)
{
	struct handler *h = find(kind, context, name, size);
	int function = LUA_NOREF;

	if (!lua_isnil(L, index)) {
		luaL_checktype(L, index, LUA_TFUNCTION);
		lua_pushvalue(L, index);
		function = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	if (h)
		remove_handler(h);
	if (function != LUA_NOREF &&
	    !add_handler(kind, context, name, size, function))
		luaL_error(L, "not enough memory");
}

/* --- what happens -----------------------------------------------------------
 */

bool handler_serve(struct served *s)
{
	struct handler *h = find_above(ON_CALL, s->context ? s->context->id : 0,
				       s->in->m.name);

	if (h)
		worker_serve(h, s);
	return h != NULL;
}

bool handler_push(struct event *e)
{
	struct handler *h = find_above(ON_PUSH, e->context ? e->context->id : 0,
				       e->in->m.name);

	if (h && !worker_take(h, e))
		event_lost(e->context, e->in->m.name, 1);
	return h != NULL;
}

bool handler_listen(struct event *e)
{
	struct handler *h = find(ON_LISTEN, e->context->id, "", 0);

	return h && worker_take(h, e);
}

bool handler_deserted(struct context *c)
{
	struct handler *h;

	if (c->n_handlers == 0 || c->deserted)
		return false;
	h = find(ON_LAST, c->id, "", 0);
	if (!h)
		return false;
	c->deserted = true;
	return worker_tell(h, c);
}

bool handler_terminate(void)
{
	static bool told;
	struct handler *h = find(ON_TERMINATE, 0, "", 0);

	if (h && !told)
		told = worker_tell(h, NULL);
	return told;
}

/* --- how long ---------------------------------------------------------------
 */

bool handler_serving(void)
{
	return handler_wanted() || worker_busy() || relay_busy();
}

void handler_stop(void)
{
	stopped = true;
	handler_look();
}

bool handler_stopped(void)
{
	return stopped;
}
