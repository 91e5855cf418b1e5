#pragma once

/*
 * A link to thoxd for a command, and what is asked over it. What goes wrong has
 * been said when an exit code other than CTL_OK comes back.
 */

#include <jansson.h>

#include "cli/ctl.h"
#include "rpc/link.h"

/* Connected and greeted; an instance that does not run is started if the
 * command says so. An exit code. */
int ctl_connect(struct ctl *ctl, struct link *ret_link);
/* Takes @arguments. @ret_fd, which may be NULL: the descriptor that came with
 * the answer, -1 for none. An exit code. */
int ctl_ask(struct link *l, const char *verb, json_t *arguments,
	    json_t **ret_value, int *ret_fd);

/* The same, and no longer than @timeout_ms (-1: as long as it takes):
 * CTL_TIMEOUT. */
int ctl_ask_within(struct link *l, const char *verb, json_t *arguments,
		   int timeout_ms, json_t **ret_value, int *ret_fd);

/*
 * For those who do not wait: a request with a number, takes @arguments; 0 or
 * what link_send_wait() says. And what comes back, with the number, 0: it is of
 * the connection itself. @ret_value is the message unless @ret_status is
 * STATUS_OK. 0, -EBADMSG.
 */
int ctl_ask_send(struct link *l, uint64_t id, const char *verb,
		 json_t *arguments);
int ctl_ask_parse(const struct link_message *m, uint64_t *ret_id,
		  uint64_t *ret_status, json_t **ret_value);

/* Say why the link broke; an exit code. */
int ctl_lost(int r);
/* Of a STATUS_…. */
int ctl_exit_code(uint64_t status);
