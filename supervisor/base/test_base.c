/* Descriptors, quoting, places of an instance, lists. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/instance.h"
#include "base/list.h"
#include "base/log.h"
#include "base/tap.h"
#include "base/utf8.h"

/* Verify that a text in a memfd is whole and cannot be changed. */
static void test_bytes_in_a_descriptor(void)
{
	char buf[16];
	int fd;

	CHECK_EQ(fd_from_bytes("t", "print(1)", 8, &fd), 0);
	CHECK_EQ(fd_read_full(fd, buf, sizeof(buf)), 8);
	CHECK(memcmp(buf, "print(1)", 8) == 0);
	CHECK(write(fd, "x", 1) < 0 && errno == EPERM);
	CHECK(ftruncate(fd, 0) < 0);
	CHECK_EQ(fd_close(fd), -1);
}

/* Verify that foreign text cannot write to a terminal. */
static void test_quoting(void)
{
	char longer[400];

	CHECK_STR(log_quote("hello"), "'hello'");
	CHECK_STR(log_quote("a\nb\x1b[31m"), "'a\\x0ab\\x1b[31m'");
	CHECK_STR(log_quote("gr\xc3\xbc\xc3\x9f"), "'gr\xc3\xbc\xc3\x9f'");
	CHECK_STR(log_quote("\xff\xc3"), "'\\xff\\xc3'");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	CHECK(strlen(log_quote(longer)) < 210);
}

/* Verify that THOX_DIR holds all of an instance. */
static void test_an_instance_in_one_directory(void)
{
	struct instance in;

	setenv("THOX_DIR", "/x/y", 1);
	CHECK_EQ(instance_locate(INSTANCE_USER, &in), 0);
	CHECK_STR(in.run, "/x/y/run");
	CHECK_STR(in.store, "/x/y/store");
	CHECK_STR(in.state, "/x/y/state");
	CHECK_STR(in.config, "/x/y");
	CHECK_STR(in.mount, "/x/y/mnt");
	unsetenv("THOX_DIR");
}

/* Verify where the system's instance is, and a user's. */
static void test_places(void)
{
	struct instance in;

	unsetenv("THOX_DIR");
	CHECK_EQ(instance_locate(INSTANCE_SYSTEM, &in), 0);
	CHECK_STR(in.run, "/run/thox");
	CHECK_STR(in.store, "/var/lib/thox");
	setenv("HOME", "/home/u", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	setenv("XDG_DATA_HOME", "relative", 1); /* which counts as unset */
	CHECK_EQ(instance_locate(INSTANCE_USER, &in), 0);
	CHECK_STR(in.run, "/run/user/7/thox");
	CHECK_STR(in.store, "/home/u/.local/share/thox");
	CHECK_STR(in.mount, "/home/u/thox");
}

/* Verify that a directory that others may write is not trusted. */
static void test_directories_are_private(void)
{
	char dir[] = "/tmp/thox-base.XXXXXX", path[64];
	struct instance in;
	struct stat st;

	CHECK(mkdtemp(dir));
	setenv("THOX_DIR", dir, 1);
	CHECK_EQ(instance_locate(INSTANCE_USER, &in), 0);
	CHECK_EQ(instance_make_dirs(&in), 0);
	CHECK_EQ(stat(in.run, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0700);
	CHECK_EQ(chmod(in.run, 0777), 0);
	CHECK_EQ(instance_make_dirs(&in), -EPERM);
	rmdir(in.run);
	snprintf(path, sizeof(path), "%s/state", dir);
	CHECK_EQ(symlink(path, in.run), 0);
	CHECK_EQ(instance_make_dirs(&in), -ENOTDIR);
	unlink(in.run);
	rmdir(in.store);
	rmdir(in.state);
	rmdir(dir);
	unsetenv("THOX_DIR");
}

/* Verify that a socket in a long directory has a path that fits. */
static void test_long_socket_paths(void)
{
	char dir[200] = "/tmp/", path[INSTANCE_SOCKET_BYTES];
	int dirfd;

	memset(dir + 5, 'd', 150);
	CHECK_EQ(mkdir(dir, 0700), 0);
	CHECK_EQ(instance_socket_path(dir, "control", path, &dirfd), 0);
	CHECK(dirfd >= 0 && strlen(path) < INSTANCE_SOCKET_BYTES);
	fd_close(dirfd);
	rmdir(dir);
	CHECK_EQ(instance_socket_path("/run", "control", path, &dirfd), 0);
	CHECK_EQ(dirfd, -1);
	CHECK_STR(path, "/run/control");
}

struct item {
	int value;
	struct list list;
};

/* Verify that a member may leave in the middle of a walk. */
static void test_lists(void)
{
	struct item items[5], *at, *after;
	struct list head;
	int sum = 0;

	list_init(&head);
	CHECK(list_empty(&head));
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_append(&head, &items[i].list);
	}
	list_each(at, after, &head, list) if (at->value % 2)
		list_remove(&at->list);
	list_each(at, after, &head, list) sum = sum * 10 + at->value;
	CHECK_EQ(sum, 24);
	list_remove(&items[1].list); /* once more: nothing happens */
	CHECK(list_first(&head, struct item, list) == &items[0]);
}

/* The code point as UTF-8 would have it, valid or not: its length. */
static size_t encode(unsigned long c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Verify that every code point is UTF-8, and nothing else is. */
static void test_utf8(void)
{
	static const char *const wrong[] = {
		"\x80",
		"\xc0\xaf",
		"\xc1\xbf",
		"\xe0\x9f\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xff",
		"\xc3(",
		"\xe2\x82",
		"\xe2(\xa1",
	};
	char text[200];

	for (unsigned long c = 0; c < 0x120000; c++) {
		size_t n = encode(c, text);

		CHECK_EQ(utf8_valid(text, n),
			 c < 0x110000 && (c < 0xd800 || c > 0xdfff));
		CHECK(n == 1 || !utf8_valid(text, n - 1));
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK(!utf8_valid(wrong[i], strlen(wrong[i])));
	CHECK(utf8_valid("", 0));
	for (size_t i = 0; i < sizeof(text); i++) { /* at every place */
		memset(text, 'a', sizeof(text));
		CHECK(utf8_valid(text, sizeof(text)));
		text[i] = (char)0xe9;
		CHECK(!utf8_valid(text, sizeof(text)));
	}
}

/* What @fn writes to standard error. */
static void captured(void (*fn)(void), char *ret_text, size_t size)
{
	int saved = dup(STDERR_FILENO), p[2];
	ssize_t n;

	CHECK(saved >= 0 && pipe(p) == 0);
	dup2(p[1], STDERR_FILENO);
	close(p[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = fd_read_full(p[0], ret_text, size - 1);
	ret_text[n > 0 ? n : 0] = '\0';
	close(p[0]);
}

static void say_some(void)
{
	errno = ENOENT;
	log_warn("cannot open %s", log_quote("a\nb"));
	CHECK_EQ(errno, ENOENT);
	log_info("ready");
	log_debug("not wanted");
}

/* Verify that an event is one line of process, level, text and error, and
 * that systemd's journal reads the level of it. */
static void test_log_lines(void)
{
	char text[512], expected[512];
	int pid = (int)getpid();

	unsetenv("JOURNAL_STREAM");
	log_init("tested", LOG_LEVEL_INFO);
	captured(say_some, text, sizeof(text));
	snprintf(expected, sizeof(expected),
		 "tested[%d]: warning: cannot open 'a\\x0ab': "
		 "No such file or directory\ntested[%d]: info: ready\n",
		 pid, pid);
	CHECK_STR(text, expected);
	setenv("JOURNAL_STREAM", "1:1", 1);
	captured(say_some, text, sizeof(text));
	CHECK(strncmp(text, "<4>tested[", 10) == 0);
	CHECK(strstr(text, "\n<6>tested[") != NULL);
	unsetenv("JOURNAL_STREAM");
}

/* Verify that a descriptor that is set aside is the same file, closed at an
 * exec, and that its old number is free; with no high numbers it stays. */
static void test_set_aside(void)
{
	struct rlimit limit, few = { 100, 100 };
	struct stat a, b;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), high;

	CHECK_EQ(fd_set_aside(-1), -1);
	CHECK_EQ(fstat(fd, &a), 0);
	fd_raise_limit();
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	high = fd_set_aside(fd);
	if (limit.rlim_cur > 8192) {
		CHECK(high >= 8192);
		CHECK(fcntl(fd, F_GETFD) < 0);
	} else {
		CHECK_EQ(high, fd);
	}
	CHECK_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fstat(high, &b), 0);
	CHECK(a.st_rdev == b.st_rdev && a.st_ino == b.st_ino);
	fd_close(high);
	few.rlim_max = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(fd_set_aside(fd), fd);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fd_close(fd);
}

int main(void)
{
	RUN(test_log_lines);
	RUN(test_bytes_in_a_descriptor);
	RUN(test_quoting);
	RUN(test_an_instance_in_one_directory);
	RUN(test_places);
	RUN(test_directories_are_private);
	RUN(test_long_socket_paths);
	RUN(test_set_aside);
	RUN(test_lists);
	RUN(test_utf8);
	return tap_done();
}
