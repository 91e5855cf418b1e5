/*
 * Step 4, for a child: process.run.
 *
 *	asked for -> started, answered -> ended, the parent is told
 *
 * The call is answered when there is a process, with its PID, and where the
 * child has another context 0 with a link that stands for the child. Nobody
 * who is gone, or waits no more, is left with a child that it cannot name. An
 * exit that the parent's control link has no room for waits there.
 */

#include "thoxd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "thoxd/child_spec.h"
#include "thoxd/holding.h"
#include "thoxd/making.h"
#include "thoxd/native.h"
#include "thoxd/pipe.h"
#include "thoxd/policy.h"
#include "thoxd/principal.h"
#include "thoxd/run.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

/* Of the parent's memory, what thoxd may keep for its children. */
#define KEPT_PART      16U
#define KEPT_MIN_BYTES (2U << 20)
#define KEPT_MAX_BYTES (16U << 20)

/* An end of a pipe that moves to the child. */
struct moved {
	uint64_t pipe; /* 0: none */
	bool writer;
};

struct child {
	struct starter starter;
	struct server *server;
	struct principal *parent; /* NULL: it has ended */
	struct native_call *call; /* NULL: it is answered */
	struct moved moved[3];
	size_t kept_bytes;
	size_t text_bytes;    /* of them, for standard input: to its end */
	bool based;	      /* its context 0 is not thoxd's */
	struct waiter waiter; /* for an answer or the end to be told */
	/* how it ended */
	pid_t pid;
	bool signalled;
	int code;
	struct garbage garbage;
};

static struct child *child_of(struct starter *st)
{
	return container_of(st, struct child, starter);
}

/* --- its end --------------------------------------------------------------
 */

static void child_free(struct garbage *g)
{
	free(container_of(g, struct child, garbage));
}

static void release(struct child *child)
{
	list_remove(&child->waiter.list);
	if (child->parent) {
		child->parent->kept_bytes -= child->kept_bytes;
		child->parent->n_kids--;
	}
	if (child->call)
		child->call->on_drop = NULL;
	child->call = NULL;
	child->parent = NULL;
	server_release(child->server, &child->garbage, child_free);
}

static void finish(struct child *child, int status)
{
	struct native_call *c = steal(&child->call);

	if (c)
		native_finish(c, status);
}

static int send_ended(struct child *child)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, child->signalled ? 4 : 3);
	mp_write_uint(&w, CONTROL_CHILD_ENDED);
	mp_write_int(&w, child->pid);
	if (child->signalled)
		mp_write_nil(&w);
	mp_write_int(&w, child->code);
	return principal_send(child->parent, &w, NULL, 0);
}

static void on_room_for_end(struct waiter *w)
{
	struct child *child = container_of(w, struct child, waiter);

	(void)send_ended(child); /* or there is nobody to tell */
	release(child);
}

static void tell_ended(struct child *child)
{
	if (!principal_busy(child->parent)) {
		on_room_for_end(&child->waiter);
		return;
	}
	child->waiter.go = on_room_for_end;
	principal_wait(child->parent, &child->waiter);
}

/* --- the answer -----------------------------------------------------------
 */

static void write_pid(struct child *child)
{
	mp_write_int(&child->call->values, child->pid);
	child->call->n_values = 1;
}

/* [pid, up]: whoever asked holds a link that stands for the child. */
static void answer_up(struct child *child)
{
	struct native_call *c = child->call;
	struct principal *wait = NULL;
	uint64_t number;
	int r;

	r = zero_make(c->holder, &child->starter.run->principal,
		      c->zero->number, &number, &wait);
	if (r == -EAGAIN) {
		making_wait(child->server, wait, &child->waiter);
		return;
	}
	if (r < 0) {
		finish(child, native_complain(c, making_status(r), "%s",
					      making_text(r)));
		starter_leave_and_kill(&child->starter, CAUSE_KILLED);
		release(child);
		return;
	}
	write_pid(child);
	native_write_link(c, number);
	c->n_values++;
	finish(child, STATUS_OK);
}

static void on_room_for_answer(struct waiter *w)
{
	struct child *child = container_of(w, struct child, waiter);

	if (child->call && child->starter.run)
		answer_up(child);
}

/* What was given to the child is not its parent's any more, and not thoxd's. */
static void let_go(struct child *child)
{
	if (child->parent)
		child->parent->kept_bytes -=
			child->kept_bytes - child->text_bytes;
	child->kept_bytes = child->text_bytes;
	for (size_t i = 0; i < ARRAY_SIZE(child->moved); i++)
		if (child->moved[i].pipe && child->parent)
			pipe_closed(child->parent, child->moved[i].pipe,
				    child->moved[i].writer);
}

static void on_started(struct starter *st, const struct run *run)
{
	struct child *child = child_of(st);

	child->pid = run->principal.pid;
	let_go(child);
	if (!child->call)
		return;
	if (child->based) {
		child->waiter.go = on_room_for_answer;
		answer_up(child);
		return;
	}
	write_pid(child);
	finish(child, STATUS_OK);
}

static void on_refused(struct starter *st, int status, const char *message,
		       const char *hint)
{
	struct child *child = child_of(st);
	bool hinted = hint && hint[0];

	if (child->call)
		finish(child,
		       native_complain(child->call, status, "%s%s%s%s", message,
				       hinted ? "; did you mean '" : "",
				       hinted ? hint : "", hinted ? "'?" : ""));
	release(child);
}

static void on_ended(struct starter *st, const struct run *run,
		     const struct run_end *end)
{
	struct child *child = child_of(st);

	(void)run;
	list_remove(&child->waiter.list);
	child->signalled = end->result->signalled;
	child->code = end->result->code;
	if (child->call) { /* it waits for `up`, which nobody needs now */
		write_pid(child);
		finish(child, STATUS_OK);
	}
	if (child->parent)
		tell_ended(child);
	else
		release(child);
}

static const struct starter_ops ops = {
	.started = on_started,
	.refused = on_refused,
	.ended = on_ended,
};

/* Whoever asked waits no more, and was told no PID. */
static void on_drop(struct native_call *c)
{
	struct child *child = c->user;

	child->call = NULL;
	starter_leave_and_kill(&child->starter, CAUSE_KILLED);
	release(child);
}

void child_parent_gone(struct principal *parent, bool hard)
{
	struct principal *p, *after;

	list_each(p, after, &parent->children, sibling)
	{
		struct run *run = run_of_principal(p);
		struct child *child =
			run->starter ? child_of(run->starter) : NULL;

		if (child) {
			starter_leave(&child->starter);
			release(child);
		}
		run_orphaned(run, hard);
	}
}

/* --- asking for one -------------------------------------------------------
 */

static int open_null(int *ret_fd)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* The parent's own stream; a native process has none here. */
static int inherit(const struct run *run, unsigned i, struct run_spec *spec,
		   int *ret_fd)
{
	int fd;

	if (!run || run->fds[i] < 0)
		return open_null(ret_fd);
	fd = fcntl(run->fds[i], F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (i == 0)
		spec->demand_stdin = run->demand_stdin;
	if (i == 1) {
		spec->rows = run->rows;
		spec->columns = run->columns;
	}
	*ret_fd = fd;
	return 0;
}

static int copy_pipe(struct child *child, unsigned i, uint64_t pipe,
		     int *ret_fd)
{
	bool writer = i > 0;

	child->moved[i] = (struct moved){ pipe, writer };
	return pipe_copy(child->parent, pipe, writer, ret_fd);
}

static int open_stream(struct child *child, struct child_spec *spec, unsigned i,
		       int *ret_fd)
{
	const struct stdio_spec *s = &spec->stdio[i];

	switch (s->kind) {
	case STDIO_INHERIT:
		return inherit(run_of_principal(child->parent), i, &spec->run,
			       ret_fd);
	case STDIO_NULL:
		return open_null(ret_fd);
	case STDIO_PIPE:
		return copy_pipe(child, i, s->pipe, ret_fd);
	case STDIO_TEXT:
		return fd_from_bytes("stdin", s->text.p, s->text.size, ret_fd);
	}
	return -EINVAL;
}

static int open_streams(struct child *child, struct child_spec *spec,
			int fds[4])
{
	static const char *const names[] = { "stdin", "stdout", "stderr",
					     "code" };
	unsigned i;
	int r = 0;

	for (i = 0; i < 3 && r == 0; i++)
		r = open_stream(child, spec, i, &fds[i]);
	if (r == 0 && spec->run.text) {
		i = 4;
		r = fd_from_bytes("code", spec->code.p, spec->code.size,
				  &fds[3]);
	}
	if (r == 0)
		return STATUS_OK;
	if (r == -ENOENT)
		return native_complain(child->call, STATUS_INVALID,
				       "%s: this process has no such end of a "
				       "pipe",
				       names[i - 1]);
	return native_complain(child->call, STATUS_ERROR, "%s: %s",
			       names[i - 1], strerror(-r));
}

/* Texts, arguments and input that wait in thoxd's memory. */
static int keep_bytes(struct child *child, const struct child_spec *spec)
{
	const struct run *run = run_of_principal(child->parent);
	size_t size = spec->run.args.size + spec->run.env.size +
		      spec->code.size + spec->stdio[0].text.size;
	size_t most = KEPT_MAX_BYTES;

	if (run && run->memory_bytes &&
	    run->memory_bytes / KEPT_PART < KEPT_MAX_BYTES)
		most = (size_t)(run->memory_bytes / KEPT_PART);
	if (most < KEPT_MIN_BYTES)
		most = KEPT_MIN_BYTES;
	if (size > most - child->parent->kept_bytes)
		return native_complain(child->call, STATUS_TOO_LARGE,
				       "too much is being handed to children "
				       "(%zu bytes at most)",
				       most);
	child->kept_bytes = size;
	child->text_bytes = spec->stdio[0].text.size;
	child->parent->kept_bytes += size;
	return STATUS_OK;
}

static int check_parent(struct native_call *c)
{
	const struct run *run = run_of_principal(c->as);

	if (run && run->orphan)
		return native_complain(c, STATUS_DENIED,
				       "this process is about to end with its "
				       "parent");
	if (c->as->n_kids >= PRINCIPAL_CHILDREN_MAX)
		return native_complain(c, STATUS_TOO_LARGE,
				       "this process has %u children",
				       PRINCIPAL_CHILDREN_MAX);
	return STATUS_OK;
}

static int narrow(struct native_call *c, const struct child_spec *spec,
		  struct policy **ret_policy)
{
	char origin[POLICY_ORIGIN_BYTES];
	int r;

	snprintf(origin, sizeof(origin), "what process %d lets its child do",
		 (int)c->as->pid);
	r = policy_narrow(c->as->policy, origin, spec->allow, spec->deny,
			  ret_policy);
	if (r == -E2BIG)
		return native_complain(c, STATUS_TOO_LARGE,
				       "policy: too many rules, or too many "
				       "parents that have rules");
	if (r < 0)
		return native_complain(c, STATUS_INVALID,
				       "policy: allow and deny have patterns "
				       "by call, bind, run and store");
	return STATUS_OK;
}

/* --- contexts in the argument ---------------------------------------------
 */

static bool is_gift(struct list *gifts, struct mp_bytes item)
{
	struct holding *h, *after;
	struct mp_reader r;
	uint64_t number;

	mp_reader_init(&r, item.p, item.size);
	number = wire_read_context(&r);
	list_each(h, after, gifts,
		  of_call) if (h->number == number) return true;
	return false;
}

static int take_context(struct native_call *c, struct mp_bytes item,
			const char *what, struct list *taken,
			struct holding **ret)
{
	struct holding *right;
	struct mp_reader r;

	mp_reader_init(&r, item.p, item.size);
	right = native_read_context(c, &r);
	if (!right)
		return native_complain(c, STATUS_INVALID,
				       "%s: this context is used for something "
				       "else, too, or has ended",
				       what);
	list_remove(&right->of_call);
	list_append(taken, &right->of_call);
	*ret = right;
	return STATUS_OK;
}

/* They leave the call's list for @gifts and @others; what the run does not
 * take ends. */
static int take_contexts(struct native_call *c, struct child_spec *spec,
			 struct list *gifts, struct list *others)
{
	struct mp_bytes item;
	struct mp_reader args;
	struct holding *right;
	int r = STATUS_OK;

	mp_reader_init(&args, spec->run.args.p, spec->run.args.size);
	if (spec->run.args.size > 0)
		(void)mp_read_array(&args);
	while (r == STATUS_OK) {
		item = child_spec_next_context(&args);
		if (item.size == 0)
			break;
		if (!is_gift(gifts, item)) /* else the same once more */
			r = take_context(c, item, "args", gifts, &right);
	}
	if (r == STATUS_OK && spec->context.size > 0)
		r = take_context(c, spec->context, "context", others,
				 &spec->run.base);
	if (r == STATUS_OK && spec->storage.size > 0)
		r = take_context(c, spec->storage, "storage", others,
				 &spec->run.storage);
	if (r == STATUS_OK && spec->run.storage && !spec->run.storage->context)
		r = native_complain(c, STATUS_INVALID,
				    "storage: a context to thoxd is none");
	return r;
}

static void drop_rights(struct list *rights)
{
	while (!list_empty(rights))
		holding_free(list_first(rights, struct holding, of_call));
}

/* --- the whole ------------------------------------------------------------
 */

static struct child *child_new(struct native_call *c)
{
	struct child *child = calloc(1, sizeof(*child));

	if (!child)
		return NULL;
	child->starter.ops = &ops;
	child->server = c->server;
	child->parent = c->as;
	child->call = c;
	child->parent->n_kids++;
	list_init(&child->waiter.list);
	return child;
}

/* NATIVE_LATER: the call is answered by what becomes of the run, or was. */
static int start(struct child *child, struct child_spec *spec)
{
	struct native_call *c = child->call;
	struct list gifts, others;
	int fds[4] = { -1, -1, -1, -1 };
	int r;

	list_init(&gifts);
	list_init(&others);
	r = keep_bytes(child, spec);
	r = r ? r : open_streams(child, spec, fds);
	r = r ? r : take_contexts(c, spec, &gifts, &others);
	if (r == STATUS_OK) {
		child->based = spec->run.base != NULL;
		spec->run.parent = child->parent;
		spec->run.gifts = &gifts;
		c->user = child;
		c->on_drop = on_drop;
		run_start(child->server, &spec->run, fds, &child->starter);
		r = NATIVE_LATER;
	}
	drop_rights(&gifts);
	drop_rights(&others);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	return r;
}

int child_run(struct native_call *c)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	struct mp_bytes table = mp_read_raw(&c->args);
	const char *wrong = "a table is wanted";
	struct child_spec spec;
	struct child *child;
	int r;

	if (!c->args.bad && c->n_args == 1)
		wrong = child_spec_parse(table, &spec);
	if (wrong)
		return native_complain(c, STATUS_INVALID, "%s", wrong);
	r = check_parent(c);
	r = r ? r : narrow(c, &spec, &policy);
	if (r != STATUS_OK)
		return r;
	spec.run.policy = policy;
	child = child_new(c);
	if (!child)
		return native_complain(c, STATUS_ERROR, "%s", strerror(ENOMEM));
	r = start(child, &spec);
	if (r != NATIVE_LATER) {
		child->call = NULL;
		release(child);
	}
	return r;
}
