/*
 * Step 9: a process asks about services, and has them started, stopped and
 * reloaded.
 *
 * What a user may ask for over the control socket, for those services that the
 * process's policy lets it run.
 */

#include "thoxd/native_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "thoxd/native.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/status.h"

enum wish {
	WISH_UP,
	WISH_DOWN,
	WISH_RELOADED,
};

/* A call that is kept until its service is as was asked. */
struct asked {
	struct list list; /* of services.asked */
	struct native_call *call;
	struct service *service;
	enum wish wish;
};

/* --- which one ------------------------------------------------------------ */

static bool may_control(const struct native_call *c, const struct service *sv)
{
	struct mp_bytes name = { sv->ref.name, strlen(sv->ref.name) };

	return policy_admits(c->as->policy, POLICY_RUN, name, NULL);
}

static int read_service(struct native_call *c, struct service **ret)
{
	struct mp_bytes text = mp_read_str(&c->args), name;
	char full[SERVICE_NAME_BYTES];
	struct service_ref ref;
	int status;

	if (c->args.bad || c->n_args != 1 ||
	    mp_bytes_copy(text, full, sizeof(full)) < 0 ||
	    service_ref_parse(full, &ref, NULL) < 0)
		return native_complain(c, STATUS_INVALID,
				       "a name of a service is wanted");
	name = (struct mp_bytes){ ref.name, strlen(ref.name) };
	status = native_check(c, POLICY_RUN, name);
	if (status != STATUS_OK)
		return status;
	server_follow_store(c->server);
	*ret = services_get(&c->server->services, full);
	if (!*ret)
		return native_complain(c, STATUS_NOT_FOUND,
				       "no such service: %.200s", full);
	return STATUS_OK;
}

/* --- what they are -------------------------------------------------------- */

int native_service_list(struct native_call *c)
{
	struct services *m = &c->server->services;
	struct service *sv, *after;
	uint32_t n = 0;

	if (c->n_args != 0)
		return native_complain(c, STATUS_INVALID,
				       "no argument is wanted");
	server_follow_store(c->server);
	list_each(sv, after, &m->all, list) n += may_control(c, sv);
	mp_write_array(&c->values, n);
	list_each(sv, after, &m->all, list)
	{
		if (may_control(c, sv))
			service_status_write(&c->values, sv, false);
	}
	c->n_values = 1;
	return STATUS_OK;
}

int native_service_status(struct native_call *c)
{
	struct service *sv = NULL;
	int status = read_service(c, &sv);

	if (status != STATUS_OK)
		return status;
	service_status_write(&c->values, sv, false);
	c->n_values = 1;
	return STATUS_OK;
}

/* --- orders --------------------------------------------------------------- */

static void on_drop(struct native_call *c)
{
	struct asked *a = c->user;

	list_remove(&a->list);
	free(a);
}

static int tell_state(struct native_call *c, const struct service *sv)
{
	mp_write_str(&c->values, machine_state_name(service_state(sv)));
	c->n_values = 1;
	return STATUS_OK;
}

static const char *why(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_instance *in = &sv->instances[i];

		if (in->machine.state == MACHINE_FAILED ||
		    in->machine.state == MACHINE_BACK_OFF ||
		    in->machine.reason == REASON_REJECTED)
			return in->detail ? in->detail
					  : machine_reason_text(
						    in->machine.reason);
	}
	return sv->failure ? sv->failure : "";
}

static bool waits(const struct service *sv, enum wish wish)
{
	enum job_kind job = jobs_of(sv->services->jobs, sv->node, NULL);

	if (wish == WISH_RELOADED)
		return service_reloads(sv);
	return job != JOB_NONE && (wish == WISH_DOWN || !service_backs_off(sv));
}

static bool fulfilled(const struct service *sv, enum wish wish)
{
	if (wish == WISH_DOWN)
		return service_idle(sv);
	return service_up(sv) &&
	       (wish != WISH_RELOADED || !service_rejected(sv));
}

/* NATIVE_LATER: it is not done yet. */
static int look(struct native_call *c, const struct service *sv, enum wish wish)
{
	if (waits(sv, wish))
		return NATIVE_LATER;
	if (fulfilled(sv, wish))
		return tell_state(c, sv);
	return native_complain(c, STATUS_ERROR, "it is %s: %.200s",
			       machine_state_name(service_state(sv)), why(sv));
}

static int keep(struct native_call *c, struct service *sv, enum wish wish)
{
	struct asked *a = calloc(1, sizeof(*a));

	if (!a)
		return native_complain(c, STATUS_ERROR, "%s", strerror(ENOMEM));
	a->call = c;
	a->service = sv;
	a->wish = wish;
	c->user = a;
	c->on_drop = on_drop;
	list_append(&sv->services->asked, &a->list);
	return NATIVE_LATER;
}

static int look_or_keep(struct native_call *c, struct service *sv,
			enum wish wish)
{
	int status = look(c, sv, wish);

	return status == NATIVE_LATER ? keep(c, sv, wish) : status;
}

static int bring_up(struct native_call *c, enum services_order order)
{
	struct service *sv = NULL;
	int status = read_service(c, &sv);
	const char *obstacle;

	if (status != STATUS_OK)
		return status;
	obstacle = c->server->ending ? "thox is shutting down"
				     : service_obstacle(sv);
	if (obstacle)
		return native_complain(c, STATUS_ERROR, "%.300s", obstacle);
	sv->rerun = true;
	sv->by_call = false;
	service_set_text(&sv->failure, NULL);
	services_order_one(sv->services, order, sv);
	return look_or_keep(c, sv, WISH_UP);
}

int native_service_start(struct native_call *c)
{
	return bring_up(c, SERVICES_START);
}

int native_service_restart(struct native_call *c)
{
	return bring_up(c, SERVICES_RESTART);
}

int native_service_stop(struct native_call *c)
{
	struct service *sv = NULL;
	int status = read_service(c, &sv);

	if (status != STATUS_OK)
		return status;
	services_order_one(sv->services, SERVICES_STOP, sv);
	return look_or_keep(c, sv, WISH_DOWN);
}

int native_service_reload(struct native_call *c)
{
	struct service *sv = NULL;
	int status = read_service(c, &sv);
	const char *obstacle;

	if (status != STATUS_OK)
		return status;
	obstacle = service_reload_obstacle(sv);
	if (obstacle)
		return native_complain(c, STATUS_ERROR, "%s", obstacle);
	service_reload(sv);
	return look_or_keep(c, sv, WISH_RELOADED);
}

/* --- later ---------------------------------------------------------------- */

static void finish(struct asked *a, int status)
{
	struct native_call *c = a->call;

	list_remove(&a->list);
	free(a);
	native_finish(c, status);
}

/* The first one that is over; an answer may end others, too. */
static struct asked *find_over(struct services *m, const struct service *sv,
			       int *ret_status)
{
	struct asked *a, *after;

	list_each(a, after, &m->asked, list)
	{
		if (a->service != sv)
			continue;
		*ret_status = look(a->call, sv, a->wish);
		if (*ret_status != NATIVE_LATER)
			return a;
	}
	return NULL;
}

void native_service_look(struct services *m, const struct service *sv)
{
	struct asked *a;
	int status;

	while ((a = find_over(m, sv, &status)))
		finish(a, status);
}

static struct asked *find_first(struct services *m, const struct service *sv)
{
	struct asked *a, *after;

	list_each(a, after, &m->asked, list) if (a->service == sv) return a;
	return NULL;
}

void native_service_forget(struct services *m, const struct service *sv)
{
	struct asked *a;

	while ((a = find_first(m, sv)))
		finish(a, native_complain(a->call, STATUS_NOT_FOUND,
					  "it was removed"));
}
