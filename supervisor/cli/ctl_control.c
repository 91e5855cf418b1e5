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
#include "cli/client.h"
#include "cli/ctl.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"
#include "rpc/control.h"
#include "rpc/mp.h"
#include "rpc/status.h"

#define ANSWER_MS  60000 /* a mount may wait for a disk */
#define SHUTDOWN_S 60

static int not_running(const struct ctl *ctl)
{
	say("no instance runs at %s", ctl->in.run);
	return CTL_NOT_RUNNING;
}

static int open_link(struct ctl *ctl, struct link *ret_link)
{
	int r = client_open(&ctl->in, ctl->command->start == START_IF_DOWN,
			    ret_link);

	if (r == 0)
		return CTL_OK;
	if (ctl->command->start != START_IF_DOWN &&
	    (r == -ENOENT || r == -ECONNREFUSED))
		return not_running(ctl);
	if (r == -EPERM || r == -EACCES)
		return CTL_REFUSED;
	return r == -ENOENT || r == -ECONNREFUSED ? CTL_NOT_RUNNING
						  : CTL_FAILED;
}

static int send_request(struct link *l, const char *verb, json_t *arguments)
{
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_REQUEST);
	mp_write_uint(&w, 1);
	mp_write_str(&w, verb);
	value_to_mp(&w, arguments);
	r = mp_writer_end(&w);
	if (r == 0)
		r = link_send_wait(l, w.data, w.used, NULL, 0);
	mp_writer_deinit(&w);
	return r;
}

static int exit_code_of(uint64_t status)
{
	switch (status) {
	case STATUS_OK:
		return CTL_OK;
	case STATUS_NOT_FOUND:
		return CTL_NO_SUCH;
	case STATUS_DENIED:
		return CTL_REFUSED;
	case STATUS_INVALID:
		return CTL_USAGE;
	}
	return CTL_FAILED;
}

/* [26, id, status, value] */
static int parse_reply(const struct link_message *m, json_t **ret_value)
{
	struct mp_reader r;
	json_t *value;
	uint64_t kind, status;

	mp_reader_init(&r, m->data, m->size);
	mp_read_array(&r);
	kind = mp_read_uint(&r);
	if (kind == CONTROL_REFUSED) { /* of the connection itself */
		struct mp_bytes text;

		status = mp_read_uint(&r);
		text = mp_read_str(&r);
		if (!r.bad)
			say("%.*s", (int)text.size, text.p);
		return r.bad ? CTL_FAILED : exit_code_of(status);
	}
	mp_read_uint(&r); /* the id: there is one request only */
	status = mp_read_uint(&r);
	value = value_from_mp(&r);
	if (kind != CONTROL_REPLY || !value || mp_end(&r) < 0) {
		json_decref(value);
		say("thoxd sent what is not understood");
		return CTL_FAILED;
	}
	if (status != STATUS_OK) {
		say("%s", json_is_string(value) ? json_string_value(value)
						: "thoxd refused");
		json_decref(value);
		return exit_code_of(status);
	}
	*ret_value = value;
	return CTL_OK;
}

static int lost(int r)
{
	if (r == -EPROTONOSUPPORT)
		say("thoxd is of another version: end it with the thoxctl that "
		    "came with it, or by the keeper's PID");
	else if (r == -ETIMEDOUT)
		say("thoxd does not answer");
	else if (r == -ECONNRESET || r == -EPIPE)
		say("thoxd closed the connection");
	else
		say("the link to thoxd: %s", strerror(-r));
	return CTL_FAILED;
}

/* Takes @arguments. */
static int ask(struct link *l, const char *verb, json_t *arguments,
	       json_t **ret_value)
{
	struct link_message m;
	int r = arguments ? send_request(l, verb, arguments) : -ENOMEM;

	json_decref(arguments);
	if (r == 0)
		r = connect_receive(l, ANSWER_MS, &m);
	if (r < 0)
		return lost(r);
	r = parse_reply(&m, ret_value);
	link_message_deinit(&m);
	return r;
}

int ctl_request(struct ctl *ctl, const char *verb, json_t *arguments,
		json_t **ret_value)
{
	struct link l;
	int r = open_link(ctl, &l);

	if (r != CTL_OK) {
		json_decref(arguments);
		return r;
	}
	r = ask(&l, verb, arguments, ret_value);
	link_deinit(&l);
	return r;
}

int ctl_ps(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "PID", "pid", true, false },
		{ "NAME", "name", false, true },
		{ "VERSION", "version", true, false },
		{ "RUNTIME", "runtime", false, true },
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

	if (ctl->argc > 0) {
		if (!parse_pid(ctl->argv[0], &pid)) {
			json_decref(arguments);
			say("%s: not a PID", ctl->argv[0]);
			return CTL_USAGE;
		}
		json_object_set_new(arguments, "pid", json_integer(pid));
	}
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

/* The command's name is the verb. */
int ctl_signal(struct ctl *ctl)
{
	json_t *arguments = json_object(), *value;
	json_int_t pid;
	int r;

	if (parse_pid(ctl->argv[0], &pid))
		json_object_set_new(arguments, "pid", json_integer(pid));
	else if (json_object_set_new(arguments, "name",
				     json_string(ctl->argv[0])) < 0) {
		json_decref(arguments);
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

int ctl_shutdown(struct ctl *ctl)
{
	struct link_message m;
	struct link l;
	json_t *value = NULL;
	int r = open_link(ctl, &l);

	if (r != CTL_OK)
		return r;
	r = ask(&l, "shutdown", json_object(), &value);
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
