#pragma once

/*
 * What thoxd gives its keeper to keep about services, as bytes, for the thoxd
 * that comes after it: perhaps one of another release. So each record says its
 * format, and one that is of another, or makes no sense, is told from a good
 * one; whoever it is about is then started anew.
 *
 * Keys number processes and instances, machine-wide and never again. Times are
 * in milliseconds, of the clock that does not jump unless said otherwise.
 *
 * Pure functions over bytes. Texts of a parsed record that are mp_bytes point
 * into it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/name.h"
#include "fs/store.h"
#include "rpc/mp.h"
#include "rpc/wire.h"
#include "service/definition.h"
#include "service/machine.h"

#define RECORD_FORMAT 1U

/* The names under which the keeper has them, with a number behind; that of a
 * name or a link with `:` and the key of who bound or holds it, too. */
#define RECORD_INSTANCE "instance:"
#define RECORD_PROCESS	"process:"
#define RECORD_NAME	"name:"
#define RECORD_LINK	"link:"
#define RECORD_REJECTED "rejected:"
/* Of thox-storaged, its key behind it: nothing but its PID, its control link's
 * end and its pidfd. */
#define RECORD_STORAGED "storaged:"

/* An instance of a service. */
struct record_instance {
	uint64_t key;
	char service[SERVICE_NAME_BYTES];
	unsigned number;
	enum machine_state state;
	enum machine_reason reason;
	bool start_again, reload_again, failing, trial;
	bool wanted;  /* a start was under way */
	bool by_call; /* so its service was started */
	uint64_t ready_ms, changed_ms;
	uint32_t failures, restarts;
	struct mp_bytes times; /* of the last restarts: an encoded array */
	uint64_t since_ms;     /* time of day */
	uint64_t good;
	uint64_t process[SLOT_COUNT]; /* keys, 0: none */
	bool present[SLOT_COUNT];     /* also of one that has no key yet */
	uint64_t due_ms[SLOT_COUNT];  /* of its timers; 0: not set */
	pid_t last_pid;
	int last_code;
	bool last_signalled;
	uint64_t last_ms; /* time of day */
	char last_reason[24];
	struct mp_bytes last_detail, detail; /* size 0: none */
};

/*
 * A process of one. The keeper has its PID and these descriptors: its control
 * link's end, its pidfd, and of stdin, stdout and stderr those that `has` says.
 */
struct record_process {
	uint64_t key;
	char service[SERVICE_NAME_BYTES];
	unsigned number;
	uint64_t definition; /* version */
	char program[256];
	uint64_t version;
	bool itself; /* it is that program, not only called so */
	char runtime[NAME_MAX_BYTES + 1];
	uid_t uid;
	char sha256[65];
	uint64_t logs[2];
	bool ready, waits;
	uint64_t started_ms; /* time of day */
	uint64_t memory_bytes, cpu_ms, tasks, descriptors, processes;
	bool has[3];
	struct mp_bytes names; /* that it has bound, ever: an encoded array */
};

/* A name that one has bound. */
struct record_name {
	uint64_t key;
	struct mp_bytes name;
	bool fallback, waits;
};

/* A link between two, or of one to thoxd, whose end the keeper has then. */
struct record_link {
	uint64_t number;
	bool trace, routed, zero;
	uint64_t owner; /* a key; 0: thoxd */
	uint64_t holder, as;
	uint64_t context; /* the owner's; 0: of a name */
	struct mp_bytes name;
	uint64_t through, over; /* links; 0: none */
	/* the grant is the policy of that process, or (0) these levels, or
	 * (size 0) none */
	uint64_t grant;
	struct mp_bytes levels;
};

/* A version of a program that failed in its service, until the store has gone
 * back to the one before. */
struct record_rejection {
	uint64_t key;
	char program[NAME_MAX_BYTES + 1];
	uint64_t bad, good;
	char reason[STORE_REASON_BYTES];
};

void record_write_instance(struct mp_writer *w,
			   const struct record_instance *i);
void record_write_process(struct mp_writer *w, const struct record_process *p);
void record_write_name(struct mp_writer *w, const struct record_name *n);
void record_write_link(struct mp_writer *w, const struct record_link *l);
void record_write_rejection(struct mp_writer *w,
			    const struct record_rejection *j);

/* 0; -EBADMSG; -ENOTSUP: of another format. */
int record_read_instance(struct mp_bytes b, struct record_instance *ret);
int record_read_process(struct mp_bytes b, struct record_process *ret);
int record_read_name(struct mp_bytes b, struct record_name *ret);
int record_read_link(struct mp_bytes b, struct record_link *ret);
int record_read_rejection(struct mp_bytes b, struct record_rejection *ret);
