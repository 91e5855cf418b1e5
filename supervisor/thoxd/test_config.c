/* thoxd.conf: values, and what is complained of. */

#include "thoxd/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "base/util.h"

static struct config config;
static int warned_line;
static unsigned warnings;

static void on_warning(const char *file, int line, const char *message,
		       void *user)
{
	(void)file;
	(void)message;
	(void)user;
	warned_line = line;
	warnings++;
}

static int read_text(const char *text)
{
	struct instance in = { .mode = INSTANCE_USER };
	char path[] = "/tmp/thox-config.XXXXXX";
	int fd = mkstemp(path), r;

	config_deinit(&config);
	config_init(&config, &in);
	warnings = 0;
	warned_line = 0;
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	close(fd);
	r = config_read(&config, path, on_warning, NULL);
	unlink(path);
	return r;
}

/* Verify that values of each type are read. */
static void test_values(void)
{
	CHECK_EQ(read_text("# a comment\n"
			   "[thoxd]\n"
			   "mount = no\n"
			   "log-level = debug\n"
			   "label = Turtle_7\n"
			   "max-connections = 17\n"
			   "[limits]\n"
			   "memory = 64M\n"
			   "cpu = 1.5min\n"
			   "wall = 0\n"
			   "tasks = 12\n"
			   "descriptors = 34\n"
			   "[mount]\n"
			   "point = /srv/thox\n"
			   "[zygote]\n"
			   "uid-range = 1000000-1000099\n"),
		 0);
	CHECK_EQ(warnings, 0);
	CHECK(!config.mount);
	CHECK_STR(config.log_level, "debug");
	CHECK_EQ(config.max_connections, 17);
	CHECK_EQ(config.memory_bytes, 64 << 20);
	CHECK_EQ(config.cpu_ms, 90000);
	CHECK_EQ(config.wall_ms, 0);
	CHECK_STR(config.label, "Turtle_7");
	CHECK_EQ(config.tasks, 12);
	CHECK_EQ(config.descriptors, 34);
	CHECK_STR(config.mount_point, "/srv/thox");
	CHECK_EQ(config.uid_first, 1000000);
	CHECK_EQ(config.uid_last, 1000099);
}

/* Verify that each wrong line is warned of, with its number, and the rest
 * is read. */
static void test_wrong_lines(void)
{
	static const char *const lines[] = {
		"nonsense = 1", "memory = lots", "memory = -5", "cpu = 3 weeks",
		"memory = 5Q",	"just words",	 "cpu = nan",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), "[limits]\n\n%s\nwall = 9s\n",
			 lines[i]);
		CHECK_EQ(read_text(text), 0);
		CHECK_EQ(warnings, 1);
		CHECK_EQ(warned_line, 3);
		CHECK_EQ(config.wall_ms, 9000);
	}
}

/* Verify that a key of another section is none. */
static void test_sections_count(void)
{
	CHECK_EQ(read_text("[thoxd]\nmemory = 1M\n[x]\nmount = no\n"), 0);
	CHECK_EQ(warnings, 2);
	CHECK(config.mount);
}

/* Verify that values that would do harm are refused. */
static void test_refused_values(void)
{
	static const char *const lines[] = {
		"[mount]\npoint = relative\n",
		"[zygote]\nuid-range = 0-10\n",
		"[zygote]\nuid-range = 10-5\n",
		"[zygote]\nuid-range = 10\n",
		"[thoxd]\nmax-connections = -1\n",
		"[thoxd]\nmax-connections = 1x\n",
		"[thoxd]\nmount = perhaps\n",
		"[limits]\ntasks = 0\n",
		"[limits]\ndescriptors = 0\n",
		"[exec]\nallow-call = a..b\n",
		"[exec]\ndeny-run = **.x\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		CHECK_EQ(read_text(lines[i]), 0);
		CHECK_EQ(warnings, 1);
		CHECK_EQ(warned_line, 2);
	}
}

static bool exec_may(enum policy_kind kind, const char *name)
{
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	struct mp_bytes bytes = { name, strlen(name) };

	return config_exec_policy(&config, &p) == 0 &&
	       policy_admits(p, kind, bytes, NULL);
}

/* Verify what may be done by hand: unless it is said, calls and bindings. */
static void test_exec(void)
{
	CHECK_EQ(read_text(""), 0);
	CHECK(exec_may(POLICY_CALL, "fs.read"));
	CHECK(exec_may(POLICY_BIND, "greeter"));
	CHECK(!exec_may(POLICY_RUN, "hello"));
	CHECK(!exec_may(POLICY_STORE, "hello"));
	CHECK(exec_may(POLICY_CALL, "storage.open"));
	CHECK(!exec_may(POLICY_CALL, "storage.open.hello"));
	CHECK(!exec_may(POLICY_CALL, "storage.admin.locks"));
	CHECK_EQ(read_text("[exec]\ndeny-call = fs.*\n"), 0);
	CHECK(!exec_may(POLICY_CALL, "fs.read"));
	CHECK(!exec_may(POLICY_CALL, "storage.open.hello"));
	CHECK_EQ(read_text("[exec]\nallow-call = **\n"), 0);
	CHECK(exec_may(POLICY_CALL, "storage.open.hello"));
	CHECK_EQ(read_text("[exec]\nallow-call = fs.* net.**\n"
			   "deny-call = fs.write,net.raw\n"
			   "allow-bind =\nallow-run = **\n"),
		 0);
	CHECK_EQ(warnings, 0);
	CHECK(exec_may(POLICY_CALL, "fs.read"));
	CHECK(!exec_may(POLICY_CALL, "fs.write"));
	CHECK(!exec_may(POLICY_CALL, "net.raw"));
	CHECK(!exec_may(POLICY_CALL, "mail"));
	CHECK(!exec_may(POLICY_BIND, "greeter"));
	CHECK(exec_may(POLICY_RUN, "hello"));
}

/* Verify that no file is an empty one. */
static void test_no_file(void)
{
	struct instance in = { .mode = INSTANCE_SYSTEM };

	config_deinit(&config);
	config_init(&config, &in);
	CHECK_EQ(config_read(&config, "/nonexistent/thoxd.conf", on_warning,
			     NULL),
		 0);
	CHECK(config.allow_other);
}

int main(void)
{
	RUN(test_values);
	RUN(test_wrong_lines);
	RUN(test_sections_count);
	RUN(test_refused_values);
	RUN(test_exec);
	RUN(test_no_file);
	config_deinit(&config);
	return tap_done();
}
