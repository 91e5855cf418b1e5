#pragma once

/*
 * A runner's control link, and how an event reaches a program that computes.
 *
 * A message makes the kernel signal the process (SIGIO). The handler arms a
 * one-shot hook on the Lua state that runs, and the hook reads the link. So
 * the running state must be known: whoever resumes a coroutine says so with
 * control_enter() and control_leave().
 *
 * An interrupt or a termination does not return from where it is noticed: it
 * jumps to the base of the program (program.h), so that no pcall can stand in
 * its way.
 */

#include <lua.h>
#include <stdbool.h>

#include "rpc/link.h"
#include "runner/message.h"

/* A Lua state that runs, on the C stack of whoever runs it. */
struct running {
	lua_State *L;
	struct running *outer;
};

/* In the zygote: the handler of SIGIO. 0, or negative errno. */
int control_install(void);

/* In the child: put @fd at its place. thoxd points its signals here. */
int control_attach(int fd);

/* Tell that a start may come, and wait for it. 0, or negative errno. */
int control_ready(void);
int control_wait_start(struct link_message *ret_raw, struct message *ret_start);

/* Watch the link from now on; what came before is handled. */
void control_watch(void);

/* The link's next text to evaluate, waiting for it. */
int control_wait_text(struct link_message *ret_raw, struct mp_bytes *ret_text);
void control_evaluated(bool ok);

/* who runs */
void control_enter(struct running *r, lua_State *L);
void control_leave(struct running *r);
struct running *control_innermost(void);
void control_forget_running(void); /* after a jump to the base */

/* Wait for POLLIN or POLLOUT on @fd, handling events; -1: for one event. */
void control_wait(int fd, short events);
void control_handle_pending(void);

/*
 * Ask thoxd for a library: STATUS_OK and its text (the caller's to close), or
 * another status and a message; negative errno when the name is too long.
 */
int control_want_library(const char *name, int *ret_fd, char *ret_message,
			 size_t size);
