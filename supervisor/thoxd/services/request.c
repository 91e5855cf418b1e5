/*
 * Steps 4 and 9, for services: what is asked for, and the answer when it is
 * done.
 *
 * A request that waits has a line for each service. It is answered when each
 * has come to an end, well or not: a service that failed and waits for its
 * next try has not started, whatever becomes of it later.
 */

#include "thoxd/services/request.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/suggest.h"
#include "base/util.h"
#include "rpc/status.h"
#include "thoxd/background.h"
#include "thoxd/background_status.h"
#include "thoxd/client.h"
#include "thoxd/native_service.h"
#include "thoxd/request.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/services/status.h"

/* --- names ---------------------------------------------------------------- */

struct chosen {
	struct service **items;
	size_t n, capacity;
	struct background **transient; /* of runs in the background */
	size_t n_transient;
};

static void chosen_deinit(struct chosen *c)
{
	free(c->items);
	free(c->transient);
}

static int choose_transient(struct chosen *c, struct background *b)
{
	struct background **transient;

	for (size_t i = 0; i < c->n_transient; i++)
		if (c->transient[i] == b)
			return 0;
	transient = reallocarray(c->transient, c->n_transient + 1,
				 sizeof(struct background *));
	if (!transient)
		return -ENOMEM;
	c->transient = transient;
	c->transient[c->n_transient++] = b;
	return 0;
}

static int choose(struct chosen *c, struct service *sv)
{
	struct service **items;
	size_t capacity;

	for (size_t i = 0; i < c->n; i++)
		if (c->items[i] == sv)
			return 0;
	if (c->n == c->capacity) {
		capacity = c->capacity ? 2 * c->capacity : 16;
		items = realloc(c->items, capacity * sizeof(*items));
		if (!items)
			return -ENOMEM;
		c->items = items;
		c->capacity = capacity;
	}
	c->items[c->n++] = sv;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct service *const *s = a, *const *t = b;

	return strcmp((*s)->name, (*t)->name);
}

/* What can be done to a run in the background: it has no definition. */
static bool suits_transient(const struct request *q)
{
	return q->command->handle != service_request_enable &&
	       (q->command->handle != service_request_order ||
		q->command->number == SERVICE_STOP);
}

static int choose_all(struct request *q, const char *pattern, struct chosen *c)
{
	struct background *b, *next;
	struct service *sv, *after;
	size_t before = c->n, transient = c->n_transient;
	int r = 0;

	list_each(sv, after, &q->server->services.all, list)
	{
		if (r == 0 && (!pattern || fnmatch(pattern, sv->name, 0) == 0))
			r = choose(c, sv);
	}
	if (c->n > before)
		qsort(c->items + before, c->n - before, sizeof(*c->items),
		      compare);
	list_each(b, next, &q->server->backgrounds, list)
	{
		if (r == 0 && suits_transient(q) &&
		    (!pattern || fnmatch(pattern, b->name, 0) == 0))
			r = choose_transient(c, b);
	}
	return r < 0 ? r : c->n > before || c->n_transient > transient;
}

static int unknown(struct request *q, const char *name)
{
	struct services *m = &q->server->services;
	struct background *b, *next;
	struct service *sv, *after;
	struct suggest near;

	suggest_init(&near, name);
	list_each(sv, after, &m->all, list) suggest_offer(&near, sv->name);
	list_each(b, next, &q->server->backgrounds, list)
		suggest_offer(&near, b->name);
	if (near.name[0])
		return request_complain(q, STATUS_NOT_FOUND,
					"no such service: %.200s; did you "
					"mean '%s'?",
					name, near.name);
	return request_complain(q, STATUS_NOT_FOUND, "no such service: %.200s",
				name);
}

static int choose_background(struct request *q, struct background *b,
			     struct chosen *c)
{
	if (!suits_transient(q))
		return request_complain(
			q, STATUS_ERROR,
			"%.200s was started by thox-exec -d and has no "
			"definition: it can be looked at and stopped, and "
			"nothing else",
			b->name);
	return choose_transient(c, b) < 0
		       ? request_complain(q, STATUS_ERROR, "%s",
					  strerror(ENOMEM))
		       : STATUS_OK;
}

static int choose_name(struct request *q, const char *name, struct chosen *c)
{
	struct services *m = &q->server->services;
	struct background *b = background_find(q->server, name);
	struct service_ref ref;
	struct service *sv;
	const char *rule;
	int r;

	if (strpbrk(name, "*?[")) {
		r = choose_all(q, name, c);
		if (r == 0)
			return request_complain(q, STATUS_NOT_FOUND,
						"no service matches %.200s",
						name);
		return r < 0 ? request_complain(q, STATUS_ERROR, "%s",
						strerror(-r))
			     : STATUS_OK;
	}
	if (b)
		return choose_background(q, b, c);
	if (service_ref_parse(name, &ref, &rule) < 0)
		return request_complain(q, STATUS_INVALID,
					"%s is not a name of a service: %s",
					log_quote(name), rule);
	sv = services_get(m, name);
	if (!sv)
		return unknown(q, name);
	r = choose(c, sv);
	return r < 0 ? request_complain(q, STATUS_ERROR, "%s", strerror(-r))
		     : STATUS_OK;
}

static bool names_given(const struct request *q)
{
	struct mp_reader r;

	mp_reader_init(&r, q->arguments.names.p, q->arguments.names.size);
	return q->arguments.names.size > 0 && mp_read_array(&r) > 0;
}

/* What was copied a moment ago is known to the store, but perhaps not yet to
 * us. */
static int choose_names(struct request *q, struct chosen *c)
{
	struct mp_bytes names = q->arguments.names;
	char name[SERVICE_NAME_BYTES + 1];
	int status = STATUS_OK;
	struct mp_reader r;
	uint32_t n;

	server_follow_store(q->server);
	if (names.size == 0)
		return STATUS_OK;
	mp_reader_init(&r, names.p, names.size);
	n = mp_read_array(&r);
	for (uint32_t i = 0; status == STATUS_OK && i < n; i++) {
		if (mp_bytes_copy(mp_read_str(&r), name, sizeof(name)) < 0)
			return request_complain(q, STATUS_INVALID,
						"not a name of a service");
		status = choose_name(q, name, c);
	}
	return status;
}

/* --- waiting -------------------------------------------------------------- */

struct item {
	struct service *service; /* NULL: settled, or: */
	const struct background *background;
	bool ok;
	enum machine_state state;
	char name[SERVICE_NAME_BYTES];
	char *message; /* owned; NULL: none */
};

struct wait {
	struct list list;
	struct client *client;
	uint64_t id;
	enum service_order order;
	bool until_end; /* what was started has ended, too */
	size_t n, left;
	struct item items[];
};

static void wait_free(struct wait *w)
{
	list_remove(&w->list);
	for (size_t i = 0; i < w->n; i++)
		free(w->items[i].message);
	free(w);
}

/* The best that is known of why it is not as it should be. */
static void explain(const struct service *sv, char *ret, size_t size)
{
	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_instance *in = &sv->instances[i];
		const char *why = in->detail ? in->detail
				  : in->last && in->last->detail
					  ? in->last->detail
					  : "";

		if (in->machine.state != MACHINE_FAILED &&
		    in->machine.state != MACHINE_BACK_OFF)
			continue;
		snprintf(ret, size, "%s%s%.300s",
			 machine_reason_text(in->machine.reason),
			 *why ? ": " : "", why);
		return;
	}
	snprintf(ret, size, "%.400s", sv->failure ? sv->failure : "");
}

static void settle(struct wait *w, struct item *it, bool ok)
{
	const struct service *sv = it->service;
	char text[512] = "";

	it->ok = ok;
	it->state = service_state(sv);
	if (!ok)
		explain(sv, text, sizeof(text));
	if (text[0])
		service_set_text(&it->message, text);
	it->service = NULL;
	w->left--;
}

/* It has ended, or nobody waits for that. */
static void settle_transient(struct wait *w, struct item *it)
{
	it->ok = true;
	it->state = MACHINE_INACTIVE;
	it->background = NULL;
	w->left--;
}

/* Up, or done; whoever waits for the end is content with a stop, too. */
static bool ended_well(const struct wait *w, const struct service *sv)
{
	return service_up(sv) ||
	       (w->until_end && service_state(sv) == MACHINE_INACTIVE &&
		!sv->failure);
}

static void look_at(struct services *m, struct wait *w, struct item *it)
{
	const struct service *sv = it->service;
	enum job_kind job = jobs_of(m->jobs, sv->node, NULL);

	switch (w->order) {
	case SERVICE_START:
	case SERVICE_RESTART:
	case SERVICE_TRY_RESTART:
		if (job == JOB_NONE && !(w->until_end && service_active(sv)))
			settle(w, it, ended_well(w, sv));
		else if (job == JOB_START && service_backs_off(sv))
			settle(w, it, false);
		break;
	case SERVICE_STOP:
		if (job == JOB_NONE)
			settle(w, it, service_idle(sv));
		break;
	case SERVICE_RELOAD:
		if (!service_reloads(sv))
			settle(w, it, service_up(sv) && !service_rejected(sv));
		break;
	case SERVICE_RESET:
		settle(w, it, true);
		break;
	}
}

static void write_items(struct mp_writer *v, const struct wait *w)
{
	mp_write_array(v, (uint32_t)w->n);
	for (size_t i = 0; i < w->n; i++) {
		const struct item *it = &w->items[i];

		mp_write_map(v, 4);
		mp_write_str(v, "name");
		mp_write_str(v, it->name);
		mp_write_str(v, "ok");
		mp_write_bool(v, it->ok);
		mp_write_str(v, "state");
		mp_write_str(v, machine_state_name(it->state));
		mp_write_str(v, "message");
		mp_write_str(v, it->message ? it->message : "");
	}
}

static void answer(struct services *m, struct wait *w)
{
	struct request q = {
		.server = m->server, .client = w->client, .id = w->id, .fd = -1
	};

	mp_writer_init_heap(&q.value);
	write_items(&q.value, w);
	wait_free(w);
	request_reply(&q, STATUS_OK);
	mp_writer_deinit(&q.value);
}

void services_background_gone(struct services *m, const struct background *b)
{
	struct wait *w, *after;

	list_each(w, after, &m->waits, list)
	{
		for (size_t i = 0; i < w->n; i++)
			if (w->items[i].background == b)
				settle_transient(w, &w->items[i]);
		if (w->left == 0)
			answer(m, w);
	}
}

/* One that is gone has no more to tell. */
static void detach(struct wait *w, struct item *it)
{
	it->ok = w->order == SERVICE_STOP;
	it->service = NULL;
	w->left--;
}

void services_check_waits(struct services *m, struct service *sv)
{
	struct wait *w, *after;

	native_service_look(m, sv);
	list_each(w, after, &m->waits, list)
	{
		for (size_t i = 0; i < w->n; i++)
			if (w->items[i].service == sv)
				look_at(m, w, &w->items[i]);
		if (w->left == 0)
			answer(m, w);
	}
}

void services_forget_waits(struct services *m, const struct service *sv)
{
	struct wait *w, *after;

	native_service_forget(m, sv);
	list_each(w, after, &m->waits, list)
	{
		for (size_t i = 0; i < w->n; i++)
			if (w->items[i].service == sv)
				detach(w, &w->items[i]);
		if (w->left == 0)
			answer(m, w);
	}
}

void services_client_gone(struct services *m, struct client *c)
{
	struct wait *w, *after;

	list_each(w, after, &m->waits, list)
	{
		if (w->client == c)
			wait_free(w);
	}
}

static struct wait *wait_new(struct request *q, const struct chosen *c)
{
	size_t n = c->n + c->n_transient;
	struct wait *w = calloc(1, sizeof(*w) + n * sizeof(w->items[0]));

	if (!w)
		return NULL;
	list_init(&w->list);
	w->client = q->client;
	w->id = q->id;
	w->order = (enum service_order)q->command->number;
	w->until_end = q->arguments.until_end;
	w->n = w->left = n;
	for (size_t i = 0; i < c->n; i++) {
		w->items[i].service = c->items[i];
		snprintf(w->items[i].name, sizeof(w->items[i].name), "%s",
			 c->items[i]->name);
	}
	for (size_t i = 0; i < c->n_transient; i++) {
		struct item *it = &w->items[c->n + i];

		it->background = c->transient[i];
		snprintf(it->name, sizeof(it->name), "%s",
			 c->transient[i]->name);
	}
	return w;
}

/* --- orders --------------------------------------------------------------- */

static bool starts(enum service_order order)
{
	return order == SERVICE_START || order == SERVICE_RESTART;
}

/* Whether what was asked for can be done at all: said before anything is. */
static int check(struct request *q, const struct chosen *c)
{
	enum service_order order = (enum service_order)q->command->number;

	if (starts(order) && q->server->ending)
		return request_complain(q, STATUS_ERROR,
					"thox is shutting down");
	for (size_t i = 0; i < c->n; i++) {
		const struct service *sv = c->items[i];
		const char *obstacle = service_obstacle(sv);

		if (starts(order) && obstacle)
			return request_complain(q, STATUS_ERROR, "%s: %.400s",
						sv->name, obstacle);
		obstacle = service_reload_obstacle(sv);
		if (order == SERVICE_RELOAD && obstacle)
			return request_complain(q, STATUS_ERROR,
						"%s cannot reload: %s",
						sv->name, obstacle);
	}
	return STATUS_OK;
}

static void write_steps(struct services *m, struct mp_writer *w,
			const struct order_plan *plan, const char *action)
{
	for (size_t i = 0; i < plan->n; i++) {
		mp_write_map(w, 3);
		mp_write_str(w, "name");
		mp_write_str(w, order_name(m->order, plan->steps[i].node));
		mp_write_str(w, "action");
		mp_write_str(w, action);
		mp_write_str(w, "wave");
		mp_write_uint(w, plan->steps[i].wave);
	}
}

/* What a restart stops is started again, the last first. */
static void write_again(struct services *m, struct mp_writer *w,
			const struct order_plan *plan)
{
	uint32_t last = plan->n ? plan->steps[plan->n - 1].wave : 0;

	for (size_t i = plan->n; i-- > 0;) {
		mp_write_map(w, 3);
		mp_write_str(w, "name");
		mp_write_str(w, order_name(m->order, plan->steps[i].node));
		mp_write_str(w, "action");
		mp_write_str(w, "start");
		mp_write_str(w, "wave");
		mp_write_uint(w, last - plan->steps[i].wave);
	}
}

static void write_plan(struct request *q, enum services_order order,
		       const struct services_plan *plan)
{
	struct services *m = &q->server->services;
	size_t again = order == SERVICES_RESTART ? plan->stop.n : 0;

	mp_write_array(&q->value,
		       (uint32_t)(plan->stop.n + plan->start.n + again));
	write_steps(m, &q->value, &plan->stop, "stop");
	write_steps(m, &q->value, &plan->start, "start");
	if (again)
		write_again(m, &q->value, &plan->stop);
}

static int complain_plan(struct request *q, int error,
			 const struct order_problem *problem)
{
	if (error == -ELOOP)
		return request_complain(
			q, STATUS_ERROR,
			"they would wait for each other: %.400s",
			problem->text);
	return request_complain(q, STATUS_ERROR, "%.500s",
				problem->text[0] ? problem->text
						 : strerror(-error));
}

/* Those that are asked for by name do again what they have done. */
static void mark(const struct chosen *c)
{
	for (size_t i = 0; i < c->n; i++) {
		c->items[i]->rerun = true;
		c->items[i]->by_call = false;
		service_set_text(&c->items[i]->failure, NULL);
	}
}

static int make(struct request *q, const struct chosen *c,
		struct services_plan *plan)
{
	static const enum services_order orders[] = {
		[SERVICE_START] = SERVICES_START,
		[SERVICE_STOP] = SERVICES_STOP,
		[SERVICE_RESTART] = SERVICES_RESTART,
		[SERVICE_TRY_RESTART] = SERVICES_RESTART,
	};
	enum services_order order = orders[q->command->number];
	struct services *m = &q->server->services;
	struct order_problem problem;
	int r = services_plan(m, order, c->items, c->n, plan, &problem);

	if (r < 0)
		return complain_plan(q, r, &problem);
	if (q->arguments.dry_run) {
		write_plan(q, order, plan);
		return STATUS_OK;
	}
	mark(c);
	r = services_apply(m, order, plan, &problem);
	return r < 0 ? complain_plan(q, r, &problem) : STATUS_OK;
}

static int carry_out(struct request *q, const struct chosen *c)
{
	struct services_plan plan = { 0 };
	int status;

	switch ((enum service_order)q->command->number) {
	case SERVICE_RELOAD:
		for (size_t i = 0; i < c->n; i++)
			service_reload(c->items[i]);
		return STATUS_OK;
	case SERVICE_RESET:
		for (size_t i = 0; i < c->n; i++)
			service_reset(c->items[i]);
		return STATUS_OK;
	default:
		status = make(q, c, &plan);
		services_plan_deinit(&plan);
		return status;
	}
}

/* Some may end at once. */
static void stop_transient(const struct request *q, const struct chosen *c,
			   struct wait *w)
{
	for (size_t i = 0; i < c->n_transient; i++) {
		struct item *it = &w->items[c->n + i];

		background_stop(c->transient[i]);
		if (it->background && q->arguments.no_wait)
			settle_transient(w, it);
	}
}

/* A restart of what runs; nothing of the rest is touched. */
static void keep_active(struct chosen *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++)
		if (service_active(c->items[i]))
			c->items[kept++] = c->items[i];
	c->n = kept;
}

static int order_them(struct request *q, struct chosen *c)
{
	struct services *m = &q->server->services;
	struct wait *w;
	int status;

	if (q->command->number == SERVICE_TRY_RESTART)
		keep_active(c);
	status = check(q, c);
	if (status != STATUS_OK)
		return status;
	if (q->arguments.dry_run && q->command->number >= SERVICE_RELOAD)
		return request_complain(q, STATUS_INVALID,
					"starts and stops can be dry");
	if (q->arguments.dry_run && c->n_transient)
		return request_complain(q, STATUS_INVALID,
					"%.200s was started by thox-exec -d: "
					"it stops alone, whatever else does",
					c->transient[0]->name);
	if (q->arguments.dry_run)
		return carry_out(q, c);
	w = wait_new(q, c);
	if (!w)
		return request_complain(q, STATUS_ERROR, "%s",
					strerror(ENOMEM));
	status = c->n ? carry_out(q, c) : STATUS_OK;
	if (status != STATUS_OK) {
		wait_free(w);
		return status;
	}
	for (size_t i = 0; i < c->n; i++) {
		look_at(m, w, &w->items[i]);
		if (w->items[i].service && q->arguments.no_wait)
			settle(w, &w->items[i], true);
	}
	w->left++; /* until all have been asked */
	list_append(&m->waits, &w->list);
	stop_transient(q, c, w);
	if (--w->left > 0)
		return REQUEST_LATER;
	write_items(&q->value, w);
	wait_free(w);
	return STATUS_OK;
}

int service_request_order(struct request *q)
{
	struct chosen c = { 0 };
	int status = choose_names(q, &c);

	if (status == STATUS_OK && q->arguments.names.size == 0)
		status =
			request_complain(q, STATUS_INVALID, "names are wanted");
	if (status == STATUS_OK)
		status = order_them(q, &c);
	chosen_deinit(&c);
	return status;
}

/* --- enablement ----------------------------------------------------------- */

static int enable(struct request *q, const struct chosen *c)
{
	struct services *m = &q->server->services;
	bool on = q->command->number;

	for (size_t i = 0; i < c->n; i++) {
		int r = services_enable(m, c->items[i]->name, on);

		if (r < 0)
			return request_complain(
				q, STATUS_ERROR, "%s cannot be %s: %s",
				c->items[i]->name, on ? "enabled" : "disabled",
				strerror(-r));
	}
	mp_write_array(&q->value, (uint32_t)c->n);
	for (size_t i = 0; i < c->n; i++) {
		mp_write_map(&q->value, 2);
		mp_write_str(&q->value, "name");
		mp_write_str(&q->value, c->items[i]->name);
		mp_write_str(&q->value, "enabled");
		mp_write_bool(&q->value, on);
	}
	return STATUS_OK;
}

int service_request_enable(struct request *q)
{
	struct chosen c = { 0 };
	int status = choose_names(q, &c);

	if (status == STATUS_OK)
		status = enable(q, &c);
	chosen_deinit(&c);
	return status;
}

/* --- looking -------------------------------------------------------------- */

static int look(struct request *q, bool detailed)
{
	struct chosen c = { 0 };
	int status = choose_names(q, &c);

	if (status == STATUS_OK && !names_given(q) &&
	    choose_all(q, NULL, &c) < 0)
		status = request_complain(q, STATUS_ERROR, "%s",
					  strerror(ENOMEM));
	if (status == STATUS_OK) {
		mp_write_array(&q->value, (uint32_t)(c.n + c.n_transient));
		for (size_t i = 0; i < c.n; i++)
			service_status_write(&q->value, c.items[i], detailed);
		for (size_t i = 0; i < c.n_transient; i++)
			background_status_write(&q->value, c.transient[i],
						detailed);
	}
	chosen_deinit(&c);
	return status;
}

int service_request_list(struct request *q)
{
	return look(q, false);
}

int service_request_status(struct request *q)
{
	return look(q, true);
}
