/*
 * Step 3, in thox-exec: one run, from the request to its result.
 *
 * Four things can happen, and one poll() waits for all of them: a message of
 * thoxd, a signal, the runner asking for input (its stdin is a demand socket
 * when ours is a terminal), and, once it has asked, a line on the terminal.
 * Signals are blocked before the request is sent: before that they have
 * their default action, after that they belong to the run.
 */

#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/client.h"
#include "cli/request.h"
#include "cli/say.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "rpc/control.h"
#include "rpc/status.h"

/* --- asking ----------------------------------------------------------------
 */

static int fail(const struct options *o, const char *name, int code,
		const char *detail)
{
	struct outcome outcome;

	outcome_set_failure(&outcome, detail);
	outcome.status = code == EXIT_NO_PROGRAM ? STATUS_NOT_FOUND
			 : code == EXIT_REFUSED	 ? STATUS_DENIED
						 : STATUS_ERROR;
	if (*detail)
		outcome_say(&outcome, name);
	if (o->json)
		outcome_say_json(&outcome, name);
	return code;
}

static int fail_text(const struct options *o, int r)
{
	const char *name = o->name ? o->name : "-e";
	char detail[256];

	if (r == -EFBIG)
		snprintf(detail, sizeof(detail), "%.128s: over %u MiB of text",
			 name, TEXT_BYTES_MAX >> 20);
	else
		snprintf(detail, sizeof(detail), "%.128s: %s", name,
			 strerror(-r));
	return fail(o, name, r == -ENOENT ? EXIT_NO_PROGRAM : EXIT_REFUSED,
		    detail);
}

static int make_demand(struct session *s, int *ret_runner_fd)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	s->demand_fd = fds[0];
	*ret_runner_fd = fds[1];
	return 0;
}

static int send_request(struct session *s, const struct text *text)
{
	_cleanup_(fd_closep) int stdin_fd = -1;
	int fds[4] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, text->fd };
	struct request q = { .options = s->options, .text = text };
	struct mp_writer w = { 0 };
	unsigned rows, columns;
	int r;

	q.demand_stdin =
		!s->options->background &&
		(s->input || terminal_size(STDIN_FILENO, &rows, &columns));
	if (q.demand_stdin) {
		r = make_demand(s, &stdin_fd);
		if (r < 0)
			return r;
		fds[0] = stdin_fd;
	}
	q.has_size = !s->options->background &&
		     terminal_size(STDOUT_FILENO, &q.rows, &q.columns);
	s->watch_size = q.has_size;
	r = request_write(&q, &w);
	if (r == 0)
		r = terminal_block();
	if (r == 0)
		r = link_send_wait(&s->link, w.data, w.used, fds,
				   text->fd >= 0 ? 4 : 3);
	if (w.grows)
		mp_writer_deinit(&w);
	return r;
}

static const char *why_not_sent(int r)
{
	if (r == -EMSGSIZE)
		return "too many or too long arguments and variables";
	if (r == -EPIPE || r == -ECONNRESET)
		return "thoxd closed the connection; try again, or see its log";
	return strerror(-r);
}

/* What was opened at the number of a standard stream that is closed would be
 * handed to the runner as that stream. */
static bool took_standard(int fd)
{
	return fd >= 0 && fd <= STDERR_FILENO;
}

int session_open(struct session *s, const struct options *o,
		 session_input_fn input, void *input_user)
{
	static struct instance in;
	static struct text text;
	int r;

	*s = (struct session){
		.options = o,
		.link = { .fd = -1 },
		.signal_fd = -1,
		.demand_fd = -1,
		.input = input,
		.input_user = input_user,
	};
	text.fd = -1; /* its path is a page, which most have no use for */
	text.name = "stdin";
	text.path[0] = '\0';
	if (!o->interactive) {
		r = text_open(o->text, o->name, &text);
		if (r < 0)
			return fail_text(o, r);
	}
	s->name = text.name;
	r = instance_locate_run(o->mode, &in);
	if (r < 0)
		return fail(o, s->name, EXIT_USAGE_EXEC,
			    r == -ENOENT ? "HOME is not set, nor THOX_DIR"
					 : "the instance's path is too long");
	r = client_open(&in, true, &s->link);
	if (r < 0)
		return fail(o, s->name, EXIT_USAGE_EXEC, "");
	if (took_standard(s->link.fd) || took_standard(text.fd)) {
		session_close(s);
		return fail(o, s->name, EXIT_USAGE_EXEC,
			    "standard input, output and error must be open");
	}
	r = send_request(s, &text);
	text_close(&text);
	if (r == 0)
		r = terminal_signals(&s->signal_fd);
	if (r < 0) {
		session_close(s);
		return fail(o, s->name, EXIT_USAGE_EXEC, why_not_sent(r));
	}
	return 0;
}

void session_let_go(const struct session *s)
{
	if (s->demand_fd < 0)
		close(STDIN_FILENO);
	if (!s->watch_size && !s->options->background)
		close(STDOUT_FILENO);
}

void session_close(struct session *s)
{
	link_deinit(&s->link);
	s->signal_fd = fd_close(s->signal_fd);
	s->demand_fd = fd_close(s->demand_fd);
}

/* --- signals ---------------------------------------------------------------
 */

int session_signal(struct session *s, const char *signal)
{
	unsigned rows = 0, columns = 0;
	bool resize = strcmp(signal, "resize") == 0;
	uint8_t buf[64];
	struct mp_writer w;

	if (resize && !terminal_size(STDOUT_FILENO, &rows, &columns))
		return 0;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, resize ? 4 : 2);
	mp_write_uint(&w, CONTROL_SIGNAL);
	mp_write_str(&w, signal);
	if (resize) {
		mp_write_uint(&w, rows);
		mp_write_uint(&w, columns);
	}
	return link_send_wait(&s->link, w.data, w.used, NULL, 0);
}

static void on_stop(void *user, bool stopped)
{
	session_signal(user, stopped ? "pause" : "resume");
}

static void on_signal(struct session *s, int sig)
{
	switch (sig) {
	case SIGINT:
		session_signal(s, s->interrupted ? "kill" : "interrupt");
		s->interrupted = s->ending = true;
		break;
	case SIGTERM:
	case SIGHUP:
		session_signal(s, "terminate");
		s->ending = true;
		break;
	case SIGTSTP:
		on_stop(s, true);
		terminal_stop(sig);
		on_stop(s, false);
		break;
	case SIGCONT: /* after a SIGSTOP, which nobody can catch */
		session_signal(s, "resume");
		break;
	case SIGWINCH:
		if (s->watch_size)
			session_signal(s, "resize");
		break;
	}
}

static void on_signals(struct session *s)
{
	int sig;

	while ((sig = terminal_next_signal(s->signal_fd)) > 0)
		on_signal(s, sig);
}

/* --- input -----------------------------------------------------------------
 */

static void answer_demand(struct session *s, char *buf, ssize_t n)
{
	buf[0] = n > 0 ? DEMAND_DATA : DEMAND_END;
	s->demanded = false;
	(void)!send(s->demand_fd, buf, n > 0 ? (size_t)n + 1 : 1, MSG_NOSIGNAL);
}

static void on_demand(struct session *s)
{
	char byte;
	ssize_t n = recv(s->demand_fd, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) /* the runner closed its stdin */
		s->demand_fd = fd_close(s->demand_fd);
	else if (byte == DEMAND_READ)
		s->demanded = true;
}

/* The runner waits for input: 1 when the terminal may be waited for. */
static int prepare_input(struct session *s)
{
	static char buf[1 + 4096];
	ssize_t n;
	int r;

	if (!s->demanded || s->demand_fd < 0)
		return 0;
	if (s->input) {
		n = s->input(s->input_user, buf + 1, sizeof(buf) - 1);
		answer_demand(s, buf, n);
		return 0;
	}
	r = terminal_foreground(STDIN_FILENO, !s->ending, on_stop, s);
	if (r == -EIO)
		answer_demand(s, buf, 0);
	return r == 0;
}

/* A line is there, so this read does not block. */
static void on_terminal(struct session *s)
{
	static char buf[1 + 4096];
	ssize_t n = read(STDIN_FILENO, buf + 1, sizeof(buf) - 1);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	answer_demand(s, buf, n);
}

/* --- messages --------------------------------------------------------------
 */

static void notice(struct mp_reader *r)
{
	struct mp_bytes text = mp_read_str(r);

	if (!r->bad)
		say("%.*s", (int)(text.size < 1024 ? text.size : 1024), text.p);
}

/* 0: go on; an event; -EPROTO for what thoxd would not say. */
static int on_message(struct session *s, const struct link_message *m,
		      struct outcome *o)
{
	struct mp_reader r;
	uint32_t items;
	int hello;

	if (!s->greeted) {
		hello = connect_is_hello(m);
		s->greeted = hello > 0;
		if (hello != 0)
			return hello < 0 ? hello : 0;
	}
	mp_reader_init(&r, m->data, m->size);
	items = mp_read_array(&r);
	switch (mp_read_uint(&r)) {
	case CONTROL_STARTED:
		return outcome_parse_started(&r, items, o) < 0 ? -EPROTO
							       : SESSION_ENDED;
	case CONTROL_NOTICE:
		notice(&r);
		return 0;
	case CONTROL_RESULT:
		return outcome_parse_result(&r, o) < 0 ? -EPROTO
						       : SESSION_ENDED;
	case CONTROL_REFUSED:
		return outcome_parse_refused(&r, items, o) < 0 ? -EPROTO
							       : SESSION_ENDED;
	case CONTROL_EVALUATED:
		return SESSION_EVALUATED;
	}
	return -EPROTO;
}

static int receive(struct session *s, struct outcome *o)
{
	struct link_message m;
	int r;

	do {
		r = link_receive(&s->link, false, &m);
		if (r <= 0)
			return r;
		r = on_message(s, &m, o);
		link_message_deinit(&m);
	} while (r == 0);
	return r;
}

static int wait_once(struct session *s)
{
	bool terminal = prepare_input(s) > 0;
	struct pollfd p[] = {
		{ .fd = s->link.fd, .events = POLLIN },
		{ .fd = s->signal_fd, .events = POLLIN },
		{ .fd = s->demand_fd, .events = POLLIN },
		{ .fd = terminal ? STDIN_FILENO : -1, .events = POLLIN },
	};
	int n = poll(p, ARRAY_SIZE(p), s->greeted ? -1 : CONNECT_HELLO_MS);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (p[1].revents)
		on_signals(s);
	if (p[2].revents)
		on_demand(s);
	if (p[3].revents)
		on_terminal(s);
	return 0;
}

static const char *why_lost(int r)
{
	switch (r) {
	case -ETIMEDOUT:
		return "thoxd does not answer: 'thoxctl status' may tell more";
	case -EPROTONOSUPPORT:
		return "thoxd is of another version: 'thoxctl shutdown' ends "
		       "it, and the next start uses the new one";
	case -ECONNRESET:
	case -EPIPE:
		return "thoxd ended, and the program with it";
	case -EPROTO:
		return "thoxd sent what is not understood";
	}
	return strerror(-r);
}

enum session_event session_wait(struct session *s, struct outcome *ret_outcome)
{
	int r = 0;

	while (r == 0) {
		r = receive(s, ret_outcome);
		if (r == 0)
			r = wait_once(s);
	}
	if (r > 0)
		return (enum session_event)r;
	outcome_set_failure(ret_outcome, why_lost(r));
	return SESSION_ENDED;
}

int session_eval(struct session *s, const char *text, size_t size)
{
	struct mp_writer w;
	int r;

	s->interrupted = s->ending = false;
	mp_writer_init_heap(&w);
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_EVAL);
	mp_write_strn(&w, text, size);
	r = mp_writer_end(&w);
	if (r == 0)
		r = link_send_wait(&s->link, w.data, w.used, NULL, 0);
	mp_writer_deinit(&w);
	return r;
}
