#pragma once

/*
 * What comes in over thoxd's links, decoded: from clients, runners, zygotes
 * and the keeper (rpc/control.h, rpc/keeper.h have the forms).
 *
 * Pure functions over foreign bytes: 0, or -EBADMSG for anything that is not
 * a message of that sender, with every limit of control.h checked. Byte
 * strings point into the message.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/control.h"
#include "rpc/keeper.h"
#include "rpc/mp.h"
#include "thoxd/principal.h"
#include "thoxd/process.h"
#include "thoxd/spec.h"
#include "thoxd/stream_file.h"

enum run_signal {
	RUN_INTERRUPT,
	RUN_TERMINATE,
	RUN_KILL,
	RUN_PAUSE,
	RUN_RESUME,
	RUN_RESIZE,
	RUN_RELOAD,
	RUN_SIGNAL_COUNT,
};
extern const char *const run_signal_name[RUN_SIGNAL_COUNT];

struct client_message {
	unsigned kind;
	uint64_t version;    /* hello */
	struct run_spec run; /* run */
	bool background;     /* run: likewise */
	struct mp_bytes service;
	struct mp_bytes allow; /* likewise: encoded maps; size 0: none */
	struct mp_bytes deny;
	enum run_signal signal; /* signal */
	uint64_t rows, columns;
	uint64_t id; /* request */
	struct mp_bytes verb;
	struct mp_bytes arguments; /* the encoded map */
	struct mp_bytes text;	   /* eval */
	struct mp_bytes name;	   /* attach */
};
int client_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct client_message *ret);

/* The arguments of a command: none of the keys must be there. */
struct request_arguments {
	uint64_t pid;
	struct mp_bytes name;
	struct mp_bytes dir;
	struct mp_bytes names; /* an encoded array of str; size 0: none */
	bool dry_run;
	bool no_wait;
	bool until_end;
};
int request_arguments_parse(struct mp_bytes map, struct request_arguments *ret);

enum report {
	REPORT_NONE,
	REPORT_TRAP,
	REPORT_MEMORY,
	REPORT_ERROR,
	REPORT_INTERRUPTED,
	REPORT_TERMINATED,
	REPORT_CRASH,
};

struct runner_message {
	unsigned kind;
	enum report report;
	uint64_t detail; /* of a trap the call's number, of memory bytes */
	uint64_t id;	 /* library, again */
	struct mp_bytes name;
	bool ok;	 /* evaluated */
	unsigned number; /* of a stream: 0, 1 or 2 */
};
int runner_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct runner_message *ret);
/* Of one that an earlier thoxd had: what it asked that one it asks again, when
 * it knows of this one. */
bool runner_message_comes_again(const struct link_message *m);

/* What every principal may say: a runner with a program, or an attached
 * native process. */
struct principal_message {
	unsigned kind;
	uint64_t id;
	uint64_t context; /* never 0 */
	uint64_t link;
	uint64_t to;
	uint64_t pid;
	bool joined;		 /* CONTROL_OPENED may be the answer */
	struct stream_wish file; /* with an own context; inode 0: none */
	uint64_t pipe;
	bool writer; /* that end of the pipe */
	enum notice notice;
	struct mp_bytes text; /* of a notice; size 0: none */
	struct principal_use use;
};
int principal_message_parse(const void *data, size_t size, unsigned n_fds,
			    struct principal_message *ret);

struct zygote_message {
	unsigned kind;
	uint64_t token;
	pid_t pid;
	int error; /* of a fork: an errno */
	struct mp_bytes what, message;
	/* ready */
	struct mp_bytes lua;
	uint64_t landlock_abi;
	bool mdwe;
	struct mp_bytes layers; /* the encoded array of str; size 0: none */
};
int zygote_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct zygote_message *ret);

struct keeper_message {
	unsigned kind;
	uint64_t token;
	pid_t pid;
	int error;
	struct process_exit exit;
	char name[KEEPER_NAME_BYTES + 1]; /* kept, with its pid (0: none) */
	struct mp_bytes record;
	struct mp_bytes state; /* begin */
	uint64_t restarts;
};
int keeper_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct keeper_message *ret);
