/*
 * Steps 4 and 9, for services: one that a call has started, and that is not
 * called any more, ends.
 *
 * thoxd is in the way of no call, so it asks the processes, each time when
 * the first moment has come at which the service could have been idle for
 * long enough. No call is lost: the names are taken away first, so whoever
 * calls next asks thoxd, and waits for the next start; those that hold links
 * leave them, and what they have called is answered.
 */

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

static struct ev_loop *loop_of(const struct service *sv)
{
	return services_server(sv->services)->loop;
}

struct service_idle {
	struct service *service;
	ev_timer timer; /* then: is it still called? */
};

static uint64_t timeout_ms(const struct service *sv)
{
	return sv->by_call && sv->config
		       ? sv->config->definition->idle_timeout_ms
		       : 0;
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events);

static void ask_after(struct service *sv, uint64_t ms)
{
	if (!sv->idle) {
		sv->idle = calloc(1, sizeof(*sv->idle));
		if (!sv->idle) {
			log_warnx("service %s: no memory to see whether it is "
				  "idle",
				  sv->name);
			return;
		}
		sv->idle->service = sv;
		ev_timer_init(&sv->idle->timer, on_idle, 0., 0.);
	}
	ev_timer_stop(loop_of(sv), &sv->idle->timer);
	ev_now_update(loop_of(sv));
	ev_timer_set(&sv->idle->timer, (double)ms / 1000, 0.);
	ev_timer_start(loop_of(sv), &sv->idle->timer);
}

static void ask_no_more(struct service *sv)
{
	if (sv->idle)
		ev_timer_stop(loop_of(sv), &sv->idle->timer);
}

/* --- its end -------------------------------------------------------------- */

static void leave(struct service *sv)
{
	log_info("service %s is not called any more", sv->name);
	sv->left = true;
	sv->leaving = 1; /* this one */
	for (unsigned i = 0; i < sv->n_instances; i++) {
		struct service_process *p = sv->instances[i].process[SLOT_MAIN];

		if (p)
			sv->leaving += service_process_leave(p);
	}
	/* who does not leave is not waited for longer than for a stop */
	ask_after(sv, sv->config->definition->policy.stop_timeout_ms);
	service_idle_left(sv);
}

static void stop(struct service *sv)
{
	sv->leaving = 0;
	ask_no_more(sv);
	services_order_one(sv->services, SERVICES_STOP, sv);
}

void service_idle_left(struct service *sv)
{
	if (sv->leaving > 0 && --sv->leaving == 0)
		stop(sv);
}

/* --- is it idle? ---------------------------------------------------------- */

static int is_active(void *user, uint32_t node)
{
	const struct services *m = user;
	const struct service *sv = order_user(m->order, node);

	return sv && service_active(sv);
}

/* Nothing but a plain running one is ended. */
static bool may_end(const struct service *sv)
{
	struct services *m = sv->services;

	for (unsigned i = 0; i < sv->n_instances; i++)
		if (sv->instances[i].machine.state != MACHINE_RUNNING ||
		    !sv->instances[i].process[SLOT_MAIN])
			return false;
	return !m->ending && jobs_of(m->jobs, sv->node, NULL) == JOB_NONE &&
	       order_each(m->order, sv->node, ORDER_REQUIRED_BY, is_active,
			  m) == 0;
}

/* How long none of its processes was called; -1: one has not answered. */
static int64_t idle_ms(const struct service *sv)
{
	int64_t idle = INT64_MAX;

	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_process *p =
			sv->instances[i].process[SLOT_MAIN];
		const struct run *run = p->starter.run;
		int64_t ms;

		if (p->used_ms == 0 || !run)
			return -1;
		ms = (int64_t)run->use.idle_ms;
		if (run->use.calls == 0)
			ms = (int64_t)(clock_ns() / 1000000 -
				       sv->instances[i].machine.ready_ms);
		if (run->use.waiting > 0)
			ms = 0;
		if (ms < idle)
			idle = ms;
	}
	return idle;
}

void service_idle_told(struct service *sv)
{
	uint64_t wanted = timeout_ms(sv);
	int64_t idle;

	if (!wanted || sv->leaving || !may_end(sv))
		return;
	idle = idle_ms(sv);
	if (idle < 0)
		return;
	if ((uint64_t)idle >= wanted)
		leave(sv);
	else
		ask_after(sv, wanted - (uint64_t)idle);
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service *sv =
		container_of(timer, struct service_idle, timer)->service;

	(void)loop;
	(void)events;
	if (sv->leaving > 0) {
		stop(sv);
		return;
	}
	if (!timeout_ms(sv))
		return;
	ask_after(sv, timeout_ms(sv)); /* should an answer not come */
	if (!may_end(sv))
		return;
	for (unsigned i = 0; i < sv->n_instances; i++)
		sv->instances[i].process[SLOT_MAIN]->used_ms = 0;
	for (unsigned i = 0; i < sv->n_instances; i++)
		(void)service_process_ask_use(
			sv->instances[i].process[SLOT_MAIN]);
}

/* --- life ----------------------------------------------------------------- */

void service_idle_follow(struct service *sv)
{
	if (!service_active(sv)) {
		ask_no_more(sv);
		sv->leaving = 0;
		sv->by_call = false;
	} else if (timeout_ms(sv) && service_up(sv) &&
		   !(sv->idle && ev_is_active(&sv->idle->timer))) {
		ask_after(sv, timeout_ms(sv));
	}
}

void service_idle_deinit(struct service *sv)
{
	ask_no_more(sv);
	free(sv->idle);
	sv->idle = NULL;
}
