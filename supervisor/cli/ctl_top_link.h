#pragma once

/*
 * `thoxctl top` and thoxd, without a wait: a thoxd that is busy, stopped or
 * gone must not stop the keys. Says nothing, and starts nothing.
 */

#include <jansson.h>
#include <stdbool.h>

#include "base/instance.h"
#include "rpc/link.h"

struct top_link {
	struct link link;
	bool up;
	uint64_t last_id;
	unsigned n_waiting; /* requests without an answer */
};

/* More than that is not asked: thoxd does not answer. */
#define TOP_REQUESTS_MAX 16U

/* Its link has been connected by somebody else (cli/ctl_ask.h). */
void top_link_begin(struct top_link *l);
void top_link_close(struct top_link *l); /* again: nothing happens */

/* -ENOENT, -ECONNREFUSED: no instance runs; -EPERM: a stranger's. */
int top_link_open(struct top_link *l, const struct instance *in);

/* Takes @arguments. -EBUSY: too much waits already; else the link's error. */
int top_link_ask(struct top_link *l, const char *verb, json_t *arguments,
		 uint64_t *ret_id);

struct top_reply {
	uint64_t id;
	uint64_t status;
	json_t *value; /* the caller's */
};
/* 1 and a reply; 0: nothing has come; else the link's error. */
int top_link_next(struct top_link *l, struct top_reply *ret);
