#pragma once

/*
 * Connections to the control socket: thox-exec, thoxctl.
 *
 * Only the instance's owner and root are served. A connection says hello in
 * time, then starts one run, or asks commands. There is room for
 * max-connections of them; of those that said nothing yet only the newest
 * CLIENT_NEW_MAX are kept, so that a flood of silent ones keeps nobody out.
 */

#include <stdbool.h>

#include "base/list.h"
#include "thoxd/peer.h"
#include "thoxd/run.h"
#include "thoxd/server.h"

struct attached;

#define CLIENT_NEW_MAX	    256U
#define CLIENT_HELLO_S	    5.0
#define CLIENT_SILENT_BYTES 4096U /* one message before hello */

struct background;

struct client {
	struct server *server;
	struct list list;
	struct peer peer;
	uid_t uid;
	pid_t pid;
	bool greeted;		       /* said hello */
	bool owed_hello;	       /* … and was not answered yet */
	bool arrives;		       /* is read for the first time */
	bool done;		       /* its last message was sent */
	struct starter starter;	       /* of its run */
	struct background *background; /* or that one's; NULL: none */
	struct attached *attached;     /* NULL: it is no native process */
	double since; /* loop time: of the connection, then of being done */
	struct garbage garbage;
};

void client_listen(struct server *s, int fd);
void client_stop_listening(struct server *s);

/* Messages to it. A client that takes nothing is let go. */
void client_send(struct client *c, const struct mp_writer *w);
void client_send_fd(struct client *c, const struct mp_writer *w, int fd);
/* A result, which needs no hello before it. */
void client_send_last(struct client *c, const struct mp_writer *w);
void client_send_refused(struct client *c, int status, const char *message,
			 const char *hint);
void client_send_notice(struct client *c, const char *text);
void client_send_started(struct client *c, const struct run *run);
void client_send_result(struct client *c, const struct run *run,
			const struct run_end *end);
/* Its last message was sent: it closes. */
void client_done(struct client *c);

/* Start @spec for it; takes the descriptors out of @m. It may be gone when
 * this returns. */
void client_run(struct client *c, const struct run_spec *spec,
		struct link_message *m);
