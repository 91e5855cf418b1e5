#pragma once

/*
 * The commands of CONTROL_REQUEST (rpc/control.h has their forms).
 */

#include "rpc/mp.h"
#include "thoxd/client.h"
#include "thoxd/message.h"

/* Answer it, now or later. */
void request_handle(struct client *c, uint64_t id, struct mp_bytes verb,
		    struct mp_bytes arguments);

/* The mount is made, unmade or has failed: answer who waited. */
void request_mount_settled(struct server *s);
/* @c is gone: it waits for nothing any more. */
void request_client_gone(struct client *c);

/* --- for those who handle commands --------------------------------------- */

#define REQUEST_LATER (-1) /* instead of a status: it is answered later */

struct request {
	struct server *server;
	struct client *client;
	uint64_t id;
	const struct command *command;
	struct request_arguments arguments;
	struct mp_writer value; /* of an OK reply */
	int fd;			/* goes with it, owned; -1: none */
	char message[512];	/* of another */
};

struct command {
	const char *verb;
	int (*handle)(struct request *q); /* a status, or REQUEST_LATER */
	int number;			  /* which of several it is */
	const char *help;
};

/* What went wrong, for whoever asked; returns @status. */
int request_complain(struct request *q, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Of one that was REQUEST_LATER: only client, id, value, message and fd are
 * looked at. */
void request_reply(struct request *q, int status);
