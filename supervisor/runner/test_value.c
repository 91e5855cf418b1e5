/*
 * Values to messages and back, through a Lua state of the test's own.
 */

#include "runner/value.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"

#define LIMIT_BYTES (1U << 20)
#define ROUNDS	    20000

static lua_State *L;
static struct value_writer writer;

/* A context of the test's: a number in the writer's eyes. */
static void push_context(lua_State *to, uintptr_t number)
{
	uintptr_t *u = lua_newuserdatauv(to, sizeof(*u), 0);

	*u = number;
	luaL_setmetatable(to, VALUE_CONTEXT);
}

static void on_context(lua_State *to, void *data, uint64_t link)
{
	(void)data;
	push_context(to, (uintptr_t)link);
}

/* Contexts are equal when their numbers are; for the comparison below. */
static int l_same(lua_State *to)
{
	uintptr_t *a = luaL_checkudata(to, 1, VALUE_CONTEXT);
	uintptr_t *b = luaL_checkudata(to, 2, VALUE_CONTEXT);

	lua_pushboolean(to, *a == *b);
	return 1;
}

static int l_context(lua_State *to)
{
	push_context(to, (uintptr_t)luaL_checkinteger(to, 1));
	return 1;
}

static void fill_contexts(void)
{
	for (unsigned i = 0; i < writer.n_contexts; i++)
		value_set_context(&writer, i,
				  (uintptr_t)writer.contexts[i].context);
}

/* Protected: writes its argument. */
static int l_write(lua_State *to)
{
	lua_pushinteger(to, value_write(&writer, to, 1, "value"));
	return 1;
}

/* What is on the top through the writer: 0, or negative errno; the message
 * of an error stays on the top. */
static int write_top(size_t limit_bytes)
{
	int r;

	value_begin(&writer, limit_bytes);
	lua_pushcfunction(L, l_write);
	lua_insert(L, -2);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK)
		return 1;
	r = (int)lua_tointeger(L, -1);
	lua_pop(L, 1);
	if (r == 0)
		fill_contexts();
	return r;
}

static int read_bytes(const void *data, size_t size)
{
	struct value_reader v = { .push_context = on_context };
	int r;

	mp_reader_init(&v.mp, data, size);
	r = value_read(&v, L);
	return r == 0 ? mp_end(&v.mp) : r;
}

/* Run a chunk that leaves one value. */
static bool run(const char *text)
{
	lua_settop(L, 0);
	return luaL_dostring(L, text) == LUA_OK && lua_gettop(L) == 1;
}

/* The value of a chunk, written and read, is the same by same(). */
static bool comes_back(const char *text)
{
	if (!run(text) || (lua_pushvalue(L, 1), write_top(LIMIT_BYTES)) != 0 ||
	    read_bytes(value_data(&writer), value_size(&writer)) != 0)
		return false;
	lua_getglobal(L, "same");
	lua_insert(L, 1);
	return lua_pcall(L, 2, 1, 0) == LUA_OK && lua_toboolean(L, -1);
}

static const char prelude[] =
	"local function key(k, v) return math.type(k) == 'float' and "
	"string.pack('d', k) or k end\n"
	"function same(a, b)\n"
	"  if type(a) ~= type(b) or math.type(a) ~= math.type(b) then\n"
	"    return false end\n"
	"  if type(a) == 'userdata' then return context_same(a, b) end\n"
	"  if type(a) ~= 'table' then\n"
	"    return a == b or a ~= a and b ~= b end\n"
	"  for k, v in next, a do\n"
	"    if not same(v, b[k]) then return false end end\n"
	"  for k in next, b do if a[k] == nil then return false end end\n"
	"  return true\n"
	"end\n"
	"local contexts = 0\n"
	"local scalars = {\n"
	"  function() return math.random(0) end,\n"
	"  function() return math.random(-40, 300) end,\n"
	"  function() return math.random(-70000, 70000) end,\n"
	"  function() return math.random() * 10 ^ math.random(-300, 300) end,\n"
	"  function() return math.random(-5, 5) + 0.0 end,\n"
	"  function() return math.random() < 0.5 end,\n"
	"  function() local t = {} for i = 1, math.random(0, 80) do\n"
	"    t[i] = string.char(math.random(0, 255)) end\n"
	"    return table.concat(t) end,\n"
	"  function() return ('abc\\u{20ac}'):rep(math.random(0, 100)) end,\n"
	"  function() contexts = contexts + 1 return contexts <= 256 and\n"
	"    context(math.random(1, 1 << 40)) end,\n"
	"}\n"
	"function random_value(depth)\n"
	"  if depth == 0 then contexts = 0 end\n"
	"  local kind = math.random(1, depth > 5 and 9 or 11)\n"
	"  if kind <= 9 then return scalars[kind]() end\n"
	"  local t, n = {}, math.random(0, 20)\n"
	"  for i = 1, n do\n"
	"    local k = kind == 10 and i or scalars[math.random(1, 8)]()\n"
	"    t[k] = random_value(depth + 1)\n"
	"  end\n"
	"  return t\n"
	"end\n";

/* Verify that each kind of value comes back as what it was. */
static void test_each_kind(void)
{
	static const char *const texts[] = {
		"return nil",
		"return true",
		"return false",
		"return 0",
		"return -1",
		"return math.maxinteger",
		"return math.mininteger",
		"return 1.0",
		"return -0.0",
		"return 0/0",
		"return 1/0",
		"return 2^53",
		"return 5e-324",
		"return ''",
		"return '\\0\\1\\255'",
		"return ('x'):rep(70000)",
		"return '\\u{10ffff}'",
		"return {}",
		"return {1, 'a', false, {}}",
		"return {1, nil, 3}",
		"return {nil, nil, 3}",
		"return {x = 1, [true] = 2, [1.5] = 3, [-7] = {y = {}}}",
		"return {1, 2, 3, x = 4}",
		"return {context(7), x = {context(7), context(8)}}",
		/* filled against the order, so that it lies in the hash */
		"local t = {} for i = 100, 1, -1 do t[i] = i end return t",
		("local t = {} for i = 1, 15 do t['k' .. i] = context(i) end "
		 "return t"),
		("local t = {} for i = 1, 16 do t['k' .. i] = context(i) end "
		 "return t"),
		("local t = {} for i = 1, 70000 do t[i + 0.5] = i end "
		 "t.x = {context(9)} return t"),
		"local t = {} for i = 1, 70000 do t[i] = i end return t",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!comes_back(texts[i]))
			CHECK_STR(texts[i], "the same");
}

/* Verify that 20,000 random values come back, contexts among them. */
static void test_random_values(void)
{
	for (int i = 0; i < ROUNDS; i++)
		CHECK(comes_back("return random_value(0)"));
}

/* Verify that -0.0 keeps its sign, and NaN is NaN. */
static void test_signs(void)
{
	CHECK(comes_back("return -0.0"));
	CHECK(run("return -0.0") && write_top(LIMIT_BYTES) == 0);
	CHECK_EQ(read_bytes(value_data(&writer), value_size(&writer)), 0);
	CHECK(1 / lua_tonumber(L, -1) < 0);
}

/* Verify that text is str and other bytes are bin, for those who mind. */
static void test_text_and_bytes(void)
{
	CHECK(run("return 'gr\\u{fc}n'") && write_top(LIMIT_BYTES) == 0);
	CHECK_EQ(value_data(&writer)[0], 0xa5);
	CHECK(run("return 'gr\\252n'") && write_top(LIMIT_BYTES) == 0);
	CHECK_EQ(value_data(&writer)[0], 0xc4);
}

static bool refuses(const char *text, const char *message)
{
	bool ok = run(text) && write_top(LIMIT_BYTES) == 1 &&
		  strcmp(lua_tostring(L, -1), message) == 0;

	if (!ok)
		printf("# %s: %s\n", text,
		       lua_gettop(L) ? lua_tostring(L, -1) : "-");
	return ok;
}

/* Verify that what cannot be sent is told with its place. */
static void test_what_cannot_be_sent(void)
{
	CHECK(refuses("return print", "value: a function cannot be sent"));
	CHECK(refuses("return {1, {x = {y = print}}}",
		      "value[2].x.y: a function cannot be sent"));
	CHECK(refuses("return {['a b'] = {[true] = coroutine.create(print)}}",
		      "value[\"a b\"][true]: a coroutine cannot be sent"));
	CHECK(refuses("return {[('k'):rep(50)] = io.stdout}",
		      "value[a long key]: a userdata cannot be sent"));
	CHECK(refuses("return {[1.5] = light}",
		      "value[1.5]: a pointer cannot be sent"));
	CHECK(refuses("return {x = {[{}] = 1}}",
		      "value.x: a table with a table as a key cannot be sent"));
	CHECK(refuses("return {[print] = 1}",
		      "value: a table with such a key cannot be sent"));
	CHECK(refuses("return {x = {closed}}",
		      "value.x[1]: this context is closed"));
	CHECK(refuses("local t = {} for i = 1, 257 do t[i] = context(i) end "
		      "return t",
		      "value[257]: more than 256 contexts cannot be sent at "
		      "once"));
}

static bool nested(int depth)
{
	char text[100];

	snprintf(text, sizeof(text),
		 "local t = 1 for i = 1, %d do t = {t} end return t", depth);
	return run(text);
}

/* Verify that tables go 64 deep, and that one in itself is told as such. */
static void test_depth_and_cycles(void)
{
	CHECK(nested(64) && write_top(LIMIT_BYTES) == 0);
	CHECK_EQ(read_bytes(value_data(&writer), value_size(&writer)), 0);
	CHECK(nested(65) && write_top(LIMIT_BYTES) == 1);
	CHECK_STR(lua_tostring(L, -1),
		  "value: tables nested more than 64 deep cannot be sent");
	CHECK(refuses("local t = {} t.me = t return {1, t}",
		      "value[2].me: a table that contains itself cannot be "
		      "sent"));
	CHECK(refuses("local a, b = {}, {} a.b, b.a = b, a return a",
		      "value.b.a: a table that contains itself cannot be "
		      "sent"));
	/* the same table twice, beside itself, is no cycle */
	CHECK(comes_back("local t = {1} return {t, t, {t}}"));
}

/* Verify that a value too large ends the writing early: this one would have
 * 2^60 parts. */
static void test_the_limit(void)
{
	CHECK(run("local t = {0} for i = 1, 60 do t = {t, t} end return t"));
	CHECK_EQ(write_top(LIMIT_BYTES), -EMSGSIZE);
	CHECK(value_size(&writer) < LIMIT_BYTES + 1000);
	CHECK(run("return ('x'):rep(1000)") && write_top(1003) == 0);
	CHECK(run("return ('x'):rep(1000)") && write_top(1002) == -EMSGSIZE);
	CHECK(run("return ('x'):rep(1000)") && write_top(10) == -EMSGSIZE);
}

/* Verify that the writer goes on after an error in the middle. */
static void test_after_an_error(void)
{
	CHECK(refuses("return {1, 2, context(1), print}",
		      "value[4]: a function cannot be sent"));
	CHECK(comes_back("return {1, context(2)}"));
	CHECK_EQ(writer.n_contexts, 1);
}

/* Protected: value_write_args() of all but nothing, and back. */
static int l_args(lua_State *to)
{
	struct value_reader v = { .push_context = on_context };
	int n = lua_gettop(to);

	value_begin(&writer, LIMIT_BYTES);
	if (value_write_args(&writer, to, 1, n) < 0)
		return luaL_error(to, "too large");
	mp_reader_init(&v.mp, value_data(&writer), value_size(&writer));
	if (value_read_packed(&v, to) < 0 || mp_end(&v.mp) < 0)
		return luaL_error(to, "not read");
	return 1;
}

/* Verify that arguments keep their number, and an error its place. */
static void test_arguments(void)
{
	lua_register(L, "args", l_args);
	CHECK(run("local t = args(1, nil, 'x', nil) return t.n == 4 and "
		  "t[1] == 1 and t[2] == nil and t[3] == 'x'"));
	CHECK(lua_toboolean(L, 1));
	CHECK(run("return args().n == 0") && lua_toboolean(L, 1));
	CHECK(run("return select(2, pcall(args, 1, {x = {y = print}}))"));
	CHECK_STR(lua_tostring(L, 1), "args[2].x.y: a function cannot be sent");
	CHECK(run("local t = 1 for i = 1, 64 do t = {t} end "
		  "return args(t).n == 1"));
	CHECK(run("local t = {} t[1] = t return select(2, pcall(args, t))"));
	CHECK_STR(lua_tostring(L, 1),
		  "args[1][1]: a table that contains itself cannot be sent");
}

/* Verify what Lua takes of the values that it does not write. */
static void test_foreign_values(void)
{
	static const struct {
		const char *bytes;
		size_t size;
		int result;
	} rows[] = {
		{ "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, 0 },
		{ "\xca\x3f\xc0\0\0", 5, 0 },	  /* a short float */
		{ "\xd3\0\0\0\0\0\0\0\1", 9, 0 }, /* a long 1 */
		{ "\x81\x01\xc0", 3, 0 },	  /* nil as a value */
		{ "\x82\x01\x01\x01\x02", 5, 0 }, /* a key twice */
		{ "\x81\xc0\x01", 3, -EBADMSG },  /* nil as a key */
		{ "\x81\x90\x01", 3, -EBADMSG },  /* a table as a key */
		{ "\x81\xcb\x7f\xf8\0\0\0\0\0\0\1", 11, -EBADMSG },
		{ "\x81\xd7\1\0\0\0\0\0\0\0\1\1", 12, -EBADMSG },
		{ "\xd7\1\0\0\0\0\0\0\0\1", 10, 0 },	    /* a context */
		{ "\xd7\1\0\0\0\0\0\0\0\0", 10, -EBADMSG }, /* number 0 */
		{ "\xd6\1\0\0\0\1", 6, -EBADMSG }, /* too short a one */
		{ "\xd7\2\0\0\0\0\0\0\0\1", 10, -EBADMSG },
		{ "\xd6\xff\0\0\0\0", 6, -EBADMSG }, /* a time stamp */
		{ "\xc1", 1, -EBADMSG },
		{ "", 0, -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		lua_settop(L, 0);
		CHECK_EQ(read_bytes(rows[i].bytes, rows[i].size),
			 rows[i].result);
	}
	lua_settop(L, 0);
	CHECK_EQ(read_bytes(rows[0].bytes, rows[0].size), 0);
	CHECK(!lua_isinteger(L, 1) && lua_tonumber(L, 1) == 0x1p64);
}

/* Verify that a value cut at any byte is never taken for whole. */
static void test_every_cut(void)
{
	static uint8_t copy[65536];
	size_t size;

	CHECK(run("return {1, -300, 1.5, 'text', '\\255', {a = {}, [7] = "
		  "context(5)}, true, ('long'):rep(100), 70000}"));
	CHECK_EQ(write_top(LIMIT_BYTES), 0);
	size = value_size(&writer);
	memcpy(copy, value_data(&writer), size);
	for (size_t cut = 0; cut < size; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);

		memcpy(exact, copy, cut);
		lua_settop(L, 0);
		CHECK_EQ(read_bytes(exact, cut), -EBADMSG);
		free(exact);
	}
}

int main(void)
{
	L = luaL_newstate();
	luaL_openlibs(L);
	luaL_newmetatable(L, VALUE_CONTEXT);
	lua_register(L, "context", l_context);
	lua_register(L, "context_same", l_same);
	push_context(L, 0);
	lua_setglobal(L, "closed");
	lua_pushlightuserdata(L, L);
	lua_setglobal(L, "light");
	if (luaL_dostring(L, prelude) != LUA_OK) {
		printf("Bail out! %s\n", lua_tostring(L, -1));
		return 1;
	}
	value_begin(&writer, 0);

	RUN(test_each_kind);
	RUN(test_random_values);
	RUN(test_signs);
	RUN(test_text_and_bytes);
	RUN(test_what_cannot_be_sent);
	RUN(test_depth_and_cycles);
	RUN(test_the_limit);
	RUN(test_after_an_error);
	RUN(test_arguments);
	RUN(test_foreign_values);
	RUN(test_every_cut);
	value_writer_deinit(&writer);
	lua_close(L);
	return tap_done();
}
