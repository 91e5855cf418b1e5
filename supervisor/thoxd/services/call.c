/*
 * Steps 4 and 9, for services: a call starts one, and waits for it.
 *
 * Nothing starts within a call: who calls is put in the service's list, and
 * when the turn is over it is started. Each time that its state changes or it
 * has bound a name, and is up, or not to come any more, all who wait ask
 * again where their names are answered.
 *
 * A call starts a service that is down, and once; whether it is started again
 * after a failure is its own policy's matter. One that has failed for good
 * stays so: callers that try again and again must not be a way round the limit
 * of restarts.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "rpc/wire.h"
#include "thoxd/principal.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

/* --- which ---------------------------------------------------------------- */

/* How much of @name is what it provides; 0: nothing. */
static size_t match(const struct service *sv, struct mp_bytes name)
{
	const struct definition *d = sv->config ? sv->config->definition : NULL;
	size_t best = 0;

	if (!d || d->activation != ACTIVATION_CALL || sv->gone)
		return 0;
	for (uint32_t i = 0; i < d->provides.n; i++) {
		const char *provided = d->provides.items[i];
		size_t n = strlen(provided);

		if (n > best && wire_below(name, provided, n))
			best = n;
	}
	return best;
}

/* As on the bus: whoever has the longest part of the name. A template as such
 * is nobody. */
static struct service *find(struct services *m, struct mp_bytes name)
{
	struct service *sv, *after, *found = NULL;
	size_t best = 0;

	list_each(sv, after, &m->all, list)
	{
		size_t n = match(sv, name);

		if (n <= best || (sv->config->definition->is_template &&
				  service_obstacle(sv)))
			continue;
		best = n;
		found = sv;
	}
	return found;
}

/* --- a call --------------------------------------------------------------- */

static bool is_coming(const struct service *sv)
{
	return sv->called || service_active(sv) ||
	       jobs_of(sv->services->jobs, sv->node, NULL) != JOB_NONE;
}

static const char *why_not(const struct service *sv)
{
	const char *obstacle = service_obstacle(sv);

	if (obstacle)
		return obstacle;
	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_instance *in = &sv->instances[i];

		if (in->machine.state == MACHINE_FAILED)
			return in->detail ? in->detail
					  : machine_reason_text(
						    in->machine.reason);
	}
	return sv->failure ? sv->failure : "it ended without having bound it";
}

static uint64_t patience_ms(const struct service *sv)
{
	return sv->config->definition->policy.start_timeout_ms;
}

int services_call(struct services *m, struct mp_bytes name, bool again,
		  struct waiter *w, uint64_t *ret_patience_ms,
		  char ret_text[SERVICES_WHY_BYTES])
{
	struct service *sv;
	bool coming;

	if (m->ending)
		return -ENOENT;
	server_follow_store(m->server); /* it may have been copied just now */
	sv = find(m, name);
	if (!sv)
		return -ENOENT;
	coming = is_coming(sv);
	if (!coming && (again || service_obstacle(sv) ||
			service_state(sv) == MACHINE_FAILED)) {
		snprintf(ret_text, SERVICES_WHY_BYTES,
			 "service %.120s, which provides it, is %s: %.150s",
			 sv->name, machine_state_name(service_state(sv)),
			 why_not(sv));
		return -ECHILD;
	}
	list_append(&sv->callers, &w->list);
	*ret_patience_ms = patience_ms(sv);
	if (!coming) {
		sv->called = true;
		services_defer(m);
	}
	return 0;
}

/* --- afterwards ----------------------------------------------------------- */

void services_callers_wake(struct service *sv)
{
	if (!list_empty(&sv->callers))
		services_defer(sv->services);
}

/* Whoever called while it was being stopped for want of calls has it started
 * once more. */
static void start_called(struct service *sv)
{
	bool again = sv->left && !list_empty(&sv->callers);

	if (sv->left && !service_active(sv))
		sv->left = false;
	else
		again = false;
	if ((sv->called || again) && !sv->services->ending) {
		sv->called = false;
		sv->rerun = sv->by_call = true;
		services_order_one(sv->services, SERVICES_START, sv);
	}
	sv->called = false;
}

void services_callers_look(struct services *m)
{
	struct service *sv, *after;

	list_each(sv, after, &m->all, list)
	{
		start_called(sv);
		if (list_empty(&sv->callers))
			continue;
		if (m->ending || service_up(sv) || !is_coming(sv))
			waiters_go(&sv->callers);
	}
}

void services_callers_forget(struct service *sv)
{
	sv->gone = true;
	waiters_go(&sv->callers);
}
