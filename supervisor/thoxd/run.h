#pragma once

/*
 * A run: what one client asked for, from its request to its result.
 *
 * It is accepted, waits for a runner (perhaps not at all), is given to it
 * with its start message, and ends when the keeper told the process's exit.
 * A client that leaves has its run killed. Owned by the server's list.
 */

#include <ev.h>

#include "base/list.h"
#include "thoxd/message.h"
#include "thoxd/result.h"
#include "thoxd/server.h"

struct client;
struct runner;

struct run {
	struct server *server;
	struct client *client; /* NULL: it left */
	struct runner *runner; /* NULL: waits */
	struct list list;
	struct list waiting; /* in its zygote, without a runner */

	const char *name; /* in texts */
	const char *runtime;
	uint64_t version;
	uint64_t memory_bytes; /* limits; 0: none */
	uint64_t cpu_ms;
	uint64_t wall_ms;
	bool interactive;

	struct mp_writer start; /* the message to its runner */
	int fds[4];		/* stdin, stdout, stderr, text */

	bool born;
	bool paused;
	bool terminating;
	double started;	     /* loop time */
	uint64_t started_ms; /* time of day */
	enum cause cause;
	enum report report;
	uint64_t report_detail;
	ev_timer wall;
	ev_timer cpu;
	ev_timer grace;
	struct garbage garbage;
	char texts[]; /* as long as they are: there may be thousands */
};

/*
 * Start @request for @c; takes the descriptors out of @m. The client hears of
 * everything that goes wrong, and its run may be over when this returns.
 */
void run_new(struct client *c, const struct run_request *request,
	     struct link_message *m);

/* by the zygote: its start is sent to @r; -errno when @r is gone */
int run_begin(struct run *run, struct runner *r);
/* nothing will come of it; @hint may be NULL */
void run_refuse(struct run *run, int status, const char *message,
		const char *hint);

/* by the runner */
void run_born(struct run *run, pid_t pid);
void run_check_kill(struct run *run); /* wanted before it had a process */
void run_report(struct run *run, enum report report, uint64_t detail);
void run_evaluated(struct run *run, bool ok);
void run_ended(struct run *run, const struct process_exit *exit);

/* by the client and by commands: 0 or -errno */
int run_signal(struct run *run, enum run_signal signal, uint64_t rows,
	       uint64_t columns);
int run_eval(struct run *run, struct mp_bytes text);
void run_client_gone(struct run *run);
void run_kill(struct run *run, enum cause cause);
pid_t run_pid(const struct run *run); /* 0: not born */
const char *run_state(const struct run *run);
