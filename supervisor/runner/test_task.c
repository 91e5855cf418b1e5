/*
 * Tasks: turns, pre-emption, ends, and what they do with each other.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/tap.h"
#include "runner/play.h"

#ifdef THOX_SANITIZED
#define PREEMPTIONS "10000"
#else
#define PREEMPTIONS "100000"
#endif

static struct play_zygote zygote;
static struct play_runner runner;
static struct play_result result;

static void show(void)
{
	if (getenv("VERBOSE"))
		printf("# status %x, report [%s %lld], out [%s], err [%s]\n",
		       (unsigned)result.status, result.report,
		       (long long)result.detail, result.output, result.error);
}

static void begin(const struct play_start *s)
{
	memset(&result, 0, sizeof(result));
	if (play_fork(&zygote, &runner) < 0)
		abort();
	play_start(&runner, s);
}

static void finish(void)
{
	play_wait(&runner, NULL, &result);
	show();
}

static void run_start(const struct play_start *s)
{
	play_run(&zygote, s, &result);
	show();
}

/* With `task` at hand. */
static void run(const char *text)
{
	char program[8192];

	snprintf(program, sizeof(program), "local task = require 'task' %s",
		 text);
	run_start(&(struct play_start){ .text = program, .name = "hello" });
}

/* A task may be stopped between any two instructions, and not go on for long:
 * who relies on where another one is waits until it is there. */
#define UNTIL_WAITS                                                            \
	"local function until_waits(id) local there repeat os.sleep(0.001) "   \
	"for _, t in ipairs(task.list()) do if t.id == id then "               \
	"there = t.waiting end end until there end "

static int exit_code(void)
{
	return WIFEXITED(result.status) ? WEXITSTATUS(result.status)
					: 128 + WTERMSIG(result.status);
}

static char *read_text(const char *name)
{
	const char *dir = getenv("THOX_SOURCE_DIR");
	char path[4096];
	struct stat st;
	char *text;
	int fd;

	snprintf(path, sizeof(path), "%s/tests/tasks/%s", dir ? dir : "..",
		 name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		abort();
	}
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || fd_read_full(fd, text, (size_t)st.st_size) < 0)
		abort();
	close(fd);
	return text;
}

/* --- pre-emption ------------------------------------------------------------
 */

/* One message after the other, so that each signals on its own. */
static pid_t disturb(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	for (;;) {
		play_event(&runner, "wake", 0, 0);
		usleep(10);
	}
}

/* Verify that a program that is stopped again and again, inside of everything
 * that can be stopped, computes what it computes alone. */
static void test_preempted_everywhere(void)
{
	const char *count = getenv("PREEMPTIONS");
	const char *const args[] = { count ? count : PREEMPTIONS, NULL };
	char *text = read_text("constructs.lua");
	pid_t pid;

	begin(&(struct play_start){ .text = text, .args = args });
	free(text);
	CHECK(play_wait_output(&runner, "ready", &result));
	pid = disturb();
	finish();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("# %s", result.error);
	CHECK_STR(result.output, "ready\ndone\n");
	CHECK_EQ(exit_code(), 0);
}

/* Loops that Lua code runs in, through everything that calls it; `x()` is what
 * is called again and again. */
static const char *const loops[] = {
	"while true do x() end",
	"while true do pcall(function() while true do x() end end) end",
	"local function f() x() return f() end f()",
	"coroutine.wrap(function() coroutine.wrap(function() "
	"while true do pcall(pcall, error) x() end end)() end)()",
	"table.sort({3, 2, 1}, function() while true do x() end end)",
	"string.gsub('x', 'x', function() while true do x() end end)",
	"local t = setmetatable({}, {__index = function() "
	"while true do x() end end}) return t.x",
	"repeat local co = coroutine.create(function() "
	"coroutine.yield() end) coroutine.resume(co) x() until false",
	"load(function() while true do x() end end)",
	"xpcall(error, function() while true do x() end end)",
	"local c <close> = setmetatable({}, {__close = function() "
	"while true do x() end end})",
	"local co = coroutine.wrap(function() local c <close> = setmetatable("
	"{}, {__close = function() while true do x() end end}) "
	"coroutine.yield() end) co() co()",
	"local co = coroutine.create(function() local c <close> = "
	"setmetatable({}, {__close = function() while true do x() end end}) "
	"coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
	"for _ in function() while true do x() end end do end",
	"print(setmetatable({}, {__tostring = function() "
	"while true do x() end end}))",
	"return setmetatable({}, {__eq = function() while true do x() end "
	"end}) == {}",
};
#define N_LOOPS (sizeof(loops) / sizeof(loops[0]))

/* Verify that a task that computes for ever, wherever it does, leaves the
 * others their turns, and is ended by a termination. */
static void test_spinning_starves_nobody(void)
{
	for (size_t i = 0; i < N_LOOPS; i++) {
		char text[1024];
		bool closes;

		snprintf(text, sizeof(text),
			 "local function x() end\n"
			 "for i = 1, 2 do os.task(function() %s end) end\n"
			 "for i = 1, 3 do os.sleep(0.001) end "
			 "print('go') io.stdout:flush() %s",
			 loops[i], loops[i]);
		begin(&(struct play_start){ .text = text });
		CHECK(play_wait_output(&runner, "go", &result));
		play_event(&runner, "terminate", 0, 0);
		/* What spins while it is closed may do so for ever. */
		closes = strstr(loops[i], "__close");
		if (closes)
			kill(runner.pid, SIGKILL);
		finish();
		if (!closes || exit_code() != EXIT_MEMORY)
			CHECK_EQ(exit_code(), EXIT_TERMINATED);
	}
}

/* Verify that a message is handled while all tasks compute. */
static void test_message_between_spinning_tasks(void)
{
	begin(&(struct play_start){
		.columns = 80,
		.rows = 24,
		.text = "for i = 1, 5 do os.task(function() while true do end "
			"end) end "
			"print('go') io.stdout:flush() "
			"repeat until os.getenv('COLUMNS') == '132' "
			"os.exit(7)",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	play_event(&runner, "resize", 50, 132);
	finish();
	CHECK_EQ(exit_code(), 7);
}

/* Verify that tasks that wake each other without pause leave those that
 * compute, and the terminal, their turns. */
static void test_chatting_starves_nobody(void)
{
	run("local a, b = task.queue(1), task.queue(1) "
	    "for _ = 1, 2 do "
	    "os.task(function() while true do b:put(a:get()) end end) "
	    "os.task(function() while true do a:put(b:get()) end end) end "
	    "a:put(1) "
	    "local n = 0 for i = 1, 3e6 do n = n + i end print(n) "
	    "os.sleep(0.01) print('slept') os.exit(0)");
	CHECK_STR(result.output, "4500001500000\nslept\n");
}

/* Verify that what Lua says of coroutines is the same in a task. */
static void test_coroutines_in_tasks(void)
{
	run("local main = coroutine.running() "
	    "local id = os.task(function() "
	    "  local me, is_main = coroutine.running() "
	    "  print(me == main, is_main, coroutine.isyieldable(), "
	    "        coroutine.isyieldable(main)) "
	    "  print(pcall(coroutine.yield, 1)) "
	    "  print(coroutine.wrap(function(...) "
	    "    print(select(2, coroutine.running()), "
	    "          coroutine.isyieldable()) return ... end)(7, 8)) "
	    "  print(coroutine.status(main), coroutine.status(me)) "
	    "  print(pcall(coroutine.close, main)) "
	    "  print(coroutine.resume(main)) "
	    "  local co = coroutine.create(function() os.sleep(0.001) "
	    "    coroutine.yield('y') os.sleep(0) return 'r' end) "
	    "  print(coroutine.resume(co)) print(coroutine.resume(co)) "
	    "  print(coroutine.status(co)) end) "
	    "assert(task.wait(id))");
	CHECK_STR(result.output,
		  "false\ttrue\tfalse\tfalse\n"
		  "false\tattempt to yield from outside a coroutine\n"
		  "false\ttrue\n7\t8\n"
		  "normal\trunning\n"
		  "false\tcannot close a normal coroutine\n"
		  "false\tcannot resume non-suspended coroutine\n"
		  "true\ty\ntrue\tr\ndead\n");
}

/* Verify that a finalizer neither waits nor is interrupted by another task,
 * not even where it runs a coroutine. */
static void test_finalizers(void)
{
	run("local turn, seen = 0, 0 "
	    "os.task(function() while true do turn = turn + 1 end end) "
	    "local function gc() "
	    "  seen = seen + 1 "
	    "  local before = turn "
	    "  coroutine.wrap(function() local x = 0 "
	    "    for i = 1, 3e6 do x = x + i end end)() "
	    "  assert(turn == before) "
	    "  error(select(2, pcall(os.sleep, 1)), 0) end "
	    "warn('@on') "
	    "setmetatable({}, {__gc = gc}) collectgarbage() "
	    "repeat os.sleep(0.001) until turn > 0 print(seen) os.exit(0)");
	CHECK_STR(result.output, "1\n");
	CHECK_STR(result.error, "Lua warning: error in __gc (a finalizer "
				"cannot wait)\n");
}

/* --- ends -------------------------------------------------------------------
 */

#define CLOSING                                                                \
	"local function closing(name) return setmetatable({}, {__close = "     \
	"function() print('close ' .. name) end}) end "

/* Verify that the process goes on until its last task has ended. */
static void test_main_function_returns(void)
{
	run("local printed = task.queue() os.task(function() printed:get() "
	    "os.task(function() os.sleep(0.01) print('last') end) end) "
	    "print('main') printed:put(true)");
	CHECK_STR(result.output, "main\nlast\n");
	CHECK_EQ(exit_code(), 0);
}

/* Verify that a task's error is told, with its name and where it was, and
 * ends nobody else. */
static void test_errors(void)
{
	run("local id = task.start(function()\n"
	    "coroutine.wrap(function() os.sleep(0) error('boom') end)() end, "
	    "'bad') print(task.wait(id)) "
	    "os.task(function() error(setmetatable({}, {__tostring = "
	    "function() return 'mine' end})) end) "
	    "os.task(error) os.sleep(0.01) print('on')");
	CHECK(strncmp(result.error,
		      "task 2 (bad): hello:2: hello:2: boom\nstack ", 43) == 0);
	CHECK(strstr(result.error, "task 3: mine\nstack traceback:"));
	CHECK(strstr(result.error, "task 4: hello: (error object is a nil "
				   "value)"));
	CHECK(strncmp(result.output, "false\thello:2: hello:2: boom\n", 29) ==
	      0);
	CHECK(strstr(result.output, "\non\n"));
	CHECK_EQ(exit_code(), 0);
}

/* Verify that an error of the main function ends the others, with what they
 * have to close. */
static void test_main_function_errs(void)
{
	run(CLOSING "local sleeps os.task(function() "
		    "local a <close> = closing('a') sleeps = true "
		    "os.sleep(100) end) "
		    "local spins os.task(function() "
		    "local b <close> = closing('b') spins = true "
		    "while true do end end) "
		    "os.task(function() local c <close> = closing('c') "
		    "io.read() end) "
		    "repeat os.sleep(0.001) until spins and sleeps "
		    "local m <close> = closing('m') "
		    "error('over', 0)");
	CHECK_EQ(exit_code(), EXIT_LUA_ERROR);
	CHECK(strstr(result.output, "close m\n"));
	CHECK(strstr(result.output, "close a\n"));
	CHECK(strstr(result.output, "close b\n"));
	CHECK(strncmp(result.error, "over\n", 5) == 0);
}

static const char many_closers[] = CLOSING
	"os.task(function() local a <close> = closing('waits') "
	"coroutine.wrap(function() local b <close> = closing('inner') "
	"waits = true os.sleep(100) end)() end) "
	"os.task(function() local a <close> = closing('computes') "
	"table.sort({2, 1}, function() local b <close> = closing('sorts') "
	"sorts = true "
	"while true do pcall(function() while true do end end) end end) end) "
	"os.task(function() local a <close> = closing('reads') "
	"reads = true io.read() end) "
	"repeat os.sleep(0.001) until waits and sorts and reads "
	"local m <close> = closing('main') "
	"print('go') io.stdout:flush() ";

/* Both are in the output, and others perhaps between them. */
static bool in_order(const char *first, const char *second)
{
	const char *after = strstr(result.output, first);

	return after && strstr(after, second);
}

static void check_many_closed(void)
{
	CHECK(in_order("close inner\n", "close waits\n"));
	CHECK(in_order("close sorts\n", "close computes\n"));
	CHECK(strstr(result.output, "close reads\n"));
	CHECK(strstr(result.output, "close main\n"));
}

/* Verify that all tasks' variables are closed, innermost first, whatever ends
 * the process and whoever runs at that moment. */
static void test_ends_close_variables(void)
{
	static const struct {
		const char *rest, *event;
		int code;
	} ends[] = {
		{ "while true do end", "terminate", EXIT_TERMINATED },
		{ "os.sleep(100)", "terminate", EXIT_TERMINATED },
		{ "while true do end", "interrupt", EXIT_INTERRUPTED },
		{ "os.sleep(100)", "interrupt", EXIT_INTERRUPTED },
		{ "os.exit(5, true)", NULL, 5 },
		{ "os.task(function() os.exit(6, true) end) os.sleep(100)",
		  NULL, 6 },
		{ "os.task(function() coroutine.wrap(pcall)(os.exit, 7, true) "
		  "end) while true do end",
		  NULL, 7 },
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		char text[2048];

		snprintf(text, sizeof(text), "%s%s", many_closers,
			 ends[i].rest);
		begin(&(struct play_start){ .text = text });
		CHECK(play_wait_output(&runner, "go", &result));
		if (ends[i].event)
			play_event(&runner, ends[i].event, 0, 0);
		finish();
		CHECK_EQ(exit_code(), ends[i].code);
		check_many_closed();
	}
}

/* Verify that an interrupt tells where the one is that computes. */
static void test_interrupt_says_where(void)
{
	begin(&(struct play_start){
		.text = "os.task(function()\n\nprint('go') io.stdout:flush()\n"
			"while true do end end)\n"
			"os.sleep(100)",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	play_event(&runner, "interrupt", 0, 0);
	finish();
	CHECK(strncmp(result.error, "test:4: interrupted!", 20) == 0);
	begin(&(struct play_start){
		.text = "local id = os.task(function() os.sleep(100) end)\n"
			"local function waits() for _, t in "
			"ipairs(require('task').list()) do if t.id == id then "
			"return t.waiting end end end\n"
			"repeat os.sleep(0.001) until waits() print('go') "
			"io.stdout:flush() os.sleep(100)",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	play_event(&runner, "interrupt", 0, 0);
	finish();
	CHECK(strstr(result.error, "test:3: in main chunk"));
}

/* Verify that os.exit() without closing ends at once, from any task. */
static void test_exit_at_once(void)
{
	run(CLOSING "local m <close> = closing('m') os.task(function() "
		    "io.write('flushed') os.exit(9) end) os.sleep(100)");
	CHECK_STR(result.output, "flushed");
	CHECK_EQ(exit_code(), 9);
}

/* Verify that a killed task closes its variables and leaves nothing, wherever
 * it is, and that what spins while it is closed is stopped like all else. */
static void test_kill(void)
{
	for (size_t i = 0; i < N_LOOPS; i++) {
		char text[2048];

		snprintf(text, sizeof(text),
			 "local turns = 0 local function x() turns = turns + 1 "
			 "end " CLOSING "local id = os.task(function() "
			 "local a <close> = closing('a') "
			 "coroutine.wrap(function() "
			 "local b <close> = closing('b') %s end)() end) "
			 "repeat os.sleep(0.001) until turns > 0 "
			 "local killed task.atomic(function() "
			 "killed, turns = task.kill(id), 0 end) "
			 "print(task.wait(id, %s)) print(killed, turns > 0) "
			 "os.exit(0)",
			 loops[i],
			 strstr(loops[i], "__close") ? "0.02" : "nil");
		run(text);
		if (strstr(loops[i], "__close"))
			continue; /* it may be in that already, or before it */
		CHECK_STR(result.output, "close b\nclose a\nfalse\tkilled\n"
					 "true\tfalse\n");
		CHECK_EQ(exit_code(), 0);
	}
	run(CLOSING "local at local id = os.task(function() local a <close> = "
		    "setmetatable({}, {__close = function() print('begins') "
		    "at = 'end' while true do end end}) at = 'begin' "
		    "while true do end end) "
		    "repeat os.sleep(0.001) until at == 'begin' task.kill(id) "
		    "repeat os.sleep(0.001) until at == 'end' "
		    "print(task.wait(id, 0.03)) os.exit(3)");
	CHECK_STR(result.output, "begins\nnil\ttimeout\n");
	CHECK_EQ(exit_code(), 3);
	run("local id = os.task(function() pcall(task.kill, task.getid()) "
	    "print('never') end) print(task.wait(id)) "
	    "print(task.kill(id), task.kill(77), task.terminate(77)) "
	    "os.task(function() os.sleep(0.01) print('left alone') end) "
	    "task.kill(1) print('never')");
	CHECK_STR(result.output,
		  "false\tkilled\nfalse\tfalse\tfalse\nleft alone\n");
	CHECK_EQ(exit_code(), 0);
}

/* Verify that a task that was killed before it ran never does. */
static void test_kill_before_the_first_turn(void)
{
	run("local id task.atomic(function() "
	    "id = os.task(print, 'never') task.kill(id) end) "
	    "print(task.wait(id))");
	CHECK_STR(result.output, "false\tkilled\n");
}

/* Verify that a termination without anybody to tell is a kill, where the task
 * waits. */
static void test_terminate_a_task(void)
{
	run(CLOSING "local done = false local id = os.task(function() "
		    "local a <close> = closing('a') repeat until done "
		    "print('computed') os.sleep(100) print('never') end) "
		    "local other = os.task(function() os.sleep(100) end) "
		    "os.sleep(0.001) task.terminate(id) task.terminate(other) "
		    "print(task.wait(other)) done = true print(task.wait(id))");
	CHECK_STR(result.output, "false\tkilled\ncomputed\nclose a\n"
				 "false\tkilled\n");
}

/* Verify that an error in what closes a killed task is told. */
static void test_error_while_killed(void)
{
	run(UNTIL_WAITS
	    "local id = os.task(function() local a <close> = setmetatable({}, "
	    "{__close = function() error('in close', 0) end}) "
	    "os.sleep(100) end) until_waits(id) task.kill(id) "
	    "print(task.wait(id))");
	CHECK_STR(result.output, "false\tkilled\n");
	CHECK(strncmp(result.error, "in close\nstack traceback:\n", 26) == 0);
}

/* --- the library ------------------------------------------------------------
 */

/* Verify what can be asked of tasks, and their results, which can be had
 * once. */
static void test_library(void)
{
	run(UNTIL_WAITS
	    "print(task.getid(), task.getid('main'), task.getid('none')) "
	    "local id = task.start(function() task.getstate().x = 5 "
	    "print(task.getid()) os.sleep(100) end, 'sleeper') "
	    "until_waits(id) "
	    "print(task.getid('sleeper') == id, task.getstate(id).x, "
	    "task.getstate() == task.getstate(1), task.getstate(99)) "
	    "for _, t in ipairs(task.list()) do print(t.id, t.name, t.waiting) "
	    "end task.kill(id) print(task.wait(id)) print(task.getstate(id)) "
	    "id = os.task(function() os.sleep(0.01) return 1, nil, 3, nil end) "
	    "print(select('#', task.wait(id))) print(task.wait(id)) "
	    "print(task.wait(task.start(function(...) return ... end)))");
	CHECK_STR(result.output, "1\t1\tnil\n2\ntrue\t5\ttrue\tnil\n"
				 "1\tmain\tnil\n2\tsleeper\tos.sleep\n"
				 "false\tkilled\nnil\n"
				 "5\nfalse\tno such task\ntrue\n");
	run("print(pcall(task.start, 1)) "
	    "print(pcall(task.start, print, ('x'):rep(200))) "
	    "print(pcall(task.wait, task.getid())) "
	    "print(pcall(task.wait, 'x')) print(task.wait(1 << 40)) "
	    "print(task.wait(-1)) print(pcall(os.task)) "
	    "print(pcall(os.sleep)) os.sleep(-1) os.sleep(0/0) "
	    "print(pcall(task.cooperative))");
	CHECK(!strstr(result.output, "true\t"));
	CHECK_EQ(exit_code(), 0);
}

/* Verify that several can wait for the same end. */
static void test_several_wait_for_one(void)
{
	run(UNTIL_WAITS
	    "local q = task.queue() local id = os.task(q.get, q) "
	    "local w = {} for i = 1, 3 do w[i] = os.task(task.wait, id) "
	    "until_waits(w[i]) end q:put('r') "
	    "for i = 1, 3 do print(task.wait(w[i])) end print(task.wait(id))");
	CHECK_STR(result.output, "true\ttrue\tr\ntrue\ttrue\tr\n"
				 "true\ttrue\tr\nfalse\tno such task\n");
}

/* Verify that nobody else runs in an atomic section, that it ends with its
 * function however that ends, and that a termination ends it. */
static void test_atomic(void)
{
	run("local n = 0 os.task(function() while true do n = n + 1 end end) "
	    "repeat os.sleep(0.001) until n > 0 "
	    "print(task.atomic(function(...) local before, x = n, 0 "
	    "for i = 1, 4e6 do x = x + i end return n == before, ... end, "
	    "1, nil)) "
	    "print(pcall(task.atomic, function() task.atomic(error, 'e') "
	    "end)) "
	    "print(pcall(task.atomic, os.sleep, 0.1)) "
	    "print(pcall(task.atomic, coroutine.wrap(function() "
	    "coroutine.yield(task.getid()) end))) "
	    "local before = n repeat os.sleep(0.001) until n > before "
	    "local id = os.task(function() task.atomic(function() "
	    "task.kill(task.getid()) end) end) print(task.wait(id)) "
	    "before = n repeat until n > before os.exit(0)");
	CHECK_STR(result.output, "true\t1\tnil\nfalse\te\n"
				 "false\tnobody can wait in task.atomic\n"
				 "true\t1\nfalse\tkilled\n");
	begin(&(struct play_start){
		.text = "print('go') io.stdout:flush() "
			"require('task').atomic(function() while true do end "
			"end)",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	play_event(&runner, "terminate", 0, 0);
	finish();
	CHECK_EQ(exit_code(), EXIT_TERMINATED);
}

/* Verify that in a cooperative process tasks switch where they wait, and that
 * it can be ended all the same. */
static void test_cooperative(void)
{
	run("task.cooperative(true) local n = 0 "
	    "os.task(function() while true do n = n + 1 end end) "
	    "local x = 0 for i = 1, 5e6 do x = x + i end print(n) "
	    "os.task(function() os.exit(4) end) task.cooperative(false) "
	    "repeat until n > 0 os.sleep(100)");
	CHECK_STR(result.output, "0\n");
	CHECK_EQ(exit_code(), 4);
	begin(&(struct play_start){
		.text = "require('task').cooperative(true) os.task(function() "
			"print('go') io.stdout:flush() while true do end end) "
			"os.sleep(1)",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	play_event(&runner, "terminate", 0, 0);
	finish();
	CHECK_EQ(exit_code(), EXIT_TERMINATED);
}

/* Verify a queue's order, its size, its end and its timeouts. */
static void test_queues(void)
{
	run("local q = task.queue(2) local got = {} "
	    "local w = os.task(function() while true do local v, why = q:get() "
	    "if not v then return why end got[#got + 1] = v end end) "
	    "for i = 1, 100 do q:put(i) end q:close() "
	    "print(task.wait(w)) print(#got) for i = 1, 100 do "
	    "assert(got[i] == i) end "
	    "print(pcall(q.put, q, 1)) "
	    "local r = task.queue(1) print(r:put('a'), r:put('b', 0.001)) "
	    "print(#r, r:get(), r:get(0.001)) print(r:put(false)) "
	    "print(r:get()) print(pcall(r.put, r, nil)) "
	    "print(pcall(task.queue, 0)) "
	    "do local c <close> = r end print(r:get())");
	CHECK_STR(result.output,
		  "true\tclosed\n100\nfalse\tthe queue is closed\n"
		  "true\tnil\ttimeout\n1\ta\tnil\ttimeout\ntrue\nfalse\n"
		  "false\tbad argument #2 to '?' (a value expected)\n"
		  "false\tbad argument #1 to 'task.queue' (size must be "
		  "positive)\n"
		  "nil\tclosed\n");
}

/* Verify that values are neither lost nor doubled between many tasks, and
 * that a waiter that is killed when its value is there passes its turn on. */
static void test_queues_between_many(void)
{
	run("local q, sum, n = task.queue(3), 0, 0 "
	    "local getters = {} for i = 1, 20 do getters[i] = "
	    "os.task(function() for v in q.get, q do "
	    "task.atomic(function() sum = sum + v n = n + 1 end) if n % 7 == 0 "
	    "then os.sleep(0) end end end) end "
	    "local putters = {} for i = 1, 20 do putters[i] = "
	    "os.task(function() for v = 1, 100 do q:put(v) end end) end "
	    "for _, id in ipairs(putters) do task.wait(id) end q:close() "
	    "for _, id in ipairs(getters) do task.wait(id) end "
	    "print(n, sum)");
	CHECK_STR(result.output, "2000\t101000\n");
	run("local q = task.queue() local a = os.task(function() q:get() end) "
	    "local b = os.task(function() return q:get() end) os.sleep(0) "
	    "task.atomic(function() q:put('v') task.kill(a) end) "
	    "print(task.wait(a)) print(task.wait(b, 1))");
	CHECK_STR(result.output, "false\tkilled\ntrue\tv\n");
}

/* Verify that every sleeper wakes, whoever computes beside. */
static void test_sleepers(void)
{
	run("os.task(function() while true do end end) "
	    "local t, n = {}, 0 for i = 1, 50 do "
	    "t[i] = os.task(function() os.sleep((i * 37 % 50) / 1000) "
	    "task.atomic(function() n = n + 1 end) end) end "
	    "for i = 1, 50 do assert(task.wait(t[i])) end print(n) "
	    "os.exit(0)");
	CHECK_STR(result.output, "50\n");
}

/* --- streams ----------------------------------------------------------------
 */

/* Verify that who reads or writes waits alone, that others have their turn
 * after it, and that who is killed in the middle gives his up. */
static void test_reading_waits_in_its_task(void)
{
	begin(&(struct play_start){
		.text = "local task = require 'task' " UNTIL_WAITS
			"local function read() local id = os.task(io.read) "
			"until_waits(id) return id end "
			"local a, b, k = read(), read(), read() "
			"task.kill(k) print('go') io.stdout:flush() "
			"print(task.wait(a)) print(task.wait(b)) "
			"k = read() task.kill(k) "
			"print(task.wait(k)) io.stdout:flush() "
			"print(io.read('n', 'l', 'a'))",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	CHECK_EQ(write(runner.input, "on", 2), 2);
	CHECK_EQ(write(runner.input, "e\ntwo\n", 6), 6);
	CHECK(play_wait_output(&runner, "killed", &result));
	CHECK_EQ(write(runner.input, "1", 1), 1);
	CHECK_EQ(write(runner.input, "5 x\nrest", 8), 8);
	runner.input = fd_close(runner.input);
	finish();
	CHECK_STR(result.output,
		  "go\ntrue\tone\ntrue\ttwo\nfalse\tkilled\n15\t x\trest\n");
}

/* Verify that input arrives while another task computes without pause. */
static void test_input_beside_computing(void)
{
	begin(&(struct play_start){
		.text = "os.task(function() while true do end end) "
			"print('go') io.stdout:flush() print(io.read()) "
			"os.exit(0)",
	});
	CHECK(play_wait_output(&runner, "go", &result));
	CHECK_EQ(write(runner.input, "line\n", 5), 5);
	finish();
	CHECK_STR(result.output, "go\nline\n");
}

/* Verify that a full pipe stops its writers only, and that what they write is
 * whole. */
static void test_full_output(void)
{
	static const char text[] =
		"local line = ('x'):rep(999) for t = 1, 3 do "
		"os.task(function() for i = 1, 500 do print(line) end end) end "
		"local n = 0 for i = 1, 20 do os.sleep(0.001) n = n + 1 end "
		"io.stderr:write('go', n)";
	static char buffer[65536];
	size_t total = 0, bad = 0, column = 0;
	ssize_t n;

	begin(&(struct play_start){ .text = text });
	/* Nobody reads its output until it has said this. */
	CHECK_EQ(fd_read_full(runner.error, buffer, 4), 4);
	CHECK_EQ(memcmp(buffer, "go20", 4), 0);
	while ((n = read(runner.output, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			bool end = buffer[i] == '\n';

			bad += end != (column == 999);
			column = end ? 0 : column + 1;
		}
		total += (size_t)n;
	}
	CHECK_EQ(total, 1500 * 1000);
	CHECK_EQ(bad, 0);
	finish();
	CHECK_EQ(exit_code(), 0);
}

/* Verify that stdin and stdout need not be anything that one can wait for. */
static void test_plain_files(void)
{
	int saved[2] = { dup(0), dup(1) }, file, null;

	CHECK_EQ(fd_from_bytes("in", "a\nb\n", 4, &file), 0);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fflush(stdout);
	dup2(file, 0);
	dup2(null, 1);
	begin(&(struct play_start){
		.text = "local task = require 'task' local n = 0 "
			"local id = os.task(function() for l in io.lines() do "
			"print(l) n = n + #l end end) "
			"assert(task.wait(id)) os.exit(n)",
		.keep_stdio = true,
	});
	dup2(saved[0], 0);
	dup2(saved[1], 1);
	for (int i = 0; i < 2; i++)
		close(saved[i]);
	close(file);
	close(null);
	finish();
	CHECK_EQ(exit_code(), 2);
}

/* --- libraries and prompts --------------------------------------------------
 */

static unsigned asked;

static const char *library(const char *name)
{
	asked++;
	if (strcmp(name, "slow") == 0)
		return "begun = (begun or 0) + 1 "
		       "os.sleep(begun == 2 and 100 or 0.01) "
		       "loaded = (loaded or 0) + 1 return {}";
	if (strcmp(name, "a") == 0)
		return "os.sleep(0.001) if not in_a then in_a = true "
		       "require 'b' end return 'a'";
	if (strcmp(name, "b") == 0)
		return "os.sleep(0.001) if not in_b then in_b = true "
		       "require 'a' end return 'b'";
	if (strcmp(name, "bad") == 0)
		return "os.sleep(0.01) error('bad', 0)";
	return NULL;
}

/* Verify that tasks that require the same module get the same one, loaded
 * once; that one that fails is tried again; and that modules which require
 * each other do not stop two tasks for good. */
static void test_require_in_tasks(void)
{
	begin(&(struct play_start){
		.text = "local task = require 'task' "
			"local function both(f) local a, b = os.task(f), "
			"os.task(f) local _, x = task.wait(a) "
			"local _, y = task.wait(b) return x, y end "
			"local x, y = both(function() return require 'slow' "
			"end) print(x == y, type(x), loaded) "
			"print(both(function() return pcall(require, 'bad') "
			"end)) local k = os.task(require, 'slow2') "
			"package.loaded.slow = nil "
			"k = os.task(require, 'slow') "
			"repeat os.sleep(0.001) until begun == 2 "
			"task.kill(k) print(type(require 'slow'), loaded) "
			"local a, b = os.task(pcall, require, 'a'), "
			"os.task(pcall, require, 'b') "
			"print(task.wait(a)) print(task.wait(b))",
	});
	play_wait(&runner, library, &result);
	show();
	CHECK_STR(result.output, "true\ttable\t1\nfalse\tfalse\ntable\t2\n"
				 "true\ttrue\ta\ta\ntrue\ttrue\tb\tb\n");
}

/* Verify that tasks live beside a prompt, and that an interrupt ends the text
 * that is evaluated, and not them. */
static void test_prompt(void)
{
	begin(&(struct play_start){ .interactive = true, .name = "stdin" });
	play_evaluate(&runner, "n = 0 id = os.task(function() while true do "
			       "n = n + 1 end end)");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "m = n repeat until n > m");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "print('go') io.stdout:flush() os.sleep(1e6)");
	CHECK(play_wait_output(&runner, "go", &result));
	play_event(&runner, "interrupt", 0, 0);
	CHECK_EQ(play_wait_evaluated(&runner), 0);
	play_evaluate(&runner, "m = n repeat until n > m");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "require('task').kill(1) print('never')");
	CHECK_EQ(play_wait_evaluated(&runner), 0);
	play_evaluate(&runner, "x = os.task(function() local c <close> = "
			       "setmetatable({}, {__close = function() "
			       "print('closed') end}) up = true "
			       "os.sleep(1e6) end)");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "repeat os.sleep(0) until up");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_event(&runner, "terminate", 0, 0);
	finish();
	CHECK_EQ(exit_code(), EXIT_TERMINATED);
	CHECK_STR(result.output, "go\nclosed\n");
}

/* --- limits -----------------------------------------------------------------
 */

/* Verify that a thousand tasks run at once, one after the other and all
 * together, and that the limit is said. */
static void test_a_thousand(void)
{
	run("local ids, n = {}, 0 for round = 1, 3 do "
	    "for i = 1, 1000 do ids[i] = os.task(function() "
	    "task.atomic(function() n = n + 1 end) repeat os.sleep(0) until n "
	    "== 1000 * round return i end) end "
	    "for i = 1, 1000 do local ok, v = task.wait(ids[i]) "
	    "assert(ok and v == i) end end "
	    "print(n, #task.list()) "
	    "for i = 1, 1023 do os.task(os.sleep, 100) end "
	    "print(pcall(os.task, print)) os.exit(0)");
	CHECK_STR(result.output, "3000\t1\nfalse\ttoo many tasks (1024)\n");
	run_start(&(struct play_start){
		.tasks = 3,
		.text = "local task = require 'task' "
			"local q = task.queue() local a = os.task(q.get, q) "
			"local b = os.task(q.get, q) "
			"print(pcall(os.task, print)) q:close() "
			"task.wait(a) task.wait(b) "
			"os.task(print, 'free again')",
	});
	CHECK_STR(result.output, "false\ttoo many tasks (3)\nfree again\n");
}

/* Verify that the stacks count as memory: those that are there, and what is
 * touched of them. */
static void test_memory_of_stacks(void)
{
	run_start(&(struct play_start){
		.memory_bytes = 2 << 20,
		.text = "local n = 0 while pcall(os.task, os.sleep, 100) do "
			"n = n + 1 end print(n > 50 and n < 128) os.exit(0)",
	});
	CHECK_STR(result.output, "true\n");
	run_start(&(struct play_start){
		.memory_bytes = 8 << 20,
		.text = "local function nest(n) return (('x'):gsub('x', "
			"function() if n > 0 then return nest(n - 1) end "
			"end)) end for i = 1, 100 do os.task(function() "
			"nest(150) os.sleep(100) end) os.sleep(0) end "
			"print('never') os.exit(0)",
	});
	CHECK_EQ(exit_code(), EXIT_MEMORY);
	CHECK_STR(result.report, "memory");
	CHECK_STR(result.output, "");
}

/* Verify that Lua's own limits of the C stack are met in a task as they are in
 * the main function, before its end is. */
static void test_deep_recursion(void)
{
	static const char *const deep[] = {
		"local function f() return 1 + f() end f()",
		"local t = setmetatable({}, {}) getmetatable(t).__index = "
		"function(t, k) return t[k + 1] end return t[1]",
		"local function nest() return (('x'):gsub('x', nest)) end "
		"nest()",
		"assert(load(('('):rep(1e5) .. 'a'))",
		"local function co() return coroutine.wrap(co)() end co()",
		"local function s() table.sort({3, 2, 1}, s) end s()",
		"local why local function r() local _, m = load(r) "
		"why = why or m end r() error(why)",
		"local function p() return select(2, pcall(p)) end error(p())",
		"local t = setmetatable({}, {__tostring = function(t) return "
		"tostring(t) end}) tostring(t)",
		"local p = ('.-'):rep(190) .. 'b' "
		"local function nest(n) return (('a'):gsub('^a', function() "
		"if n > 0 then return nest(n - 1) end "
		"return ('aa'):find(p) end)) end "
		"nest(180) error('overflow')",
	};

	for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++) {
		char text[1024];

		snprintf(text, sizeof(text),
			 "local task = require 'task' "
			 "print(task.wait(os.task(function() %s end)))",
			 deep[i]);
		run_start(&(struct play_start){
			.memory_bytes = 256 << 20,
			.text = text,
		});
		CHECK_EQ(exit_code(), 0);
		CHECK(strncmp(result.output, "false\t", 6) == 0);
		CHECK(strstr(result.output, "overflow"));
	}
}

/* Verify that a crash in a task is told, and dies of its own signal, also when
 * its C stack is what overflowed. */
static void test_crash_in_a_task(void)
{
	/* The names of an erring expression are sought by recursion. */
	run("task.wait(os.task(function() x = {} x.a = x print(pcall("
	    "load('return x' .. ('.a'):rep(1e5) .. '.b.c'))) end))");
	if (WIFEXITED(result.status))
		SKIP("this Lua does not crash by that");
	CHECK_STR(result.report, "crash");
	CHECK_EQ(WTERMSIG(result.status), SIGSEGV);
}

/* Verify that a program's own limit of memory holds in tasks. */
static void test_memory_in_tasks(void)
{
	run_start(&(struct play_start){
		.memory_bytes = 4 << 20,
		.text = "local task = require 'task' "
			"print(task.wait(os.task(function() "
			"return ('x'):rep(1 << 23) end))) print('on')",
	});
	CHECK(strstr(result.output, "not enough memory"));
	CHECK(strstr(result.output, "\non\n"));
	run_start(&(struct play_start){
		.memory_bytes = 4 << 20,
		.text = "local t = {} for i = 1, 4 do os.task(function() while "
			"true do pcall(function() while true do t[#t + 1] = {} "
			"end end) end end) end",
	});
	CHECK_EQ(exit_code(), EXIT_MEMORY);
}

int main(void)
{
	char message[256];

	if (play_open(&zygote, NULL, NULL, message) < 0) {
		printf("Bail out! no zygote: %s\n", message);
		return 1;
	}
	RUN(test_preempted_everywhere);
	RUN(test_spinning_starves_nobody);
	RUN(test_message_between_spinning_tasks);
	RUN(test_chatting_starves_nobody);
	RUN(test_coroutines_in_tasks);
	RUN(test_finalizers);
	RUN(test_main_function_returns);
	RUN(test_errors);
	RUN(test_main_function_errs);
	RUN(test_ends_close_variables);
	RUN(test_interrupt_says_where);
	RUN(test_exit_at_once);
	RUN(test_kill);
	RUN(test_kill_before_the_first_turn);
	RUN(test_terminate_a_task);
	RUN(test_error_while_killed);
	RUN(test_library);
	RUN(test_several_wait_for_one);
	RUN(test_atomic);
	RUN(test_cooperative);
	RUN(test_queues);
	RUN(test_queues_between_many);
	RUN(test_sleepers);
	RUN(test_reading_waits_in_its_task);
	RUN(test_input_beside_computing);
	RUN(test_full_output);
	RUN(test_plain_files);
	RUN(test_require_in_tasks);
	RUN(test_prompt);
	RUN(test_a_thousand);
	RUN(test_memory_of_stacks);
	RUN(test_deep_recursion);
	RUN(test_crash_in_a_task);
	RUN(test_memory_in_tasks);
	play_close(&zygote);
	return tap_done();
}
