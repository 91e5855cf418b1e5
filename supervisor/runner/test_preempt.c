/*
 * Signals that make a computing task look up, where Lua loses the hook.
 */

#include "runner/preempt.h"

#include <lauxlib.h>
#include <signal.h>

#include "base/fd.h"
#include "base/tap.h"
#include "runner/runner.h"
#include "runner/timer.h"

#define PATIENCE_NS (20 * 1000000000ULL)

static uint64_t until_ns;
static void (*have_signal)(void);
static bool was_due;

/* A signal comes, and is still to be looked at: lose what it armed, as Lua
 * does when it comes while the absence of hooks is taken note of. */
static int l_lose(lua_State *L)
{
	have_signal();
	while (!preempt_signalled(false))
		;
	lua_sethook(L, NULL, 0, 0);
	return 0;
}

static int l_is_lost(lua_State *L)
{
	lua_pushboolean(L, preempt_signalled(false) && clock_ns() < until_ns);
	return 1;
}

/* Compute until the hook has been called after all. */
static int compute(void (*signal)(void))
{
	lua_State *L = runner.L;
	struct running r;
	int status;

	have_signal = signal;
	until_ns = clock_ns() + PATIENCE_NS;
	running_enter(&r, L);
	status = luaL_dostring(L, "lose() while is_lost() do end");
	running_leave(&r);
	return status;
}

static void have_message(void)
{
	raise(SIGIO);
}

static void on_due(struct timer *t)
{
	(void)t;
	was_due = true;
}

/* Verify that a message is looked at all the same. */
static void test_a_lost_message(void)
{
	CHECK_EQ(compute(have_message), LUA_OK);
	CHECK(!preempt_signalled(true));
}

/* Verify that a deadline, and so the end of a turn, is, too. */
static void test_a_lost_alarm(void)
{
	struct timer t;

	timer_init(&t, on_due);
	timer_start(&t, clock_ns() + 1000000);
	CHECK_EQ(compute(preempt_update), LUA_OK);
	CHECK(!preempt_signalled(true));
	CHECK(was_due);
}

int main(void)
{
	runner.L = luaL_newstate();
	if (!runner.L || preempt_install() < 0)
		return 1;
	lua_register(runner.L, "lose", l_lose);
	lua_register(runner.L, "is_lost", l_is_lost);
	RUN(test_a_lost_message);
	RUN(test_a_lost_alarm);
	lua_close(runner.L);
	return tap_done();
}
