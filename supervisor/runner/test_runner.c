/*
 * The zygote and its runners, as thoxd sees them.
 */

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/tap.h"
#include "rpc/link.h"
#include "runner/play.h"

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

static void run_start(const struct play_start *s)
{
	play_run(&zygote, s, &result);
	show();
}

static void run(const char *text)
{
	run_start(&(struct play_start){ .text = text, .name = "hello" });
}

static void begin(const struct play_start *s)
{
	memset(&result, 0, sizeof(result));
	if (play_fork(&zygote, &runner) < 0)
		abort();
	play_start(&runner, s);
}

static void finish(play_library_fn library)
{
	play_wait(&runner, library, &result);
	show();
}

static int exit_code(void)
{
	return WIFEXITED(result.status) ? WEXITSTATUS(result.status)
					: 128 + WTERMSIG(result.status);
}

/* --- a program's life -------------------------------------------------------
 */

/* Verify that a program's output and exit code arrive. */
static void test_a_program_prints_and_exits(void)
{
	run("print('hello', 1, 2.5) io.write('x') os.exit(7)");
	CHECK_STR(result.output, "hello\t1\t2.5\nx");
	CHECK_EQ(exit_code(), 7);
	run("return 3");
	CHECK_EQ(exit_code(), 0);
	run("os.exit(false)");
	CHECK_EQ(exit_code(), 1);
	run("os.exit(true)");
	CHECK_EQ(exit_code(), 0);
}

/* Verify that arguments come as ..., and as arg with the name. */
static void test_arguments(void)
{
	static const char *const args[] = { "one", "", "three", NULL };

	run_start(&(struct play_start){
		.name = "args",
		.args = args,
		.text = "print(select('#', ...), ...) "
			"print(arg[0], #arg, arg[3], arg[2] == '')",
	});
	CHECK_STR(result.output, "3\tone\t\tthree\nargs\t3\tthree\ttrue\n");
}

/* Verify that an error ends with 1 and a traceback without paths. */
static void test_errors_name_program_and_line(void)
{
	run("local function f()\n  error('boom')\nend\nlocal x = f() return x");
	CHECK_EQ(exit_code(), EXIT_LUA_ERROR);
	CHECK_STR(result.report, "error");
	CHECK_STR(result.error, "hello:2: boom\nstack traceback:\n"
				"\t[C]: in function 'error'\n"
				"\thello:2: in local 'f'\n"
				"\thello:4: in main chunk\n");
	run("x = = 1");
	CHECK_STR(result.error, "hello:1: unexpected symbol near '='\n");
	CHECK_EQ(exit_code(), EXIT_LUA_ERROR);
	run("error({})");
	CHECK(strstr(result.error, "(error object is a table value)"));
	run("error(setmetatable({}, {__tostring = function() return 'mine' "
	    "end}))");
	CHECK(strncmp(result.error, "mine\n", 5) == 0);
	run("print('before') error('after', 0)");
	CHECK_STR(result.output, "before\n");
}

/* Verify that what was printed comes before what is said of the error, on one
 * and the same descriptor. */
static void test_output_is_in_order(void)
{
	int p[2], saved[2];
	char text[256];
	ssize_t n;

	CHECK(pipe(p) == 0);
	saved[0] = dup(1);
	saved[1] = dup(2);
	fflush(stdout);
	dup2(p[1], 1);
	dup2(p[1], 2);
	close(p[1]);
	begin(&(struct play_start){
		.text = "io.write('1') io.stderr:write('2') io.write('3') "
			"error('4', 0)",
		.keep_stdio = true,
	});
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	finish(NULL);
	n = fd_read_full(p[0], text, sizeof(text) - 1);
	close(p[0]);
	CHECK(n > 4);
	CHECK(memcmp(text, "1234\n", 5) == 0);
}

/* Verify that a first line with # is skipped and lines still count right. */
static void test_first_line_comment(void)
{
	run("#!/usr/bin/env -S thox-exec\nprint(1)\nerror('x')");
	CHECK_STR(result.output, "1\n");
	CHECK(strncmp(result.error, "hello:3: x", 10) == 0);
	run("# only that");
	CHECK_EQ(exit_code(), 0);
}

/* Verify that NUL and compiled Lua are refused by name. */
static void test_texts_only(void)
{
	run_start(&(struct play_start){
		.name = "hello",
		.text = "print(1)\n--[[\0]]",
		.text_size = 16,
	});
	CHECK_STR(result.error, "hello:2: the text contains a NUL byte\n");
	CHECK_EQ(exit_code(), 1);
	run("\x1bLua");
	CHECK(strstr(result.error, "compiled Lua is refused"));
	run("#!x\n\x1bLua");
	CHECK(strstr(result.error, "compiled Lua is refused"));
	run("print(load('\\27Lua'))");
	CHECK(strstr(result.output, "nil\t"));
	run("print(load('return 1', 'x', 'b'))");
	CHECK_STR(result.output,
		  "nil\tattempt to load a text chunk (mode is 'b')\n");
	run("print(load('return 2')(), load(function() end)(), string.dump)");
	CHECK_STR(result.output, "2\tnil\tnil\n");
}

/* Verify that a text far larger than a block is read whole. */
static void test_large_text(void)
{
	static char text[400000];
	char *p = text;

	p += sprintf(p, "local n = 0\n");
	while (p < text + sizeof(text) - 64)
		p += sprintf(p, "n = n + 1\n");
	sprintf(p, "print(n)\n");
	run(text);
	CHECK(atoi(result.output) > 39000);
}

/* Verify that an expression's values are printed when asked for. */
static void test_expressions(void)
{
	struct play_start s = { .expression = true };

	s.text = "1 + 1";
	run_start(&s);
	CHECK_STR(result.output, "2\n");
	s.text = "return 1, nil, 'x'";
	run_start(&s);
	CHECK_STR(result.output, "1\tnil\tx\n");
	s.text = "local a = 3";
	run_start(&s);
	CHECK_STR(result.output, "");
	s.text = "print(5)";
	run_start(&s);
	CHECK_STR(result.output, "5\n");
	s.text = "io.write('x')";
	run_start(&s);
	CHECK_STR(result.output, "x");
	s.text = "1 +";
	run_start(&s);
	CHECK_EQ(exit_code(), 1);
	CHECK(strncmp(result.error, "test:1: ", 8) == 0);
}

/* --- events -----------------------------------------------------------------
 */

/* Verify that an interrupt ends a loop in nested coroutines under pcall. */
static void test_interrupt_reaches_any_loop(void)
{
	static const char *const loops[] = {
		"while true do end",
		"while true do pcall(function() while true do end end) end",
		"local function f() return f() end f()",
		"coroutine.wrap(function() coroutine.wrap(function() "
		"while true do pcall(pcall, error) end end)() end)()",
		"table.sort({3, 2, 1}, function() while true do end end)",
		"string.gsub('x', 'x', function() while true do end end)",
		"local t = setmetatable({}, {__index = function() "
		"while true do end end}) return t.x",
		"repeat local co = coroutine.create(function() "
		"coroutine.yield() end) coroutine.resume(co) until false",
		"load(function() while true do end end)",
		"io.read()",
		"xpcall(error, function() while true do end end)",
	};

	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "print('go') io.stdout:flush() %s",
			 loops[i]);
		begin(&(struct play_start){ .text = text });
		CHECK(play_wait_output(&runner, "go", &result));
		play_event(&runner, "interrupt", 0, 0);
		finish(NULL);
		CHECK_EQ(exit_code(), EXIT_INTERRUPTED);
		CHECK_STR(result.report, "interrupted");
		CHECK(strstr(result.error, "interrupted!"));
		CHECK(strstr(result.error, "test:1: in "));
	}
}

/* Verify that a termination closes variables, innermost first, and that no
 * pcall is in its way. */
static void test_terminate_closes_variables(void)
{
	static const char text[] =
		"local function closing(name) return setmetatable({}, {__close "
		"= function() print('close ' .. name) end}) end\n"
		"local a <close> = closing('a')\n"
		"pcall(function() local b <close> = closing('b')\n"
		"coroutine.wrap(function() local c <close> = closing('c')\n"
		"print('go') io.stdout:flush() %s end)() end) print('never')";
	static const char *const waits[] = { "while true do end", "io.read()" };

	for (int i = 0; i < 2; i++) {
		char program[1024];

		snprintf(program, sizeof(program), text, waits[i]);
		begin(&(struct play_start){ .text = program });
		CHECK(play_wait_output(&runner, "go", &result));
		play_event(&runner, "terminate", 0, 0);
		finish(NULL);
		CHECK_EQ(exit_code(), EXIT_TERMINATED);
		CHECK_STR(result.report, "terminated");
		CHECK_STR(result.output, "go\nclose c\nclose b\nclose a\n");
	}
}

/* Verify that an event sent with the start is not lost. */
static void test_event_before_the_program(void)
{
	memset(&result, 0, sizeof(result));
	CHECK(play_fork(&zygote, &runner) == 0);
	play_start(&runner,
		   &(struct play_start){ .text = "while true do end" });
	play_event(&runner, "interrupt", 0, 0);
	for (int i = 0; i < 20; i++) /* the first may come before the program */
		play_event(&runner, "interrupt", 0, 0);
	play_event(&runner, "terminate", 0, 0);
	finish(NULL);
	CHECK(exit_code() == EXIT_INTERRUPTED ||
	      exit_code() == EXIT_TERMINATED);
}

/* Verify that an event sent before the start, which waits for the contexts
 * among a program's arguments, wakes it or ends it, and harms nothing. */
static void test_event_before_the_start(void)
{
	memset(&result, 0, sizeof(result));
	CHECK(play_fork(&zygote, &runner) == 0);
	play_event(&runner, "wake", 0, 0);
	play_event(&runner, "resize", 24, 80);
	play_start(&runner, &(struct play_start){ .text = "print('runs')" });
	finish(NULL);
	CHECK(exit_code() == 0);
	CHECK_STR(result.output, "runs\n");

	memset(&result, 0, sizeof(result));
	CHECK(play_fork(&zygote, &runner) == 0);
	play_event(&runner, "terminate", 0, 0);
	play_start(&runner, &(struct play_start){ .text = "print('runs')" });
	finish(NULL);
	CHECK(exit_code() == EXIT_TERMINATED);
	CHECK_STR(result.output, "");
	CHECK_STR(result.report, "terminated");
}

/* Verify that a runner ends when thoxd does. */
static void test_lost_thoxd_ends_runner(void)
{
	begin(&(struct play_start){ .text = "while true do end" });
	shutdown(runner.link.fd, SHUT_RDWR);
	finish(NULL);
	CHECK_EQ(exit_code(), EXIT_USAGE_EXEC);
}

/* Verify that the size of the terminal is what it is now. */
static void test_resize(void)
{
	begin(&(struct play_start){
		.columns = 80,
		.rows = 24,
		.text = "local function size() return os.getenv('COLUMNS') .. "
			"'x' .. os.getenv('LINES') end "
			"print(size()) repeat until size() ~= '80x24' "
			"print(size())",
	});
	CHECK(play_wait_output(&runner, "80x24", &result));
	play_event(&runner, "resize", 50, 132);
	finish(NULL);
	CHECK_STR(result.output, "80x24\n132x50\n");
}

/* --- a prompt ---------------------------------------------------------------
 */

/* Verify that texts are evaluated one by one in the same globals. */
static void test_prompt(void)
{
	begin(&(struct play_start){ .interactive = true, .name = "stdin" });
	play_evaluate(&runner, "x = 20");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "x + 1, 'a'");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "=x");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_evaluate(&runner, "error('bad')");
	CHECK_EQ(play_wait_evaluated(&runner), 0);
	play_evaluate(&runner, "x = = 2");
	CHECK_EQ(play_wait_evaluated(&runner), 0);
	play_evaluate(&runner, "os.exit(9)");
	finish(NULL);
	CHECK_STR(result.output, "21\ta\n20\n");
	CHECK(strncmp(result.error, "stdin:1: bad\nstack traceback:", 29) == 0);
	CHECK_EQ(exit_code(), 9);
}

/* Verify that an interrupt gives the prompt back, again and again. */
static void test_prompt_interrupted(void)
{
	begin(&(struct play_start){ .interactive = true, .name = "stdin" });
	for (int i = 0; i < 3; i++) {
		result.output[0] = '\0';
		play_evaluate(&runner,
			      "local x <close> = setmetatable({}, {__close = "
			      "function() closed = true end}) "
			      "print('go') io.stdout:flush() "
			      "pcall(function() while true do end end)");
		CHECK(play_wait_output(&runner, "go", &result));
		play_event(&runner, "interrupt", 0, 0);
		CHECK_EQ(play_wait_evaluated(&runner), 0);
	}
	play_event(&runner, "interrupt", 0, 0); /* of an idle prompt: nothing */
	play_evaluate(&runner, "closed");
	CHECK_EQ(play_wait_evaluated(&runner), 1);
	play_event(&runner, "terminate", 0, 0);
	finish(NULL);
	CHECK(strstr(result.output, "true\n"));
	CHECK(strstr(result.error, "interrupted!"));
	CHECK_EQ(exit_code(), EXIT_TERMINATED);
}

/* --- io ---------------------------------------------------------------------
 */

static void run_with_input(const char *text, const char *input, size_t size)
{
	begin(&(struct play_start){ .text = text });
	CHECK_EQ(write(runner.input, input, size), size);
	runner.input = fd_close(runner.input);
	finish(NULL);
}

/* Verify every format of read, at the end of file, too. */
static void test_read_formats(void)
{
	static const char input[] = "first\nsecond\n 0x1F 2.5e1 -7 .5 abc\n"
				    "12345rest\nlast";

	run_with_input("print(io.read()) print(io.read('L')) "
		       "print(io.read('n', 'n', 'n', 'n', 'n')) "
		       "print(io.read('l')) "
		       "print(io.read(5), io.read(0), io.read('*l')) "
		       "print(io.read('a')) print(io.read('a')) "
		       "print(io.read('l'), io.read(0), io.read(3))",
		       input, sizeof(input) - 1);
	CHECK_STR(result.output, "first\nsecond\n\n31\t25.0\t-7\t0.5\tnil\n"
				 "abc\n12345\t\trest\nlast\n\nnil\tnil\tnil\n");
}

/* Verify lines with formats, numbers of any length, and misuse. */
static void test_lines(void)
{
	run_with_input("for l in io.lines() do print('[' .. l .. ']') end "
		       "print(io.read())",
		       "a\n\nb", 4);
	CHECK_STR(result.output, "[a]\n[]\n[b]\nnil\n");
	run_with_input("for a, b in io.stdin:lines(1, 'n') do print(a, b) end",
		       "x1y2", 4);
	CHECK_STR(result.output, "x\t1\ny\t2\n");
	run("io.lines('/etc/passwd')");
	CHECK(strstr(result.error, "a program has no files"));
	run("io.read('x')");
	CHECK(strstr(result.error, "invalid format"));
	run("print(io.open, io.popen, io.tmpfile, os.execute, os.remove, "
	    "debug.sethook, dofile, loadfile, package.cpath)");
	CHECK_STR(result.output,
		  "nil\tnil\tnil\tnil\tnil\tnil\tnil\tnil\tnil\n");
}

/* Verify that a file object is what Lua's manual says. */
static void test_file_objects(void)
{
	run("print(io.type(io.stdout), io.type(1), tostring(io.stdin)) "
	    "print(io.stdout:write('a', 1, 2.0) == io.stdout) "
	    "print(io.stdout:setvbuf('no'), io.stdout:flush()) "
	    "print(io.stdin:close(), io.type(io.stdin), pcall(io.read)) "
	    "print(io.stdout:read())");
	CHECK(strstr(result.output, "file\tnil\tfile (stdin)\na12.0true\n"));
	CHECK(strstr(result.output, "true\tclosed file\tfalse\t"));
	CHECK(strstr(result.output, "nil\tBad file descriptor\t9\n"));
}

/* Verify that a closed pipe ends a program by SIGPIPE. */
static void test_closed_pipe(void)
{
	begin(&(struct play_start){
		.text = "while true do print('flood') end",
	});
	runner.output = fd_close(runner.output);
	finish(NULL);
	CHECK(WIFSIGNALED(result.status));
	CHECK_EQ(WTERMSIG(result.status), SIGPIPE);
}

/* Verify that input from a terminal is asked for, line by line. */
static void test_demand_stdin(void)
{
	char request;

	begin(&(struct play_start){
		.demand_stdin = true,
		.columns = 80,
		.rows = 24,
		.text = "io.write('name? ') print(io.read()) "
			"print(io.read()) print(io.read('a'))",
	});
	CHECK(play_wait_output(&runner, "name? ", &result));
	CHECK_EQ(read(runner.input, &request, 1), 1);
	CHECK_EQ(request, 'r');
	CHECK_EQ(write(runner.input, "dme\n", 4), 4);
	CHECK_EQ(read(runner.input, &request, 1), 1);
	CHECK_EQ(write(runner.input, "e", 1), 1);
	CHECK_EQ(read(runner.input, &request, 1), 1);
	CHECK_EQ(write(runner.input, "drest\n", 6), 6);
	CHECK_EQ(read(runner.input, &request, 1), 1);
	CHECK_EQ(write(runner.input, "e", 1), 1);
	finish(NULL);
	CHECK_STR(result.output, "name? me\nnil\nrest\n\n");
}

/* --- libraries --------------------------------------------------------------
 */

static const char *library(const char *name)
{
	if (strcmp(name, "cc.expect") == 0)
		return "local name, data = ... return {name = name, data = "
		       "data}";
	if (strcmp(name, "bad") == 0)
		return "\n\nerror('inside')";
	if (strcmp(name, "wrong") == 0)
		return "x = = 1";
	if (strcmp(name, "cycle") == 0)
		return "return require 'cycle'";
	if (strcmp(name, "nothing") == 0)
		return "loaded = (loaded or 0) + 1";
	return NULL;
}

static void run_with_libraries(const char *text)
{
	begin(&(struct play_start){ .text = text });
	runner.input = fd_close(runner.input);
	finish(library);
}

/* Verify that require finds libraries, once each. */
static void test_require(void)
{
	run_with_libraries(
		"local e, d = require 'cc.expect' "
		"print(e.name, e.data, d, e == require 'cc.expect')"
		"print(require 'nothing', require 'nothing', loaded)"
		"package.preload.p = function(...) return 'pre' end "
		"print(require 'p') print(require 'string' == string)");
	CHECK_STR(result.output, "cc.expect\tcc.expect\tcc.expect\ttrue\n"
				 "true\ttrue\t1\npre\t:preload:\ntrue\n");
}

/* Verify that a library's errors name it, and that a missing one is said to
 * be. */
static void test_require_errors(void)
{
	run_with_libraries("print(pcall(require, 'none'))");
	CHECK_STR(result.output,
		  "false\tmodule 'none' not found:\n"
		  "\tno field package.preload['none']\n\tno library 'none'\n");
	run_with_libraries("require 'bad'");
	CHECK(strncmp(result.error, "bad:3: inside", 13) == 0);
	run_with_libraries("require 'wrong'");
	CHECK(strstr(result.error, "wrong:1: unexpected symbol near '='"));
	run_with_libraries("print(pcall(require, 'cycle'))");
	CHECK(strstr(result.output, "C stack overflow"));
	run_with_libraries("print(pcall(require, ('x'):rep(1000)))");
	CHECK(strstr(result.output, "not found"));
}

/* --- limits and crashes -----------------------------------------------------
 */

/* Verify that the ceiling of memory is seen as Lua's own error. */
static void test_memory_limit(void)
{
	struct play_start s = { .memory_bytes = 1 << 20 };

	s.text = "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t "
		 "end";
	run_start(&s);
	CHECK_EQ(exit_code(), EXIT_MEMORY);
	CHECK_STR(result.report, "memory");
	CHECK_EQ(result.detail, 1 << 20);
	s.text = "print(pcall(string.rep, 'x', 1 << 21)) print('on')";
	run_start(&s);
	CHECK_STR(result.output, "false\tnot enough memory\non\n");
	s.text = "local t = {} while true do pcall(function() "
		 "for i = 1, 1e9 do t[#t + 1] = {} end end) end";
	run_start(&s);
	CHECK_EQ(exit_code(), EXIT_MEMORY);
	s.text = "local s = ('x'):rep(400000) print(#s)";
	run_start(&s);
	CHECK_EQ(exit_code(), 0);
}

/* Verify that the C stack's limits meet Lua's own, or end in a crash that is
 * told. */
static void test_deep_recursion(void)
{
	run_start(&(struct play_start){
		.memory_bytes = 256 << 20,
		.text = "local function f() return 1 + f() end f()",
	});
	CHECK_EQ(exit_code(), 1);
	CHECK(strstr(result.error, "stack overflow"));
	run("local t = setmetatable({}, {}) getmetatable(t).__index = "
	    "function(t, k) return t[k + 1] end return t[1]");
	CHECK_EQ(exit_code(), 1);
	run("local s = ('('):rep(1e6) .. ('a'):rep(10) print(load(s))");
	CHECK(strstr(result.output, "overflow"));
	run("local p = ('(.'):rep(32) print(pcall(string.find, "
	    "('a'):rep(300000),"
	    " ('.-'):rep(100000) .. 'b'))");
	CHECK(strstr(result.output, "pattern too complex"));
}

/* --- the sandbox ------------------------------------------------------------
 */

/* Verify what the kernel says of a runner. */
static void test_status_of_a_runner(void)
{
	static char text[8192], path[64];
	FILE *f;

	begin(&(struct play_start){ .text = "io.read()" });
	snprintf(path, sizeof(path), "/proc/%d/status", (int)runner.pid);
	f = fopen(path, "r");
	CHECK(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	play_event(&runner, "terminate", 0, 0);
	finish(NULL);
	CHECK(strstr(text, "NoNewPrivs:\t1"));
	CHECK(strstr(text, "Seccomp:\t2"));
	CHECK(strstr(text, "CapEff:\t0000000000000000"));
	CHECK(strstr(text, "CapBnd:\t0000000000000000"));
	CHECK(!strstr(text, "Uid:\t0"));
}

/* Make a process that waits in a system call do another one, as a program that
 * has taken its interpreter over would. */
static bool inject(pid_t pid, unsigned long nr, unsigned long arg)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
		return false;
	for (;;) {
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
			return false;
		ptrace(PTRACE_GETREGS, pid, NULL, &regs);
		if (regs.orig_rax != (unsigned long)-1)
			break;
		ptrace(PTRACE_CONT, pid, NULL, NULL); /* is on its way */
		usleep(1000);
	}
	regs.orig_rax = (unsigned long)-1;
	regs.rax = nr;
	regs.rdi = arg;
	regs.rip -= 2; /* back to the instruction that makes system calls */
	ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return true;
}

static void run_injected(unsigned long nr, unsigned long arg)
{
	begin(&(struct play_start){
		.text = "print('go') io.stdout:flush() io.read()",
	});
	play_wait_output(&runner, "go", &result);
	if (!inject(runner.pid, nr, arg))
		kill(runner.pid, SIGKILL);
	finish(NULL);
}

/* Verify that a refused system call ends a runner and is told by its number,
 * and that an attack ends it without a word. */
static void test_refused_system_calls(void)
{
	run_injected(SYS_socket, 0);
	if (exit_code() == EXIT_MEMORY)
		SKIP("may not trace");
	CHECK_EQ(exit_code(), EXIT_SANDBOX);
	CHECK_STR(result.report, "trap");
	CHECK_EQ(result.detail, SYS_socket);
	run_injected(SYS_chdir, 0);
	CHECK_EQ(result.detail, SYS_chdir);
	run_injected(SYS_execve, 0);
	CHECK_EQ(exit_code(), EXIT_SANDBOX);
	CHECK_STR(result.report, "");
}

/* Verify that a crash is told, and dies of its own signal, also when the C
 * stack is what overflowed. */
static void test_crashes_are_told(void)
{
	/* The names of an erring expression are sought by recursion. */
	run("x = {} x.a = x print(pcall(load('return x' .. "
	    "('.a'):rep(1e5) .. '.b.c')))");
	if (WIFEXITED(result.status))
		SKIP("this Lua does not crash by that");
	CHECK_STR(result.report, "crash");
	CHECK_EQ(WTERMSIG(result.status), SIGSEGV);
}

/* Verify that two runners of one zygote draw different numbers. */
static void test_random_differs(void)
{
	static char first[64];

	run("print(math.random(0))");
	snprintf(first, sizeof(first), "%.60s", result.output);
	run("print(math.random(0))");
	CHECK(strcmp(first, result.output) != 0);
}

/* Verify that the time works without files. */
static void test_time(void)
{
	run("print(os.time() > 1e9, #os.date() > 0, os.date('!%Y', 0), "
	    "os.clock() >= 0, os.difftime(2, 1), "
	    "os.time{year = 2024, month = 1, day = 1} > 0)");
	CHECK_STR(result.output, "true\ttrue\t1970\ttrue\t1.0\ttrue\n");
}

/* Verify that the environment is what was passed, and no more. */
static void test_environment(void)
{
	static const char *const env[] = { "A", "1", "EMPTY", "", NULL };

	run_start(&(struct play_start){
		.env = env,
		.text = "print(os.getenv('A'), os.getenv('EMPTY') == '', "
			"os.getenv('HOME'), os.getenv('COLUMNS'))",
	});
	CHECK_STR(result.output, "1\ttrue\tnil\tnil\n");
}

/* Verify that finalisers run at the end, and variables at os.exit(_, true). */
static void test_closing_at_the_end(void)
{
	run("setmetatable({}, {__gc = function() print('gc') end}) print(1)");
	CHECK_STR(result.output, "1\ngc\n");
	run("local x <close> = setmetatable({}, {__close = function() "
	    "print('closed') end}) "
	    "setmetatable({}, {__gc = function() print('gc') end}) "
	    "os.exit(3, true)");
	CHECK_STR(result.output, "closed\ngc\n");
	CHECK_EQ(exit_code(), 3);
}

/* More descriptors on their way than a zygote may have. */
static int park(int fd)
{
	int copies[] = { 0, 0, 0, 0, 0, 0 };
	struct link l;

	link_init(&l, fd);
	for (int i = 0; i < 20; i++)
		if (link_send(&l, "x", 1, copies, 6) < 0)
			return 1;
	return 0;
}

/* Verify that a zygote waits where its user has too much in flight. */
static void test_descriptors_in_flight(void)
{
	struct pollfd answer = { .fd = zygote.link.fd, .events = POLLIN };
	struct rlimit few = { 64, 64 }, usual;
	int fds[2], status;
	pid_t pid;

	/* what it may have in flight is what it may have open */
	CHECK_EQ(prlimit(zygote.pid, RLIMIT_NOFILE, NULL, &usual), 0);
	few.rlim_max = usual.rlim_max;
	CHECK_EQ(prlimit(zygote.pid, RLIMIT_NOFILE, &few, NULL), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	if (pid == 0) {
		_exit(geteuid() == 0 && setuid(PLAY_UID) < 0 ? 1
							     : park(fds[0]));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	play_ask(&zygote, &runner);
	/* As long as nobody takes them there is no answer, and no end. */
	CHECK_EQ(poll(&answer, 1, 100), 0);
	close(fds[0]);
	close(fds[1]);
	CHECK_EQ(prlimit(zygote.pid, RLIMIT_NOFILE, &usual, NULL), 0);
	CHECK_EQ(play_forked(&zygote, &runner), 0);
	memset(&result, 0, sizeof(result));
	play_start(&runner, &(struct play_start){ .text = "print(1)" });
	finish(NULL);
	CHECK_STR(result.output, "1\n");
}

/* Verify that coroutines behave as Lua's. */
static void test_coroutines(void)
{
	run("print(select(2, coroutine.running()), coroutine.isyieldable()) "
	    "print(pcall(coroutine.yield)) "
	    "local co = coroutine.create(function(a) "
	    "  print(select(2, coroutine.running()), coroutine.isyieldable()) "
	    "  local b = coroutine.yield(a + 1) error('e' .. b) end) "
	    "print(coroutine.resume(co, 1)) print(coroutine.status(co)) "
	    "print(coroutine.resume(co, 2)) print(coroutine.status(co)) "
	    "print(coroutine.resume(co)) print(coroutine.close(co)) "
	    "local w = coroutine.wrap(function() error({}) end) "
	    "print(pcall(w)) "
	    "print(pcall(coroutine.wrap(function() error('deep') end))) "
	    "print(coroutine.close(coroutine.create(print))) "
	    "print(pcall(coroutine.close, coroutine.running()))"
	    "print(pcall(coroutine.resume, 1))");
	CHECK(strstr(result.output,
		     "true\tfalse\n"
		     "false\tattempt to yield from outside a coroutine\n"
		     "false\ttrue\ntrue\t2\nsuspended\n"
		     "false\thello:1: e2\ndead\n"
		     "false\tcannot resume dead coroutine\n"
		     "false\thello:1: e2\nfalse\ttable: "));
	CHECK(strstr(result.output, "deep\ntrue\n"
				    "false\tcannot close a running coroutine\n"
				    "false\tbad argument #1 to "
				    "'coroutine.resume' (coroutine expected, "
				    "got number)\n"));
}

/* --- runtimes ---------------------------------------------------------------
 */

/* Verify that a runtime's globals are there, that its function runs once in
 * each process with the program's name and arguments, and that processes have
 * nothing in common. */
static void test_runtime(void)
{
	static const char runtime[] =
		"greeting = 'hello from ' .. ...\n" /* no name is passed */
		"return nothing";
	static const char good[] =
		"shared = {} package.preload.extra = function() return 42 end "
		"return function(name, ...) shared[#shared + 1] = name "
		"print(name, select('#', ...), ...) end";
	static const char *const args[] = { "a", "b", NULL };
	struct play_zygote saved = zygote, other;
	char message[256];

	CHECK_EQ(play_open(&other, runtime, NULL, message), -1);
	CHECK(strncmp(message, "runtime: rt:1: ", 15) == 0);
	CHECK_EQ(play_open(&other, good, NULL, message), 0);
	zygote = other;
	for (int i = 0; i < 2; i++) {
		run_start(&(struct play_start){
			.args = args,
			.text = "print(#shared, require 'extra', ...)",
		});
		if (strcmp(result.output, "test\t2\ta\tb\n1\t42\ta\tb\n") != 0)
			break;
	}
	play_close(&other);
	zygote = saved;
	CHECK_STR(result.output, "test\t2\ta\tb\n1\t42\ta\tb\n");
}

/* Verify that what a runtime cannot do while it is loaded is said, and that a
 * large one loads. */
static void test_runtime_refused(void)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "x = = 1", "runtime: rt:1: unexpected symbol near '='" },
		{ "error('no')", "runtime: rt:1: no" },
		{ "return 5", "runtime: rt: a runtime returns a function" },
		{ "require 'x'", "runtime: a runtime cannot require" },
		{ "io.write('x')", "runtime: rt:1: there are no streams" },
		{ "print('x')", "runtime: rt:1: there are no streams" },
		{ "os.exit(1)", "runtime: rt:1: a runtime cannot exit" },
		{ "local t = {} while true do t[#t + 1] = ('x'):rep(9999) .. #t"
		  " end",
		  "runtime: not enough memory" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct play_zygote z;
		char message[256];

		CHECK_EQ(play_open(&z, bad[i].text, NULL, message), -1);
		printf("# %s\n", message);
		CHECK(strncmp(message, bad[i].message,
			      strlen(bad[i].message)) == 0);
	}
}

int main(void)
{
	char message[256];

	if (play_open(&zygote, NULL, NULL, message) < 0) {
		printf("Bail out! no zygote: %s\n", message);
		return 1;
	}
	RUN(test_a_program_prints_and_exits);
	RUN(test_arguments);
	RUN(test_errors_name_program_and_line);
	RUN(test_output_is_in_order);
	RUN(test_first_line_comment);
	RUN(test_texts_only);
	RUN(test_large_text);
	RUN(test_expressions);
	RUN(test_interrupt_reaches_any_loop);
	RUN(test_terminate_closes_variables);
	RUN(test_event_before_the_program);
	RUN(test_event_before_the_start);
	RUN(test_lost_thoxd_ends_runner);
	RUN(test_resize);
	RUN(test_prompt);
	RUN(test_prompt_interrupted);
	RUN(test_read_formats);
	RUN(test_lines);
	RUN(test_file_objects);
	RUN(test_closed_pipe);
	RUN(test_demand_stdin);
	RUN(test_require);
	RUN(test_require_errors);
	RUN(test_memory_limit);
	RUN(test_deep_recursion);
	RUN(test_status_of_a_runner);
	RUN(test_refused_system_calls);
	RUN(test_crashes_are_told);
	RUN(test_random_differs);
	RUN(test_time);
	RUN(test_environment);
	RUN(test_closing_at_the_end);
	RUN(test_descriptors_in_flight);
	RUN(test_coroutines);
	RUN(test_runtime);
	RUN(test_runtime_refused);
	play_close(&zygote);
	return tap_done();
}
