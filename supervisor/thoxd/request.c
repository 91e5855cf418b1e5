/*
 * Steps 4 and 9: commands, from a table.
 *
 * Every connection is the owner's or root's, who may do everything here; a
 * command for fewer has its own check.
 */

#include "thoxd/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "thoxd/bus.h"
#include "thoxd/label.h"
#include "thoxd/message.h"
#include "thoxd/run.h"
#include "thoxd/runner.h"
#include "thoxd/services/request.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/status.h"
#include "thoxd/top.h"
#include "thoxd/trace.h"
#include "thoxd/tree.h"

int request_complain(struct request *q, int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(q->message, sizeof(q->message), format, ap);
	va_end(ap);
	return status;
}

void request_reply(struct request *q, int status)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_REPLY);
	mp_write_uint(&w, q->id);
	mp_write_int(&w, status);
	if (status != STATUS_OK)
		mp_write_str(&w, q->message);
	else if (q->value.used > 0)
		mp_write_raw(&w, q->value.data, q->value.used);
	else
		mp_write_nil(&w);
	client_send_fd(q->client, &w, status == STATUS_OK ? q->fd : -1);
	q->fd = fd_close(q->fd);
	mp_writer_deinit(&w);
}

/* --- ps and status --------------------------------------------------------
 */

static int do_ps(struct request *q)
{
	struct run *run, *after;

	mp_write_array(&q->value, q->server->n_runs);
	list_each(run, after, &q->server->runs, list)
		status_write_run(&q->value, run);
	return STATUS_OK;
}

static struct run *find_pid(struct server *s, uint64_t pid)
{
	struct run *run, *after;

	list_each(run, after, &s->runs,
		  list) if (pid && (uint64_t)run_pid(run) == pid) return run;
	return NULL;
}

static int do_top(struct request *q)
{
	top_write(&q->value, q->server);
	return STATUS_OK;
}

static int do_status(struct request *q)
{
	struct run *run;

	if (q->arguments.pid == 0) {
		status_write_server(&q->value, q->server);
		return STATUS_OK;
	}
	run = find_pid(q->server, q->arguments.pid);
	if (!run)
		return request_complain(q, STATUS_NOT_FOUND,
					"no such process: %llu",
					(unsigned long long)q->arguments.pid);
	status_write_process(&q->value, run);
	return STATUS_OK;
}

/* --- signals --------------------------------------------------------------
 */

static bool meant(const struct request *q, const struct run *run)
{
	const struct request_arguments *a = &q->arguments;

	if (a->pid)
		return (uint64_t)run_pid(run) == a->pid;
	return mp_bytes_equal(a->name, run->name) ||
	       (run->service[0] && mp_bytes_equal(a->name, run->service));
}

static int do_signal(struct request *q)
{
	const struct request_arguments *a = &q->arguments;
	struct run *run, *after;
	uint32_t n = 0;

	if (!a->pid == !a->name.size)
		return request_complain(q, STATUS_INVALID,
					"either a pid or a name is wanted");
	list_each(run, after, &q->server->runs, list) n +=
		meant(q, run) && run_pid(run) > 0;
	if (n == 0 && a->pid)
		return request_complain(q, STATUS_NOT_FOUND,
					"no such process: %llu",
					(unsigned long long)a->pid);
	if (n == 0)
		return request_complain(q, STATUS_NOT_FOUND,
					"no process of that name runs");
	mp_write_map(&q->value, 1);
	mp_write_str(&q->value, "pids");
	mp_write_array(&q->value, n);
	list_each(run, after, &q->server->runs, list)
	{
		if (!meant(q, run) || run_pid(run) == 0)
			continue;
		mp_write_int(&q->value, run_pid(run));
		(void)run_signal(run, (enum run_signal)q->command->number, 0,
				 0);
	}
	return STATUS_OK;
}

/* --- the bus --------------------------------------------------------------
 */

static int do_bus(struct request *q)
{
	bus_write_list(q->server, &q->value);
	return STATUS_OK;
}

static int complain_trace(struct request *q, int error)
{
	const struct request_arguments *a = &q->arguments;

	if (error != -ESRCH)
		return request_complain(q, STATUS_ERROR, "%s",
					error == -EAGAIN
						? "it does not read what "
						  "thoxd tells it"
						: strerror(-error));
	if (a->pid)
		return request_complain(q, STATUS_NOT_FOUND,
					"no such process: %llu",
					(unsigned long long)a->pid);
	return request_complain(q, STATUS_NOT_FOUND, "nobody provides %.*s",
				(int)a->name.size, a->name.p);
}

static int do_trace(struct request *q)
{
	const struct request_arguments *a = &q->arguments;
	struct principal *p = NULL;
	int r = -ESRCH;

	if (!a->pid == !a->name.size)
		return request_complain(q, STATUS_INVALID,
					"either a pid or a name is wanted");
	if (a->name.size && !wire_check_name(a->name.p, a->name.size))
		return request_complain(q, STATUS_INVALID,
					"not a name that can be called");
	if (a->pid)
		p = principal_find(q->server, (pid_t)a->pid);
	if (p || a->name.size)
		r = trace_start(q->server, p, a->name, &q->fd);
	if (r < 0)
		return complain_trace(q, r);
	mp_write_map(&q->value, 0);
	return STATUS_OK;
}

/* --- the logs -------------------------------------------------------------
 */

/* A command that waits for the logs. */
struct logs_request {
	struct list list; /* of the server's */
	struct logs_sync sync;
	struct client *client;
	uint64_t id;
};

static void logs_request_free(struct logs_request *w)
{
	list_remove(&w->list);
	list_remove(&w->sync.list);
	free(w);
}

static void on_logs_synced(struct logs_sync *sync)
{
	struct logs_request *w = container_of(sync, struct logs_request, sync);
	struct request q = { .server = w->client->server,
			     .client = w->client,
			     .id = w->id,
			     .fd = -1 };

	logs_request_free(w);
	request_reply(&q, STATUS_OK);
}

static void logs_client_gone(const struct client *c)
{
	struct logs_request *w, *after;

	list_each(w, after, &c->server->logs_requests, list)
	{
		if (w->client == c)
			logs_request_free(w);
	}
}

static int do_logs_sync(struct request *q)
{
	struct logs_request *w = calloc(1, sizeof(*w));

	if (!w)
		return request_complain(q, STATUS_ERROR, "%s",
					strerror(ENOMEM));
	w->client = q->client;
	w->id = q->id;
	w->sync.done = on_logs_synced;
	if (logs_sync(&q->server->logs, &w->sync)) {
		free(w);
		return STATUS_OK;
	}
	list_append(&q->server->logs_requests, &w->list);
	return REQUEST_LATER;
}

/* --- the mount and the end ------------------------------------------------
 */

static int take_dir(struct request *q, char dir[PATH_MAX])
{
	if (mp_bytes_copy(q->arguments.dir, dir, PATH_MAX) < 0)
		return -EINVAL;
	return dir[0] == '\0' || dir[0] == '/' ? 0 : -EINVAL;
}

static void write_dir(struct request *q, const char *dir)
{
	mp_write_map(&q->value, 1);
	mp_write_str(&q->value, "dir");
	mp_write_str(&q->value, dir);
}

/* A command that waits for the mount to be made or unmade. */
struct mount_request {
	struct list list;
	struct client *client;
	uint64_t id;
	bool mounts;
};

/* At once when it is done already, else later. */
static int answer_mount(struct request *q, bool mounts)
{
	struct mount *m = &q->server->mount;
	struct mount_request *w;

	if (mount_settled(m)) {
		if (mounts != (m->state == MOUNT_SERVED))
			return request_complain(q, STATUS_ERROR, "%s",
						m->error);
		write_dir(q, m->point);
		return STATUS_OK;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return request_complain(q, STATUS_ERROR, "%s",
					strerror(ENOMEM));
	w->client = q->client;
	w->id = q->id;
	w->mounts = mounts;
	list_append(&q->server->mount_requests, &w->list);
	return REQUEST_LATER;
}

void request_mount_settled(struct server *s)
{
	while (!list_empty(&s->mount_requests)) {
		struct mount_request *w = list_first(
			&s->mount_requests, struct mount_request, list);
		struct request q = {
			.server = s, .client = w->client, .id = w->id, .fd = -1
		};

		list_remove(&w->list);
		mp_writer_init_heap(&q.value);
		request_reply(&q, answer_mount(&q, w->mounts));
		mp_writer_deinit(&q.value);
		free(w);
	}
}

void request_client_gone(struct client *c)
{
	struct mount_request *w, *after;

	list_each(w, after, &c->server->mount_requests, list)
	{
		if (w->client != c)
			continue;
		list_remove(&w->list);
		free(w);
	}
	logs_client_gone(c);
	services_client_gone(&c->server->services, c);
}

static int do_mount(struct request *q)
{
	struct mount *m = &q->server->mount;
	char dir[PATH_MAX];
	int r;

	if (q->server->ending)
		return request_complain(q, STATUS_ERROR,
					"thox is shutting down");
	if (take_dir(q, dir) < 0)
		return request_complain(q, STATUS_INVALID,
					"not an absolute path");
	r = mount_start(m, dir[0] ? dir : NULL);
	if (r == -EBUSY)
		return request_complain(q, STATUS_ERROR,
					"it is mounted on %.200s", m->point);
	if (r < 0)
		return request_complain(q, STATUS_ERROR, "%s",
					m->error[0] ? m->error : strerror(-r));
	return answer_mount(q, true);
}

static int do_unmount(struct request *q)
{
	struct mount *m = &q->server->mount;
	char dir[PATH_MAX];

	if (take_dir(q, dir) < 0)
		return request_complain(q, STATUS_INVALID,
					"not an absolute path");
	if (m->state != MOUNT_SERVED || (dir[0] && strcmp(dir, m->point) != 0))
		return request_complain(q, STATUS_NOT_FOUND,
					"it is not mounted%s%.200s",
					dir[0] ? " on " : "", dir);
	mount_stop(m);
	return answer_mount(q, false);
}

static int do_events(struct request *q)
{
	int r = events_subscribe(&q->server->events, &q->fd);

	if (r < 0)
		return request_complain(q, STATUS_ERROR, "%s",
					r == -EUSERS ? "too many follow events"
						     : strerror(-r));
	mp_write_map(&q->value, 0);
	return STATUS_OK;
}

static int do_tree(struct request *q)
{
	tree_write(&q->value, q->server);
	return STATUS_OK;
}

static int do_label(struct request *q)
{
	char label[NAME_MAX_BYTES + 1];
	int r = 0;

	if (q->arguments.name.size > 0) {
		r = mp_bytes_copy(q->arguments.name, label, sizeof(label));
		r = r ? r : label_set(q->server, label);
	}
	if (r == -EINVAL)
		return request_complain(
			q, STATUS_INVALID,
			"a label is 1 to 128 bytes of A-Za-z0-9._+-, "
			"not starting with a dot");
	if (r < 0)
		return request_complain(q, STATUS_ERROR,
					"the label cannot be kept: %s",
					strerror(-r));
	mp_write_map(&q->value, 1);
	mp_write_str(&q->value, "label");
	mp_write_str(&q->value, q->server->label);
	return STATUS_OK;
}

static int do_shutdown(struct request *q)
{
	request_reply(q, STATUS_OK); /* while there is somebody to reply */
	server_shutdown(q->server);
	return REQUEST_LATER;
}

/* The answer is written first: it goes out before the loop ends. */
static int do_reexec(struct request *q)
{
	struct server *s = q->server;
	struct run *run, *after;
	uint64_t ends = 0;

	if (s->ending)
		return request_complain(q, STATUS_ERROR,
					"thox is shutting down");
	list_each(run, after, &s->runs, list) ends += !service_process_of(run);
	mp_write_map(&q->value, 2);
	mp_write_str(&q->value, "pid");
	mp_write_int(&q->value, getpid());
	mp_write_str(&q->value, "ends");
	mp_write_uint(&q->value, ends);
	server_reexec(s);
	return STATUS_OK;
}

static const struct command commands[] = {
	{ "ps", do_ps, 0, "list the processes" },
	{ "status", do_status, 0, "the instance, or one process" },
	{ "top", do_top, 0, "what everything uses" },
	{ "kill", do_signal, RUN_KILL, "end a process at once" },
	{ "terminate", do_signal, RUN_TERMINATE, "ask a process to end" },
	{ "pause", do_signal, RUN_PAUSE, "stop a process" },
	{ "resume", do_signal, RUN_RESUME, "let a stopped one go on" },
	{ "bus", do_bus, 0, "list the names that are provided" },
	{ "trace", do_trace, 0, "follow calls and answers" },
	{ "events", do_events, 0, "follow what happens" },
	{ "mount", do_mount, 0, "mount the store" },
	{ "unmount", do_unmount, 0, "unmount the store" },
	{ "tree", do_tree, 0, "who started whom" },
	{ "logs.sync", do_logs_sync, 0,
	  "wait until what was printed can be "
	  "read" },
	{ "label", do_label, 0, "this machine's label" },
	{ "service.start", service_request_order, SERVICE_START,
	  "start services" },
	{ "service.stop", service_request_order, SERVICE_STOP,
	  "stop services" },
	{ "service.restart", service_request_order, SERVICE_RESTART,
	  "restart services" },
	{ "service.try-restart", service_request_order, SERVICE_TRY_RESTART,
	  "restart services that run" },
	{ "service.reload", service_request_order, SERVICE_RELOAD,
	  "have services reload" },
	{ "service.reset", service_request_order, SERVICE_RESET,
	  "forget failures of services" },
	{ "service.enable", service_request_enable, true,
	  "start services with the instance" },
	{ "service.disable", service_request_enable, false,
	  "do not start them with the instance" },
	{ "service.list", service_request_list, 0, "list services" },
	{ "service.status", service_request_status, 0, "look at services" },
	{ "reexec", do_reexec, 0, "start thoxd anew" },
	{ "shutdown", do_shutdown, 0, "end the instance" },
};

void request_handle(struct client *c, uint64_t id, struct mp_bytes verb,
		    struct mp_bytes arguments)
{
	struct request q = {
		.server = c->server,
		.client = c,
		.id = id,
		.fd = -1,
	};
	int status = STATUS_INVALID;

	mp_writer_init_heap(&q.value);
	snprintf(q.message, sizeof(q.message), "thoxd knows no such command");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (mp_bytes_equal(verb, commands[i].verb))
			q.command = &commands[i];
	if (q.command && request_arguments_parse(arguments, &q.arguments) < 0)
		snprintf(q.message, sizeof(q.message),
			 "wrong arguments for this command");
	else if (q.command)
		status = q.command->handle(&q);
	if (status != REQUEST_LATER)
		request_reply(&q, status);
	mp_writer_deinit(&q.value);
}
