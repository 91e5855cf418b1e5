/* The verifier: good texts pass, bad ones are refused and named. */

#include "fs/verify.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"
#include "fs/store.h"
#include "fs/verify_message.h"
#include "fs/verify_text.h"

static struct verifier *verifier;

static int check_bytes(enum store_dir dir, const char *name, const void *text,
		       size_t size, struct verdict *v)
{
	int fd = memfd_create("text", MFD_CLOEXEC), r;

	memset(v, 0, sizeof(*v));
	if (fd < 0 || fd_write_all(fd, text, size) < 0)
		abort();
	r = verifier_check(verifier, dir, name, fd, v);
	fd_close(fd);
	return r;
}

static struct verdict v;

static int check(const char *text)
{
	return check_bytes(DIR_PROGRAMS, "hello", text, strlen(text), &v);
}

/* Verify that what Lua compiles passes, without being run. */
static void test_good_texts_pass(void)
{
	static const char *const good[] = {
		"",
		"print 'x'",
		"#!/usr/bin/env thox-exec\nreturn 1",
		"# a comment line of the shell",
		"while true do end",
		"error('not run')",
		"goto done; do ::done:: end ::done::",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK_EQ(check(good[i]), 0);
		CHECK_STR(v.reason, "");
		CHECK_EQ(v.result, 0);
	}
}

/* Verify that the reason names the program, the line and the token. */
static void test_the_reason_names_the_line(void)
{
	CHECK_EQ(check("a = 1\nb = 2\nc = }"), 0);
	CHECK_EQ(v.result, -EINVAL);
	CHECK_STR(v.reason, "hello:3: unexpected symbol near '}'");
	CHECK_EQ(check("#!/usr/bin/thox-exec\n}"), 0);
	CHECK_STR(v.reason, "hello:2: unexpected symbol near '}'");
}

/* Verify that a NUL, bytecode and control characters do no harm. */
static void test_what_is_no_text_is_refused(void)
{
	CHECK_EQ(check_bytes(DIR_PROGRAMS, "hello", "a=1\nb=\0", 7, &v), 0);
	CHECK_STR(v.reason, "hello:2: the text contains a NUL byte");
	CHECK_EQ(check("\033Lua\x54\x00"), 0);
	CHECK_STR(v.reason, "hello: precompiled Lua is not accepted");
	CHECK_EQ(check("x = 'abc\033[31mred\xff\n'"), 0);
	CHECK_EQ(v.result, -EINVAL);
	for (const char *p = v.reason; *p; p++)
		CHECK((unsigned char)*p >= 32);
}

/* Verify that depth, size and memory have limits that are named, and that
 * the verifier goes on. */
static void test_monstrous_texts_are_refused(void)
{
	size_t size = 16U << 20;
	char *text = malloc(size + 1);

	CHECK(text);
	memset(text, '(', size + 1);
	CHECK_EQ(check_bytes(DIR_PROGRAMS, "deep", text, size, &v), 0);
	CHECK_EQ(v.result, -EINVAL);
	CHECK_STR(v.reason, "deep: it is nested too deeply (C stack overflow)");
	CHECK_EQ(check_bytes(DIR_PROGRAMS, "deep", text, size + 1, &v), 0);
	CHECK_STR(v.reason, "deep: a text is at most 16 MiB");
	free(text);
	CHECK_EQ(check("return 1"), 0);
	CHECK_EQ(v.result, 0);
}

/* Verify that a text that needs a descriptor is read through it. */
static void test_large_texts(void)
{
	size_t size = 1U << 20;
	char *text = malloc(size);

	CHECK(text);
	memset(text, '\n', size);
	CHECK_EQ(check_bytes(DIR_LIBRARIES, "large", text, size, &v), 0);
	CHECK_EQ(v.result, 0);
	text[size - 1] = '}';
	CHECK_EQ(check_bytes(DIR_LIBRARIES, "large", text, size, &v), 0);
	CHECK_STR(v.reason, "large:1048576: unexpected symbol near '}'");
	free(text);
}

/* Verify that a first line's runtime is told, and a bad one refused. */
static void test_the_first_line(void)
{
	static const struct {
		const char *line, *runtime;
	} lines[] = {
		{ "#!/usr/bin/env -S thox-exec -r cc\n", "cc" },
		{ "#!/usr/bin/thox-exec -rcc\n", "cc" },
		{ "#!/usr/bin/thox-exec --runtime=cc", "cc" },
		{ "#!/usr/bin/thox-exec --runtime cc\r\n", "cc" },
		{ "#!/usr/bin/thox-exec\n", "" },
		{ "#!/usr/bin/lua -r cc\n", "" },
		{ "# thox-exec -r cc\n", "" },
		{ "-- thox-exec -r cc\n", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		CHECK_EQ(check(lines[i].line), 0);
		CHECK_EQ(v.result, 0);
		CHECK_STR(v.runtime, lines[i].runtime);
	}
	CHECK_EQ(check("#!/usr/bin/thox-exec -r ../x\n"), 0);
	CHECK_EQ(v.result, -EINVAL);
	CHECK_EQ(check("#!/usr/bin/thox-exec -r\n"), 0);
	CHECK_EQ(v.result, -EINVAL);
}

static int check_service(const char *text)
{
	return check_bytes(DIR_SERVICES, "a.service", text, strlen(text), &v);
}

/* Verify that a service's keys and values are checked, a schedule that is past
 * included, and the line is told. */
static void test_services(void)
{
	CHECK_EQ(check_service("; a comment\n[service]\nprogram = hello\n"), 0);
	CHECK_EQ(v.result, 0);
	CHECK_EQ(check_service("[service]\nprogram = hello\nwhat\n"), 0);
	CHECK_STR(v.reason,
		  "a.service:3: neither `[section]` nor `key = value`");
	CHECK_EQ(check_service("[service]\nprogram = hello\n"
			       "schedule = 2020-01-01\n"),
		 0);
	CHECK_STR(v.reason, "a.service:3: schedule: '2020-01-01' never comes "
			    "any more");
	CHECK_EQ(check_service("[service]\nprogram = hello\n"
			       "schedule = Mon..Fri 03:00\n"),
		 0);
	CHECK_EQ(v.result, 0);
}

/* Verify that a service that is too large is refused, by descriptor too. */
static void test_large_services(void)
{
	size_t size = 1U << 20;
	char *text = malloc(size);

	CHECK(text);
	memset(text, '\n', size);
	CHECK_EQ(check_bytes(DIR_SERVICES, "large", text, size, &v), 0);
	CHECK_STR(v.reason, "large: a service file is at most 64 KiB");
	free(text);
}

/* Verify that what a service needs of the store is told, with its line. */
static void test_needs_are_told(void)
{
	CHECK_EQ(check_service("[service]\nprogram = cc#hello@3\n"
			       "[order]\nrequires = db\n"),
		 0);
	CHECK_EQ(v.result, 0);
	CHECK_EQ(v.n_needs, 2);
	CHECK_EQ(v.needs[0].dir, DIR_PROGRAMS);
	CHECK_STR(v.needs[0].name, "hello");
	CHECK_EQ(v.needs[0].version, 3);
	CHECK_EQ(v.needs[0].line, 2);
	CHECK_EQ(v.needs[1].dir, DIR_RUNTIMES);
	CHECK_STR(v.needs[1].name, "cc");
	CHECK_EQ(check("return 1"), 0);
	CHECK_EQ(v.n_needs, 0);
}

/* Verify that a text is refused for what is not in the store. */
static void test_needs_are_looked_up(void)
{
	static const struct store_options options = { 0 };
	char path[] = "/tmp/thox-verify.XXXXXX", command[64];
	struct store_change change = { .event = STORE_PUBLISHED,
				       .dir = DIR_PROGRAMS,
				       .name = "hello.lua" };
	struct store *s = NULL;

	CHECK(mkdtemp(path));
	CHECK_EQ(store_open(path, &options, &s), 0);
	CHECK_EQ(store_text_from_bytes(s, DIR_PROGRAMS, "hello.lua", "", 0,
				       &change.text),
		 0);
	CHECK_EQ(store_commit(s, &change, 1), 0);

	check_service("[service]\nprogram = hello\n");
	verdict_check_needs(&v, s, "a.service");
	CHECK_EQ(v.result, 0);
	check_service("[service]\nprogram = hello@1\nruntime = native\n");
	verdict_check_needs(&v, s, "a.service");
	CHECK_EQ(v.result, 0);
	check_service("[service]\n\nprogram = hallo\n");
	verdict_check_needs(&v, s, "a.service");
	CHECK_EQ(v.result, -EINVAL);
	CHECK_STR(v.reason, "a.service:3: there is no program hallo");
	check_service("[service]\nprogram = hello@2\n");
	verdict_check_needs(&v, s, "a.service");
	CHECK_STR(v.reason, "a.service:2: there is no version 2 of hello");
	check_service("[service]\nprogram = hello\nruntime = cc\n");
	verdict_check_needs(&v, s, "a.service");
	CHECK_STR(v.reason, "a.service:3: there is no runtime cc");

	store_text_free(change.text);
	store_free(s);
	snprintf(command, sizeof(command), "rm -r %s", path);
	CHECK_EQ(system(command), 0);
}

/* The parser is the verifier's only child. */
static pid_t parser(void)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
		 verifier_pid(verifier), verifier_pid(verifier));
	for (int i = 0; i < 1000 && pid == 0; i++) {
		f = fopen(path, "r");
		if (!f)
			return 0;
		if (fscanf(f, "%d", &pid) != 1)
			pid = 0;
		fclose(f);
		if (pid == 0)
			usleep(1000);
	}
	return pid;
}

/* Resident bytes: they grow while it parses. */
static long memory_of(pid_t pid)
{
	long size = 0, resident = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	f = fopen(path, "r");
	if (!f)
		return LONG_MAX;
	if (fscanf(f, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * 4096;
}

/* Stopped for good, not only told to. */
static bool stop(pid_t pid)
{
	char path[64], state = '?';
	FILE *f;

	if (pid <= 0 || kill(pid, SIGSTOP) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int i = 0; i < 5000 && state != 'T'; i++) {
		f = fopen(path, "r");
		if (!f || fscanf(f, "%*d %*s %c", &state) != 1)
			state = '?';
		if (f)
			fclose(f);
		if (state != 'T')
			usleep(1000);
	}
	return state == 'T';
}

/* One that has parsed nothing large yet, in place of @pid. */
static pid_t another_parser(pid_t pid)
{
	pid_t now;

	if (kill(pid, SIGKILL) < 0)
		abort();
	for (int i = 0; i < 5000 && kill(pid, 0) == 0; i++)
		usleep(1000);
	if (check("return 1") < 0)
		abort();
	now = parser();
	if (now <= 0)
		abort();
	return now;
}

/* Sends @pid the signal as soon as it is seen to compute. */
static pid_t send_during(pid_t pid, int signal)
{
	pid_t helper = fork();

	if (helper != 0)
		return helper;
	while (memory_of(pid) < 8 << 20)
		usleep(500);
	kill(pid, signal);
	_exit(0);
}

/* Check a text that takes a while, and send the parser a signal meanwhile. On
 * a busy machine it may be through before it was seen: then once more. */
static int check_during(const char *name, int signal)
{
	size_t size = 12U << 20;
	char *text = malloc(size);
	int fd = memfd_create("text", MFD_CLOEXEC), r;
	pid_t pid = parser(), helper;

	if (!text || fd < 0 || pid <= 0)
		abort();
	for (size_t i = 0; i < size; i += 4)
		memcpy(text + i, "a=1;", 4);
	if (fd_write_all(fd, text, size) < 0)
		abort();
	free(text);
	for (;;) {
		helper = send_during(pid, signal);
		r = verifier_check(verifier, DIR_PROGRAMS, name, fd, &v);
		kill(helper, SIGKILL);
		if (waitpid(helper, NULL, 0) < 0)
			abort();
		if (r < 0 || v.result != 0)
			break;
		pid = another_parser(pid);
	}
	fd_close(fd);
	return r;
}

/* Verify that a parser that dies is replaced, and the text in it refused with
 * the signal named. */
static void test_a_parser_that_dies_is_replaced(void)
{
	pid_t first = parser();

	CHECK(first > 0);
	/* Between requests nobody is to blame. */
	CHECK(another_parser(first) != first);
	CHECK_EQ(v.result, 0);

	/* During one, the text is. */
	CHECK_EQ(check_during("crash", SIGSYS), 0);
	CHECK_EQ(v.result, -EINVAL);
	CHECK_STR(v.reason, "crash: the parser was killed by signal 31 "
			    "(SIGSYS)");
	CHECK_EQ(check_during("long", SIGPROF), 0);
	CHECK_STR(v.reason, "long: parsing took more than 2 s of processor "
			    "time");
	CHECK_EQ(check("return 1"), 0);
	CHECK_EQ(v.result, 0);
}

/* Verify that a parser that hangs, and whose own timer fails, is killed. */
static void test_a_parser_that_hangs_is_killed(void)
{
	pid_t pid;

	verifier_set_patience(verifier, 1000);
	CHECK_EQ(check_during("slow", SIGSTOP), 0);
	verifier_set_patience(verifier, VERIFY_PATIENCE_MSEC);
	CHECK_STR(v.reason, "slow: the parser did not answer in time");
	/* One that never saw the text leaves it to the next. */
	pid = parser();
	CHECK(stop(pid));
	CHECK_EQ(check("return 1"), 0);
	CHECK_EQ(v.result, 0);
}

/* Verify that many texts may be on their way, one of them deadly, and each
 * gets its own verdict in whatever order it is waited for. */
static void test_many_at_once(void)
{
	uint32_t tickets[20];
	pid_t pid = parser();
	char text[64];

	CHECK(stop(pid));
	for (int i = 0; i < 20; i++) {
		int fd = memfd_create("text", MFD_CLOEXEC);

		snprintf(text, sizeof(text), i % 2 ? "a = %d" : "%d = a", i);
		CHECK(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
		CHECK_EQ(verifier_ask(verifier, DIR_PROGRAMS, "many", fd,
				      &tickets[i]),
			 0);
		fd_close(fd);
	}
	CHECK_EQ(kill(pid, SIGKILL), 0);
	for (int i = 19; i >= 0; i--) {
		CHECK_EQ(verifier_answer(verifier, "many", tickets[i], &v), 0);
		CHECK_EQ(v.result, i % 2 ? 0 : -EINVAL);
	}
}

/* Verify that a verifier that is gone is reported as such. */
static void test_a_verifier_that_is_gone(void)
{
	struct verifier *gone, *keep = verifier;
	int r = 0;

	CHECK_EQ(verifier_new("./thox-verifier", &gone), 0);
	CHECK_EQ(kill(verifier_pid(gone), SIGKILL), 0);
	verifier = gone;
	/* Its child may have time for an answer yet. */
	for (int i = 0; i < 5000 && (r = check("return 1")) == 0; i++)
		usleep(1000);
	CHECK_EQ(r, -EPIPE);
	verifier = keep;
	verifier_free(gone);
	CHECK_EQ(verifier_new("/nonexistent/verifier", &gone), -ENOENT);
}

/* Verify that no malformed message is believed. */
static void test_messages_are_read_without_belief(void)
{
	struct verify_request request = {
		.seq = 7, .dir = DIR_RUNTIMES, .name = "cc", .size = 4
	};
	struct verify_reply reply = { .seq = 7, .kind = VERIFY_BAD }, back;
	char buf[1024];
	size_t n;

	n = verify_request_write(&request, buf);
	memcpy(buf + n, "text", sizeof("text"));
	for (size_t i = 0; i < n + 4; i++) {
		char *part = malloc(i + 1);

		CHECK(part);
		memcpy(part, buf, i);
		CHECK_EQ(verify_request_read(&request, part, i), -EBADMSG);
		free(part);
	}
	CHECK_EQ(verify_request_read(&request, buf, n + 4), 0);
	CHECK_STR(request.text, "text");

	strcpy(reply.reason, "why");
	strcpy(reply.runtime, "cc");
	n = verify_reply_write(&reply, buf);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(verify_reply_read(&back, buf, i), -EBADMSG);
	CHECK_EQ(verify_reply_read(&back, buf, n), 0);
	CHECK_STR(back.reason, "why");
	buf[n - 1] = '/';
	CHECK_EQ(verify_reply_read(&back, buf, n), -EBADMSG);

	reply.n_needs = 2;
	reply.needs[0] = (struct verify_need){
		.dir = DIR_RUNTIMES, .line = 7, .version = 9, .name = "dd"
	};
	reply.needs[1] = (struct verify_need){ .name = "hello" };
	n = verify_reply_write(&reply, buf);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(verify_reply_read(&back, buf, i), -EBADMSG);
	CHECK_EQ(verify_reply_read(&back, buf, n + 1), -EBADMSG);
	CHECK_EQ(verify_reply_read(&back, buf, n), 0);
	CHECK_EQ(back.n_needs, 2);
	CHECK_EQ(back.needs[0].version, 9);
	CHECK_STR(back.needs[0].name, "dd");
	CHECK_STR(back.needs[1].name, "hello");
}

int main(void)
{
	if (verifier_new("./thox-verifier", &verifier) < 0)
		return 1;
	RUN(test_good_texts_pass);
	RUN(test_the_reason_names_the_line);
	RUN(test_what_is_no_text_is_refused);
	RUN(test_monstrous_texts_are_refused);
	RUN(test_large_texts);
	RUN(test_the_first_line);
	RUN(test_services);
	RUN(test_large_services);
	RUN(test_needs_are_told);
	RUN(test_needs_are_looked_up);
	RUN(test_a_parser_that_dies_is_replaced);
	RUN(test_a_parser_that_hangs_is_killed);
	RUN(test_many_at_once);
	RUN(test_a_verifier_that_is_gone);
	RUN(test_messages_are_read_without_belief);
	verifier_free(verifier);
	return tap_done();
}
