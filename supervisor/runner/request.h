#pragma once

/*
 * What is asked of thoxd over the control link, and the answer that a task
 * waits for: sharing a context, revoking it, a pipe.
 *
 * A request belongs to the task that made it, until it is released; one whose
 * task has ended is kept until thoxd has answered, so that what the answer
 * brings is closed.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/mp.h"

#define REQUEST_MESSAGE_BYTES 256

struct task;

struct request {
	struct list list; /* of all */
	struct list mine; /* of its task */
	uint64_t id;
	struct task *task; /* NULL: it has ended */
	bool answered;
	int status; /* STATUS_… */
	uint64_t value;
	int fds[2];   /* -1: none, or taken */
	int64_t kind; /* what was asked, for another thoxd: CONTROL_… */
	unsigned n;
	uint64_t arguments[2];
	char message[REQUEST_MESSAGE_BYTES];
};

/* A new one of the current task, for one of tell.h; raises for memory. */
struct request *request_new(lua_State *L);
/* Ask: the message is [@kind, id, and @n numbers]. */
void request_ask(struct request *r, int64_t kind, unsigned n, uint64_t a,
		 uint64_t b);
/* Another thoxd is there: all that is not answered. */
void request_ask_again(void);
/* Wait for the answer; @what as for task_wait(). */
void request_wait(lua_State *L, struct request *r, const char *what);
void request_release(struct request *r);

/* thoxd's answer: @fds, or NULL, are taken. */
void request_answer(uint64_t id, int status, struct mp_bytes message,
		    uint64_t value, const int *fds, unsigned n_fds);

/* Those in @mine, a list of an ended task's, have nobody any more. */
void request_forget_task(struct list *mine);
