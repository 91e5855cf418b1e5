#pragma once

/*
 * The life of one instance of a service: a state machine that starts, watches,
 * restarts, replaces and stops processes, and knows none of them.
 *
 * Whoever owns a machine reports events by machine_handle() and does what the
 * machine asks for through the callbacks of `struct machine_ops`. These must
 * not call machine_handle(): what they find out at once they return, the rest
 * is reported later.
 *
 * A machine has two places for processes. MAIN is the one that serves. OTHER
 * is, during a reload, the new process until it takes over and from then on
 * the old one until it has left.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/restart.h"

enum machine_state {
	MACHINE_INACTIVE,
	MACHINE_STARTING,  /* not ready yet */
	MACHINE_RUNNING,   /* ready */
	MACHINE_RELOADING, /* running, and a new process is starting */
	MACHINE_SETTLING,  /* the new one has taken over and is on trial; the
			    * old one could come back: shown as `reloading` */
	MACHINE_STOPPING,  /* until the last process has ended */
	MACHINE_BACK_OFF,  /* failed, and waits for its restart */
	MACHINE_FAILED,
	MACHINE_DONE, /* ended by itself, in good order */
	MACHINE_N_STATES,
};

enum machine_event {
	/* asked for */
	MACHINE_EV_START,
	MACHINE_EV_STOP,
	MACHINE_EV_RELOAD, /* there is a new version, or somebody asks */
	MACHINE_EV_RESET,  /* forget failures */
	/* from MAIN */
	MACHINE_EV_READY,
	MACHINE_EV_EXIT_OK, /* with a code that counts as success */
	MACHINE_EV_EXIT_FAILED,
	MACHINE_EV_TIMEOUT,   /* TIMER_MAIN */
	MACHINE_EV_UNHEALTHY, /* the watchdog or a check */
	/* from OTHER */
	MACHINE_EV_OTHER_READY,
	MACHINE_EV_OTHER_EXIT,
	MACHINE_EV_OTHER_TIMEOUT, /* TIMER_OTHER */
	MACHINE_N_EVENTS,
};

enum machine_slot {
	SLOT_MAIN,
	SLOT_OTHER,
	SLOT_COUNT,
};

/* Why it is as it is; machine_reason_text() has the words. */
enum machine_reason {
	REASON_NONE,
	REASON_EXITED,	      /* of itself */
	REASON_START_FAILED,  /* no process could be made */
	REASON_START_TIMEOUT, /* not ready in time */
	REASON_NOT_READY,     /* ended before it was ready */
	REASON_UNHEALTHY,
	REASON_LIMIT,	 /* of restarts */
	REASON_STOPPED,	 /* asked to */
	REASON_REJECTED, /* the new version failed; the old one is back */
	REASON_RELOADED,
	MACHINE_N_REASONS,
};

struct machine;

struct machine_ops {
	/* Make a process. Negative: there is none, and will be none. What
	 * becomes of one is told by READY and EXIT events of its slot. */
	int (*spawn)(struct machine *m, enum machine_slot slot);
	void (*terminate)(struct machine *m, enum machine_slot slot);
	void (*kill)(struct machine *m, enum machine_slot slot);
	/* Tell MAIN that it should reload by itself. */
	void (*tell_reload)(struct machine *m);
	/*
	 * The processes change places: MAIN's names go to OTHER, which is MAIN
	 * from now on, and the other way round; what was MAIN finishes its
	 * calls. Either place may be empty (then nothing is taken over: the
	 * one process moves to the other place).
	 */
	void (*swap)(struct machine *m);
	/* The version that was reloaded to is no good / has proved itself. */
	void (*reject)(struct machine *m, enum machine_reason why);
	void (*accept)(struct machine *m);
	/* One timer for each slot; setting it again replaces it, 0 ms means
	 * at once but not within the call. */
	void (*set_timer)(struct machine *m, enum machine_slot slot,
			  uint64_t ms);
	void (*clear_timer)(struct machine *m, enum machine_slot slot);
	uint64_t (*now_ms)(struct machine *m);
	double (*chance)(struct machine *m); /* at random from [0, 1) */
	/* The state is not @from any more. */
	void (*announce)(struct machine *m, enum machine_state from);
	/* The limit of restarts is reached; announced as FAILED already. */
	void (*over_limit)(struct machine *m);
};

/* The parts of a definition that decide: of the one that the last process was
 * made by, so that a changed one holds from the next start on. */
struct machine_policy {
	bool oneshot;
	bool terminate_first; /* else stopping kills */
	enum {
		MACHINE_RELOAD_NONE,
		MACHINE_RELOAD_RESTART,
		MACHINE_RELOAD_EVENT,
	} reload;
	uint64_t start_timeout_ms; /* 0: none */
	uint64_t stop_timeout_ms;
	uint64_t settle_ms; /* of a new version's trial */
	struct restart_policy restart;
};

/* Embedded by its owner, who finds itself by container_of. */
struct machine {
	const struct machine_ops *ops;
	const struct machine_policy *policy; /* borrowed, never NULL */
	enum machine_state state;
	enum machine_reason reason;
	bool present[SLOT_COUNT]; /* a process is in the slot */
	bool start_again;	  /* asked for while it stopped */
	bool reload_again;	  /* asked for while it could not */
	bool failing;		  /* it is stopped because it failed */
	bool trial;		  /* MAIN runs a version not yet accepted */
	uint64_t ready_ms;	  /* since when it runs; 0: it does not */
	uint64_t changed_ms;	  /* since when it is in its state */
	struct restart restart;
};

/* life: INACTIVE, without processes, under a policy of zeros. deinit must not
 * leave any behind. */
void machine_init(struct machine *m, const struct machine_ops *ops);
void machine_deinit(struct machine *m);

/*
 * Go on where another one was, for a supervisor that comes back: no callback
 * is called but set_timer, with the whole time again for the state's timer.
 */
void machine_adopt(struct machine *m, enum machine_state state, bool main,
		   bool other);

void machine_handle(struct machine *m, enum machine_event event);
/* Is there a cell for it? There is one for each: the test asks. */
bool machine_handles(enum machine_state state, enum machine_event event);

/* Is a process there, or to come without anybody's doing? */
bool machine_active(const struct machine *m);
/* Nothing of it is left: no process, no timer. */
bool machine_idle(const struct machine *m);

/* "running", as users see it: two states are `reloading`. */
const char *machine_state_name(enum machine_state state);
const char *machine_event_name(enum machine_event event);
const char *machine_reason_text(enum machine_reason reason);
