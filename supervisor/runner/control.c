/*
 * Step 6, in a runner: what thoxd says, while the program runs.
 *
 * `innermost` and `pending` are shared with the signal handler. It may come
 * between any two instructions: when it finds no running state, or one that
 * is just being left, `pending` makes control_leave() arm the hook again on
 * the state that goes on.
 */

#include "runner/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "rpc/control.h"
#include "rpc/mp.h"
#include "rpc/status.h"
#include "runner/limits.h"
#include "runner/program.h"
#include "runner/report.h"
#include "runner/runner.h"

static struct link control;
static struct running *volatile innermost;
static volatile sig_atomic_t pending;

/* the library that is asked for */
static struct {
	uint64_t id;
	bool answered;
	int status;
	int fd;
	char message[256];
} library;

/* --- events -----------------------------------------------------------------
 */

static void handle_event(const struct message_event *event)
{
	switch (event->event) {
	case EVENT_INTERRUPT:
		program_interrupt();
		break;
	case EVENT_TERMINATE:
		program_terminate();
		break;
	case EVENT_RESIZE:
		if (runner.columns) {
			runner.rows = (unsigned)event->rows;
			runner.columns = (unsigned)event->columns;
		}
		break;
	case EVENT_UNKNOWN:
		break;
	}
}

static void handle_library(const struct message_library *m,
			   struct link_message *raw)
{
	size_t size = m->text.size;

	if (m->id != library.id || library.answered)
		return;
	if (size >= sizeof(library.message))
		size = sizeof(library.message) - 1;
	memcpy(library.message, m->text.p, size);
	library.message[size] = '\0';
	library.status = (int)m->status;
	library.fd = link_message_take_fd(raw, 0);
	library.answered = true;
}

/* Without thoxd there is nobody to run for. */
static _Noreturn void lost(void)
{
	_exit(EXIT_USAGE_EXEC);
}

/* One message, if there is one: not before 0 is the link empty. */
static bool handle_one(void)
{
	struct link_message raw;
	struct message m;
	int r;

	r = link_receive(&control, false, &raw);
	if (r == 0)
		return false;
	if (r < 0 || message_parse(raw.data, raw.size, &m) < 0)
		lost();
	if (m.kind == CONTROL_LIBRARY)
		handle_library(&m.library, &raw);
	else if (m.kind != CONTROL_EVENT)
		lost();
	link_message_deinit(&raw);
	if (m.kind == CONTROL_EVENT)
		handle_event(&m.event); /* may not return */
	return true;
}

static void handle_all(void)
{
	pending = 0;
	while (handle_one())
		;
}

void control_handle_pending(void)
{
	if (pending)
		handle_all();
}

/* --- pre-emption ------------------------------------------------------------
 */

static void on_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	handle_all();
}

static void arm(void)
{
	struct running *r = innermost;

	if (r)
		lua_sethook(r->L, on_hook, LUA_MASKCOUNT, 1);
}

static void on_sigio(int signal_number)
{
	(void)signal_number;
	pending = 1;
	arm();
}

void control_enter(struct running *r, lua_State *L)
{
	r->L = L;
	r->outer = innermost;
	innermost = r;
	if (pending)
		arm();
}

void control_leave(struct running *r)
{
	innermost = r->outer;
	if (pending)
		arm();
}

struct running *control_innermost(void)
{
	return innermost;
}

void control_forget_running(void)
{
	innermost = NULL;
}

/* --- life -------------------------------------------------------------------
 */

int control_install(void)
{
	/* No SA_RESTART: a write that waits must notice. */
	struct sigaction action = {
		.sa_handler = on_sigio,
		.sa_flags = SA_ONSTACK,
	};

	return sigaction(SIGIO, &action, NULL) < 0 ? -errno : 0;
}

int control_attach(int fd)
{
	if (fd != CONTROL_FD) {
		if (dup3(fd, CONTROL_FD, O_CLOEXEC) < 0)
			return -errno;
		close(fd);
	}
	link_init(&control, CONTROL_FD);
	return 0;
}

static void send_all(const struct mp_writer *w)
{
	int r = mp_writer_end(w);

	if (r == 0)
		r = link_send(&control, w->data, w->used, NULL, 0);
	while (r == 0 && link_has_queued(&control)) {
		struct pollfd p = { .fd = CONTROL_FD, .events = POLLOUT };

		ppoll(&p, 1, NULL, NULL);
		r = link_flush(&control);
	}
	if (r < 0)
		lost();
}

int control_ready(void)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 1);
	mp_write_int(&w, CONTROL_RUNNER_READY);
	return link_send(&control, buf, w.used, NULL, 0);
}

int control_wait_start(struct link_message *ret_raw, struct message *ret_start)
{
	int r;

	do
		r = link_receive(&control, true, ret_raw);
	while (r == 0);
	if (r > 0)
		r = message_parse(ret_raw->data, ret_raw->size, ret_start);
	if (r == 0 && ret_start->kind != CONTROL_START)
		r = -EBADMSG;
	return r;
}

void control_watch(void)
{
	if (fcntl(CONTROL_FD, F_SETFL, O_RDWR | O_ASYNC) < 0)
		lost();
	/* A prompt is about to read the link anyway. */
	if (!runner.interactive)
		handle_all();
}

int control_wait_text(struct link_message *ret_raw, struct mp_bytes *ret_text)
{
	for (;;) {
		struct message m;
		int r = link_receive(&control, true, ret_raw);

		if (r == 0)
			continue;
		if (r > 0)
			r = message_parse(ret_raw->data, ret_raw->size, &m);
		if (r < 0)
			return r;
		if (m.kind == CONTROL_EVALUATE) {
			*ret_text = m.text;
			return 0;
		}
		link_message_deinit(ret_raw);
		if (m.kind != CONTROL_EVENT)
			return -EBADMSG;
		handle_event(&m.event);
	}
}

void control_evaluated(bool ok)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_int(&w, CONTROL_EVALUATE_DONE);
	mp_write_bool(&w, ok);
	send_all(&w);
}

/* --- waiting ----------------------------------------------------------------
 */

void control_wait(int fd, short events)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = CONTROL_FD, .events = POLLIN },
	};

	do {
		if (ppoll(fds, 2, NULL, NULL) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			handle_all();
	} while (fd >= 0 && !fds[0].revents);
}

int control_want_library(const char *name, int *ret_fd, char *ret_message,
			 size_t size)
{
	uint8_t buf[LIMIT_LIBRARY_NAME_BYTES + 32];
	struct mp_writer w;

	if (strlen(name) > LIMIT_LIBRARY_NAME_BYTES)
		return -ENAMETOOLONG;
	library.answered = false;
	library.fd = -1;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_WANT_LIBRARY);
	mp_write_uint(&w, ++library.id);
	mp_write_str(&w, name);
	send_all(&w);
	while (!library.answered)
		control_wait(-1, 0);

	*ret_fd = library.fd;
	memcpy(ret_message, library.message,
	       size < sizeof(library.message) ? size : sizeof(library.message));
	ret_message[size - 1] = '\0';
	return library.status;
}
