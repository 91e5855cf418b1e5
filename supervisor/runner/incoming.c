/*
 * Step 7, in a runner: messages on their way from a link to a task.
 *
 * A small message lies in the structure; a larger one, or one that came in
 * fragments, has memory of its own, which goes as soon as its arguments are
 * Lua's: the name lies in the structure, too.
 */

#include "runner/incoming.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "runner/context.h"
#include "runner/limits.h"
#include "runner/runner.h"
#include "runner/value.h"

static uint64_t last_id;

/* Without the refusals that would end a process: it is another who asks. */
static bool charge(size_t bytes)
{
	struct allocator *a = &runner.allocator;

	return bytes <= a->limit_bytes - a->used_bytes &&
	       allocator_charge(a, bytes);
}

static void rebase(struct mp_bytes *b, const uint8_t *from, const uint8_t *to)
{
	if (b->size > 0)
		b->p = (const char *)to + ((const uint8_t *)b->p - from);
}

/* The message's own memory, or a copy; NULL for a small one, which lies in
 * @in, and NULL for no memory. */
static uint8_t *take_heap(struct link_message *raw)
{
	uint8_t *heap = raw->owned;

	if (heap || raw->size <= LIMIT_SMALL_MESSAGE_BYTES) {
		raw->owned = NULL;
		return heap;
	}
	heap = malloc(raw->size);
	if (heap)
		memcpy(heap, raw->data, raw->size);
	return heap;
}

/* What must outlive the heap: all of a small message, or the name. */
static void fill(struct incoming *in, const struct link_message *raw,
		 const struct wire_message *m)
{
	const uint8_t *to = in->heap ? in->heap : in->data;

	in->m = *m;
	rebase(&in->m.args, raw->data, to);
	rebase(&in->m.info, raw->data, to);
	if (!in->heap) {
		memcpy(in->data, raw->data, raw->size);
		rebase(&in->m.name, raw->data, to);
	} else if (m->name.size > 0) {
		memcpy(in->data, m->name.p, m->name.size);
		in->m.name.p = (const char *)in->data;
	}
}

struct incoming *incoming_new(uint64_t over, struct link_message *raw,
			      const struct wire_message *m)
{
	bool small = !raw->owned && raw->size <= LIMIT_SMALL_MESSAGE_BYTES;
	size_t inside = small ? raw->size : m->name.size;
	size_t bytes =
		sizeof(struct incoming) + inside + (small ? 0 : raw->size);
	struct incoming *in;

	if (!charge(bytes))
		return NULL;
	in = malloc(sizeof(*in) + inside);
	if (in)
		in->heap = take_heap(raw);
	if (!in || (!small && !in->heap)) {
		free(in);
		allocator_discharge(&runner.allocator, bytes);
		return NULL;
	}
	in->refs = 1;
	in->id = ++last_id;
	in->over = over;
	in->passes = false;
	in->charged_bytes = bytes;
	fill(in, raw, m);
	return in;
}

struct incoming *incoming_ref(struct incoming *in)
{
	in->refs++;
	return in;
}

/* --- contexts that nobody got, or nobody keeps ------------------------------
 */

/* @id: of the message; 0: only those that nobody got are closed. */
static void close_item(struct mp_reader *r, uint64_t over, uint64_t id)
{
	uint32_t n;

	switch (mp_peek(r)) {
	case MP_EXT:
		context_close_named(wire_read_context(r), over, id);
		break;
	case MP_ARRAY:
		for (n = mp_read_array(r); n > 0 && !r->bad; n--)
			close_item(r, over, id);
		break;
	case MP_MAP:
		for (n = 2 * mp_read_map(r); n > 0 && !r->bad; n--)
			close_item(r, over, id);
		break;
	default:
		mp_skip(r);
	}
}

static void close_contexts(uint64_t over, const struct wire_message *m,
			   uint64_t id)
{
	struct mp_reader r;

	if (m->n_ext == 0)
		return;
	mp_reader_init(&r, m->args.p, m->args.size);
	close_item(&r, over, id);
}

void incoming_discard(uint64_t over, const struct wire_message *m)
{
	close_contexts(over, m, 0);
}

void incoming_let_go(struct incoming *in)
{
	if (in->passes)
		close_contexts(in->over, &in->m, in->id);
}

struct incoming *incoming_unref(struct incoming *in)
{
	if (!in || --in->refs > 0)
		return NULL;
	incoming_discard(in->over, &in->m);
	allocator_discharge(&runner.allocator, in->charged_bytes);
	free(in->heap);
	free(in);
	return NULL;
}

/* --- to Lua -----------------------------------------------------------------
 */

static void on_context(lua_State *L, void *data, uint64_t link)
{
	const struct incoming *in = data;

	context_push_named(L, link, in->over, in->id);
}

static void begin(struct incoming *in, struct value_reader *v)
{
	v->push_context = on_context;
	v->data = in;
	mp_reader_init(&v->mp, in->m.args.p, in->m.args.size);
}

/* Is there memory for what a large message becomes? It is another's message,
 * so running into the ceiling is not for it to cause. */
static bool has_room(lua_State *L, const struct incoming *in)
{
	const struct allocator *a = &runner.allocator;
	size_t wanted;

	if (in->m.args.size < LIMIT_SMALL_MESSAGE_BYTES)
		return true;
	wanted = value_weight(in->m.args);
	if (wanted <= a->limit_bytes - a->used_bytes)
		return true;
	lua_gc(L, LUA_GCCOLLECT);
	return wanted <= a->limit_bytes - a->used_bytes;
}

int incoming_push_packed(struct incoming *in, lua_State *L)
{
	struct value_reader v;
	int top = lua_gettop(L), r = -ENOMEM;

	if (has_room(L, in)) {
		begin(in, &v);
		r = value_read_packed(&v, L);
	}
	if (r == 0)
		return 1;
	lua_settop(L, top);
	return r;
}

int incoming_push_values(struct incoming *in, lua_State *L, int limit)
{
	struct value_reader v;
	int top = lua_gettop(L), r = 0;
	uint32_t n;

	if (!has_room(L, in))
		return -ENOMEM;
	begin(in, &v);
	n = mp_read_array(&v.mp);
	if (n > (uint32_t)limit)
		return -E2BIG;
	luaL_checkstack(L, (int)n + LUA_MINSTACK, "too many values");
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = value_read(&v, L);
	if (r < 0) {
		lua_settop(L, top);
		return r;
	}
	return (int)n;
}

struct mp_bytes incoming_text(const struct incoming *in)
{
	const struct mp_bytes none = { "", 0 };
	struct mp_reader r;

	mp_reader_init(&r, in->m.args.p, in->m.args.size);
	if (mp_read_array(&r) == 0 ||
	    (mp_peek(&r) != MP_STR && mp_peek(&r) != MP_BIN))
		return none;
	return mp_read_str(&r);
}

void incoming_strip(struct incoming *in)
{
	size_t bytes = in->m.args.size;

	if (!in->heap || in->m.n_ext > 0) /* those may be looked for again */
		return;
	in->m.args = (struct mp_bytes){ "\x90", 1 }; /* an empty array */
	in->m.info = (struct mp_bytes){ "", 0 };
	free(steal(&in->heap));
	in->charged_bytes -= bytes;
	allocator_discharge(&runner.allocator, bytes);
}
