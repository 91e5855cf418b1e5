#pragma once

/*
 * Zygotes: one for each version of a runtime that is in use, each with a pool
 * of runners that wait.
 *
 * A zygote is asked for by the first run that needs it. Runs wait while it
 * loads; then each takes a runner of the pool, or one that is forked for it.
 * It is replaced after so many starts, after an hour, and by the next version
 * of its runtime. It is kept, retired, as long as a runner of it lives,
 * because of its uid. A runtime that fails is not tried again for a while
 * that doubles each time.
 *
 * What a zygote says is checked: the runtime's text may have taken it over.
 */

#include <ev.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "fs/name.h"
#include "thoxd/peer.h"
#include "thoxd/process.h"
#include "thoxd/server.h"

struct run;
struct runner;

enum zygote_state {
	ZYGOTE_LOADING, /* spawned or about to be; runs wait */
	ZYGOTE_READY,
	ZYGOTE_RETIRED, /* ended or about to; its runners live on */
};

struct zygote {
	struct server *server;
	struct list list;
	enum zygote_state state;
	char runtime[NAME_MAX_BYTES + 1];
	uint64_t version;
	uint64_t id; /* of the runtime's text in the store; 0: native */
	uid_t uid;   /* 0: that of thoxd */
	struct process process;
	struct peer peer;
	char user_ns[32]; /* the kernel's name of its user namespace */

	struct list waiting; /* runs, until it is ready */
	struct list forking; /* runners that were asked for */
	unsigned n_forking;
	struct list pool; /* runners that wait for a run */
	unsigned n_pool;
	unsigned n_runners; /* all of them */
	uint64_t starts;
	double born;	  /* loop time */
	double last_used; /* likewise */
	bool replaced;	  /* its successor is loading */
	bool adopted;	  /* of an earlier thoxd */
	bool stale;	  /* not for new runs: retires when it owes none */
	ev_timer answer;  /* it owes an answer until then */
	ev_timer refill;

	char *lua; /* what it told about itself */
	uint64_t landlock_abi;
	bool mdwe;
	uint8_t *layers; /* an encoded array */
	size_t layers_size;
	struct garbage garbage;
};

/* Which runtime: the key of a zygote, and where its text is. */
struct zygote_key {
	const char *runtime;
	uint64_t version;
	uint64_t id;
	int text_fd; /* stays the caller's; -1: none */
};

/*
 * A runner for @run, now or when there is one: run_begin() or run_refuse()
 * is called, perhaps before this returns. -EAGAIN and the reason in @ret_why
 * (valid until the next call) when the runtime failed just now; -errno when
 * no zygote can be started.
 */
int zygote_serve(struct server *s, const struct zygote_key *key,
		 struct run *run, const char **ret_why);

/* A zygote for native programs, so that the first of them need not wait. */
void zygote_preload(struct server *s);

/* The one that serves native programs, or NULL: for what status tells. */
struct zygote *zygote_native(struct server *s);

/* The runtimes that are not tried for a while: an array of maps. */
void zygote_write_failures(struct mp_writer *w, struct server *s);

/* The store's runtimes changed: those that are no longer live retire. */
void zygote_check_versions(struct server *s);

/* Age and idleness; called now and then. */
void zygote_tidy(struct server *s);
void zygote_end_all(struct server *s);

/* What stands for the zygotes of an earlier thoxd, whose runners live on. NULL:
 * no memory. */
struct zygote *zygote_adopted(struct server *s, const char *runtime, uid_t uid);

/* for runner.c */
void zygote_runner_gone(struct zygote *z);

/*
 * A client has gone. Whoever starts one program after the other is now about to
 * start the next, which takes it as long as to make its runner: so the pools
 * are filled behind whatever waits in the loop, but where a start is under way.
 */
void zygotes_refill(struct server *s);
