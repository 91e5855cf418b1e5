/*
 * Step 4: a wish becomes a run, or a reason why not.
 *
 * What a child may is asked here, when it is known which program it is and
 * whose runtime it wants: a name may lead to another one.
 */

#include "thoxd/run_accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/holding.h"
#include "thoxd/policy.h"
#include "thoxd/run_limit.h"
#include "thoxd/runner.h"

static int refuse(struct refusal *why, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct refusal *why, int status, const char *format, ...)
{
	va_list ap;

	*why = (struct refusal){ .status = status };
	va_start(ap, format);
	vsnprintf(why->message, sizeof(why->message), format, ap);
	va_end(ap);
	return -1;
}

/* --- may it? --------------------------------------------------------------
 */

static int check_policy(const struct run_spec *q, const struct program *p,
			struct refusal *why)
{
	struct mp_bytes name = { p->name, strlen(p->name) };
	char rule[POLICY_RULE_BYTES];

	if (q->parent && p->stored &&
	    !policy_admits(q->parent->policy, POLICY_RUN, name, rule))
		return refuse(why, STATUS_DENIED, "%s", rule);
	/* its text runs in the zygote, so it serves nobody who may more than
	 * whoever wrote it */
	if (p->runtime_confined[0] &&
	    !policy_within(q->policy, p->runtime_confined))
		return refuse(why, STATUS_DENIED,
			      "runtime '%s' was published by a process that "
			      "may less than this program may",
			      p->runtime);
	return 0;
}

/* --- who it is ------------------------------------------------------------
 */

static void on_notify(struct principal *p, enum notice what,
		      struct mp_bytes text)
{
	struct starter *st = run_of_principal(p)->starter;

	if (st && st->ops->notified)
		st->ops->notified(st, what, text);
}

static void on_bound(struct principal *p, const char *name)
{
	struct starter *st = run_of_principal(p)->starter;

	if (st && st->ops->bound)
		st->ops->bound(st, name);
}

static void on_used(struct principal *p, const struct principal_use *use)
{
	struct run *run = run_of_principal(p);
	struct starter *st = run->starter;

	run->use = *use;
	run->use_ns = clock_ns();
	run->use_asked = false;
	if (st && st->ops->used)
		st->ops->used(st, use);
}

/*
 * What the kernel offers (RLIMIT_FSIZE) is about every file of a process, so
 * one whose output goes to a file of the user's gets none beside it: its own
 * writes there would be bounded, too.
 */
static int on_bound_files(struct principal *p, uint64_t limit_bytes)
{
	struct run *run = run_of_principal(p);
	struct stat st;

	for (int i = 0; i < 3; i++)
		if (run->fds[i] >= 0 &&
		    (fstat(run->fds[i], &st) < 0 ||
		     (S_ISREG(st.st_mode) &&
		      (fcntl(run->fds[i], F_GETFL) & O_ACCMODE) != O_RDONLY)))
			return -EPERM;
	return run->runner ? runner_bound_files(run->runner, limit_bytes)
			   : -EPERM;
}

static const struct principal_ops principal_ops = {
	.notify = on_notify,
	.bound = on_bound,
	.used = on_used,
	.bound_files = on_bound_files,
};

struct run *run_of_principal(const struct principal *p)
{
	if (p->ops != &principal_ops)
		return NULL;
	return container_of((struct principal *)p, struct run, principal);
}

/* A text is no program, whatever it is called; nor is what a runtime of some
 * process makes of one. */
static void init_principal(struct run *run, const struct run_spec *q,
			   const struct program *program)
{
	struct principal *p = &run->principal;
	bool itself = program->stored && !program->runtime_confined[0];

	principal_init(p, run->server, &principal_ops, run->memory_bytes,
		       run->descriptors);
	p->program = itself ? run->name : "";
	p->service = run->service;
	p->storage = itself ? run->name : NULL;
	p->storage_bytes = q->storage_bytes;
	p->version = run->version;
	principal_set_policy(p, q->policy);
	if (q->parent)
		principal_adopt(q->parent, p);
}

/* --- rights ---------------------------------------------------------------
 */

static bool take_right(struct principal *p, struct holding *right,
		       struct holding **ret)
{
	if (!right)
		return true;
	if (!holding_move(right, p))
		return false;
	*ret = right;
	return true;
}

/* Whoever has another context 0 cannot give its children thoxd's. */
static bool inherit_base(struct principal *p, const struct principal *parent)
{
	struct holding *base = parent->base;

	p->based = true;
	if (!base)
		return true; /* what it was is gone */
	p->base = holding_new(p->server, HOLDING_RIGHT, base->context, p,
			      base->context ? p : base->as, base, NULL);
	return p->base;
}

static bool take_gifts(struct run *run, struct list *gifts)
{
	while (gifts && !list_empty(gifts)) {
		struct holding *right =
			list_first(gifts, struct holding, of_call);

		if (!holding_move(right, &run->principal))
			return false;
		list_append(&run->starting->gifts, &right->of_call);
	}
	return true;
}

static bool take_rights(struct run *run, const struct run_spec *q)
{
	struct principal *p = &run->principal;

	p->based = q->base != NULL;
	if (!take_right(p, q->base, &p->base) ||
	    !take_right(p, q->storage, &p->store))
		return false;
	if (q->parent && q->parent->based && !q->base &&
	    !inherit_base(p, q->parent))
		return false;
	return take_gifts(run, q->gifts);
}

/* --- the start message ----------------------------------------------------
 */

static void write_start(const struct run *run, const struct run_spec *q,
			struct mp_writer *w)
{
	static const uint8_t empty_array = 0x90, empty_map = 0x80;

	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_START);
	mp_write_map(w, 14 + (run->service[0] != 0) + (q->secrets.size > 0) +
				(q->messages > 0));
	if (run->service[0]) {
		mp_write_str(w, "service");
		mp_write_str(w, run->service);
	}
	mp_write_str(w, "name");
	mp_write_str(w, run->name);
	mp_write_str(w, "version");
	mp_write_uint(w, run->version);
	mp_write_str(w, "args");
	mp_write_raw(w, q->args.size ? (const void *)q->args.p : &empty_array,
		     q->args.size ? q->args.size : 1);
	mp_write_str(w, "env");
	mp_write_raw(w, q->env.size ? (const void *)q->env.p : &empty_map,
		     q->env.size ? q->env.size : 1);
	if (q->secrets.size > 0) {
		mp_write_str(w, "secrets");
		mp_write_raw(w, q->secrets.p, q->secrets.size);
	}
	if (q->messages > 0) {
		mp_write_str(w, "messages");
		mp_write_uint(w, q->messages);
	}
	mp_write_str(w, "memory_bytes");
	mp_write_uint(w, run->memory_bytes);
	mp_write_str(w, "cpu_ms");
	mp_write_uint(w, run->cpu_ms);
	mp_write_str(w, "tasks");
	mp_write_uint(w, run->tasks);
	mp_write_str(w, "descriptors");
	mp_write_uint(w, run->descriptors);
	mp_write_str(w, "label");
	mp_write_str(w, run->server->label);
	mp_write_str(w, "demand_stdin");
	mp_write_bool(w, run->demand_stdin);
	mp_write_str(w, "interactive");
	mp_write_bool(w, run->interactive);
	mp_write_str(w, "expression");
	mp_write_bool(w, q->expression);
	mp_write_str(w, "rows");
	mp_write_uint(w, run->rows);
	mp_write_str(w, "columns");
	mp_write_uint(w, run->columns);
}

/* There may be secrets in it. */
static void wipe(struct mp_writer *w)
{
	if (w->data)
		explicit_bzero(w->data, w->used);
}

/* Without memory it is a bad one, as a writer has it, which is not sent. */
static void make_start(struct run *run, const struct run_spec *q)
{
	struct mp_writer *message = &run->starting->message, w;
	void *copy = NULL;

	mp_writer_init_heap(&w);
	write_start(run, q, &w);
	if (mp_writer_end(&w) == 0)
		copy = transient_alloc(&run->server->starts, w.used);
	mp_writer_init(message, copy, copy ? w.used : 0);
	message->bad = !copy;
	if (copy)
		mp_write_raw(message, w.data, w.used);
	wipe(&w);
	mp_writer_deinit(&w);
}

void run_drop_start(struct run *run)
{
	struct run_starting *st = run->starting;
	struct transient *t = &run->server->starts;

	run->fds[3] = fd_close(run->fds[3]);
	if (!st)
		return;
	wipe(&st->message);
	transient_free(t, st->message.data);
	list_remove(&st->room.list);
	run->starting = transient_free(t, st);
}

/* --- the run --------------------------------------------------------------
 */

static struct run *run_alloc(struct server *s, const struct run_spec *q,
			     const struct program *p)
{
	const char *service = q->service ? q->service : "";
	size_t name_size = strlen(p->name) + 1;
	size_t runtime_size = strlen(p->runtime) + 1;
	struct run *run = calloc(1, sizeof(*run) + name_size + runtime_size +
					    strlen(service) + 1);

	if (run)
		run->starting =
			transient_alloc(&s->starts, sizeof(*run->starting));
	if (!run || !run->starting) {
		free(run);
		return NULL;
	}
	run->starting->run = run;
	list_init(&run->starting->gifts);
	list_init(&run->starting->room.list);
	run->name = strcpy(run->texts, p->name);
	run->runtime = strcpy(run->texts + name_size, p->runtime);
	run->service = strcpy(run->texts + name_size + runtime_size, service);
	run->server = s;
	list_init(&run->list);
	list_init(&run->waiting);
	run->version = p->version;
	run->interactive = q->interactive;
	run->demand_stdin = q->demand_stdin;
	run->rows = q->rows;
	run->columns = q->columns;
	for (size_t i = 0; i < ARRAY_SIZE(run->fds); i++)
		run->fds[i] = -1;
	return run;
}

/* A program of the store comes with its text; what else was handed over stays
 * the caller's. */
static void take_fds(struct run *run, int fds[4], struct program *p)
{
	for (unsigned i = 0; i < 3; i++)
		run->fds[i] = steal_fd(&fds[i]);
	run->fds[3] = steal_fd(p->text_fd >= 0 ? &p->text_fd : &fds[3]);
}

static void run_free(struct garbage *g)
{
	free(container_of(g, struct run, garbage));
}

void run_discard(struct run *run)
{
	principal_end(&run->principal);
	run_drop_start(run);
	for (unsigned i = 0; i < 3; i++)
		run->fds[i] = fd_close(run->fds[i]);
	run_limits_end(run);
	server_release(run->server, &run->garbage, run_free);
}

static int refuse_limits(struct refusal *why, int error, uint64_t most)
{
	switch (error) {
	case -EDQUOT:
		return refuse(why, STATUS_TOO_LARGE,
			      "a process from which this one comes may have "
			      "%llu that come of it",
			      (unsigned long long)most);
	case -EMLINK:
		return refuse(why, STATUS_TOO_LARGE,
			      "children of children are %u deep at most",
			      BUDGET_DEPTH_MAX);
	}
	return refuse(why, STATUS_ERROR, "%s", strerror(-error));
}

int run_accept(struct server *s, const struct run_spec *q, int fds[4],
	       struct program *p, struct run **ret_run, struct refusal *ret_why)
{
	uint64_t most = 0;
	struct run *run;
	int r;

	if (check_policy(q, p, ret_why) < 0)
		return -1;
	run = run_alloc(s, q, p);
	if (!run)
		return refuse(ret_why, STATUS_ERROR, "%s", strerror(ENOMEM));
	r = run_limits_init(run, q, &most);
	if (r < 0) {
		run_discard(run);
		return refuse_limits(ret_why, r, most);
	}
	init_principal(run, q, p);
	if (!take_rights(run, q)) {
		run_discard(run);
		return refuse(ret_why, STATUS_TOO_LARGE,
			      "too many contexts at once");
	}
	take_fds(run, fds, p);
	make_start(run, q);
	*ret_run = run;
	return 0;
}
