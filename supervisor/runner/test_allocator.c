/*
 * The ceiling, exactly, and what Lua expects of its memory.
 */

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "runner/allocator.h"
#include "runner/limits.h"

#define HEAD (3 * sizeof(void *)) /* of prepared blocks */

static unsigned exhausted;

static void on_exhausted(void)
{
	exhausted++;
}

/* Verify that the last byte may be had, and not one more. */
static void test_ceiling_is_exact(void)
{
	struct allocator a;
	void *p, *q;

	allocator_init(&a, 1000, on_exhausted);
	p = allocator_call(&a, NULL, 5 /* a type tag */, 600);
	CHECK(p);
	CHECK(!allocator_call(&a, NULL, 0, 401));
	q = allocator_call(&a, NULL, 0, 400);
	CHECK(q);
	CHECK_EQ(a.used_bytes, 1000);
	CHECK(!allocator_call(&a, q, 400, 401));
	CHECK(!allocator_call(&a, q, 400, SIZE_MAX));
	q = allocator_call(&a, q, 400, 399);
	CHECK_EQ(a.used_bytes, 999);
	q = allocator_call(&a, q, 399, 400);
	CHECK(q);
	CHECK(!allocator_call(&a, p, 600, 0));
	CHECK(!allocator_call(&a, q, 400, 0));
	CHECK(!allocator_call(&a, NULL, 0, 0));
	CHECK_EQ(a.used_bytes, 0);
}

/* Verify that what was prepared is the next new block of just that size, once,
 * and counts from then on. */
static void test_prepared(void)
{
	struct allocator a;
	char *p, *q;

	allocator_init(&a, 1000, on_exhausted);
	CHECK(!allocator_prepare(&a, 1001, HEAD));
	p = allocator_prepare(&a, 600, HEAD);
	CHECK(p);
	CHECK_EQ(a.used_bytes, 0);
	p[599] = 'x';
	q = allocator_call(&a, NULL, 4, 599);
	CHECK(q && q != p);
	CHECK(!allocator_call(&a, NULL, 4, 600)); /* no room for it now */
	CHECK(!allocator_call(&a, q, 599, 0));
	q = allocator_call(&a, NULL, 4, 600);
	CHECK(q == p);
	CHECK_EQ(q[599], 'x');
	CHECK_EQ(a.used_bytes, 600);
	allocator_unprepare(&a); /* nothing is */
	CHECK(!allocator_call(&a, q, 600, 0));
	p = allocator_prepare(&a, 100, HEAD);
	CHECK(p);
	p = allocator_prepare(&a, 200, HEAD); /* in its stead */
	CHECK(p);
	allocator_unprepare(&a);
	CHECK_EQ(a.used_bytes, 0);
}

/* Verify that a page begins where it was asked for, whatever the size, and that
 * such blocks are given back as others are, in any order. */
static void test_place_of_prepared(void)
{
	struct allocator a;
	char *p[20];

	allocator_init(&a, 64 << 20, on_exhausted);
	CHECK(!allocator_prepare(&a, SIZE_MAX, HEAD));
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		size_t size = 1 + i * i * 12345; /* up to huge pages */

		p[i] = allocator_prepare(&a, size, HEAD);
		CHECK(p[i]);
		CHECK_EQ((uintptr_t)(p[i] + HEAD) % 4096, 0);
		memset(p[i], 'x', size);
		CHECK(allocator_call(&a, NULL, 4, size) == p[i]);
	}
	CHECK_EQ(a.placed_bytes, a.used_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(p); i += 2)
		allocator_call(&a, p[i], 1 + i * i * 12345, 0);
	for (size_t i = 1; i < ARRAY_SIZE(p); i += 2)
		allocator_call(&a, p[i], 1 + i * i * 12345, 0);
	CHECK_EQ(a.placed_bytes, 0);
	CHECK_EQ(a.used_bytes, 0);
}

/* Verify that a prepared block that changes its size is one of the others, with
 * what was in it. */
static void test_resized_prepared(void)
{
	struct allocator a;
	char *p;

	allocator_init(&a, 10000, on_exhausted);
	for (size_t size = 10; size <= 5000; size += 4990) {
		p = allocator_prepare(&a, 2000, HEAD);
		CHECK(p);
		memset(p, 'x', 2000);
		CHECK(allocator_call(&a, NULL, 4, 2000) == p);
		p = allocator_call(&a, p, 2000, size);
		CHECK(p);
		CHECK_EQ(p[size < 2000 ? size - 1 : 1999], 'x');
		CHECK_EQ(a.placed_bytes, 0);
		CHECK_EQ(a.used_bytes, size);
		allocator_call(&a, p, size, 0);
	}
	CHECK_EQ(a.used_bytes, 0);
}

/* Verify that an allowance is counted from what is used. */
static void test_allow(void)
{
	struct allocator a;
	void *p;

	allocator_init(&a, 100, on_exhausted);
	p = allocator_call(&a, NULL, 0, 100);
	allocator_allow(&a, 50);
	CHECK_EQ(a.limit_bytes, 150);
	p = allocator_call(&a, p, 100, 150);
	CHECK(p);
	allocator_allow(&a, SIZE_MAX);
	CHECK_EQ(a.limit_bytes, SIZE_MAX);
	allocator_call(&a, p, 150, 0);
}

/* Verify that living at the ceiling ends, and one large request does not. */
static void test_exhaustion(void)
{
	struct allocator a;
	void *p;

	exhausted = 0;
	allocator_init(&a, 1000, on_exhausted);
	for (int i = 0; i < 10 * LIMIT_REFUSED_ALLOCATIONS; i++)
		CHECK(!allocator_call(&a, NULL, 0, 2000));
	CHECK_EQ(exhausted, 0);
	p = allocator_call(&a, NULL, 0, 900);
	for (int i = 0; i < LIMIT_REFUSED_ALLOCATIONS; i++)
		CHECK(!allocator_call(&a, NULL, 0, 200));
	CHECK_EQ(exhausted, 0);
	allocator_call(&a, NULL, 0, 200);
	CHECK_EQ(exhausted, 1);
	allocator_call(&a, p, 900, 0);
}

/* Verify that Lua's own count of its memory is ours, whatever it did, and that
 * nothing is left when it is closed. */
static void test_lua_agrees(void)
{
	static const char text[] =
		"local t = {} for i = 1, 1e4 do t[i] = ('x'):rep(i % 100) end "
		"t = nil collectgarbage() "
		"local co = coroutine.wrap(function() coroutine.yield() end) "
		"co() return pcall(string.rep, 'x', 1e9)";
	struct allocator a;
	lua_State *L;

	allocator_init(&a, 8 << 20, on_exhausted);
	L = lua_newstate(allocator_call, &a);
	CHECK(L);
	luaL_openlibs(L);
	CHECK_EQ(luaL_dostring(L, text), LUA_OK);
	CHECK_EQ(lua_toboolean(L, 1), 0);
	CHECK_EQ(a.used_bytes, (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 +
				       (size_t)lua_gc(L, LUA_GCCOUNTB));
	lua_close(L);
	CHECK_EQ(a.used_bytes, 0);
}

/* Verify that Lua meets every refusal from the first allocation on with an
 * error, never a crash. */
static void test_every_allocation_refused(void)
{
	for (size_t limit = 1000; limit < 60000; limit += 61) {
		struct allocator a;
		lua_State *L;

		allocator_init(&a, limit, on_exhausted);
		L = lua_newstate(allocator_call, &a);
		if (!L) {
			CHECK_EQ(a.used_bytes, 0);
			continue;
		}
		if (luaL_loadstring(L, "local t = {} for i = 1, 200 do t[i] = "
				       "{} t['k' .. i] = i end") == LUA_OK)
			lua_pcall(L, 0, 0, 0);
		CHECK(a.used_bytes <= limit);
		lua_close(L);
		CHECK_EQ(a.used_bytes, 0);
	}
}

int main(void)
{
	RUN(test_ceiling_is_exact);
	RUN(test_prepared);
	RUN(test_place_of_prepared);
	RUN(test_resized_prepared);
	RUN(test_allow);
	RUN(test_exhaustion);
	RUN(test_lua_agrees);
	RUN(test_every_allocation_refused);
	return tap_done();
}
