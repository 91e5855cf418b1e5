#pragma once

/*
 * thoxd's side of thox-logd: pipes from services to their logs.
 *
 * A stream's reading end is thox-logd's, the keeper's and ours: a new
 * thox-logd goes on where one ended, and so does one under a new thoxd, also
 * with what a service printed last before it ended. thox-logd is started with
 * the first stream and again when it dies.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "service/definition.h"
#include "thoxd/message.h"
#include "thoxd/peer.h"
#include "thoxd/process.h"

struct server;
struct log_stream;

/* How the log of a service is kept; 0 stands for the default. */
struct log_options {
	uint64_t keep;	       /* rotated files, LOGD_KEEP */
	uint64_t rotate_bytes; /* LOGD_ROTATE_BYTES */
	uint64_t rotate_ms;    /* 0: never by age */
	uint64_t rate_bytes;   /* a second; 0: no limit */
};

struct logs {
	struct server *server;
	struct list streams;
	unsigned n_streams;
	unsigned most; /* streams at a time */
	uint64_t last_number;
	bool running;	   /* thox-logd was asked for, or is there */
	bool linked;	   /* streams can be handed over */
	double started;	   /* loop time */
	struct list syncs; /* struct logs_sync, the oldest first */
	uint64_t last_token;
	bool syncing; /* the last one was not answered yet */
	struct process process;
	struct peer peer;
	ev_timer again;
	char problem[256]; /* what thox-logd complained of last; "": nothing */
	char problem_of[SERVICE_NAME_BYTES]; /* whose log that was */
};

void logs_init(struct logs *l, struct server *s);
/* of the keeper, before logs_begin(): a name that begins with LOGS_KEPT */
#define LOGS_KEPT "log:"
void logs_take_kept(struct logs *l, const struct keeper_message *kept,
		    struct link_message *m);
void logs_begin(struct logs *l);

#define LOGS_TOO_MANY "too many streams are open, or wait for thox-logd"

/*
 * A stream of @service (and @instance, "" for none), stdout or stderr, of
 * @pid (0: not known yet; nothing is read before logs_pid()). The writing
 * end is the caller's to hand to the process and close; the stream is over
 * when its last writer has closed it, and is never the caller's. -ENOBUFS,
 * said as LOGS_TOO_MANY: those that are open, or wait for a thox-logd that does
 * not keep up, take a third of the descriptors.
 */
int logs_open(struct logs *l, const char *service, const char *instance,
	      bool error, const struct log_options *options,
	      uint64_t *ret_number, int *ret_writer);
void logs_pid(struct logs *l, uint64_t number, pid_t pid);

/*
 * Somebody who waits until all that was printed is in the files. thox-logd may
 * be long, or dead: whoever waits sees to it that it is not for ever.
 */
struct logs_sync {
	struct list list;
	uint64_t token; /* 0: thox-logd was not asked yet */
	void (*done)(struct logs_sync *sync); /* it may be freed then */
};
/* True: it is done, and @sync is not used. Else @done is called, unless
 * list_remove(&sync->list) is before that. */
bool logs_sync(struct logs *l, struct logs_sync *sync);

/* All that was printed is in the files, and everybody who prints has ended:
 * what the end of thoxd waits for. */
bool logs_settled(const struct logs *l);
void logs_end(struct logs *l);

/* --- logs_sync.c, for logs.c --- */

void logs_sync_ask(struct logs *l); /* thox-logd is there */
void logs_sync_answered(struct logs *l, uint64_t token);
void logs_sync_lost(struct logs *l); /* … and it is not any more */
