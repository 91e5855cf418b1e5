#pragma once

/*
 * A thoxd for thox-storaged alone, and callers of it: for tests and
 * measurements. It starts the daemon, makes links when asked to, and answers
 * what the daemon asks of thoxd; everything in one thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/link.h"
#include "rpc/mp.h"
#include "rpc/wire.h"

#define PLAY_ENDS_MAX 1024

struct play {
	pid_t pid;
	struct link control; /* thoxd's end */
	struct link zero;    /* of the daemon's context 0: our end */
	bool bound;
	uint64_t last_link;
	/* Ends of contexts that were handed to callers. */
	struct play_end {
		uint64_t number;
		int fd;
	} ends[PLAY_ENDS_MAX];
};

/*
 * Start @command (ends with NULL; the store's path is added) and wait until it
 * has bound its name. -ECHILD: it ended before.
 */
int play_start(struct play *p, const char *const *command, const char *store);
/* The end as a crash brings it; what it left is read by nobody. */
void play_kill(struct play *p);
/* As thoxd's end does; waits for the daemon's: its wait status. */
int play_stop(struct play *p);
/* Do what it asks for by now. -ECONNRESET: it is gone. */
int play_turn(struct play *p);

/* A caller of the program that has the storage of @storage (NULL: none). */
int play_open(struct play *p, const char *storage, struct link *ret_link);
/* The end of a context that an answer has named. -ENOENT. */
int play_take(struct play *p, uint64_t number, struct link *ret_link);

/* Send a call with @args, a whole array. */
int play_send(struct link *l, uint32_t cid, const char *name,
	      struct mp_bytes args);
/* The next answer: 1 and its message, good until the next; 0: none yet. */
int play_receive(struct link *l, struct wire_message *ret_answer);
/* Send, and serve the daemon until the answer is there: its status. */
int play_call(struct play *p, struct link *l, const char *name,
	      struct mp_bytes args, struct wire_message *ret_answer);
