/*
 * Step 7, in a runner: what belongs to a task.
 */

#include "runner/mailbox.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "runner/call.h"
#include "runner/event.h"
#include "runner/incoming.h"
#include "runner/request.h"
#include "runner/served.h"
#include "runner/task.h"
#include "runner/worker.h"

struct mailbox *mailbox_of(const struct task *t)
{
	return t->events;
}

static struct mailbox *new_mailbox(struct task *t)
{
	struct mailbox *box = calloc(1, sizeof(*box));

	if (!box)
		return NULL;
	box->task = t;
	list_init(&box->calls);
	list_init(&box->answered);
	list_init(&box->requests);
	list_init(&box->pulling);
	t->events = box;
	return box;
}

struct mailbox *mailbox_get(lua_State *L)
{
	struct task *t = task_current();
	struct mailbox *box = t->events ? t->events : new_mailbox(t);

	if (!box)
		luaL_error(L, "not enough memory");
	return box;
}

bool mailbox_make_worker(struct task *t)
{
	struct mailbox *box = new_mailbox(t);

	if (box)
		box->worker = true;
	return box;
}

void mailbox_read(struct mailbox *box, struct incoming *in)
{
	struct incoming *before = box->reading;

	box->reading = in ? incoming_ref(in) : NULL;
	incoming_unref(before);
}

void mailbox_release(struct task *t)
{
	struct mailbox *box = t->events;

	event_task_ended(t, box);
	t->events = NULL;
	if (!box)
		return;
	call_forget_task(box);
	request_forget_task(&box->requests);
	if (box->answering)
		served_abandon(box->answering);
	if (box->worker)
		worker_ended(box);
	served_unref(box->serving);
	incoming_unref(box->reading);
	event_unref(box->looked_at);
	free(box->skipped);
	free(box);
}
