/*
 * Step 7, in a runner: what a message carries, to and from Lua.
 *
 * A map is written with a head for up to 15 pairs, which is made larger
 * afterwards when there were more. The keys on the way to a value stay on Lua's
 * stack, so that an error can say where. No value is written twice: a table
 * whose keys are no sequence is known by its keys.
 */

#include "runner/value.h"

#include <assert.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

#define KEPT_BYTES   65536U
#define PRESIZED_MAX 65536U /* items that a table is made for at once */
#define SHOWN_BYTES  40	    /* of a key, in an error */
#define FIXMAP	     0x80
#define FIXMAP_MAX   15
#define MAP16	     0xde
#define MAP32	     0xdf

/* --- writing ----------------------------------------------------------------
 */

/* One table on the way to a value, and which of its values it is. */
struct step {
	const void *table;
	int key;       /* its stack slot; 0: @i */
	lua_Integer i; /* place in a sequence */
};

struct writing {
	struct value_writer *v;
	lua_State *L;
	const char *what;
	unsigned base;	/* steps to the outermost value */
	unsigned depth; /* steps in use */
	struct step steps[1 + MP_DEPTH_MAX];
};

static int write_any(struct writing *s, int index);

void value_begin(struct value_writer *v, size_t limit_bytes)
{
	static const uint8_t room[LINK_ROOM_BYTES];

	if (v->mp.size > KEPT_BYTES || !v->mp.grows)
		mp_writer_deinit(&v->mp);
	v->mp.grows = true;
	v->mp.bad = false;
	v->mp.used = 0;
	mp_write_raw(&v->mp, room, sizeof(room));
	v->limit_bytes = limit_bytes;
	v->n_contexts = 0;
}

void value_writer_deinit(struct value_writer *v)
{
	mp_writer_deinit(&v->mp);
}

static int check(struct value_writer *v)
{
	if (v->mp.bad)
		return -ENOMEM;
	return value_size(v) > v->limit_bytes ? -EMSGSIZE : 0;
}

static bool is_identifier(const char *text, size_t size)
{
	if (size == 0 || size > SHOWN_BYTES || isdigit((unsigned char)*text))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_')
			return false;
	return true;
}

/* Add `.name`, `[7]` or `["a name"]`; uses the slot above the buffer. */
static void add_step(luaL_Buffer *b, const struct step *step)
{
	lua_State *L = b->L;
	const char *text;
	size_t size;

	if (step->key == 0) {
		lua_pushfstring(L, "[%I]", (LUAI_UACINT)step->i);
	} else if (lua_type(L, step->key) == LUA_TSTRING) {
		text = lua_tolstring(L, step->key, &size);
		if (is_identifier(text, size))
			lua_pushfstring(L, ".%s", text);
		else if (size <= SHOWN_BYTES)
			lua_pushfstring(L, "[\"%s\"]", text);
		else
			lua_pushliteral(L, "[a long key]");
	} else {
		luaL_tolstring(L, step->key, NULL);
		lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
		lua_remove(L, -2);
	}
	luaL_addvalue(b);
}

/* Raise, naming the value that the first @depth steps lead to. */
static int refuse(struct writing *s, unsigned depth, const char *why)
{
	lua_State *L = s->L;
	luaL_Buffer b;

	luaL_checkstack(L, LUA_MINSTACK, NULL);
	luaL_where(L, 1);
	luaL_buffinit(L, &b);
	luaL_addstring(&b, s->what);
	for (unsigned i = 0; i < depth; i++)
		add_step(&b, &s->steps[i]);
	luaL_addstring(&b, ": ");
	luaL_addstring(&b, why);
	luaL_pushresult(&b);
	lua_concat(L, 2);
	return lua_error(L);
}

/* Too deep: because a table is in itself? */
static int refuse_depth(struct writing *s)
{
	for (unsigned i = s->base + 1; i < s->depth; i++)
		for (unsigned outer = s->base; outer < i; outer++)
			if (s->steps[i].table == s->steps[outer].table)
				return refuse(s, i,
					      "a table that contains "
					      "itself cannot be sent");
	return refuse(s, s->base,
		      "tables nested more than 64 deep cannot be sent");
}

static void write_string(struct mp_writer *mp, const char *text, size_t size)
{
	if (utf8_valid(text, size))
		mp_write_strn(mp, text, size);
	else
		mp_write_bin(mp, text, size);
}

static int write_context(struct writing *s, int index)
{
	struct value_writer *v = s->v;
	struct context **context = luaL_testudata(s->L, index, VALUE_CONTEXT);

	if (!context)
		return refuse(s, s->depth, "a userdata cannot be sent");
	if (!*context)
		return refuse(s, s->depth, "this context is closed");
	if (v->n_contexts == WIRE_CONTEXTS_MAX)
		return refuse(s, s->depth,
			      "more than 256 contexts cannot be "
			      "sent at once");
	wire_write_context(&v->mp, 0);
	v->contexts[v->n_contexts].context = *context;
	v->contexts[v->n_contexts].offset = value_size(v) - sizeof(uint64_t);
	v->n_contexts++;
	return 0;
}

void value_set_context(struct value_writer *v, unsigned i, uint64_t link)
{
	uint64_t number = htobe64(link);

	assert(i < v->n_contexts && !v->mp.bad);
	memcpy(value_data(v) + v->contexts[i].offset, &number, sizeof(number));
}

/* Lua's keys but tables and functions; @slot is among the steps already. */
static int write_key(struct writing *s, int slot)
{
	switch (lua_type(s->L, slot)) {
	case LUA_TBOOLEAN:
	case LUA_TNUMBER:
	case LUA_TSTRING:
		return write_any(s, slot);
	default:
		s->depth--; /* it is the table that has this key */
		return refuse(s, s->depth,
			      lua_istable(s->L, slot)
				      ? "a table with a table as a key cannot "
					"be sent"
				      : "a table with such a key cannot be "
					"sent");
	}
}

/* Are the keys 1 to @n and nothing else? */
static bool is_sequence(lua_State *L, int table, lua_Integer n)
{
	lua_Integer count = 0;

	lua_pushnil(L); /* key */
	while (lua_next(L, table)) {
		lua_Integer key;

		lua_pop(L, 1);
		key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
		if (key < 1 || key > n) {
			lua_pop(L, 1);
			return false;
		}
		count++;
	}
	return count == n;
}

static int write_sequence(struct writing *s, int table, lua_Integer n)
{
	struct step *step = &s->steps[s->depth - 1];
	lua_State *L = s->L;
	int top = lua_gettop(L), r = 0;

	mp_write_array(&s->v->mp, (uint32_t)n);
	step->key = 0;
	for (step->i = 1; step->i <= n && r == 0; step->i++) {
		lua_rawgeti(L, table, step->i);
		r = write_any(s, top + 1);
		lua_settop(L, top);
	}
	return r;
}

/* The head at @start was for few pairs: make it one for @n. */
static void widen_head(struct value_writer *v, size_t start, uint32_t n)
{
	uint8_t head[5] = { MAP32, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
			    (uint8_t)(n >> 8), (uint8_t)n };
	size_t more = n > UINT16_MAX ? 4 : 2;

	mp_write_raw(&v->mp, head, more); /* for the room */
	if (v->mp.bad)
		return;
	memmove(v->mp.data + start + 1 + more, v->mp.data + start + 1,
		v->mp.used - more - start - 1);
	if (more == 2) {
		head[0] = MAP16;
		memmove(head + 1, head + 3, 2);
	}
	memcpy(v->mp.data + start, head, 1 + more);
	for (unsigned i = v->n_contexts; i > 0; i--) {
		if (v->contexts[i - 1].offset + LINK_ROOM_BYTES < start)
			break;
		v->contexts[i - 1].offset += more;
	}
}

static int write_map(struct writing *s, int table)
{
	struct step *step = &s->steps[s->depth - 1];
	struct value_writer *v = s->v;
	lua_State *L = s->L;
	size_t start = v->mp.used;
	int top = lua_gettop(L), r = 0;
	uint32_t n = 0;

	mp_write_map(&v->mp, 0);
	step->key = top + 1;
	lua_pushnil(L); /* key */
	while (r == 0 && lua_next(L, table)) {
		r = write_key(s, top + 1);
		if (r == 0)
			r = write_any(s, top + 2);
		lua_settop(L, top + 1);
		n++;
	}
	lua_settop(L, top);
	if (r == 0 && n > FIXMAP_MAX)
		widen_head(v, start, n);
	else if (r == 0 && !v->mp.bad)
		v->mp.data[start] = (uint8_t)(FIXMAP | n);
	return r;
}

static bool is_empty(lua_State *L, int table)
{
	lua_pushnil(L);
	if (!lua_next(L, table))
		return true;
	lua_pop(L, 2);
	return false;
}

static int write_table(struct writing *s, int table)
{
	lua_Unsigned n = lua_rawlen(s->L, table);

	if (n > s->v->limit_bytes)
		return -EMSGSIZE; /* each takes a byte */
	if (n > 0 ? is_sequence(s->L, table, (lua_Integer)n)
		  : is_empty(s->L, table))
		return write_sequence(s, table, (lua_Integer)n);
	return write_map(s, table);
}

/* A step into the table at @index, and back. */
static int enter_table(struct writing *s, int index)
{
	const void *table = lua_topointer(s->L, index);
	int r;

	if (s->depth - s->base == MP_DEPTH_MAX)
		return refuse_depth(s);
	luaL_checkstack(s->L, LUA_MINSTACK, "tables nested too deep");
	s->steps[s->depth++].table = table;
	r = write_table(s, index);
	s->depth--;
	return r < 0 ? r : check(s->v);
}

static int write_any(struct writing *s, int index)
{
	struct mp_writer *mp = &s->v->mp;
	lua_State *L = s->L;
	const char *text;
	size_t size;

	switch (lua_type(L, index)) {
	case LUA_TNIL:
		mp_write_nil(mp);
		break;
	case LUA_TBOOLEAN:
		mp_write_bool(mp, lua_toboolean(L, index));
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, index))
			mp_write_int(mp, lua_tointeger(L, index));
		else
			mp_write_double(mp, lua_tonumber(L, index));
		break;
	case LUA_TSTRING:
		text = lua_tolstring(L, index, &size);
		if (size > s->v->limit_bytes)
			return -EMSGSIZE;
		write_string(mp, text, size);
		break;
	case LUA_TTABLE:
		return enter_table(s, index);
	case LUA_TUSERDATA:
		return write_context(s, index);
	case LUA_TFUNCTION:
		return refuse(s, s->depth, "a function cannot be sent");
	case LUA_TTHREAD:
		return refuse(s, s->depth, "a coroutine cannot be sent");
	default:
		return refuse(s, s->depth, "a pointer cannot be sent");
	}
	return 0;
}

int value_write(struct value_writer *v, lua_State *L, int index,
		const char *what)
{
	struct writing s; /* no initialiser: most of it is never used */
	int r;

	s.v = v;
	s.L = L;
	s.what = what;
	s.base = s.depth = 0;
	r = write_any(&s, lua_absindex(L, index));
	return r < 0 ? r : check(v);
}

int value_write_args(struct value_writer *v, lua_State *L, int first, int n)
{
	struct writing s;
	int r = 0;

	s.v = v;
	s.L = L;
	s.what = "args";
	s.base = s.depth = 1;
	s.steps[0].table = NULL;
	s.steps[0].key = 0;
	mp_write_array(&v->mp, (uint32_t)n);
	for (int i = 0; i < n && r == 0; i++) {
		s.steps[0].i = i + 1;
		r = write_any(&s, first + i);
	}
	return r < 0 ? r : check(v);
}

/* --- reading ----------------------------------------------------------------
 */

static bool read_any(struct value_reader *v, lua_State *L);

static void push_uint(lua_State *L, uint64_t value)
{
	if (value <= LUA_MAXINTEGER)
		lua_pushinteger(L, (lua_Integer)value);
	else /* as Lua reads a numeral that is too large */
		lua_pushnumber(L, (lua_Number)value);
}

static bool read_context(struct value_reader *v, lua_State *L)
{
	uint64_t link = wire_read_context(&v->mp);

	if (v->mp.bad || link == 0)
		return false;
	v->push_context(L, v->data, link);
	return true;
}

/* May what is on the top be a key? NaN is the one number that is not. */
static bool is_key(lua_State *L)
{
	switch (lua_type(L, -1)) {
	case LUA_TBOOLEAN:
	case LUA_TSTRING:
		return true;
	case LUA_TNUMBER:
		return lua_rawequal(L, -1, -1);
	default:
		return false;
	}
}

static int presized(uint32_t n)
{
	return (int)(n < PRESIZED_MAX ? n : PRESIZED_MAX);
}

/* Fill the table on the top with @n values. */
static bool read_items(struct value_reader *v, lua_State *L, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		if (!read_any(v, L))
			return false;
		lua_rawseti(L, -2, i);
	}
	return true;
}

static bool read_array(struct value_reader *v, lua_State *L)
{
	uint32_t n = mp_read_array(&v->mp);

	luaL_checkstack(L, LUA_MINSTACK, "tables nested too deep");
	lua_createtable(L, presized(n), 0);
	return read_items(v, L, n);
}

static bool read_map(struct value_reader *v, lua_State *L)
{
	uint32_t n = mp_read_map(&v->mp);

	luaL_checkstack(L, LUA_MINSTACK, "tables nested too deep");
	lua_createtable(L, 0, presized(n));
	while (n-- > 0) {
		if (!read_any(v, L) || !is_key(L) || !read_any(v, L))
			return false;
		lua_rawset(L, -3);
	}
	return true;
}

/* One value, whose depth wire_parse() has checked. */
static bool read_any(struct value_reader *v, lua_State *L)
{
	struct mp_bytes b;

	switch (mp_peek(&v->mp)) {
	case MP_NIL:
		mp_read_nil(&v->mp);
		lua_pushnil(L);
		break;
	case MP_BOOL:
		lua_pushboolean(L, mp_read_bool(&v->mp));
		break;
	case MP_INT:
		lua_pushinteger(L, mp_read_int(&v->mp));
		break;
	case MP_UINT:
		push_uint(L, mp_read_uint(&v->mp));
		break;
	case MP_DOUBLE:
		lua_pushnumber(L, mp_read_double(&v->mp));
		break;
	case MP_STR:
	case MP_BIN:
		b = mp_read_str(&v->mp);
		lua_pushlstring(L, b.p, b.size);
		break;
	case MP_ARRAY:
		return read_array(v, L);
	case MP_MAP:
		return read_map(v, L);
	case MP_EXT:
		return read_context(v, L);
	case MP_BAD:
		return false;
	}
	return !v->mp.bad;
}

int value_read(struct value_reader *v, lua_State *L)
{
	luaL_checkstack(L, LUA_MINSTACK, NULL);
	return read_any(v, L) ? 0 : -EBADMSG;
}

int value_read_packed(struct value_reader *v, lua_State *L)
{
	uint32_t n = mp_read_array(&v->mp);

	luaL_checkstack(L, LUA_MINSTACK, NULL);
	lua_createtable(L, presized(n), 1);
	lua_pushinteger(L, n);
	lua_setfield(L, -2, "n");
	return read_items(v, L, n) && !v->mp.bad ? 0 : -EBADMSG;
}

/* --- weighing ---------------------------------------------------------------
 */

#define ITEM_BYTES  16 /* in an array */
#define PAIR_BYTES  48 /* in a hash that was just made larger, with its key */
#define TABLE_BYTES 64
#define STR_BYTES   32 /* beside its bytes */

size_t value_weight(struct mp_bytes args)
{
	struct mp_reader r;
	size_t weight = 0;
	uint64_t items = 1; /* those that follow, in whatever table */

	mp_reader_init(&r, args.p, args.size);
	for (; items > 0 && !r.bad; items--) {
		uint32_t n;

		weight += ITEM_BYTES;
		switch (mp_peek(&r)) {
		case MP_ARRAY:
			items += mp_read_array(&r);
			weight += TABLE_BYTES;
			break;
		case MP_MAP:
			n = mp_read_map(&r);
			items += 2ULL * n;
			weight += TABLE_BYTES + (size_t)n * PAIR_BYTES;
			break;
		case MP_STR:
		case MP_BIN:
			weight += STR_BYTES + mp_read_str(&r).size;
			break;
		default:
			mp_skip(&r);
		}
	}
	return weight;
}
