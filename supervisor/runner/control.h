#pragma once

/*
 * A runner's control link: what thoxd says, and what it is told.
 *
 * Nothing here waits but control_wait_start(), before there is a program, and
 * control_want_library(), in its task.
 */

#include <lua.h>
#include <stdbool.h>

#include "base/list.h"
#include "rpc/link.h"
#include "runner/limits.h"
#include "runner/message.h"

/* In the child: put @fd at its place. thoxd points its signals here. */
int control_attach(int fd);

/* Tell that a start may come, and wait for it. 0, or negative errno. */
int control_ready(void);
int control_wait_start(struct link_message *ret_raw, struct message *ret_start);

/* Watch the link from now on; what came before is handled. */
void control_watch(void);

/* A message for thoxd; what has no room is sent later. Without thoxd, or with
 * too much that waits for it, the process ends. */
void control_send(const struct mp_writer *w);

/* Handle what the link has, now: for what must come before something else. */
void control_look(void);

/* A text to evaluate at a prompt, to free(); the main task is woken when one
 * comes. NULL: none is there. */
struct control_text {
	struct list list;
	struct mp_bytes bytes;
	char data[];
};
struct control_text *control_take_text(void);
void control_evaluated(bool ok);

/* In the zygote. */
void control_open(lua_State *L);

/*
 * Ask thoxd for a library, and wait for the answer. What is pushed on @L owns
 * it: the text is closed with it.
 */
struct control_library {
	struct list list, waiters;
	uint64_t id;
	bool answered;
	int status;	   /* STATUS_OK: */
	int fd;		   /* the text; otherwise */
	char message[256]; /* why not */
	char name[LIMIT_LIBRARY_NAME_BYTES + 1];
};
struct control_library *control_want_library(lua_State *L, const char *name);
