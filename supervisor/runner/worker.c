/*
 * Step 7, in a runner: tasks for the functions that serve.
 *
 * A worker is a task that takes jobs from the queue, one after the other. A
 * callback adds a job and wakes an idle worker, or starts one; that can fail,
 * and then the job waits until another is done.
 */

#include "runner/worker.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/status.h"
#include "runner/context.h"
#include "runner/event.h"
#include "runner/failure.h"
#include "runner/handler.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/lua_status.h"
#include "runner/mailbox.h"
#include "runner/program.h"
#include "runner/request_value.h"
#include "runner/runner.h"
#include "runner/served.h"
#include "runner/task.h"

struct job {
	struct list list;
	struct handler *handler; /* NULL: pass on served->passed */
	struct served *served;	 /* ON_CALL */
	struct event *event;	 /* ON_PUSH, ON_LISTEN */
	struct context *context; /* ON_LAST */
};

static struct list jobs = { &jobs, &jobs };
static struct list idle = { &idle, &idle }; /* workers that wait */
static unsigned n_workers, n_idle, n_pushes;
static size_t push_bytes;
static const char no_memory[] = "not enough memory to serve it";
static const char ends[] = STATUS_CLOSED_TEXT;

/* --- jobs -------------------------------------------------------------------
 */

static void count_push(const struct job *job, int by)
{
	if (!job->event)
		return;
	if (job->event->context)
		job->event->context->n_ahead += (unsigned)by;
	n_pushes += (unsigned)by;
	if (by > 0)
		push_bytes += job->event->bytes;
	else
		push_bytes -= job->event->bytes;
}

/* What was only passed on is not kept, whoever still has the request. */
static void let_go(const struct job *job)
{
	struct served *s = job->served;

	if (s && s->in)
		incoming_let_go(s->in);
	if (s && s->passed) {
		incoming_let_go(s->passed);
		s->passed = incoming_unref(s->passed);
	}
	if (job->event && job->event->in)
		incoming_let_go(job->event->in);
}

static void free_job(struct job *job)
{
	let_go(job);
	list_remove(&job->list);
	count_push(job, -1);
	if (job->handler)
		handler_unref(job->handler);
	served_unref(job->served);
	event_unref(job->event);
	if (job->context)
		context_unref(job->context);
	free(job);
}

static void fail(struct job *job, int status, const char *message, size_t size)
{
	if (job->served && job->served->cid)
		served_fail(job->served, status, message, size);
}

/* The mailbox of a worker goes, wherever its task was. */
void worker_ended(struct mailbox *box)
{
	static const char message[] = "the task that served it was ended";
	struct job *job = box->job;

	n_workers--;
	if (box->idle)
		n_idle--;
	if (!job)
		return;
	fail(job, STATUS_ERROR, message, sizeof(message) - 1);
	free_job(job);
}

/* --- running one ------------------------------------------------------------
 */

/* What incoming_push_values() says of the values of a call or an answer. */
static void fail_values(struct job *job, int r, const char *too_many,
			const char *bad)
{
	if (r == -E2BIG)
		fail(job, STATUS_TOO_LARGE, too_many, strlen(too_many));
	else if (r == -ENOMEM)
		fail(job, STATUS_TOO_LARGE, no_memory, sizeof(no_memory) - 1);
	else
		fail(job, STATUS_INVALID, bad, strlen(bad));
}

/* Push what the function gets: their number, or -1 and a call is answered. */
static int push_arguments(lua_State *L, struct job *job)
{
	struct incoming *in = job->served ? job->served->in : job->event->in;
	int n;

	request_value_push(L, job->served, job->event);
	if (job->handler->kind == ON_LISTEN) {
		lua_pushboolean(L, job->event->on);
		return 2;
	}
	n = incoming_push_values(in, L, LIMIT_ARGUMENTS);
	if (n >= 0) {
		incoming_strip(in);
		return 1 + n;
	}
	fail_values(job, n, "too many arguments",
		    "an argument that Lua has no value for");
	return -1;
}

/* The answer to a call that went through, as it came. */
static void pass_answer(lua_State *L, struct job *job)
{
	struct served *s = job->served;
	int n = incoming_push_values(s->passed, L, LIMIT_ANSWER_VALUES);

	if (n < 0)
		fail_values(job, n, "an answer of too many values",
			    "the answer has a value that Lua has not");
	else if (s->cid)
		served_answer(L, s, (int)s->passed->m.status, 2, n);
}

/* In the worker, protected: the job's function, and its answer. */
static int l_run(lua_State *L)
{
	struct job *job = lua_touserdata(L, 1);
	int n = 0;

	if (!job->handler) {
		pass_answer(L, job);
		return 0;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, job->handler->function);
	if (job->served || job->event)
		n = push_arguments(L, job);
	if (n < 0)
		return 0;
	lua_call(L, n, LUA_MULTRET);
	n = lua_gettop(L) - 1;
	if (job->served && job->served->cid)
		served_answer(L, job->served, STATUS_OK, 2, n);
	return 0;
}

/* An error with a status of its own is an answer; any other is a fault, and
 * told with a traceback. */
static int l_on_error(lua_State *L)
{
	if (!lua_status_is_error(L, 1)) {
		lua_pushcfunction(L, failure_handler);
		lua_pushvalue(L, 1);
		lua_call(L, 1, 1); /* error text */
		failure_tell_error(L);
	}
	lua_settop(L, 1);
	return 1;
}

/* The error on the top is the call's answer. */
static void answer_error(lua_State *L, struct job *job)
{
	int status = STATUS_ERROR;
	const char *text;
	char other[64];
	size_t size;

	if (!job->served || !job->served->cid)
		return;
	if (lua_status_is_error(L, -1)) {
		lua_getfield(L, -1, "status");
		status = (int)lua_tointeger(L, -1);
		lua_pop(L, 1);
		lua_getfield(L, -1, "message");
		if (status <= STATUS_OK || status > STATUS_TOO_LARGE)
			status = STATUS_ERROR;
	}
	text = lua_tolstring(L, -1, &size);
	if (!text && !lua_isnil(L, -1)) {
		snprintf(other, sizeof(other), "(error object is a %s value)",
			 luaL_typename(L, -1));
		text = other;
		size = strlen(other);
	}
	fail(job, status, text ? text : "", size);
}

static void run_job(lua_State *L, struct mailbox *box, struct job *job)
{
	bool last;

	list_remove(&job->list);
	box->job = job;
	if (job->served)
		served_take(job->served, box);
	lua_settop(L, 0);
	lua_pushcfunction(L, l_on_error);
	lua_pushcfunction(L, l_run);
	lua_pushlightuserdata(L, job);
	if (lua_pcall(L, 1, 0, 1) != LUA_OK)
		answer_error(L, job);
	lua_settop(L, 0);
	box->serving = served_unref(box->serving);
	box->job = NULL;
	last = job->handler && job->handler->kind == ON_TERMINATE &&
	       !handler_stopped();
	free_job(job);
	if (last)
		program_terminate(); /* does not return */
}

/* --- workers ----------------------------------------------------------------
 */

/* Was it given up before it began, or its context held again? */
static bool is_void(const struct job *job)
{
	return (job->served && !job->served->cid) ||
	       (job->context && job->context->n_holders > 0);
}

/* The next job that still wants doing. */
static struct job *next_job(void)
{
	while (!list_empty(&jobs)) {
		struct job *job = list_first(&jobs, struct job, list);

		if (!is_void(job))
			return job;
		free_job(job);
	}
	return NULL;
}

/* The function of a worker's task. */
static int l_work(lua_State *L)
{
	struct mailbox *box = mailbox_get(L);

	for (;;) {
		struct job *job = next_job();

		if (job) {
			run_job(L, box, job);
			continue;
		}
		if (n_idle >= LIMIT_IDLE_WORKERS || !handler_wanted())
			return 0;
		n_idle++;
		box->idle = true;
		task_wait_at(L, &idle, "something to serve", TASK_NO_DEADLINE);
		box->idle = false;
		n_idle--;
	}
}

static int l_start_worker(lua_State *L)
{
	struct task *t;

	lua_pushcfunction(L, l_work);
	t = task_start(L, 0, "handler");
	if (!mailbox_make_worker(t))
		task_kill(t);
	else
		n_workers++;
	return 0;
}

/* In a callback, so protected, in the one state that no task runs in. */
static void start_worker(void)
{
	lua_State *L = runner.L;

	if (n_workers >= LIMIT_WORKERS)
		return;
	lua_pushcfunction(L, l_start_worker);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK)
		lua_pop(L, 1);
}

static struct job *add_job(struct handler *h)
{
	struct job *job = malloc(sizeof(*job)); /* quicker than calloc() */

	if (!job)
		return NULL;
	*job = (struct job){ .handler = h };
	if (h)
		h->refs++;
	list_append(&jobs, &job->list);
	return job;
}

/* Somebody shall do it. */
static void hand_out(struct job *job)
{
	if (!list_empty(&idle)) {
		task_wake_first(&idle);
		return;
	}
	start_worker();
	if (n_workers > 0)
		return; /* if not a new one, then the first that is free */
	if (task_is_ending())
		fail(job, STATUS_CLOSED, ends, sizeof(ends) - 1);
	else
		fail(job, STATUS_TOO_LARGE, no_memory, sizeof(no_memory) - 1);
	free_job(job);
}

/* --- handing out ------------------------------------------------------------
 */

void worker_serve(struct handler *h, struct served *s)
{
	struct job *job = add_job(h);

	if (!job) {
		served_fail(s, STATUS_TOO_LARGE, no_memory,
			    sizeof(no_memory) - 1);
		return;
	}
	s->by_function = true;
	job->served = served_ref(s);
	hand_out(job);
}

void worker_pass(struct served *s)
{
	struct job *job = add_job(NULL);

	if (!job) {
		served_fail(s, STATUS_TOO_LARGE, no_memory,
			    sizeof(no_memory) - 1);
		return;
	}
	job->served = served_ref(s);
	hand_out(job);
}

bool worker_take(struct handler *h, struct event *e)
{
	struct job *job;

	if (n_pushes >= LIMIT_EVENTS ||
	    (n_pushes > 0 && push_bytes + e->bytes > LIMIT_EVENT_BYTES))
		return false;
	job = add_job(h);
	if (!job)
		return false;
	job->event = event_ref(e);
	count_push(job, 1);
	hand_out(job);
	return true;
}

bool worker_tell(struct handler *h, struct context *c)
{
	struct job *job = add_job(h);

	if (!job)
		return false;
	job->context = c ? context_ref(c) : NULL;
	hand_out(job);
	return true;
}

bool worker_busy(void)
{
	return n_workers > n_idle || !list_empty(&jobs);
}

void worker_dismiss(void)
{
	task_wake_all(&idle);
}
