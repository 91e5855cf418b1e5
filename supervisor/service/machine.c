/*
 * Step 4, for services: what happens next.
 *
 * `transitions` says for each state and event who handles it; enter() alone
 * changes the state. A cell is named after its state and event, or after what
 * it does where several share it.
 *
 *	INACTIVE ─start─> STARTING ─ready─> RUNNING ─exit─> DONE
 *	                     │  ▲              │ ▲
 *	                   exit └─timer─┐    reload └──────────────┐
 *	                     ▼          │      ▼                   │
 *	                  FAILED     BACK_OFF RELOADING ─ready─> SETTLING
 *
 * and from each that has a process: ─stop─> STOPPING ─exit─> INACTIVE.
 */

#include "service/machine.h"

#include "base/util.h"

typedef void (*transition_fn)(struct machine *m);

static void enter(struct machine *m, enum machine_state to)
{
	enum machine_state from = m->state;

	m->state = to;
	m->changed_ms = m->ops->now_ms(m);
	m->ops->announce(m, from);
}

/* --- what cells are made of ---------------------------------------------- */

static void set_timer(struct machine *m, enum machine_slot slot, uint64_t ms)
{
	if (ms > 0)
		m->ops->set_timer(m, slot, ms);
	else
		m->ops->clear_timer(m, slot);
}

/* MAIN is gone for good, or could not be made. */
static void end(struct machine *m, bool failed, bool at_once);

static void begin(struct machine *m)
{
	m->start_again = m->reload_again = m->failing = m->trial = false;
	m->ready_ms = 0;
	if (m->ops->spawn(m, SLOT_MAIN) < 0) {
		m->reason = REASON_START_FAILED;
		end(m, true, false);
		return;
	}
	m->present[SLOT_MAIN] = true;
	set_timer(m, SLOT_MAIN, m->policy->start_timeout_ms);
	enter(m, MACHINE_STARTING);
}

static void begin_anew(struct machine *m)
{
	restart_reset(&m->restart);
	m->reason = REASON_NONE;
	m->ops->clear_timer(m, SLOT_MAIN);
	begin(m);
}

static void give_up(struct machine *m)
{
	m->reason = REASON_LIMIT;
	enter(m, MACHINE_FAILED);
	m->ops->over_limit(m);
}

static void end(struct machine *m, bool failed, bool at_once)
{
	uint64_t now_ms = m->ops->now_ms(m), delay_ms = 0;
	uint64_t ran_ms = m->ready_ms ? now_ms - m->ready_ms : 0;

	m->present[SLOT_MAIN] = false;
	m->failing = false;
	m->ready_ms = 0;
	m->ops->clear_timer(m, SLOT_MAIN);
	if (m->trial) {
		m->trial = false;
		m->ops->reject(m, m->reason);
	}
	switch (restart_decide(&m->restart, &m->policy->restart, failed, ran_ms,
			       now_ms, m->ops->chance(m), &delay_ms)) {
	case RESTART_YES:
		if (delay_ms == 0 && at_once) {
			begin(m);
			return;
		}
		m->ops->set_timer(m, SLOT_MAIN, delay_ms);
		enter(m, MACHINE_BACK_OFF);
		return;
	case RESTART_NO:
		enter(m, failed ? MACHINE_FAILED : MACHINE_DONE);
		return;
	default: /* over the limit, or no memory to count with */
		give_up(m);
	}
}

static void reload(struct machine *m)
{
	m->reload_again = false;
	if (m->policy->reload == MACHINE_RELOAD_EVENT)
		m->ops->tell_reload(m);
	if (m->policy->reload != MACHINE_RELOAD_RESTART)
		return;
	if (m->present[SLOT_OTHER]) {
		m->reload_again = true; /* when the last one has left */
		return;
	}
	if (m->ops->spawn(m, SLOT_OTHER) < 0) {
		m->reason = REASON_REJECTED;
		m->ops->reject(m, REASON_START_FAILED);
		return;
	}
	m->present[SLOT_OTHER] = true;
	m->reason = REASON_NONE;
	set_timer(m, SLOT_OTHER, m->policy->start_timeout_ms);
	enter(m, MACHINE_RELOADING);
}

static void run(struct machine *m, enum machine_reason reason)
{
	m->reason = reason;
	enter(m, MACHINE_RUNNING);
	if (m->reload_again)
		reload(m);
}

/* A new version is on trial, whether there is an old one to go back to. */
static void settle(struct machine *m)
{
	m->trial = true;
	m->reason = REASON_NONE;
	m->ready_ms = m->ops->now_ms(m);
	m->ops->set_timer(m, SLOT_MAIN, m->policy->settle_ms);
	enter(m, MACHINE_SETTLING);
}

static void swap(struct machine *m)
{
	bool main = m->present[SLOT_MAIN];

	m->present[SLOT_MAIN] = m->present[SLOT_OTHER];
	m->present[SLOT_OTHER] = main;
	m->ops->swap(m);
}

static void reject(struct machine *m, enum machine_reason why)
{
	m->trial = false;
	m->ops->reject(m, why);
}

static void let_go(struct machine *m, enum machine_slot slot)
{
	if (m->policy->terminate_first)
		m->ops->terminate(m, slot);
	else
		m->ops->kill(m, slot);
	m->ops->set_timer(m, slot, m->policy->stop_timeout_ms);
}

/* All that is there is to end; end_of_stop() is when it has. */
static void stop(struct machine *m, enum machine_reason reason)
{
	m->reason = reason;
	m->ops->clear_timer(m, SLOT_MAIN);
	m->ops->clear_timer(m, SLOT_OTHER);
	for (int slot = 0; slot < SLOT_COUNT; slot++)
		if (m->present[slot])
			let_go(m, (enum machine_slot)slot);
	enter(m, MACHINE_STOPPING);
}

static void end_of_stop(struct machine *m)
{
	if (m->present[SLOT_MAIN] || m->present[SLOT_OTHER])
		return;
	if (m->failing && m->trial)
		reject(m, m->reason);
	if (m->start_again) {
		begin_anew(m);
	} else if (m->failing) {
		end(m, true, true);
	} else {
		m->ready_ms = 0;
		enter(m, MACHINE_INACTIVE);
	}
}

/* --- shared cells -------------------------------------------------------- */

static void ignored(struct machine *m)
{
	(void)m;
}

static void forget(struct machine *m)
{
	restart_reset(&m->restart);
}

static void stop_asked(struct machine *m)
{
	m->start_again = m->reload_again = m->failing = m->trial = false;
	stop(m, REASON_STOPPED);
}

static void reload_later(struct machine *m)
{
	m->reload_again = true;
}

static void kill_main(struct machine *m)
{
	m->ops->kill(m, SLOT_MAIN);
}

static void other_gone(struct machine *m)
{
	m->present[SLOT_OTHER] = false;
	m->ops->clear_timer(m, SLOT_OTHER);
}

/* It does not leave; killed again should that have failed. */
static void other_stays(struct machine *m)
{
	if (!m->present[SLOT_OTHER])
		return;
	m->ops->kill(m, SLOT_OTHER);
	m->ops->set_timer(m, SLOT_OTHER, m->policy->stop_timeout_ms);
}

/* --- INACTIVE, BACK_OFF, FAILED, DONE ------------------------------------ */

/* An old process may still be leaving: then that is waited for. */
static void rest(struct machine *m)
{
	if (m->present[SLOT_OTHER]) {
		stop_asked(m);
		return;
	}
	m->reason = REASON_STOPPED;
	m->ops->clear_timer(m, SLOT_MAIN);
	enter(m, MACHINE_INACTIVE);
}

/* Its failure stays to be seen. */
static void failed_stop(struct machine *m)
{
	if (m->present[SLOT_OTHER])
		let_go(m, SLOT_OTHER);
}

static void failed_reset(struct machine *m)
{
	restart_reset(&m->restart);
	m->reason = REASON_NONE;
	enter(m, MACHINE_INACTIVE);
}

/* --- STARTING ------------------------------------------------------------ */

static void starting_ready(struct machine *m)
{
	if (m->policy->oneshot) /* its end is what counts */
		return;
	m->ops->clear_timer(m, SLOT_MAIN);
	m->ready_ms = m->ops->now_ms(m);
	if (m->trial)
		settle(m);
	else
		run(m, REASON_NONE);
}

static void starting_exit_ok(struct machine *m)
{
	m->reason = m->policy->oneshot ? REASON_EXITED : REASON_NOT_READY;
	end(m, !m->policy->oneshot, true);
}

static void starting_exit_failed(struct machine *m)
{
	m->reason = m->policy->oneshot ? REASON_EXITED : REASON_NOT_READY;
	end(m, true, true);
}

static void starting_timeout(struct machine *m)
{
	m->failing = true;
	stop(m, REASON_START_TIMEOUT);
}

/* --- RUNNING ------------------------------------------------------------- */

static void running_exit_ok(struct machine *m)
{
	m->reason = REASON_EXITED;
	end(m, false, true);
}

static void running_exit_failed(struct machine *m)
{
	m->reason = REASON_EXITED;
	end(m, true, true);
}

/* It does not answer, so it is not asked. */
static void running_unhealthy(struct machine *m)
{
	m->failing = true;
	stop(m, REASON_UNHEALTHY);
	m->ops->kill(m, SLOT_MAIN);
}

static void running_other_exit(struct machine *m)
{
	other_gone(m);
	if (m->reload_again)
		reload(m);
}

/* --- RELOADING: MAIN serves, OTHER is the new one ------------------------ */

/* The old one is gone before its time: the new one is all there is. */
static void reloading_exit(struct machine *m)
{
	m->present[SLOT_MAIN] = false;
	m->ops->clear_timer(m, SLOT_OTHER);
	swap(m);
	m->trial = true;
	m->reason = REASON_EXITED;
	m->ready_ms = 0;
	set_timer(m, SLOT_MAIN, m->policy->start_timeout_ms);
	enter(m, MACHINE_STARTING);
}

static void reloading_other_ready(struct machine *m)
{
	m->ops->clear_timer(m, SLOT_OTHER);
	swap(m);
	settle(m);
}

static void reloading_other_exit(struct machine *m)
{
	other_gone(m);
	reject(m, REASON_NOT_READY);
	run(m, REASON_REJECTED);
}

static void reloading_other_timeout(struct machine *m)
{
	other_stays(m);
	reject(m, REASON_START_TIMEOUT);
	run(m, REASON_REJECTED);
}

/* --- SETTLING: MAIN is the new one, OTHER the old one, if it is there ---- */

static void fall_back(struct machine *m)
{
	m->present[SLOT_MAIN] = false;
	m->ops->clear_timer(m, SLOT_MAIN);
	swap(m);
	m->ready_ms = m->ops->now_ms(m);
	reject(m, REASON_EXITED);
	run(m, REASON_REJECTED);
}

static void settling_exit_ok(struct machine *m)
{
	if (m->present[SLOT_OTHER])
		fall_back(m);
	else
		running_exit_ok(m);
}

static void settling_exit_failed(struct machine *m)
{
	if (m->present[SLOT_OTHER])
		fall_back(m);
	else
		running_exit_failed(m);
}

static void settling_timeout(struct machine *m)
{
	m->trial = false;
	m->ops->accept(m);
	if (m->present[SLOT_OTHER])
		let_go(m, SLOT_OTHER);
	run(m, REASON_RELOADED);
}

/* --- STOPPING ------------------------------------------------------------ */

static void stopping_start(struct machine *m)
{
	m->start_again = true;
}

static void stopping_stop(struct machine *m)
{
	m->start_again = m->failing = m->trial = false;
	m->reason = REASON_STOPPED;
}

static void stopping_exit(struct machine *m)
{
	m->present[SLOT_MAIN] = false;
	m->ops->clear_timer(m, SLOT_MAIN);
	end_of_stop(m);
}

static void stopping_other_exit(struct machine *m)
{
	other_gone(m);
	end_of_stop(m);
}

static void stopping_timeout(struct machine *m)
{
	if (!m->present[SLOT_MAIN])
		return;
	m->ops->kill(m, SLOT_MAIN);
	m->ops->set_timer(m, SLOT_MAIN, m->policy->stop_timeout_ms);
}

/* --- the table ----------------------------------------------------------- */

static const transition_fn transitions[MACHINE_N_STATES][MACHINE_N_EVENTS] = {
	[MACHINE_INACTIVE] = {
		[MACHINE_EV_START] = begin_anew,
		[MACHINE_EV_STOP] = ignored,
		[MACHINE_EV_RELOAD] = ignored, /* a start takes the newest */
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored, /* nobody is there to say so */
		[MACHINE_EV_EXIT_OK] = ignored,
		[MACHINE_EV_EXIT_FAILED] = ignored,
		[MACHINE_EV_TIMEOUT] = ignored,
		[MACHINE_EV_UNHEALTHY] = ignored,
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = other_gone,
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
	[MACHINE_STARTING] = {
		[MACHINE_EV_START] = ignored, /* it does */
		[MACHINE_EV_STOP] = stop_asked,
		[MACHINE_EV_RELOAD] = reload_later,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = starting_ready,
		[MACHINE_EV_EXIT_OK] = starting_exit_ok,
		[MACHINE_EV_EXIT_FAILED] = starting_exit_failed,
		[MACHINE_EV_TIMEOUT] = starting_timeout,
		[MACHINE_EV_UNHEALTHY] = ignored, /* it has its own time */
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = other_gone, /* one before the last */
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
	[MACHINE_RUNNING] = {
		[MACHINE_EV_START] = ignored,
		[MACHINE_EV_STOP] = stop_asked,
		[MACHINE_EV_RELOAD] = reload,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored, /* said twice */
		[MACHINE_EV_EXIT_OK] = running_exit_ok,
		[MACHINE_EV_EXIT_FAILED] = running_exit_failed,
		[MACHINE_EV_TIMEOUT] = ignored, /* came with the readiness */
		[MACHINE_EV_UNHEALTHY] = running_unhealthy,
		[MACHINE_EV_OTHER_READY] = ignored, /* it was too late */
		[MACHINE_EV_OTHER_EXIT] = running_other_exit,
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
	[MACHINE_RELOADING] = {
		[MACHINE_EV_START] = ignored,
		[MACHINE_EV_STOP] = stop_asked,
		[MACHINE_EV_RELOAD] = reload_later,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored,
		[MACHINE_EV_EXIT_OK] = reloading_exit,
		[MACHINE_EV_EXIT_FAILED] = reloading_exit,
		[MACHINE_EV_TIMEOUT] = ignored,
		[MACHINE_EV_UNHEALTHY] = kill_main, /* its end is told */
		[MACHINE_EV_OTHER_READY] = reloading_other_ready,
		[MACHINE_EV_OTHER_EXIT] = reloading_other_exit,
		[MACHINE_EV_OTHER_TIMEOUT] = reloading_other_timeout,
	},
	[MACHINE_SETTLING] = {
		[MACHINE_EV_START] = ignored,
		[MACHINE_EV_STOP] = stop_asked,
		[MACHINE_EV_RELOAD] = reload_later,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored,
		[MACHINE_EV_EXIT_OK] = settling_exit_ok,
		[MACHINE_EV_EXIT_FAILED] = settling_exit_failed,
		[MACHINE_EV_TIMEOUT] = settling_timeout,
		[MACHINE_EV_UNHEALTHY] = kill_main,
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = other_gone, /* nothing to go back to */
		[MACHINE_EV_OTHER_TIMEOUT] = ignored,
	},
	[MACHINE_STOPPING] = {
		[MACHINE_EV_START] = stopping_start,
		[MACHINE_EV_STOP] = stopping_stop,
		[MACHINE_EV_RELOAD] = ignored,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored, /* it was too late */
		[MACHINE_EV_EXIT_OK] = stopping_exit,
		[MACHINE_EV_EXIT_FAILED] = stopping_exit,
		[MACHINE_EV_TIMEOUT] = stopping_timeout,
		[MACHINE_EV_UNHEALTHY] = ignored,
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = stopping_other_exit,
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
	[MACHINE_BACK_OFF] = {
		[MACHINE_EV_START] = begin_anew, /* now, not later */
		[MACHINE_EV_STOP] = rest,
		[MACHINE_EV_RELOAD] = ignored,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored,
		[MACHINE_EV_EXIT_OK] = ignored,
		[MACHINE_EV_EXIT_FAILED] = ignored,
		[MACHINE_EV_TIMEOUT] = begin,
		[MACHINE_EV_UNHEALTHY] = ignored,
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = other_gone,
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
	[MACHINE_FAILED] = {
		[MACHINE_EV_START] = begin_anew,
		[MACHINE_EV_STOP] = failed_stop,
		[MACHINE_EV_RELOAD] = ignored,
		[MACHINE_EV_RESET] = failed_reset,
		[MACHINE_EV_READY] = ignored,
		[MACHINE_EV_EXIT_OK] = ignored,
		[MACHINE_EV_EXIT_FAILED] = ignored,
		[MACHINE_EV_TIMEOUT] = ignored,
		[MACHINE_EV_UNHEALTHY] = ignored,
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = other_gone,
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
	[MACHINE_DONE] = {
		[MACHINE_EV_START] = begin_anew,
		[MACHINE_EV_STOP] = rest,
		[MACHINE_EV_RELOAD] = ignored,
		[MACHINE_EV_RESET] = forget,
		[MACHINE_EV_READY] = ignored,
		[MACHINE_EV_EXIT_OK] = ignored,
		[MACHINE_EV_EXIT_FAILED] = ignored,
		[MACHINE_EV_TIMEOUT] = ignored,
		[MACHINE_EV_UNHEALTHY] = ignored,
		[MACHINE_EV_OTHER_READY] = ignored,
		[MACHINE_EV_OTHER_EXIT] = other_gone,
		[MACHINE_EV_OTHER_TIMEOUT] = other_stays,
	},
};

void machine_handle(struct machine *m, enum machine_event event)
{
	transitions[m->state][event](m);
}

bool machine_handles(enum machine_state state, enum machine_event event)
{
	return transitions[state][event];
}

/* --- life, names --------------------------------------------------------- */

void machine_init(struct machine *m, const struct machine_ops *ops)
{
	static const struct machine_policy none;

	*m = (struct machine){ .ops = ops,
			       .policy = &none,
			       .state = MACHINE_INACTIVE };
}

void machine_deinit(struct machine *m)
{
	restart_deinit(&m->restart);
}

void machine_adopt(struct machine *m, enum machine_state state, bool main,
		   bool other)
{
	uint64_t ms = 0;

	m->present[SLOT_MAIN] = main;
	m->present[SLOT_OTHER] = other;
	m->state = state;
	m->changed_ms = m->ops->now_ms(m);
	if (state == MACHINE_RUNNING || state == MACHINE_RELOADING ||
	    state == MACHINE_SETTLING)
		m->ready_ms = m->changed_ms;
	m->trial = state == MACHINE_SETTLING;
	if (state == MACHINE_STARTING)
		ms = m->policy->start_timeout_ms;
	else if (state == MACHINE_SETTLING)
		ms = m->policy->settle_ms;
	else if (state == MACHINE_STOPPING)
		ms = m->policy->stop_timeout_ms;
	else if (state == MACHINE_BACK_OFF)
		ms = m->policy->restart.delay_ms;
	if (ms > 0)
		m->ops->set_timer(m, SLOT_MAIN, ms);
	if (other && state != MACHINE_SETTLING)
		m->ops->set_timer(m, SLOT_OTHER,
				  state == MACHINE_RELOADING
					  ? m->policy->start_timeout_ms
					  : m->policy->stop_timeout_ms);
}

bool machine_active(const struct machine *m)
{
	return m->state != MACHINE_INACTIVE && m->state != MACHINE_FAILED &&
	       m->state != MACHINE_DONE;
}

bool machine_idle(const struct machine *m)
{
	return !machine_active(m) && !m->present[SLOT_MAIN] &&
	       !m->present[SLOT_OTHER];
}

const char *machine_state_name(enum machine_state state)
{
	static const char *const names[MACHINE_N_STATES] = {
		[MACHINE_INACTIVE] = "inactive",
		[MACHINE_STARTING] = "starting",
		[MACHINE_RUNNING] = "running",
		[MACHINE_RELOADING] = "reloading",
		[MACHINE_SETTLING] = "reloading",
		[MACHINE_STOPPING] = "stopping",
		[MACHINE_BACK_OFF] = "back-off",
		[MACHINE_FAILED] = "failed",
		[MACHINE_DONE] = "done",
	};

	return names[state];
}

const char *machine_event_name(enum machine_event event)
{
	static const char *const names[MACHINE_N_EVENTS] = {
		[MACHINE_EV_START] = "start",
		[MACHINE_EV_STOP] = "stop",
		[MACHINE_EV_RELOAD] = "reload",
		[MACHINE_EV_RESET] = "reset",
		[MACHINE_EV_READY] = "ready",
		[MACHINE_EV_EXIT_OK] = "exit-ok",
		[MACHINE_EV_EXIT_FAILED] = "exit-failed",
		[MACHINE_EV_TIMEOUT] = "timeout",
		[MACHINE_EV_UNHEALTHY] = "unhealthy",
		[MACHINE_EV_OTHER_READY] = "other-ready",
		[MACHINE_EV_OTHER_EXIT] = "other-exit",
		[MACHINE_EV_OTHER_TIMEOUT] = "other-timeout",
	};

	return names[event];
}

const char *machine_reason_text(enum machine_reason reason)
{
	static const char *const texts[MACHINE_N_REASONS] = {
		[REASON_NONE] = "",
		[REASON_EXITED] = "it ended by itself",
		[REASON_START_FAILED] = "no process could be started",
		[REASON_START_TIMEOUT] = "it was not ready in time",
		[REASON_NOT_READY] = "it ended before it was ready",
		[REASON_UNHEALTHY] = "it gave no sign of health",
		[REASON_LIMIT] = "it was restarted too often",
		[REASON_STOPPED] = "stopped",
		[REASON_REJECTED] = "the new version failed, the old one stays",
		[REASON_RELOADED] = "went over to a new version",
	};

	return texts[reason];
}
