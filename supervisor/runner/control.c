/*
 * Step 6, in a runner: what thoxd says, while the program runs.
 *
 * The link is the first watch (watch.h). What it brings is handled in the
 * watch's callback, on whatever stack looks: so events mark tasks, texts and
 * libraries are kept for whoever waits for them, and nothing is waited for.
 */

#include "runner/control.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
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
#include "runner/child.h"
#include "runner/event.h"
#include "runner/limits.h"
#include "runner/program.h"
#include "runner/report.h"
#include "runner/request.h"
#include "runner/route.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/tell.h"
#include "runner/told.h"
#include "runner/watch.h"

static struct link control;
static struct watch watch;

static struct list texts = { &texts, &texts };
static unsigned n_texts;

static struct list requests = { &requests, &requests };
static uint64_t last_request;

/* --- events -----------------------------------------------------------------
 */

static void handle_event(const struct message_event *event)
{
	switch (event->event) {
	case EVENT_INTERRUPT:
		if (!event_signal(EV_INTERRUPT))
			program_interrupt();
		break;
	case EVENT_TERMINATE:
		if (!event_signal(EV_TERMINATE))
			program_terminate();
		break;
	case EVENT_RELOAD:
		event_signal(EV_RELOAD);
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
	struct control_library *l, *after;
	size_t size = m->text.size;

	list_each(l, after, &requests, list)
	{
		if (l->id != m->id)
			continue;
		if (size >= sizeof(l->message))
			size = sizeof(l->message) - 1;
		memcpy(l->message, m->text.p, size);
		l->message[size] = '\0';
		l->status = (int)m->status;
		l->fd = link_message_take_fd(raw, 0);
		l->answered = true;
		list_remove(&l->list);
		task_wake_all(&l->waiters);
	}
}

/* Without thoxd there is nobody to run for. */
static _Noreturn void lost(void)
{
	_exit(EXIT_USAGE_EXEC);
}

static void handle_text(struct mp_bytes bytes)
{
	struct control_text *t = malloc(sizeof(*t) + bytes.size);

	if (!t || n_texts >= LIMIT_PROMPT_TEXTS)
		lost();
	memcpy(t->data, bytes.p, bytes.size);
	t->bytes = (struct mp_bytes){ t->data, bytes.size };
	list_append(&texts, &t->list);
	n_texts++;
	task_wake(task_main());
}

static int64_t kind_of(const struct link_message *raw)
{
	struct mp_reader r;

	mp_reader_init(&r, raw->data, raw->size);
	mp_read_array(&r);
	return mp_read_int(&r);
}

static void send_request(uint64_t id, const char *name);

static void child_killed(pid_t pid)
{
	int64_t signal = SIGKILL;

	event_child_ended(pid, NULL, &signal);
}

/* Another thoxd: what the last one was asked and did not answer. */
static void handle_again(const struct link_message *raw)
{
	struct control_library *l, *after;
	struct mp_reader r;
	uint64_t number;

	mp_reader_init(&r, raw->data, raw->size);
	mp_read_array(&r);
	mp_read_int(&r);
	number = mp_read_uint(&r);
	if (mp_end(&r) < 0)
		lost();
	link_forget_partial(&control);
	tell_again(number);
	route_want_again();
	list_each(l, after, &requests, list) send_request(l->id, l->name);
	request_ask_again();
	child_all_killed(child_killed);
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
	if (r > 0 && kind_of(&raw) == CONTROL_AGAIN) {
		handle_again(&raw);
		link_message_deinit(&raw);
		return true;
	}
	if (r > 0 && told_is(kind_of(&raw))) {
		if (!told_take(&raw))
			lost();
		link_message_deinit(&raw);
		return true;
	}
	if (r < 0 || message_parse(raw.data, raw.size, &m) < 0)
		lost();
	switch (m.kind) {
	case CONTROL_LIBRARY:
		handle_library(&m.library, &raw);
		break;
	case CONTROL_EVALUATE:
		handle_text(m.text);
		break;
	case CONTROL_EVENT:
		handle_event(&m.event);
		break;
	default:
		lost();
	}
	link_message_deinit(&raw);
	return true;
}

static void flush(void)
{
	if (link_flush(&control) < 0)
		lost();
	watch_set(&watch, true, link_has_queued(&control));
}

void control_send(const struct mp_writer *w)
{
	bool queued = link_has_queued(&control);

	if (mp_writer_end(w) < 0 ||
	    link_send(&control, w->data, w->used, NULL, 0) < 0)
		lost();
	if (!queued && link_has_queued(&control))
		watch_set(&watch, true, true);
}

void control_look(void)
{
	while (handle_one())
		;
}

static bool on_control(struct watch *w)
{
	if (w->writing)
		flush();
	for (int i = 0; i < LIMIT_READ_MESSAGES; i++)
		if (!handle_one())
			return false;
	return true;
}

/* --- life -------------------------------------------------------------------
 */

int control_attach(int fd)
{
	if (fd != CONTROL_FD) {
		if (dup3(fd, CONTROL_FD, O_CLOEXEC) < 0)
			return -errno;
		close(fd);
	}
	link_init(&control, CONTROL_FD);
	control.queue_limit_bytes = LIMIT_CONTROL_BYTES;
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

/* What comes before the start: 1, 0 for the start itself, or an error. */
static int take_before_start(struct link_message *raw, struct message *m)
{
	int r;

	if (told_is(kind_of(raw)))
		return told_take(raw) ? 1 : -EBADMSG;
	r = message_parse(raw->data, raw->size, m);
	if (r < 0)
		return r;
	if (m->kind == CONTROL_EVENT)
		handle_event(&m->event); /* may be the end of it */
	else if (m->kind != CONTROL_START)
		return -EBADMSG;
	return m->kind == CONTROL_EVENT;
}

/* What the start message names is told before it, and its process may be asked
 * to wake or to end meanwhile. */
int control_wait_start(struct link_message *ret_raw, struct message *ret_start)
{
	int r;

	for (;;) {
		r = link_receive(&control, true, ret_raw);
		if (r == 0)
			continue;
		if (r > 0)
			r = take_before_start(ret_raw, ret_start);
		if (r <= 0)
			return r;
		link_message_deinit(ret_raw);
	}
}

void control_watch(void)
{
	if (fcntl(CONTROL_FD, F_SETFL, O_RDWR | O_ASYNC) < 0 ||
	    watch_add(&watch, CONTROL_FD, on_control) < 0)
		lost();
	watch_look();
}

/* --- texts of a prompt ------------------------------------------------------
 */

struct control_text *control_take_text(void)
{
	struct control_text *t;

	if (list_empty(&texts))
		return NULL;
	t = list_first(&texts, struct control_text, list);
	list_remove(&t->list);
	n_texts--;
	return t;
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

/* --- libraries --------------------------------------------------------------
 */

#define LIBRARY_TYPE "thox.library"

static int l_library_gc(lua_State *L)
{
	struct control_library *l = lua_touserdata(L, 1);

	list_remove(&l->list);
	l->fd = fd_close(l->fd);
	return 0;
}

void control_open(lua_State *L)
{
	luaL_newmetatable(L, LIBRARY_TYPE);
	lua_pushcfunction(L, l_library_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}

static void send_request(uint64_t id, const char *name)
{
	uint8_t buf[LIMIT_LIBRARY_NAME_BYTES + 32];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_WANT_LIBRARY);
	mp_write_uint(&w, id);
	mp_write_str(&w, name);
	send_all(&w);
}

struct control_library *control_want_library(lua_State *L, const char *name)
{
	struct control_library *l;

	task_check_wait(L);
	l = lua_newuserdatauv(L, sizeof(*l), 0); /* library */
	*l = (struct control_library){ .fd = -1, .status = STATUS_NOT_FOUND };
	list_init(&l->list);
	list_init(&l->waiters);
	luaL_setmetatable(L, LIBRARY_TYPE);
	if (strlen(name) > LIMIT_LIBRARY_NAME_BYTES)
		return l; /* nobody has one of that name */
	strcpy(l->name, name);
	l->id = ++last_request;
	list_append(&requests, &l->list);
	send_request(l->id, name);
	while (!l->answered)
		task_wait_at(L, &l->waiters, "a library", TASK_NO_DEADLINE);
	return l;
}
