/*
 * Step 2, in thoxctl: commands that thoxd answers.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl.h"
#include "cli/ctl_ask.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"
#include "native/connect.h"
#include "rpc/control.h"

#define SHUTDOWN_S 60
#define REEXEC_S   60

int ctl_ps(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "PID", "pid", true, false },
		{ "NAME", "name", false, true },
		{ "VERSION", "version", true, false },
		{ "RUNTIME", "runtime", false, true },
		{ "SERVICE", "service", false, true },
		{ "STATE", "state", false, false },
		{ "AGE", "started_ms", true, false },
		{ "CPU", "cpu_us", true, false },
		{ "MEMORY", "memory_bytes", true, false },
		{ NULL, NULL, false, false },
	};
	json_t *value;
	int r = ctl_request(ctl, "ps", json_object(), &value);

	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(value);
	else
		table_print(columns, value);
	json_decref(value);
	return CTL_OK;
}

/* A number that may be a process's: {pid}; false for another word. */
static bool parse_pid(const char *text, json_int_t *ret_pid)
{
	char *end;
	long pid;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	pid = strtol(text, &end, 10);
	if (*end || errno || pid <= 0 || pid > INT32_MAX)
		return false;
	*ret_pid = pid;
	return true;
}

int ctl_status(struct ctl *ctl)
{
	json_t *arguments = json_object(), *value;
	json_int_t pid;
	int r;

	if (ctl->argc > 0 &&
	    (ctl->argc > 1 || !parse_pid(ctl->argv[0], &pid))) {
		json_decref(arguments);
		return ctl_service_status(ctl);
	}
	if (ctl->argc > 0)
		json_object_set_new(arguments, "pid", json_integer(pid));
	r = ctl_request(ctl, "status", arguments, &value);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(value);
	else
		table_print_object(value);
	json_decref(value);
	return CTL_OK;
}

json_t *ctl_process_arguments(const char *text)
{
	json_t *arguments = json_object();
	json_int_t pid;
	int r;

	if (parse_pid(text, &pid))
		r = json_object_set_new(arguments, "pid", json_integer(pid));
	else
		r = json_object_set_new(arguments, "name", json_string(text));
	if (r == 0)
		return arguments;
	json_decref(arguments);
	return NULL;
}

/* The command's name is the verb. */
int ctl_signal(struct ctl *ctl)
{
	json_t *arguments = ctl_process_arguments(ctl->argv[0]), *value;
	int r;

	if (!arguments) {
		say("that is no program's name");
		return CTL_USAGE;
	}
	r = ctl_request(ctl, ctl->command->name, arguments, &value);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(value);
	json_decref(value);
	return CTL_OK;
}

/* thoxd has another working directory: the path must be absolute. */
static json_t *absolute(const char *dir)
{
	char cwd[PATH_MAX], path[2 * PATH_MAX];

	if (dir[0] == '/')
		return json_string(dir);
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", cwd, dir);
	return json_string(path);
}

int ctl_mount(struct ctl *ctl)
{
	json_t *arguments = json_object(), *value;
	const json_t *dir;
	int r;

	if (ctl->argc > 0 &&
	    json_object_set_new(arguments, "dir", absolute(ctl->argv[0])) < 0) {
		json_decref(arguments);
		say("%s: not a path that can be used", ctl->argv[0]);
		return CTL_USAGE;
	}
	r = ctl_request(ctl, ctl->command->name, arguments, &value);
	if (r != CTL_OK)
		return r;
	dir = json_object_get(value, "dir");
	if (ctl->json)
		value_dump(value);
	else if (json_is_string(dir))
		printf("%sed at %s\n", ctl->command->name,
		       json_string_value(dir));
	json_decref(value);
	return CTL_OK;
}

static void on_alarm(int sig)
{
	(void)sig; /* only to interrupt flock() */
}

/* The keeper is the last to go, and holds this lock as long as it lives. */
static int wait_gone(const struct ctl *ctl)
{
	struct sigaction action = { .sa_handler = on_alarm };
	_cleanup_(fd_closep) int fd = -1;
	char path[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%.*s/lock", PATH_MAX - 8, ctl->in.run);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	sigaction(SIGALRM, &action, NULL);
	alarm(SHUTDOWN_S);
	if (flock(fd, LOCK_EX) < 0)
		r = -errno;
	alarm(0);
	return r;
}

static json_int_t integer(const json_t *value, const char *key)
{
	return json_integer_value(json_object_get(value, key));
}

/* Who serves now, when he does. An exit code. */
static int ask_pid(struct ctl *ctl, json_int_t *ret_pid)
{
	json_t *value = NULL;
	struct link l;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK)
		return r;
	r = ctl_ask_within(&l, "status", json_object(), REEXEC_S * 1000, &value,
			   NULL);
	link_deinit(&l);
	*ret_pid = integer(value, "pid");
	json_decref(value);
	return r;
}

/* Until the one of @pid is gone. */
static int ask_reexec(struct ctl *ctl, json_int_t *ret_pid,
		      json_int_t *ret_ends)
{
	struct link_message m;
	json_t *value = NULL;
	struct link l;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK)
		return r;
	r = ctl_ask(&l, "reexec", json_object(), &value, NULL);
	if (r == CTL_OK)
		while (connect_receive(&l, REEXEC_S * 1000, &m) > 0)
			link_message_deinit(&m);
	link_deinit(&l);
	*ret_pid = integer(value, "pid");
	*ret_ends = integer(value, "ends");
	json_decref(value);
	return r;
}

int ctl_daemon_reexec(struct ctl *ctl)
{
	json_int_t before, after, ends;
	int r = ask_reexec(ctl, &before, &ends);

	if (r != CTL_OK)
		return r;
	if (ends > 0)
		say("%lld process%s not of services ended with it",
		    (long long)ends, ends == 1 ? "" : "es");
	r = ask_pid(ctl, &after);
	if (r == CTL_OK && before == after) {
		say("thoxd (process %lld) did not end; see the log",
		    (long long)before);
		r = CTL_FAILED;
	}
	return r;
}

int ctl_shutdown(struct ctl *ctl)
{
	struct link_message m;
	struct link l;
	json_t *value = NULL;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK)
		return r;
	r = ctl_ask(&l, "shutdown", json_object(), &value, NULL);
	json_decref(value);
	if (r == CTL_OK)
		while (connect_receive(&l, SHUTDOWN_S * 1000, &m) > 0)
			link_message_deinit(&m);
	link_deinit(&l);
	if (r != CTL_OK)
		return r;
	r = wait_gone(ctl);
	if (r < 0) {
		say("something of the instance stays after %d s; see "
		    "%s/" CONTROL_KEEPER_LOG,
		    SHUTDOWN_S, ctl->in.run);
		return CTL_FAILED;
	}
	return CTL_OK;
}
