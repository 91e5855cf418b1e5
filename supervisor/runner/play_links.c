/*
 * For tests: plays thoxd, which makes links, and whoever is at their other ends.
 */

#include "runner/play_links.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "rpc/control.h"
#include "runner/play.h"

#define WAIT_MS 20000

struct play_zygote zygote;
struct play_runner runner;
struct play_result result;
struct mp_writer w;
uint64_t last_link = 100;

/* --- thoxd's part -----------------------------------------------------------
 */

void begin(const char *text)
{
	memset(&result, 0, sizeof(result));
	if (play_fork(&zygote, &runner) < 0)
		abort();
	play_start(&runner, &(struct play_start){ .text = text });
	/* its context is there then */
	if (!play_wait_output(&runner, "ready", &result))
		abort();
}

void end(void)
{
	link_deinit(&runner.link); /* without thoxd it ends */
	runner.output = fd_close(runner.output);
	runner.error = fd_close(runner.error);
	runner.input = fd_close(runner.input);
	waitpid(runner.pid, &result.status, 0);
}

void start_message(uint32_t items, int64_t kind)
{
	mp_writer_init_heap(&w);
	mp_write_array(&w, items);
	mp_write_int(&w, kind);
}

void send_control(int fd)
{
	if (link_send_wait(&runner.link, w.data, w.used, &fd, fd >= 0) < 0)
		abort();
	mp_writer_deinit(&w);
	fd_close(fd);
}

/* A link must stay where it was made. Returns the other end. */
static int make_link(struct link *l)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	link_init(l, fds[0]);
	return fds[1];
}

/* Somebody holds its first context from now on: the other end. */
void open_holder(struct link *l, bool granted)
{
	int theirs = make_link(l);

	start_message(3, CONTROL_OPENED);
	mp_write_uint(&w, ++last_link);
	mp_write_map(&w, 2 + granted);
	mp_write_str(&w, "context");
	mp_write_uint(&w, 1);
	mp_write_str(&w, "pid");
	mp_write_uint(&w, 4711);
	if (granted) {
		mp_write_str(&w, "grants");
		mp_write_array(&w, 1);
		mp_write_array(&w, 2);
		mp_write_array(&w, 1);
		mp_write_str(&w, "fs.**");
		mp_write_array(&w, 1);
		mp_write_str(&w, "fs.write");
	}
	send_control(theirs);
}

/* It holds a context of somebody's, named over @over; 0: over any. */
void give_context(struct link *l, uint64_t over)
{
	int theirs = make_link(l);

	start_message(3, CONTROL_HOLD);
	mp_write_uint(&w, ++last_link);
	mp_write_map(&w, 1 + (over != 0));
	mp_write_str(&w, "pid");
	mp_write_uint(&w, 4712);
	if (over) {
		mp_write_str(&w, "over");
		mp_write_uint(&w, over);
	}
	send_control(theirs);
}

/* --- the other ends' part ---------------------------------------------------
 */

static bool is_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, WAIT_MS) == 1;
}

/* The next message but hellos: 1; -1: the link was closed, 0: in vain. */
int next(struct link *l, struct link_message *raw, struct wire_message *m)
{
	while (is_ready(l->fd)) {
		int r = link_receive(l, false, raw);

		if (r < 0)
			return -1;
		if (r == 0)
			continue;
		if (wire_parse(raw->data, raw->size, m) < 0)
			abort();
		if (m->kind != WIRE_HELLO)
			return 1;
		link_message_deinit(raw);
	}
	return 0;
}

bool is_closed(struct link *l)
{
	struct link_message raw;
	struct wire_message m;

	return next(l, &raw, &m) < 0;
}

void send_bytes(struct link *l, const void *data, size_t size)
{
	(void)link_send(l, data, size, NULL, 0);
}

void send_written(struct link *l)
{
	send_bytes(l, w.data, w.used);
	mp_writer_deinit(&w);
}

void begin_call(uint32_t cid, const char *name)
{
	mp_writer_init_heap(&w);
	wire_begin_call(&w, cid, name, strlen(name), 0);
}

/* The status of the answer to @cid; -1: none. The text of its first value is
 * in @ret. */
int answer_of(struct link *l, uint32_t cid, char *ret, size_t size)
{
	struct link_message raw;
	struct wire_message m;
	struct mp_reader r;
	int status = -1;

	if (next(l, &raw, &m) != 1)
		return -1;
	if (m.kind == WIRE_ANSWER && m.cid == cid) {
		status = (int)m.status;
		mp_reader_init(&r, m.args.p, m.args.size);
		ret[0] = '\0';
		if (mp_read_array(&r) > 0 && mp_peek(&r) == MP_STR)
			mp_bytes_copy(mp_read_str(&r), ret, size);
	}
	link_message_deinit(&raw);
	return status;
}
