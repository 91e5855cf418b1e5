#pragma once

/*
 * A service as thoxd has it: its definition in use, its instances, and their
 * processes.
 *
 * A service has one instance, or as many as its definition says; each is a
 * machine (service/machine.h), whose processes are runs. What is asked of a
 * service goes through the manager (services.h), which knows the order.
 *
 * Owned by the manager's list.
 */

#include <ev.h>

#include "base/list.h"
#include "service/load.h"
#include "service/machine.h"
#include "thoxd/record.h"
#include "thoxd/run.h"
#include "thoxd/table.h"

struct mp_writer;
struct server;
struct services;

/* A definition in use: by its service as the newest, and by each process that
 * was started under it. */
struct service_config {
	unsigned refs;
	struct definition *definition;
	struct policy *policy;
	uint64_t version; /* of the text */
};

/* What it takes of the processors, services/cpu.c. */
struct service_cpu {
	struct service_process *process;
	ev_timer timer;
	uint64_t looked_ns; /* when it was looked at last */
	uint64_t used_us;   /* by then */
	double debt_us;
	bool held; /* stopped, until it is paid */
};

/* A process of an instance, from the wish for it to its end. */
struct service_process {
	struct starter starter;
	struct service_instance *instance;
	struct service_config *config;
	struct names names; /* that it has bound, ever */
	uint64_t version;   /* of its program */
	char sha256[65];    /* likewise */
	uint64_t logs[2];   /* streams */
	pid_t pid;	    /* 0: not born */
	uint64_t kept;	    /* its key at the keeper, adopt.h; 0: none */
	bool spawning;	    /* within its start */
	bool refused;	    /* no process came of it */
	bool ready;
	uint64_t used_ms;	  /* when its run said its use; 0: it has not */
	struct service_cpu *cpu;  /* owned; NULL: as much as it gets */
	const struct run *ending; /* only while its end is told */
};

/* How a process ended, for people. */
struct service_end {
	pid_t pid;
	int code;
	bool signalled;
	bool failed;
	uint64_t ms; /* time of day */
	char reason[24];
	char *detail; /* owned; NULL: none */
};

/* A schedule that is followed, as its definition says it. */
struct service_times {
	struct service_config *config;
	struct timetable table;
};

#define INSTANCE_EVENTS 16U

struct service_instance {
	struct service *service;
	unsigned number; /* from 1; 0: the only one */
	struct machine machine;
	struct service_config *config; /* that it goes by; NULL: none yet */
	struct service_process *process[SLOT_COUNT];
	struct service_process *dying; /* whose end is being told */
	ev_timer timer;		       /* for the first of what comes due */
	uint64_t due_ms[SLOT_COUNT];   /* of its machine's timers; 0: not set */
	uint64_t watchdog_due_ms;      /* 0: it does not run */
	uint64_t kept;		       /* its key at the keeper; 0: none */
	struct list changed;	       /* for the keeper */
	bool missed[SLOT_COUNT];       /* ends that an earlier thoxd missed */
	bool missed_reload;
	uint64_t since_ms;   /* time of day: in its state */
	uint64_t good;	     /* the program's last version that was no trial */
	uint64_t tried;	     /* the one that was reloaded to; 0: unknown */
	uint32_t n_restarts; /* that the group has heard of */
	struct service_end *last; /* owned; NULL: none has ended yet */
	char *detail; /* owned: why the last start failed; NULL: see last */
	/* events that came while one was handled */
	bool handling;
	uint8_t events[INSTANCE_EVENTS];
	unsigned n_events;
};

struct service {
	struct services *services;
	struct table_entry entry;
	struct list list;
	struct {
		const char *name;
		const char *instance;  /* "": none */
	} ref;			       /* in its texts */
	uint32_t node;		       /* in the order */
	struct service_config *config; /* NULL: it never had a good one */
	char *problem; /* owned: why the newest text is not used */
	bool gone;     /* its definition was removed */
	bool rerun;    /* what is done is to be done again */
	bool restored; /* it was an earlier thoxd's, and is as it was there */
	bool wanted;   /* a start was under way there */
	/* to be looked at when the turn of the loop is over */
	bool group_restarts;
	bool limit_met;
	char *failure;		       /* owned: why its last job failed */
	struct list callers;	       /* waiters: calls of what it provides */
	bool called;		       /* it is to be started for them */
	bool by_call;		       /* so it was started */
	struct service_health *health; /* NULL: it is not checked */
	struct service_idle *idle;     /* owned; NULL: it stays when it is up */
	unsigned leaving; /* names that callers are to leave: it ends then */
	bool left;	  /* so it has ended */
	struct service_times *times; /* NULL: no schedule is followed */
	unsigned n_instances;
	struct service_instance *instances;
	char name[]; /* of both; further texts behind it */
};

/* life: @name is `NAME` or `NAME:INSTANCE`. free() ends what runs at once; not
 * from within anything that an instance or a job has called. */
struct service *service_new(struct services *m, const char *name);
struct service *service_free(struct service *sv);

/* It had one of @number in an earlier thoxd, however many its definition wants
 * now; before any of them is restored. -EINVAL, -ENOMEM. */
int service_make_room(struct service *sv, unsigned number);
struct service_instance *service_instance_of(struct service *sv,
					     unsigned number); /* or NULL */

/* Read its definition anew; what runs goes on as it was started. 0; -ENOENT:
 * there is none (any more); -EINVAL: it has errors, see problem. */
int service_refresh(struct service *sv);

/* Why it cannot be started as it is; NULL: it can. Static, or its own. */
const char *service_obstacle(const struct service *sv);
/* The same of reloading it. */
const char *service_reload_obstacle(const struct service *sv);

/* by its jobs */
void service_start(struct service *sv);
void service_stop(struct service *sv);
void service_reset(struct service *sv);
void service_reload(struct service *sv);
/* Whatever version of its program is published: it goes over to it. */
bool service_follows(const struct service *sv);
/* The program of one that does has a new version. */
void service_program_changed(struct service *sv,
			     const struct store_entry *entry);
/* It goes on under a new thoxd: its program may have another version by now. */
void service_catch_up(struct service *sv);

/* What all its instances make of it. */
enum machine_state service_state(const struct service *sv);
bool service_up(const struct service *sv);   /* all of it */
bool service_idle(const struct service *sv); /* nothing of it is left */
bool service_active(const struct service *sv);
bool service_reloads(const struct service *sv);	 /* any of it */
bool service_rejected(const struct service *sv); /* what it reloaded to */
/* Does an instance wait for its next try? */
bool service_backs_off(const struct service *sv);
void service_set_text(char **field, const char *text);

/* services/instance.c */
void instance_init(struct service_instance *in, struct service *sv,
		   unsigned number);
void instance_deinit(struct service_instance *in);
void instance_handle(struct service_instance *in, enum machine_event event);
/* Its machine goes by that from now on. */
void instance_go_by(struct service_instance *in, struct service_config *config);
void instance_name(const struct service_instance *in,
		   char ret[SERVICE_NAME_BYTES + 16]);
/* The process that was started last: in @state the new one, if there are two.
 * NULL: there is none. */
struct service_process *instance_newest(const struct service_instance *in,
					enum machine_state state);
/* As it was in an earlier thoxd, with the processes that it has. */
void instance_restore(struct service_instance *in,
		      const struct record_instance *r);
/* What happened meanwhile. */
void instance_catch_up(struct service_instance *in);
/* Its process: 0 when there is none. */
pid_t instance_pid(const struct service_instance *in);
/* To be filled in; NULL: no memory. */
struct service_end *instance_last(struct service_instance *in);
/* A sign of life: its watchdog, if one runs, has all its time again. */
void instance_alive(struct service_instance *in);

/* services/schedule.c: its definition or enablement may have changed; when the
 * clock starts it next, 0: never. */
void service_schedule_follow(struct service *sv);
void service_schedule_forget(struct service *sv);
int64_t service_schedule_next(const struct service *sv);

/* services/process.c */
int service_process_start(struct service_instance *in, enum machine_slot slot);
/* One of an earlier thoxd's goes on in @slot; takes descriptors out of @fds. */
int service_process_adopt(struct service_instance *in, enum machine_slot slot,
			  const struct record_process *r, pid_t pid, int *fds);
void service_process_streams_changed(const struct run *run);
void service_process_terminate(struct service_process *p);
void service_process_kill(struct service_process *p);
void service_process_tell_reload(struct service_process *p);
/* @from (NULL allowed) has served, @to does from now on. */
void service_process_hand_over(struct service_process *from,
			       struct service_process *to);
struct service_process *service_process_free(struct service_process *p);
bool service_process_of(const struct run *run); /* is it a service's? */

/* How was it called? on_used() has the answer. */
int service_process_ask_use(struct service_process *p);
/* All that it has bound is taken from it, and its callers are told to leave;
 * so many names. */
unsigned service_process_leave(struct service_process *p);

/* services/idle.c: one that was started by a call ends when no more come. */
void service_idle_deinit(struct service *sv);
void service_idle_follow(struct service *sv); /* its state has changed */
void service_idle_told(struct service *sv);   /* a process has said its use */
void service_idle_left(struct service *sv);   /* callers have left a name */

/* services/health.c: the calls that tell whether it is well. */
void service_health_follow(struct service *sv); /* its state has changed */
void service_health_end(struct service *sv);

/* services/secret.c: the secrets of a definition as a map; -EACCES and why:
 * one cannot be read, or by too many. */
#define SERVICE_SECRET_WHY_BYTES 320U
int service_secrets_write(const struct server *server,
			  const struct definition *d, struct mp_writer *w,
			  char ret_why[SERVICE_SECRET_WHY_BYTES]);

/* services/cpu.c: of a process that is born; again: nothing happens. */
void service_cpu_begin(struct service_process *p);
void service_cpu_end(struct service_process *p);

/* services/config.c */
int service_config_new(const char *name, struct definition **definition,
		       uint64_t version, struct service_config **ret_config);
struct service_config *service_config_ref(struct service_config *c);
struct service_config *service_config_unref(struct service_config *c);
/* That which one of its processes was started under, or the newest. */
int service_config_of_version(struct service_instance *in, uint64_t version,
			      struct service_config **ret_config);
/* That of @in: of a template its own, else the service's newest. */
int service_config_for(struct service_instance *in,
		       struct service_config **ret_config);
