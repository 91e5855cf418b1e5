/*
 * Step 7, in a runner: waiting for thoxd.
 */

#include "runner/request.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runner/mailbox.h"
#include "runner/task.h"
#include "runner/tell.h"

static struct list requests = { &requests, &requests };
static uint64_t last_id;

struct request *request_new(lua_State *L)
{
	struct mailbox *box;
	struct request *r;

	task_check_wait(L);
	box = mailbox_get(L);
	r = calloc(1, sizeof(*r));
	if (!r) {
		luaL_error(L, "not enough memory");
		return NULL;
	}
	r->id = ++last_id;
	r->task = task_current();
	r->fds[0] = r->fds[1] = -1;
	list_append(&requests, &r->list);
	list_append(&box->requests, &r->mine);
	return r;
}

static void ask(const struct request *r)
{
	tell_request(r->kind, r->n, r->id, r->arguments[0], r->arguments[1]);
}

void request_ask(struct request *r, int64_t kind, unsigned n, uint64_t a,
		 uint64_t b)
{
	r->kind = kind;
	r->n = n;
	r->arguments[0] = a;
	r->arguments[1] = b;
	ask(r);
}

void request_ask_again(void)
{
	struct request *r, *after;

	list_each(r, after, &requests, list)
	{
		if (!r->answered)
			ask(r);
	}
}

void request_release(struct request *r)
{
	list_remove(&r->list);
	list_remove(&r->mine);
	fd_close(r->fds[0]);
	fd_close(r->fds[1]);
	free(r);
}

void request_wait(lua_State *L, struct request *r, const char *what)
{
	while (!r->answered)
		task_wait(L, what, TASK_NO_DEADLINE);
}

static struct request *find(uint64_t id)
{
	struct request *r, *after;

	list_each(r, after, &requests, list) if (r->id == id) return r;
	return NULL;
}

void request_answer(uint64_t id, int status, struct mp_bytes message,
		    uint64_t value, const int *fds, unsigned n_fds)
{
	struct request *r = find(id);
	size_t size = message.size;

	if (!r || r->answered) {
		for (unsigned i = 0; i < n_fds; i++)
			fd_close(fds[i]);
		return;
	}
	for (unsigned i = 0; i < n_fds; i++)
		r->fds[i] = fds[i];
	if (size >= sizeof(r->message))
		size = sizeof(r->message) - 1;
	if (size > 0)
		memcpy(r->message, message.p, size);
	r->message[size] = '\0';
	r->status = status;
	r->value = value;
	r->answered = true;
	if (r->task)
		task_wake(r->task);
	else
		request_release(r);
}

void request_forget_task(struct list *mine)
{
	while (!list_empty(mine)) {
		struct request *r = list_first(mine, struct request, mine);

		list_remove(&r->mine);
		r->task = NULL;
		if (r->answered)
			request_release(r);
	}
}
