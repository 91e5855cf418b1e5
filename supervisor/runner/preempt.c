/*
 * Step 7, in a runner: signals that make a computing task look up.
 *
 * `innermost` and `pending` are shared with the handler. It may come between
 * any two instructions: when it finds no running state, or one that is just
 * being left, `pending` makes running_leave() arm the hook again on the state
 * that goes on.
 *
 * SIGIO has two ways. As long as the control link is all that is watched it
 * is always open. With more sockets it is held back from the first wait for
 * the kernel on, because a process that waits is woken by the message anyway,
 * and opened by the alarm, a millisecond or two after Lua has gone on: a task
 * that answers in less than that costs no signal.
 *
 * Lua can lose a hook: where it finds that none is set, and takes note of that
 * for the function that runs, it is not atomic. A signal between the two arms
 * in vain, and `pending` stays. So each has an alarm come after it, which arms
 * again; usually the hook, which needs it no more, sets another before.
 *
 * The alarm also ends a wait for one socket. It may come when that is about to
 * begin and has not begun, so it sets itself again until the wait is over.
 */

#include "runner/preempt.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/limits.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/timer.h"
#include "runner/watch.h"

#define NS_PER_S 1000000000ULL
static struct running *volatile innermost;
static volatile sig_atomic_t pending;	   /* look at the watches */
static volatile sig_atomic_t quantum_over; /* the alarm went off */
static volatile sig_atomic_t alarm_set;
static volatile sig_atomic_t held;     /* SIGIO is blocked */
static volatile sig_atomic_t sleeping; /* waits for the kernel */
static volatile sig_atomic_t waiting;  /* … or for one socket */
static volatile sig_atomic_t waited;   /* since the last alarm */
static volatile sig_atomic_t all_due;  /* sockets were not asked about since */
static volatile sig_atomic_t wanted;   /* the alarm is for the hook, too */
static uint64_t alarm_ns;	       /* when, if it is set … */
static uint64_t alarm_after_ns;	       /* … and for how long it was */
static uint64_t hold_ns = LIMIT_HOLD_NS; /* how long SIGIO is held, at most */

/* --- the hook ---------------------------------------------------------------
 */

bool preempt_in_finalizer(void)
{
	/* Lua's collector refuses all questions then, since 5.4.4. */
	return lua_gc(runner.L, LUA_GCCOUNT) < 0;
}

static void hold(void)
{
	sigset_t set;

	if (held || !watch_are_links())
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	held = 1;
}

/* One who has asked, or was asked, just now, will look himself in a moment.
 * Otherwise he would be told by a signal of each message to come, since none
 * comes while he waits. */
static bool is_talking(void)
{
	return clock_ns() - task_current()->talked_ns < LIMIT_HOLD_NS;
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	watch_look();
	if (is_talking())
		hold();
	task_give_way();
	preempt_update();
}

/* Async-signal-safe, as lua_sethook() is. */
static void arm(void)
{
	struct running *r = innermost;

	if (r)
		lua_sethook(r->L, on_hook, LUA_MASKCOUNT, 1);
}

void preempt_soon(void)
{
	pending = 1;
	arm();
}

/* --- who runs ---------------------------------------------------------------
 */

/* What the handler finds through `innermost` is written before that is; the
 * compiler may not put it off, as it may beside a volatile. */
static void set_innermost(struct running *r)
{
	atomic_signal_fence(memory_order_release);
	innermost = r;
	if (pending)
		arm();
}

void running_enter(struct running *r, lua_State *L)
{
	r->L = L;
	r->outer = innermost;
	set_innermost(r);
}

void running_leave(struct running *r)
{
	set_innermost(r->outer);
}

struct running *running_innermost(void)
{
	return innermost;
}

struct running *running_swap(struct running *r)
{
	struct running *before = innermost;

	set_innermost(r);
	return before;
}

/* --- signals ----------------------------------------------------------------
 */

/* It counts as not set: whoever needs one at a certain time sets his own. */
static void set_again(unsigned after_us)
{
	const struct itimerval t = { .it_value = { .tv_usec = after_us } };
	int error = errno;

	alarm_set = 0;
	setitimer(ITIMER_REAL, &t, NULL);
	errno = error;
}

static void on_sigio(int signal_number)
{
	(void)signal_number;
	pending = 1;
	arm();
	if (!sleeping && !(alarm_set && alarm_after_ns <= LIMIT_QUANTUM_NS))
		set_again(LIMIT_QUANTUM_NS / 1000);
}

static void on_alarm(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	bool soon = waiting || (held && !sleeping && waited);

	(void)signal_number;
	(void)info;
	alarm_set = 0;
	quantum_over = 1;
	all_due = 1;
	if (soon) {
		set_again(LIMIT_HOLD_NS / 1000);
	} else if (held && !sleeping) {
		sigdelset(&interrupted->uc_sigmask, SIGIO);
		held = 0;
	}
	waited = 0;
	if (!wanted && !pending)
		return;
	pending = 1;
	arm();
	if (!soon && !sleeping)
		set_again(LIMIT_QUANTUM_NS / 1000);
}

int preempt_install(void)
{
	/* No SA_RESTART: a write that waits must notice. */
	struct sigaction io = {
		.sa_handler = on_sigio,
		.sa_flags = SA_ONSTACK,
	};
	struct sigaction alarm = {
		.sa_sigaction = on_alarm,
		.sa_flags = SA_ONSTACK | SA_SIGINFO,
	};

	if (sigaction(SIGIO, &io, NULL) < 0 ||
	    sigaction(SIGALRM, &alarm, NULL) < 0)
		return -errno;
	return 0;
}

bool preempt_signalled(bool clear)
{
	bool was = pending;

	if (clear)
		pending = 0;
	return was;
}

bool preempt_quantum_over(void)
{
	bool was = quantum_over;

	quantum_over = 0;
	return was;
}

/* --- the alarm --------------------------------------------------------------
 */

/* How soon something needs the hook that has no signal of its own. */
static uint64_t need_ns(void)
{
	if (task_wants_turn() || watch_must_look() || preempt_in_finalizer())
		return LIMIT_QUANTUM_NS;
	return TIMER_NEVER;
}

static void set_alarm(uint64_t now_ns, uint64_t after_ns)
{
	struct itimerval t = { 0 };

	t.it_value.tv_sec = (time_t)(after_ns / NS_PER_S);
	t.it_value.tv_usec = (suseconds_t)(after_ns % NS_PER_S / 1000);
	alarm_ns = now_ns + after_ns;
	alarm_after_ns = after_ns;
	alarm_set = 1;
	setitimer(ITIMER_REAL, &t, NULL);
}

void preempt_update(void)
{
	uint64_t after_ns = need_ns(), due_ns = timer_earliest(), now_ns;

	wanted = after_ns != TIMER_NEVER || due_ns != TIMER_NEVER;
	if (held && after_ns > hold_ns)
		after_ns = hold_ns;
	if (after_ns == TIMER_NEVER && due_ns == TIMER_NEVER)
		return;
	/* One that is set, and near, is soon enough but for a deadline. */
	if (alarm_set && alarm_ns <= due_ns &&
	    (after_ns == TIMER_NEVER || alarm_after_ns <= LIMIT_QUANTUM_NS))
		return;
	now_ns = clock_ns();
	if (after_ns == TIMER_NEVER || due_ns < now_ns + after_ns)
		after_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	if (after_ns < LIMIT_LEAST_TURN_NS)
		after_ns = LIMIT_LEAST_TURN_NS;
	if (after_ns > LIMIT_ALARM_NS)
		after_ns = LIMIT_ALARM_NS;
	set_alarm(now_ns, after_ns);
}

/* --- waiting for the kernel -------------------------------------------------
 */

void preempt_sleep_begin(bool links)
{
	sleeping = 1;
	waited = 1;
	if (links)
		hold();
}

void preempt_sleep_end(void)
{
	sleeping = 0;
}

/* What was set for no longer than that needs no look at the clock. */
static void have_alarm_within_hold(void)
{
	uint64_t now_ns;

	if (alarm_set && alarm_after_ns <= LIMIT_HOLD_NS)
		return;
	now_ns = clock_ns();
	if (!alarm_set || alarm_ns > now_ns + LIMIT_HOLD_NS)
		set_alarm(now_ns, LIMIT_HOLD_NS);
}

void preempt_hold(uint64_t ns)
{
	hold_ns = ns < LIMIT_HOLD_NS	  ? LIMIT_HOLD_NS
		  : ns < LIMIT_QUANTUM_NS ? ns
					  : LIMIT_QUANTUM_NS;
}

bool preempt_wait_begin(void)
{
	hold();
	if (all_due)
		return false;
	have_alarm_within_hold();
	if (timer_earliest() <= alarm_ns)
		return false;
	waited = 1;
	waiting = 1;
	if (all_due) /* one that came before it was told so */
		waiting = 0;
	return waiting;
}

bool preempt_all_due(void)
{
	return all_due;
}

void preempt_ask_all(void)
{
	all_due = 0;
}

void preempt_wait_end(void)
{
	waiting = 0;
}

/* --- this Lua ---------------------------------------------------------------
 */

/* Where a Lua state says that no hook is called in it; 0: not known. */
static size_t flag_offset;

#define STATE_BYTES 32 /* that are looked at */

static unsigned char outside[STATE_BYTES], inside[STATE_BYTES];

static void on_learning(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	memcpy(inside, (const void *)L, STATE_BYTES);
}

static int l_look_outside(lua_State *L)
{
	memcpy(outside, (const void *)L, STATE_BYTES);
	lua_sethook(L, on_learning, LUA_MASKCOUNT, 1);
	return 0;
}

/*
 * A state that is left in its hook is never told that the hook is over, and
 * would call none while its variables are closed. Lua has no function for
 * that; so the flag is looked for, as the one byte that is 1 outside of a hook
 * and 0 inside. Where there is no such byte, nothing is done.
 */
void preempt_learn(lua_State *L)
{
	static const char text[] = "local f = ... f() f = nil return f";
	lua_State *co = lua_newthread(L);
	unsigned n = 0;

	if (luaL_loadbuffer(co, text, sizeof(text) - 1, "=learn") == LUA_OK) {
		lua_pushcfunction(co, l_look_outside);
		lua_call(co, 1, 0);
	}
	lua_pop(L, 1);
	for (size_t i = 0; i < STATE_BYTES; i++)
		if (outside[i] == 1 && inside[i] == 0) {
			flag_offset = i;
			n++;
		}
	if (n != 1)
		flag_offset = 0;
}

void preempt_allow_hooks(lua_State *L)
{
	if (flag_offset)
		((unsigned char *)L)[flag_offset] = 1;
}
