/*
 * Steps 4 to 9, for services: the manager.
 *
 *	store ──> definitions ──> order ──plan──> jobs ──> services ──> machines
 *	              requests, enablement ──┘      ^         │
 *	                                            └─ settled ┘
 */

#include "thoxd/services/services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "thoxd/adopt.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"

struct server *services_server(struct services *m)
{
	return m->server;
}

struct store *services_store(struct services *m)
{
	return m->server->store;
}

int services_find_program(struct services *m, const struct definition *d,
			  uint64_t version, struct store_entry *ret_entry)
{
	struct name_ref ref = {
		.kind = version ? REF_VERSION : REF_LIVE,
		.version = version,
	};

	strcpy(ref.name, d->program);
	return store_resolve(services_store(m), DIR_PROGRAMS, &ref, ret_entry,
			     NULL);
}

uint64_t services_time_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

double services_chance(void)
{
	uint32_t bits = 0;

	/* without entropy all wait as long: a pity, no more */
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != sizeof(bits))
		return 0.5;
	return (double)bits * 0x1p-32;
}

void services_defer(struct services *m)
{
	if (!ev_is_active(&m->deferred)) {
		ev_timer_set(&m->deferred, 0., 0.);
		ev_timer_start(m->server->loop, &m->deferred);
	}
}

/* --- which there are ------------------------------------------------------ */

struct service *services_find(struct services *m, const char *name)
{
	char canonical[SERVICE_NAME_BYTES];
	struct service_ref ref;
	struct table_entry *e;

	if (service_ref_parse(name, &ref, NULL) < 0)
		return NULL;
	service_ref_format(ref.name, ref.instance, canonical);
	e = table_find(&m->by_name, table_hash(canonical, strlen(canonical)));
	for (; e; e = table_next(e)) {
		struct service *sv = container_of(e, struct service, entry);

		if (strcmp(sv->name, canonical) == 0)
			return sv;
	}
	return NULL;
}

/* Its place in the order, by what its definition says now. */
static int place(struct service *sv)
{
	static const struct order_links nothing = { 0 };
	struct order_links links = nothing;
	int r;

	if (sv->config && !sv->gone)
		links = load_links(sv->config->definition);
	r = order_set(sv->services->order, sv->name, &links, sv, &sv->node);
	if (r < 0)
		log_warnx("service %s has no place in the order: %s", sv->name,
			  strerror(-r));
	return r;
}

static struct service *add(struct services *m, const char *name, bool anyhow)
{
	struct service *sv = service_new(m, name);

	if (!sv)
		return NULL;
	if ((service_refresh(sv) == -ENOENT && !anyhow) || place(sv) < 0)
		return service_free(sv);
	list_append(&m->all, &sv->list);
	m->n++;
	table_add(&m->by_name, &sv->entry,
		  table_hash(sv->name, strlen(sv->name)));
	service_schedule_follow(sv);
	return sv;
}

struct service *services_get(struct services *m, const char *name)
{
	struct service *sv = services_find(m, name);

	return sv ? sv : add(m, name, false);
}

struct service *services_restore(struct services *m, const char *name)
{
	struct service *sv = services_find(m, name);

	return sv ? sv : add(m, name, true);
}

static void forget(struct service *sv)
{
	struct services *m = sv->services;

	services_forget_waits(m, sv);
	services_callers_forget(sv);
	table_remove(&m->by_name, &sv->entry);
	order_remove(m->order, sv->node);
	m->n--;
	service_free(sv);
}

/* --- the store ------------------------------------------------------------ */

static void refresh(struct service *sv)
{
	int r = service_refresh(sv);

	if (r == -EINVAL)
		log_warnx("service %s: its definition cannot be used: %s",
			  sv->name, sv->problem);
	(void)place(sv);
	service_schedule_follow(sv);
	if (sv->gone)
		services_defer(sv->services);
}

/* Of a template every instance, too. */
static void definition_changed(struct services *m, const char *file)
{
	struct service *sv, *after;
	struct service_ref ref;
	bool known = false;

	if (service_ref_parse(file, &ref, NULL) < 0)
		return;
	list_each(sv, after, &m->all, list)
	{
		if (strcmp(sv->ref.name, ref.name) != 0)
			continue;
		refresh(sv);
		known = known || !sv->ref.instance[0];
	}
	if (!known)
		(void)add(m, ref.name, false);
}

static bool same_program(const char *wanted, const char *name)
{
	char other[NAME_MAX_BYTES + 1];

	return strcmp(wanted, name) == 0 ||
	       (name_alternate(DIR_PROGRAMS, wanted, other) &&
		strcmp(other, name) == 0);
}

static void program_changed(struct services *m, const struct store_entry *e)
{
	struct service *sv, *after;

	if (e->event != STORE_PUBLISHED)
		return;
	list_each(sv, after, &m->all, list)
	{
		if (service_follows(sv) &&
		    same_program(sv->config->definition->program, e->name))
			service_program_changed(sv, e);
	}
}

void services_follow(struct services *m, enum store_dir dir,
		     const struct store_entry *entry)
{
	if (!m->begun || m->ending)
		return;
	if (dir == DIR_SERVICES)
		definition_changed(m, entry->name);
	else if (dir == DIR_PROGRAMS)
		program_changed(m, entry);
}

/* --- plans ---------------------------------------------------------------- */

static int load(void *user, const char *name)
{
	return services_get(user, name) ? 0 : -ENOENT;
}

static bool is_root(const struct service *sv, struct service *const *roots,
		    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (roots[i] == sv)
			return true;
	return false;
}

static struct service *at(const struct services *m, uint32_t node)
{
	return order_user(m->order, node);
}

/* Without those that have nothing to do; what was asked for stays. */
static void keep_needed(struct services *m, struct order_plan *plan,
			struct service *const *roots, size_t n,
			bool (*needed)(const struct service *sv))
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct service *sv = at(m, plan->steps[i].node);

		if (sv && (needed(sv) || is_root(sv, roots, n)))
			plan->steps[kept++] = plan->steps[i];
	}
	plan->n = kept;
}

static bool is_down(const struct service *sv)
{
	return !service_up(sv);
}

static bool is_there(const struct service *sv)
{
	return service_active(sv) || !service_idle(sv);
}

/* What a restart takes along anyway is not started besides. */
static void drop_stopped(struct services_plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->start.n; i++) {
		bool stopped = false;

		for (size_t k = 0; k < plan->stop.n && !stopped; k++)
			stopped = plan->stop.steps[k].node ==
				  plan->start.steps[i].node;
		if (!stopped)
			plan->start.steps[kept++] = plan->start.steps[i];
	}
	plan->start.n = kept;
}

void services_plan_deinit(struct services_plan *plan)
{
	order_plan_deinit(&plan->stop);
	order_plan_deinit(&plan->start);
}

static int make_plan(struct services *m, enum services_order order,
		     const uint32_t *nodes, struct service *const *roots,
		     size_t n, struct services_plan *plan,
		     struct order_problem *ret_problem)
{
	int r = 0;

	if (order != SERVICES_START) {
		r = order_plan_stop(m->order, nodes, n, &plan->stop);
		if (r == 0)
			keep_needed(m, &plan->stop, roots, n, is_there);
	}
	if (r == 0 && order != SERVICES_STOP) {
		r = order_plan_start(m->order, nodes, n, load, m, &plan->start,
				     ret_problem);
		if (r == 0)
			keep_needed(m, &plan->start, roots, n, is_down);
	}
	if (r == 0 && order == SERVICES_RESTART)
		drop_stopped(plan);
	return r;
}

int services_plan(struct services *m, enum services_order order,
		  struct service *const *roots, size_t n,
		  struct services_plan *ret_plan,
		  struct order_problem *ret_problem)
{
	_cleanup_(freep) uint32_t *nodes = calloc(n + 1, sizeof(*nodes));
	struct services_plan plan = { 0 };
	int r;

	ret_problem->text[0] = '\0';
	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		nodes[i] = roots[i]->node;
	r = make_plan(m, order, nodes, roots, n, &plan, ret_problem);
	if (r < 0) {
		services_plan_deinit(&plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

int services_apply(struct services *m, enum services_order order,
		   const struct services_plan *plan,
		   struct order_problem *ret_problem)
{
	int r = 0;

	ret_problem->text[0] = '\0';
	if (order != SERVICES_START)
		r = jobs_add(m->jobs, &plan->stop,
			     order == SERVICES_STOP ? JOB_STOP : JOB_RESTART,
			     ret_problem);
	if (r == 0 && plan->start.n > 0)
		r = jobs_add(m->jobs, &plan->start, JOB_START, ret_problem);
	return r;
}

/* --- jobs ----------------------------------------------------------------- */

static void on_job_start(void *user, uint32_t node)
{
	struct services *m = user;
	struct service *sv = at(m, node);
	const char *obstacle;

	if (!sv || m->ending) {
		jobs_done(m->jobs, node, false);
		return;
	}
	obstacle = service_obstacle(sv);
	service_set_text(&sv->failure, obstacle);
	if (obstacle) {
		jobs_done(m->jobs, node, false);
		services_check_waits(m, sv);
		services_callers_wake(sv);
		return;
	}
	service_start(sv);
	services_settled(sv);
}

static void on_job_stop(void *user, uint32_t node)
{
	struct services *m = user;
	struct service *sv = at(m, node);

	if (!sv) {
		jobs_done(m->jobs, node, true);
		return;
	}
	service_stop(sv);
	services_settled(sv);
}

static void on_job_dropped(void *user, uint32_t node, uint32_t because)
{
	struct services *m = user;
	struct service *sv = at(m, node);
	char text[SERVICE_NAME_BYTES + 64];

	if (!sv)
		return;
	snprintf(text, sizeof(text), "%s, which it requires, did not start",
		 order_name(m->order, because));
	service_set_text(&sv->failure, text);
	log_warnx("service %s is not started: %s", sv->name, text);
	services_check_waits(m, sv);
	services_callers_wake(sv);
}

static const struct jobs_ops jobs_ops = {
	.start = on_job_start,
	.stop = on_job_stop,
	.dropped = on_job_dropped,
};

/* Has its job come to its end? A service that waits for its next try is still
 * being started. */
static void check_job(struct services *m, struct service *sv)
{
	bool begun = false;
	enum job_kind kind = jobs_of(m->jobs, sv->node, &begun);

	if (!begun)
		return;
	if ((kind == JOB_STOP && service_idle(sv)) ||
	    (kind == JOB_START && service_up(sv)))
		jobs_done(m->jobs, sv->node, true);
	else if (kind == JOB_START && !service_active(sv))
		jobs_done(m->jobs, sv->node, false);
}

/* --- what instances tell -------------------------------------------------- */

static int is_node(void *user, uint32_t node)
{
	(void)user;
	(void)node;
	return 1;
}

void services_instance_changed(struct service_instance *in,
			       enum machine_state from)
{
	struct service *sv = in->service;

	(void)from;
	if (in->machine.restart.count > in->n_restarts &&
	    order_each(sv->services->order, sv->node, ORDER_GROUPS, is_node,
		       NULL)) {
		sv->group_restarts = true;
		services_defer(sv->services);
	}
	in->n_restarts = in->machine.restart.count;
}

void services_settled(struct service *sv)
{
	struct services *m = sv->services;

	check_job(m, sv);
	services_check_waits(m, sv);
	service_idle_follow(sv);
	service_health_follow(sv);
	services_callers_wake(sv);
	if (sv->gone && service_idle(sv))
		services_defer(m);
	if (m->ending)
		server_check_end(m->server);
}

void services_over_limit(struct service *sv)
{
	sv->limit_met = true;
	services_defer(sv->services);
}

/* --- deferred ------------------------------------------------------------- */

void services_order_one(struct services *m, enum services_order order,
			struct service *sv)
{
	struct services_plan plan = { 0 };
	struct order_problem problem;
	int r = services_plan(m, order, &sv, 1, &plan, &problem);

	if (r == 0)
		r = services_apply(m, order, &plan, &problem);
	if (r < 0) {
		service_set_text(&sv->failure,
				 problem.text[0] ? problem.text : strerror(-r));
		log_warnx("service %s: %s", sv->name, sv->failure);
	}
	services_plan_deinit(&plan);
}

static void start_on_limit(struct services *m, struct service *sv)
{
	const char *name = sv->config ? sv->config->definition->on_limit : NULL;
	struct service *other = name ? services_get(m, name) : NULL;

	if (name && !other)
		log_warnx("service %s: there is no service %s to start",
			  sv->name, name);
	if (other)
		services_order_one(m, SERVICES_START, other);
}

struct group_of {
	struct services *services;
	enum definition_group policy;
};

/* Of several groups the widest policy counts. */
static int on_group(void *user, uint32_t node)
{
	struct group_of *g = user;
	const struct service *sv = at(g->services, node);

	if (sv && sv->config &&
	    sv->config->definition->policy_group > g->policy)
		g->policy = sv->config->definition->policy_group;
	return 0;
}

static void restart_group(struct services *m, struct service *sv)
{
	struct group_of g = { .services = m, .policy = GROUP_ONE };
	struct order_plan plan = { 0 };
	struct order_problem problem;
	int r;

	order_each(m->order, sv->node, ORDER_GROUPS, on_group, &g);
	if (g.policy == GROUP_ONE)
		return;
	r = order_plan_group(m->order, sv->node, g.policy == GROUP_REST, &plan);
	if (r == 0) {
		keep_needed(m, &plan, NULL, 0, service_active);
		r = jobs_add(m->jobs, &plan, JOB_RESTART, &problem);
	}
	if (r < 0)
		log_warnx("service %s: its group cannot be restarted: %s",
			  sv->name, strerror(-r));
	order_plan_deinit(&plan);
}

static void on_deferred(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct services *m = container_of(timer, struct services, deferred);
	struct service *sv, *after;

	(void)loop;
	(void)events;
	list_each(sv, after, &m->all, list)
	{
		bool limit = sv->limit_met, group = sv->group_restarts;

		sv->limit_met = sv->group_restarts = false;
		if (limit && !m->ending)
			start_on_limit(m, sv);
		if (group && !m->ending)
			restart_group(m, sv);
	}
	services_callers_look(m);
	list_each(sv, after, &m->all, list)
	{
		if (sv->gone && service_idle(sv) &&
		    jobs_of(m->jobs, sv->node, NULL) == JOB_NONE)
			forget(sv);
	}
}

/* --- life ----------------------------------------------------------------- */

/* The turn is over, as far as anything has happened in it. */
static void on_flush(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct services *m = container_of(prepare, struct services, flush);

	(void)events;
	adopt_flush(m);
	ev_prepare_stop(loop, prepare);
}

int services_init(struct services *m, struct server *s)
{
	int r;

	m->server = s;
	table_init(&m->by_name);
	list_init(&m->all);
	list_init(&m->waits);
	list_init(&m->asked);
	list_init(&m->enabled);
	list_init(&m->taken);
	list_init(&m->changed);
	list_init(&m->rejections);
	ev_prepare_init(&m->flush, on_flush);
	ev_timer_init(&m->deferred, on_deferred, 0., 0.);
	services_clock_init(m);
	r = order_new(&m->order);
	return r ? r : jobs_new(m->order, &jobs_ops, m, &m->jobs);
}

static int on_name(void *user, const char *name)
{
	(void)services_get(user, name);
	return 0;
}

static int load_enabled(struct services *m, const char *name)
{
	(void)services_get(m, name);
	return 0;
}

static bool is_wanted(const struct service *sv)
{
	return services_enabled(sv) && !sv->restored &&
	       !sv->config->definition->schedule_text && !service_obstacle(sv);
}

/* All in one go; when something is in the way of that, one by one: what
 * cannot start keeps no other from it. */
static void start_enabled(struct services *m)
{
	_cleanup_(freep) struct service **roots =
		calloc(m->n + 1, sizeof(struct service *));
	struct services_plan plan = { 0 };
	struct order_problem problem;
	struct service *sv, *after;
	size_t n = 0;
	int r = -ENOMEM;

	list_each(sv, after, &m->all, list)
	{
		if (roots && sv->config && is_wanted(sv))
			roots[n++] = sv;
	}
	if (roots)
		r = services_plan(m, SERVICES_START, roots, n, &plan, &problem);
	if (r == 0)
		r = services_apply(m, SERVICES_START, &plan, &problem);
	services_plan_deinit(&plan);
	for (size_t i = 0; r < 0 && i < n; i++)
		services_order_one(m, SERVICES_START, roots[i]);
}

/* Starts that were under way in an earlier thoxd, or are due to it. */
static void start_wanted(struct services *m)
{
	struct service *sv, *after;

	list_each(sv, after, &m->all, list)
	{
		if (sv->wanted && !service_obstacle(sv))
			services_order_one(m, SERVICES_START, sv);
		sv->wanted = false;
	}
}

void services_begin(struct services *m)
{
	int r = load_names(m->server->store, on_name, m);

	if (r < 0)
		log_warnx("the services cannot be listed: %s", strerror(-r));
	r = services_enabled_load(m);
	if (r < 0)
		log_warnx("what was enabled cannot be read: %s", strerror(-r));
	services_each_enabled(m, load_enabled);
	adopt_begin(m);
	m->begun = true;
	start_enabled(m);
	services_clock_begin(m);
	start_wanted(m);
	adopt_end(m);
}

void services_end(struct services *m)
{
	struct order_plan plan = { 0 };
	struct order_problem problem;
	_cleanup_(freep) uint32_t *nodes = calloc(m->n + 1, sizeof(*nodes));
	struct service *sv, *after;
	size_t n = 0;

	m->ending = true;
	services_clock_end(m);
	list_each(sv, after, &m->all, list)
	{
		service_health_end(sv);
		if (nodes && is_there(sv))
			nodes[n++] = sv->node;
	}
	if (n == 0)
		return;
	if (order_plan_stop(m->order, nodes, n, &plan) == 0 &&
	    jobs_add(m->jobs, &plan, JOB_STOP, &problem) == 0)
		n = 0;
	order_plan_deinit(&plan);
	/* Without memory for an order: all at once. */
	for (size_t i = 0; i < n; i++)
		service_stop(at(m, nodes[i]));
}
