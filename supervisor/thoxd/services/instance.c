/*
 * Steps 4 to 9, for services: a machine with processes.
 *
 * What happens within an event (a start that tells at once that it is ready, a
 * job that ends and has the same instance started) waits for its end: events
 * are handled one after another.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/adopt.h"
#include "thoxd/services/reject.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

static struct service_instance *of(struct machine *m)
{
	return container_of(m, struct service_instance, machine);
}

static struct ev_loop *loop_of(const struct service_instance *in)
{
	return services_server(in->service->services)->loop;
}

void instance_name(const struct service_instance *in,
		   char ret[SERVICE_NAME_BYTES + 16])
{
	if (in->number > 0)
		snprintf(ret, SERVICE_NAME_BYTES + 16, "%s:%u",
			 in->service->name, in->number);
	else
		snprintf(ret, SERVICE_NAME_BYTES + 16, "%s", in->service->name);
}

pid_t instance_pid(const struct service_instance *in)
{
	return in->process[SLOT_MAIN] ? in->process[SLOT_MAIN]->pid : 0;
}

struct service_end *instance_last(struct service_instance *in)
{
	if (!in->last)
		in->last = calloc(1, sizeof(*in->last));
	return in->last;
}

/* --- what the machine asks for -------------------------------------------- */

static int op_spawn(struct machine *m, enum machine_slot slot)
{
	return service_process_start(of(m), slot);
}

static void op_terminate(struct machine *m, enum machine_slot slot)
{
	if (of(m)->process[slot])
		service_process_terminate(of(m)->process[slot]);
}

static void op_kill(struct machine *m, enum machine_slot slot)
{
	if (of(m)->process[slot])
		service_process_kill(of(m)->process[slot]);
}

static void op_tell_reload(struct machine *m)
{
	if (of(m)->process[SLOT_MAIN])
		service_process_tell_reload(of(m)->process[SLOT_MAIN]);
}

/* A definition that has changed may name another one, whose versions are
 * nothing to go back to. */
static bool other_program(const struct service_process *a,
			  const struct service_process *b)
{
	return a && b &&
	       strcmp(a->config->definition->program,
		      b->config->definition->program) != 0;
}

static void op_swap(struct machine *m)
{
	struct service_instance *in = of(m);
	struct service_process *was = in->process[SLOT_MAIN];

	in->process[SLOT_MAIN] = in->process[SLOT_OTHER];
	in->process[SLOT_OTHER] = was;
	was = was ? was : in->dying;
	if (other_program(was, in->process[SLOT_MAIN]))
		in->good = 0;
	if (in->process[SLOT_MAIN])
		service_process_hand_over(was, in->process[SLOT_MAIN]);
}

static void op_reject(struct machine *m, enum machine_reason why)
{
	service_reject(of(m), why);
}

static void op_accept(struct machine *m)
{
	log_info("service %s: went over to the new version",
		 of(m)->service->name);
}

static uint64_t op_now_ms(struct machine *m)
{
	(void)m;
	return clock_ns() / 1000000;
}

/* The one timer runs until the first of what is due. */
static void follow_due(struct service_instance *in)
{
	uint64_t first_ms = in->watchdog_due_ms, now_ms = clock_ns() / 1000000;

	for (int slot = 0; slot < SLOT_COUNT; slot++)
		if (in->due_ms[slot] &&
		    (!first_ms || in->due_ms[slot] < first_ms))
			first_ms = in->due_ms[slot];
	ev_timer_stop(loop_of(in), &in->timer);
	if (!first_ms)
		return;
	/* the loop's time is that of the turn's beginning: too early */
	ev_now_update(loop_of(in));
	ev_timer_set(&in->timer,
		     first_ms > now_ms ? (double)(first_ms - now_ms) / 1000
				       : 0.,
		     0.);
	ev_timer_start(loop_of(in), &in->timer);
}

static void op_set_timer(struct machine *m, enum machine_slot slot, uint64_t ms)
{
	of(m)->due_ms[slot] = op_now_ms(m) + ms;
	follow_due(of(m));
}

static void op_clear_timer(struct machine *m, enum machine_slot slot)
{
	of(m)->due_ms[slot] = 0;
	follow_due(of(m));
}

static double op_chance(struct machine *m)
{
	(void)m;
	return services_chance();
}

/* The watchdog runs while the service does. */
static void set_watchdog(struct service_instance *in, enum machine_state from)
{
	const struct service_process *p = in->process[SLOT_MAIN];
	bool ran = from == MACHINE_RUNNING || from == MACHINE_RELOADING ||
		   from == MACHINE_SETTLING;
	bool runs = in->machine.state == MACHINE_RUNNING ||
		    in->machine.state == MACHINE_RELOADING ||
		    in->machine.state == MACHINE_SETTLING;
	uint64_t ms = p ? p->config->definition->watchdog_ms : 0;

	if (!runs || !ms)
		in->watchdog_due_ms = 0;
	/* another process may have taken over */
	else if (!ran || in->machine.state == MACHINE_SETTLING ||
		 from == MACHINE_SETTLING)
		in->watchdog_due_ms = op_now_ms(&in->machine) + ms;
	follow_due(in);
}

/* The timer stays as it is: when it comes it finds that it is too early. */
void instance_alive(struct service_instance *in)
{
	const struct service_process *p = in->process[SLOT_MAIN];

	if (p && in->watchdog_due_ms)
		in->watchdog_due_ms = op_now_ms(&in->machine) +
				      p->config->definition->watchdog_ms;
}

static void op_announce(struct machine *m, enum machine_state from)
{
	struct service_instance *in = of(m);
	char name[SERVICE_NAME_BYTES + 16];

	in->since_ms = services_time_ms();
	instance_name(in, name);
	log_debug("service %s: %s -> %s", name, machine_state_name(from),
		  machine_state_name(m->state));
	if (m->state == MACHINE_FAILED)
		log_warnx("service %s has failed: %s%s%s", name,
			  machine_reason_text(m->reason),
			  in->detail ? ": " : "", in->detail ? in->detail : "");
	if (m->state == MACHINE_RUNNING && in->process[SLOT_MAIN])
		in->good = in->process[SLOT_MAIN]->version;
	events_service(services_server(in->service->services), in, from);
	set_watchdog(in, from);
	services_instance_changed(in, from);
}

static void op_over_limit(struct machine *m)
{
	services_over_limit(of(m)->service);
}

static const struct machine_ops ops = {
	.spawn = op_spawn,
	.terminate = op_terminate,
	.kill = op_kill,
	.tell_reload = op_tell_reload,
	.swap = op_swap,
	.reject = op_reject,
	.accept = op_accept,
	.set_timer = op_set_timer,
	.clear_timer = op_clear_timer,
	.now_ms = op_now_ms,
	.chance = op_chance,
	.announce = op_announce,
	.over_limit = op_over_limit,
};

/* --- events --------------------------------------------------------------- */

void instance_handle(struct service_instance *in, enum machine_event event)
{
	if (in->handling) {
		if (in->n_events < INSTANCE_EVENTS)
			in->events[in->n_events++] = (uint8_t)event;
		else
			log_warnx("service %s: too many events at once",
				  in->service->name);
		return;
	}
	in->handling = true;
	machine_handle(&in->machine, event);
	while (in->n_events > 0) {
		event = (enum machine_event)in->events[0];
		in->n_events--;
		memmove(in->events, in->events + 1, in->n_events);
		machine_handle(&in->machine, event);
	}
	in->handling = false;
	in->dying = NULL;
	adopt_instance_changed(in);
	services_settled(in->service); /* which may end the instance */
}

/* One thing at a time, since the instance may be gone after it: what is due as
 * well comes with the next turn. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	static const uint8_t timeout[SLOT_COUNT] = {
		[SLOT_MAIN] = MACHINE_EV_TIMEOUT,
		[SLOT_OTHER] = MACHINE_EV_OTHER_TIMEOUT,
	};
	struct service_instance *in =
		container_of(timer, struct service_instance, timer);
	uint64_t now_ms = op_now_ms(&in->machine);
	int event = -1;

	(void)loop;
	(void)events;
	for (int slot = 0; slot < SLOT_COUNT && event < 0; slot++) {
		if (!in->due_ms[slot] || in->due_ms[slot] > now_ms)
			continue;
		in->due_ms[slot] = 0;
		event = timeout[slot];
	}
	if (event < 0 && in->watchdog_due_ms && in->watchdog_due_ms <= now_ms) {
		in->watchdog_due_ms = 0;
		event = MACHINE_EV_UNHEALTHY;
		log_warnx("service %s: no sign of life in time",
			  in->service->name);
	}
	follow_due(in);
	if (event >= 0)
		instance_handle(in, (enum machine_event)event);
}

/* --- life ----------------------------------------------------------------- */

void instance_init(struct service_instance *in, struct service *sv,
		   unsigned number)
{
	*in = (struct service_instance){ .service = sv, .number = number };
	machine_init(&in->machine, &ops);
	ev_timer_init(&in->timer, on_timer, 0., 0.);
	in->since_ms = services_time_ms();
	list_init(&in->changed);
}

void instance_go_by(struct service_instance *in, struct service_config *config)
{
	struct service_config *was = in->config;

	in->config = service_config_ref(config);
	in->machine.policy = &config->definition->policy;
	service_config_unref(was);
}

void instance_deinit(struct service_instance *in)
{
	adopt_drop_instance(in);
	ev_timer_stop(loop_of(in), &in->timer);
	for (int slot = 0; slot < SLOT_COUNT; slot++)
		in->process[slot] = service_process_free(in->process[slot]);
	machine_deinit(&in->machine);
	service_config_unref(in->config);
	if (in->last)
		free(in->last->detail);
	free(in->last);
	free(in->detail);
}

/* --- from an earlier thoxd ------------------------------------------------ */

/* Of a process that had no key yet nobody knows anything: it is as if it had
 * not been asked for. */
static enum machine_state without_unborn(struct service_instance *in,
					 const struct record_instance *r,
					 bool present[SLOT_COUNT])
{
	bool unborn[SLOT_COUNT];

	for (int slot = 0; slot < SLOT_COUNT; slot++)
		unborn[slot] = r->present[slot] && r->process[slot] == 0;
	if (r->state == MACHINE_STARTING && unborn[SLOT_MAIN] &&
	    !r->present[SLOT_OTHER]) {
		present[SLOT_MAIN] = false;
		in->service->wanted = true;
		return MACHINE_INACTIVE;
	}
	if (r->state == MACHINE_RELOADING && unborn[SLOT_OTHER]) {
		present[SLOT_OTHER] = false;
		in->missed_reload = true;
		return MACHINE_RUNNING;
	}
	return r->state;
}

static void restore_restarts(struct restart *to,
			     const struct record_instance *r)
{
	struct mp_reader reader;
	uint32_t n;

	to->failures = r->failures;
	to->count = r->restarts;
	mp_reader_init(&reader, r->times.p, r->times.size);
	n = mp_read_array(&reader);
	if (n > RESTART_LIMIT_MAX)
		return;
	to->times_ms = calloc(n + 1, sizeof(*to->times_ms));
	if (!to->times_ms)
		return; /* as if they were long ago */
	to->capacity = n + 1;
	while (to->n_times < n)
		to->times_ms[to->n_times++] = mp_read_uint(&reader);
}

static void restore_timers(struct service_instance *in,
			   const struct record_instance *r)
{
	uint64_t now_ms = op_now_ms(&in->machine);

	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		uint64_t due_ms = r->due_ms[slot];

		if (due_ms == 0)
			op_clear_timer(&in->machine, (enum machine_slot)slot);
		else
			op_set_timer(&in->machine, (enum machine_slot)slot,
				     due_ms > now_ms ? due_ms - now_ms : 0);
	}
}

struct service_process *instance_newest(const struct service_instance *in,
					enum machine_state state)
{
	return state == MACHINE_RELOADING && in->process[SLOT_OTHER]
		       ? in->process[SLOT_OTHER]
		       : in->process[SLOT_MAIN];
}

static void restore_machine(struct service_instance *in,
			    const struct record_instance *r)
{
	struct machine *m = &in->machine;
	const struct service_process *p = instance_newest(in, r->state);
	struct service_config *config = p ? p->config : in->service->config;
	bool present[SLOT_COUNT];
	enum machine_state state;

	memcpy(present, r->present, sizeof(present));
	state = without_unborn(in, r, present);
	if (config)
		instance_go_by(in, config);
	machine_adopt(m, state, present[SLOT_MAIN], present[SLOT_OTHER]);
	m->reason = r->reason;
	m->start_again = r->start_again;
	m->reload_again = r->reload_again;
	m->failing = r->failing;
	m->trial = r->trial;
	in->tried = p ? p->version : 0;
	m->ready_ms = r->ready_ms;
	m->changed_ms = r->changed_ms;
	restore_restarts(&m->restart, r);
	if (state == r->state)
		restore_timers(in, r);
	for (int slot = 0; slot < SLOT_COUNT; slot++)
		in->missed[slot] = present[slot] && !in->process[slot];
}

static void set_text(char **field, struct mp_bytes text)
{
	*field = text.size ? strndup(text.p, text.size) : NULL;
}

static void restore_last(struct service_instance *in,
			 const struct record_instance *r)
{
	struct service_end *last = r->last_pid ? instance_last(in) : NULL;

	if (!last)
		return;
	last->pid = r->last_pid;
	last->code = r->last_code;
	last->signalled = r->last_signalled;
	last->ms = r->last_ms;
	memcpy(last->reason, r->last_reason, sizeof(last->reason));
	set_text(&last->detail, r->last_detail);
}

void instance_restore(struct service_instance *in,
		      const struct record_instance *r)
{
	restore_machine(in, r);
	in->since_ms = r->since_ms;
	in->good = r->good;
	in->n_restarts = r->restarts;
	restore_last(in, r);
	set_text(&in->detail, r->detail);
	if (r->by_call)
		in->service->by_call = true;
	if (r->wanted)
		in->service->wanted = true;
	set_watchdog(in, MACHINE_STARTING);
}

void instance_catch_up(struct service_instance *in)
{
	static const uint8_t events[SLOT_COUNT] = {
		[SLOT_MAIN] = MACHINE_EV_EXIT_FAILED,
		[SLOT_OTHER] = MACHINE_EV_OTHER_EXIT,
	};

	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		if (!in->missed[slot])
			continue;
		in->missed[slot] = false;
		service_set_text(&in->detail, "thoxd, which was replaced, left "
					      "nothing of its process");
		log_warnx("service %s: nothing is left of its process; it is "
			  "taken for ended",
			  in->service->name);
		instance_handle(in, (enum machine_event)events[slot]);
	}
	if (in->missed_reload)
		instance_handle(in, MACHINE_EV_RELOAD);
	in->missed_reload = false;
}
