/*
 * Steps 2 and 3, in thoxctl top: the loop of keys, answers and moments.
 *
 * Nothing here waits for thoxd: a moment that was not answered is not asked for
 * again, and one that is gone is looked for at each moment.
 */

#include "cli/ctl_top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_top_link.h"
#include "cli/ctl_top_orders.h"
#include "cli/ctl_top_screen.h"
#include "cli/ctl_top_text.h"
#include "cli/say.h"
#include "rpc/status.h"

#define RETRY_MS   500U	 /* until thoxd is looked for again */
#define PATIENT_MS 3000U /* for a moment's answer */

struct live {
	struct top *top;
	struct top_link link;
	struct top_view view;
	unsigned n_moments;
	uint64_t next_ns; /* moment */
	uint64_t asked;	  /* number of its request; 0: none waits */
	uint64_t asked_ns;
	bool lost; /* thoxd, since the last answer */
	/* the chosen row, by name once a key has chosen it */
	bool follows;
	enum top_kind kind;
	pid_t pid;
	char name[TOP_TEXT_BYTES];
	/* orders */
	struct top_question question;
	struct top_question ordered;
	uint64_t order; /* number of its request; 0: none waits */
	char message[TOP_TEXT_BYTES];
	char trouble[TOP_TEXT_BYTES];
	sigset_t before; /* of top's own signals */
	int signals;
	bool over;
	bool hung_up; /* the terminal is gone */
};

/* --- the chosen row ------------------------------------------------------- */

static const struct top_row *chosen(const struct live *v)
{
	const struct top_data *t = &v->top->data;

	return v->view.chosen < t->n_rows ? &t->rows[v->view.chosen] : NULL;
}

static void remember(struct live *v)
{
	const struct top_row *row = chosen(v);

	v->follows = row != NULL;
	if (!row)
		return;
	v->kind = row->kind;
	v->pid = row->pid;
	snprintf(v->name, sizeof(v->name), "%s", row->name);
}

static bool is_it(const struct live *v, const struct top_row *row)
{
	return row->kind == v->kind && strcmp(row->name, v->name) == 0 &&
	       (row->kind != TOP_PROCESS || row->pid == v->pid);
}

/* Rows have moved: it stays chosen, or, when it is gone, its place. */
static void choose_again(struct live *v)
{
	const struct top_data *t = &v->top->data;

	for (size_t i = 0; v->follows && i < t->n_rows; i++)
		if (is_it(v, &t->rows[i])) {
			v->view.chosen = i;
			return;
		}
	if (v->view.chosen >= t->n_rows)
		v->view.chosen = t->n_rows > 0 ? t->n_rows - 1 : 0;
}

static void sort(struct live *v)
{
	top_order_apply(&v->top->data, v->top->order);
	v->view.order = v->top->order;
	choose_again(v);
}

/* Before the first one no row is meant in particular, only the first. */
static void move_to(struct live *v, ptrdiff_t to)
{
	ptrdiff_t last = (ptrdiff_t)v->top->data.n_rows - 1;

	if (to > last)
		to = last;
	v->view.chosen = to > 0 ? (size_t)to : 0;
	remember(v);
}

/* --- thoxd ---------------------------------------------------------------- */

static void lose(struct live *v, int r)
{
	top_link_close(&v->link);
	v->asked = v->order = 0;
	v->lost = true;
	v->message[0] = '\0';
	v->next_ns = clock_ns() + RETRY_MS * 1000000ULL;
	top_data_forget(&v->top->data);
	if (r == -ENOENT || r == -ECONNREFUSED)
		snprintf(v->trouble, sizeof(v->trouble),
			 "no instance runs: waiting for one");
	else if (r == -EPROTONOSUPPORT)
		snprintf(v->trouble, sizeof(v->trouble),
			 "thoxd is of another version now: leave, and start "
			 "the thoxctl that came with it");
	else
		snprintf(v->trouble, sizeof(v->trouble),
			 "thoxd is gone (%s): looking for it", strerror(-r));
}

static void ask(struct live *v)
{
	uint64_t now_ns = clock_ns();
	bool first = v->n_moments < TOP_FIRST_MOMENTS;
	int r = 0;

	v->next_ns =
		now_ns + (first ? TOP_FIRST_MS : v->top->delay_ms) * 1000000ULL;
	if (!v->link.up)
		r = top_link_open(&v->link, &v->top->ctl->in);
	if (r == 0 && !v->asked) {
		r = top_link_ask(&v->link, "top", json_object(), &v->asked);
		v->asked_ns = now_ns;
	} else if (r == 0 && now_ns - v->asked_ns > PATIENT_MS * 1000000ULL) {
		v->message[0] = '\0';
		snprintf(v->trouble, sizeof(v->trouble),
			 "thoxd does not answer: waiting for it");
	}
	if (r < 0)
		lose(v, r);
}

static void take_moment(struct live *v, struct top_reply *reply)
{
	v->asked = 0;
	if (reply->status != STATUS_OK ||
	    top_data_take(&v->top->data, &v->top->wanted, reply->value) < 0) {
		if (reply->status != STATUS_OK)
			json_decref(reply->value);
		snprintf(v->trouble, sizeof(v->trouble),
			 "thoxd does not know what top asks: it is of another "
			 "version");
		return;
	}
	if (v->lost)
		snprintf(v->message, sizeof(v->message),
			 "connected to thoxd again");
	if (v->lost)
		v->n_moments = 0;
	v->lost = false;
	v->trouble[0] = '\0';
	if (v->n_moments++ < TOP_FIRST_MOMENTS)
		v->next_ns = clock_ns() + TOP_FIRST_MS * 1000000ULL;
	sort(v);
}

static void take_replies(struct live *v)
{
	struct top_reply reply;
	int r;

	while ((r = top_link_next(&v->link, &reply)) > 0) {
		if (reply.id == v->asked) {
			take_moment(v, &reply);
			continue;
		}
		if (reply.id == v->order) {
			v->order = 0;
			top_question_result(&v->ordered, &reply, v->message);
		} else if (reply.id == 0 && json_is_string(reply.value)) {
			snprintf(v->message, sizeof(v->message), "%.1000s",
				 json_string_value(reply.value));
		}
		json_decref(reply.value);
	}
	if (r < 0)
		lose(v, r);
}

/* --- logs ----------------------------------------------------------------- */

static _Noreturn void be_logs(const struct live *v, const char *name)
{
	const char *mode =
		v->top->ctl->in.mode == INSTANCE_SYSTEM ? "--system" : "--user";
	const char *const argv[] = { "thoxctl", mode, "logs", "-f", "-n",
				     "100",	"--", name,   NULL };

	sigprocmask(SIG_SETMASK, &v->before, NULL);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	say("logs: %s", strerror(errno));
	_exit(CTL_FAILED);
}

/* What came meanwhile was meant for the logs. */
static void drain_signals(const struct live *v)
{
	struct signalfd_siginfo info;

	while (read(v->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
}

/* Ctrl-C ends them; what they complain of must be read before it goes. */
static void show_logs(struct live *v, const char *name)
{
	char shown[TOP_TEXT_BYTES];
	int status = 0;
	pid_t pid;

	top_screen_leave();
	top_text(name, sizeof(shown), shown);
	printf("--- the log of %s; Ctrl-C comes back ---\n", shown);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		be_logs(v, name);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
		printf("--- Enter comes back ---\n");
		fflush(stdout);
		while (getchar() != '\n' && !feof(stdin) && !ferror(stdin))
			;
	}
	drain_signals(v);
	top_screen_return();
	v->next_ns = 0;
}

static void logs(struct live *v, const struct top_row *row)
{
	char name[TOP_TEXT_BYTES];

	if (row->kind == TOP_PROCESS) {
		snprintf(v->message, sizeof(v->message),
			 "%.300s is no service: it has no log", row->name);
		return;
	}
	snprintf(name, sizeof(name), "%s", row->name);
	show_logs(v, name);
}

/* --- keys ----------------------------------------------------------------- */

static void order(struct live *v)
{
	int r = v->link.up
			? top_question_send(&v->question, &v->link, &v->order)
			: -ENOTCONN;

	v->ordered = v->question;
	if (r == -ENOTCONN || r == -EBUSY)
		snprintf(v->message, sizeof(v->message),
			 "thoxd does not answer: nothing was asked of it");
	else if (r < 0)
		lose(v, r);
}

/* A key answers the question: only y is yes. */
static void answer(struct live *v, int key)
{
	if (key == 'y' || key == 'Y')
		order(v);
	v->question.action = TOP_NOTHING;
}

static void act_on_row(struct live *v, enum top_action action)
{
	const struct top_row *row = chosen(v);

	if (!row)
		snprintf(v->message, sizeof(v->message), "nothing is chosen");
	else if (action == TOP_LOGS)
		logs(v, row);
	else if (!top_question_ask(&v->question, action, row))
		snprintf(v->message, sizeof(v->message), "%s",
			 v->question.text);
}

static void sort_by(struct live *v, enum top_column column)
{
	v->top->order = (struct top_order){ .column = column };
	sort(v);
}

static void move(struct live *v, enum top_action action)
{
	ptrdiff_t at = (ptrdiff_t)v->view.chosen;
	ptrdiff_t page = (ptrdiff_t)top_screen_rows();

	switch (action) {
	case TOP_UP:
		move_to(v, at - 1);
		break;
	case TOP_DOWN:
		move_to(v, at + 1);
		break;
	case TOP_PAGE_UP:
		move_to(v, at - page);
		break;
	case TOP_PAGE_DOWN:
		move_to(v, at + page);
		break;
	case TOP_LAST:
		move_to(v, PTRDIFF_MAX);
		break;
	default:
		move_to(v, 0);
		v->follows = false;
	}
}

static void act(struct live *v, const struct top_key *key)
{
	enum top_column column = v->top->order.column;

	switch (key->action) {
	case TOP_QUIT:
		v->over = true;
		break;
	case TOP_HELP:
		v->view.help = true;
		break;
	case TOP_RESTART:
	case TOP_STOP:
	case TOP_LOGS:
		act_on_row(v, key->action);
		break;
	case TOP_REFRESH:
		v->next_ns = 0;
		break;
	case TOP_SORT:
		sort_by(v, key->column);
		break;
	case TOP_SORT_LEFT:
		sort_by(v, top_order_step(column, -1));
		break;
	case TOP_SORT_RIGHT:
		sort_by(v, top_order_step(column, 1));
		break;
	case TOP_REVERSE:
		v->top->order.reverse = !v->top->order.reverse;
		sort(v);
		break;
	default:
		move(v, key->action);
	}
}

static void take_key(struct live *v, int pressed)
{
	const struct top_key *key = top_key_find(pressed);

	v->message[0] = '\0';
	if (v->question.action != TOP_NOTHING)
		answer(v, pressed);
	else if (v->view.help)
		v->view.help = false;
	else if (key)
		act(v, key);
}

/* A terminal that is gone is readable for ever, and has nothing. */
static void take_keys(struct live *v, short events)
{
	int waiting = 0, key;

	if (events & (POLLHUP | POLLERR | POLLNVAL) ||
	    ioctl(STDIN_FILENO, FIONREAD, &waiting) < 0 || waiting == 0) {
		v->over = v->hung_up = true;
		return;
	}
	while (!v->over && (key = top_screen_key()) >= 0)
		take_key(v, key);
}

/* --- the loop ------------------------------------------------------------- */

static void take_signals(struct live *v)
{
	struct signalfd_siginfo info;

	while (read(v->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGWINCH) {
			top_screen_resize();
			continue;
		}
		v->over = true;
		v->hung_up = info.ssi_signo == SIGHUP;
	}
}

static void draw(struct live *v)
{
	v->view.data = &v->top->data;
	v->view.trouble = v->trouble[0] ? v->trouble : NULL;
	v->view.message = v->question.action != TOP_NOTHING ? v->question.text
			  : v->message[0]		    ? v->message
							    : NULL;
	top_screen_draw(&v->view);
}

/* Until the next moment; rounded up, or it would be asked for too early. */
static int rest_ms(const struct live *v)
{
	uint64_t now_ns = clock_ns();

	return now_ns >= v->next_ns
		       ? 0
		       : (int)((v->next_ns - now_ns) / 1000000 + 1);
}

static int turn(struct live *v)
{
	struct pollfd p[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = v->signals, .events = POLLIN },
		{ .fd = v->link.up ? v->link.link.fd : -1, .events = POLLIN },
	};

	if (poll(p, ARRAY_SIZE(p), rest_ms(v)) < 0 && errno != EINTR)
		return -errno;
	if (p[1].revents)
		take_signals(v);
	if (p[2].revents)
		take_replies(v);
	if (p[0].revents)
		take_keys(v, p[0].revents);
	if (!v->over && clock_ns() >= v->next_ns)
		ask(v);
	return 0;
}

/* The signals that the loop reads; ncurses has handlers for some of them, which
 * must not come in between. */
static int begin_signals(struct live *v)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, &v->before);
	v->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return v->signals < 0 ? -errno : 0;
}

/* As one that knows nothing of signals ends, when its terminal goes. */
static _Noreturn void hang_up(const struct live *v)
{
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_SETMASK, &v->before, NULL);
	raise(SIGHUP);
	_exit(CTL_FAILED); /* it was blocked before */
}

static int run(struct live *v)
{
	int r = begin_signals(v);

	if (r == 0)
		r = top_screen_open();
	if (r == -ENOTTY) {
		say("this terminal cannot be drawn on (TERM): --batch prints "
		    "lines");
		return CTL_USAGE;
	}
	while (r == 0 && !v->over) {
		draw(v);
		r = turn(v);
	}
	top_screen_close();
	if (v->hung_up)
		hang_up(v);
	return r < 0 ? ctl_fail("top", r) : CTL_OK;
}

int top_live(struct top *top)
{
	static struct live v;
	int r;

	v.top = top;
	v.signals = -1;
	v.view.place = top->ctl->in.run;
	v.view.order = top->order;
	r = ctl_connect(top->ctl, &v.link.link);
	if (r != CTL_OK)
		return r;
	top_link_begin(&v.link);
	r = run(&v);
	top_link_close(&v.link);
	fd_close(v.signals);
	return r;
}
