#pragma once

/*
 * thoxd as a whole: what its parts share.
 *
 * One struct server lives from main() to the end; every part gets it. Objects
 * that handlers may end in the middle of a turn of the loop are handed to
 * server_release(), which frees them when the turn is over.
 */

#include <ev.h>
#include <stdbool.h>

#include "base/instance.h"
#include "base/list.h"
#include "base/transient.h"
#include "fs/store.h"
#include "thoxd/bus.h"
#include "thoxd/config.h"
#include "thoxd/events.h"
#include "thoxd/garbage.h"
#include "thoxd/holding.h"
#include "thoxd/logs.h"
#include "thoxd/mount.h"
#include "thoxd/parent.h"
#include "thoxd/process.h"
#include "thoxd/services/services.h"
#include "thoxd/storaged.h"

struct keeper_message;

struct counters {
	uint64_t starts; /* runs begun, over all lives of thoxd */
	uint64_t pooled; /* of them, those that a waiting runner took */
	uint64_t failed; /* runs that could not begin */
	uint64_t zygotes;
	uint64_t connections;
	uint64_t refused_connections;
};

struct server {
	struct ev_loop *loop;
	const struct instance *instance;
	struct config config;
	char label[NAME_MAX_BYTES + 1];
	struct parent parent;
	pid_t keeper_pid;
	struct process_table processes;
	struct store *store;
	struct mount mount;
	struct logs logs;
	struct storaged storaged;
	struct services services;
	struct events events;

	struct list clients; /* in age order */
	unsigned n_clients;
	unsigned n_new_clients; /* those that have not said hello */
	ev_io accept;
	ev_timer hello_timer;
	int reserve_fd; /* given up to refuse a connection at EMFILE */

	struct list zygotes;
	struct list failures; /* runtimes that are not tried for a while */
	uint64_t last_token;
	uint64_t last_key; /* of records, record.h */
	uid_t last_uid;

	struct list mount_requests; /* those that wait for the mount */
	struct list logs_requests; /* … until what was printed is in the logs */
	struct list runs;	   /* from their acceptance to their result */
	unsigned n_runs;
	struct transient starts; /* what they need until they are started */
	unsigned top_next;	 /* place in them, of top.c */

	struct list principals;
	uint64_t last_serial;
	struct holdings holdings;
	struct bus bus;
	struct list backgrounds; /* runs of nobody, see background.h */
	struct worker *worker;	 /* NULL: it was not needed yet */
	size_t publishing_bytes;
	uint64_t last_pipe;

	struct policy *exec; /* of who runs a program by hand */

	ev_io watch; /* inotify on the store */
	struct counters counters;
	uint64_t started_ns;
	uint64_t restarts;
	uint64_t saved_starts; /* what the keeper has */
	ino_t control_ino;     /* of the control socket's name; 0: unknown */
	ev_timer tidy;
	bool tidied; /* nothing has begun since */
	bool begun;
	bool ready; /* the keeper was told */
	bool ending;
	bool unmounted; /* the end has come so far */
	bool ended;
	bool reexec; /* not the end of anything else */
	ev_timer end_timer;
	int exit_code;
	struct garbage *garbage;
	ev_prepare release;
};

void server_init(struct server *s, const struct instance *instance);

/* what the keeper tells */
void server_kept(struct server *s, const struct keeper_message *kept,
		 struct link_message *m);
void server_begin(struct server *s, struct mp_bytes state, uint64_t restarts);
void server_orphaned(struct server *s, int error);

/* What the store was told by others is known from here on. */
void server_follow_store(struct server *s);

/* Free @g when nothing of this turn can touch it any more. */
void server_release(struct server *s, struct garbage *g,
		    void (*free)(struct garbage *g));

/* End every run, unmount, and have the keeper end the rest. */
void server_shutdown(struct server *s);
/* Exit when this turn of the loop is over, to be started anew as what is
 * installed then; services go on. server_leave() is what is left to do when
 * the loop has ended. */
void server_reexec(struct server *s);
void server_leave(struct server *s);
/* Something that the end waits for is over. */
void server_check_end(struct server *s);
/* Something that readiness waits for is there, or has failed. */
void server_check_ready(struct server *s);
void server_mount_settled(struct server *s);

/* Give the keeper what the next thoxd shall know. */
void server_save(struct server *s);
