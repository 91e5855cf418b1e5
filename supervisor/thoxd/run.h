#pragma once

/*
 * A run: what somebody asked for, from its start to its result.
 *
 * It is accepted, waits for a runner (perhaps not at all), is given to it
 * with its start message, and ends when the keeper told the process's exit.
 * Who started it is a starter, which is told of everything; all kinds of them
 * (clients, processes, services) start runs in the same way. Owned by the
 * server's list.
 */

#include <ev.h>

#include "base/list.h"
#include "thoxd/budget.h"
#include "thoxd/message.h"
#include "thoxd/principal.h"
#include "thoxd/result.h"
#include "thoxd/server.h"
#include "thoxd/spec.h"

struct run;
struct run_timers;
struct runner;
struct starter;

struct run_end {
	const struct process_exit *exit;
	const struct result *result;
	uint64_t wall_us;
};

/*
 * What a starter is told. `refused` and `ended` are the last words, and the
 * starter has no run any more when they are said: it may start another, or
 * go. In the others it may leave its run. Those that may be NULL are said so.
 */
struct starter_ops {
	/* may be NULL */
	void (*started)(struct starter *st, const struct run *run);
	/* nothing came of it; @hint: a near name, or NULL */
	void (*refused)(struct starter *st, int status, const char *message,
			const char *hint);
	void (*ended)(struct starter *st, const struct run *run,
		      const struct run_end *end);
	/* a line for a person; may be NULL */
	void (*notice)(struct starter *st, const char *text);
	/* the text of run_eval() was run; may be NULL */
	void (*evaluated)(struct starter *st, bool ok);
	/* what it says about itself, and that it has bound a name; may be
	 * NULL */
	void (*notified)(struct starter *st, enum notice what,
			 struct mp_bytes text);
	void (*bound)(struct starter *st, const char *name);
	void (*used)(struct starter *st, const struct principal_use *use);
};

/* Embedded in whatever starts runs. All zero but for @ops is one that has
 * started none. */
struct starter {
	const struct starter_ops *ops;
	struct run *run; /* NULL: none, or it is over */
};

/* Until its start message is sent. */
struct run_starting {
	struct run *run;
	struct mp_writer message;
	struct list gifts;  /* rights that it names */
	struct waiter room; /* to hand them over */
};

struct run {
	struct server *server;
	struct starter *starter; /* NULL: it left */
	struct runner *runner;	 /* NULL: waits */
	struct list list;
	struct list waiting;	    /* in its zygote, without a runner */
	struct principal principal; /* from its birth to its end */
	/* owned, in the server's memory for these; NULL: it was told to start */
	struct run_starting *starting;

	const char *name; /* in texts */
	const char *runtime;
	const char *service; /* "": none */
	uint64_t version;
	uint64_t memory_bytes; /* limits; 0: none */
	uint64_t cpu_ms;
	uint64_t wall_ms;
	uint64_t grace_ms;
	uint64_t tasks;
	uint64_t descriptors;
	uint64_t processes;	/* that may come of it */
	struct budget *budget;	/* of them; NULL: none has come */
	struct budget *counted; /* where it counts itself; NULL: nowhere */
	uint64_t rows;
	uint64_t columns;
	bool demand_stdin;
	bool interactive;

	/* stdin, stdout, stderr: copies, for its children to inherit, as long
	 * as it has them open; its text, until it has that */
	int fds[4];

	struct principal_use use; /* as it said last */
	uint64_t use_ns;	  /* when that was; 0: it has not */
	bool use_asked;		  /* by top.c, which waits for its word */
	uint64_t seen_bytes;	  /* of memory, when top.c looked last */

	bool born;
	bool paused;
	bool terminating;
	bool orphan;	     /* its parent has ended */
	double started;	     /* loop time */
	uint64_t started_ms; /* time of day */
	enum cause cause;
	enum report report;
	uint64_t report_detail;
	struct run_timers *timers; /* owned; NULL: nothing limits its time */
	struct garbage garbage;
	char texts[]; /* as long as they are: there may be thousands */
};

/*
 * Start @spec for @st, which has no run. The first three of @fds are its
 * stdin, stdout and stderr, the fourth a text or -1; they are taken (set to
 * -1) or stay the caller's. @st hears of everything that goes wrong, and the
 * run may be over when this returns.
 */
void run_start(struct server *s, const struct run_spec *spec, int fds[4],
	       struct starter *st);

/*
 * @st is told nothing more. Its run, if there is one, goes on without it, or
 * ends. Called again, nothing happens.
 */
void starter_leave(struct starter *st);
void starter_leave_and_kill(struct starter *st, enum cause cause);

/* by the zygote: its start is sent to @r; -errno when @r is gone */
int run_begin(struct run *run, struct runner *r);
/* nothing will come of it; @hint may be NULL */
void run_refuse(struct run *run, int status, const char *message,
		const char *hint);

/* The run that is this principal; NULL: it is another kind. */
struct run *run_of_principal(const struct principal *p);

/* by the runner */
void run_born(struct run *run, pid_t pid);
void run_check_kill(struct run *run); /* wanted before it had a process */
void run_report(struct run *run, enum report report, uint64_t detail);
void run_evaluated(struct run *run, bool ok);
void run_ended(struct run *run, const struct process_exit *exit);

/* by its starter and by commands: 0 or -errno; a run without a runner may be
 * over after it */
int run_signal(struct run *run, enum run_signal signal, uint64_t rows,
	       uint64_t columns);
int run_eval(struct run *run, struct mp_bytes text);
/* Its parent has ended: so does it, at once where @hard. */
void run_orphaned(struct run *run, bool hard);
/* It has closed its stdin, stdout or stderr. */
void run_stream_closed(struct run *run, unsigned number);
/* At once; before it has a process, at its birth. */
void run_kill(struct run *run, enum cause cause);
pid_t run_pid(const struct run *run); /* 0: not born */
const char *run_state(const struct run *run);
