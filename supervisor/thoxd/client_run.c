/*
 * Steps 4 and 9: a client starts a run, and is told what becomes of it.
 *
 * The run is the client's: it ends when the client goes. Every send may find
 * that the client takes nothing any more and release it, so nothing of it is
 * touched behind a send but through its link.
 */

#include "base/fd.h"
#include "rpc/control.h"
#include "thoxd/client.h"
#include "thoxd/run.h"
#include "thoxd/runner.h"

static struct client *client_of(struct starter *st)
{
	return container_of(st, struct client, starter);
}

void client_send_started(struct client *c, const struct run *run)
{
	bool service = run->service[0];
	uint8_t buf[1024];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, service ? 6 : 5);
	mp_write_uint(&w, CONTROL_STARTED);
	mp_write_int(&w, run_pid(run));
	mp_write_str(&w, run->name);
	mp_write_uint(&w, run->version);
	mp_write_str(&w, run->runtime);
	if (service)
		mp_write_str(&w, run->service);
	client_send(c, &w);
}

static void on_refused(struct starter *st, int status, const char *message,
		       const char *hint)
{
	struct client *c = client_of(st);

	client_send_refused(c, status, message, hint);
	client_done(c);
}

void client_send_result(struct client *c, const struct run *run,
			const struct run_end *end)
{
	const struct process_exit *e = end->exit;
	uint8_t buf[1024];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_RESULT);
	mp_write_map(&w, 11);
	mp_write_str(&w, end->result->signalled ? "signal" : "code");
	mp_write_int(&w, end->result->code);
	mp_write_str(&w, "reason");
	mp_write_str(&w, end->result->reason);
	mp_write_str(&w, "detail");
	mp_write_str(&w, end->result->detail);
	mp_write_str(&w, "pid");
	mp_write_int(&w, e->pid);
	mp_write_str(&w, "name");
	mp_write_str(&w, run->name);
	mp_write_str(&w, "version");
	mp_write_uint(&w, run->version);
	mp_write_str(&w, "runtime");
	mp_write_str(&w, run->runtime);
	mp_write_str(&w, "user_us");
	mp_write_uint(&w, e->user_us);
	mp_write_str(&w, "system_us");
	mp_write_uint(&w, e->system_us);
	mp_write_str(&w, "wall_us");
	mp_write_uint(&w, end->wall_us);
	mp_write_str(&w, "memory_bytes");
	mp_write_uint(&w, e->memory_bytes);
	client_send_last(c, &w);
}

static void on_ended(struct starter *st, const struct run *run,
		     const struct run_end *end)
{
	struct client *c = client_of(st);

	client_send_result(c, run, end);
	client_done(c);
}

void client_send_notice(struct client *c, const char *text)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_NOTICE);
	mp_write_str(&w, text);
	client_send(c, &w);
	mp_writer_deinit(&w);
}

static void on_notice(struct starter *st, const char *text)
{
	client_send_notice(client_of(st), text);
}

static void on_evaluated(struct starter *st, bool ok)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_EVALUATED);
	mp_write_bool(&w, ok);
	client_send(client_of(st), &w);
}

static const struct starter_ops ops = {
	.refused = on_refused,
	.ended = on_ended,
	.notice = on_notice,
	.evaluated = on_evaluated,
};

void client_run(struct client *c, const struct run_spec *spec,
		struct link_message *m)
{
	int fds[4];

	for (unsigned i = 0; i < 4; i++)
		fds[i] = link_message_take_fd(m, i);
	c->starter.ops = &ops;
	run_start(c->server, spec, fds, &c->starter);
	for (unsigned i = 0; i < 4; i++)
		fd_close(fds[i]);
}
