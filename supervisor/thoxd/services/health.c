/*
 * Step 9, for services: is it well? A call that thox makes now and then.
 *
 * Each call is made by a process of its own that may make this one call and
 * nothing else: so a check goes the way of every call, and whatever answers
 * it does no harm to thoxd. Its exit code is the call's status.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "rpc/status.h"
#include "thoxd/policy.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

#define GRACE_MS 1000U /* for the process, beside the call's own time */

static const char text[] =
	"local name, seconds = ...\n"
	"os.exit((os.wait(os.call(0, name), tonumber(seconds))))\n";

struct service_health {
	struct service *service;
	struct service_config *config;
	struct starter starter;
	ev_timer timer;
	uint64_t bad; /* answers in a row */
};

static struct server *server_of(const struct service_health *h)
{
	return services_server(h->service->services);
}

static const struct definition *definition_of(const struct service_health *h)
{
	return h->config->definition;
}

/* --- an answer ------------------------------------------------------------ */

static const char *what_was(int code)
{
	if (code > STATUS_OK && code <= STATUS_TOO_LARGE)
		return status_name((uint64_t)code);
	return "no answer";
}

/* The service may be checked no more after it. */
static void answered(struct service_health *h, const char *what)
{
	struct service *sv = h->service;

	if (!what) {
		h->bad = 0;
		return;
	}
	h->bad++;
	log_warnx("service %s: its check %s: %s (%llu of %llu)", sv->name,
		  definition_of(h)->check, what, (unsigned long long)h->bad,
		  (unsigned long long)definition_of(h)->failures);
	if (h->bad < definition_of(h)->failures)
		return;
	h->bad = 0;
	for (unsigned i = 0; i < sv->n_instances; i++)
		instance_handle(&sv->instances[i], MACHINE_EV_UNHEALTHY);
}

static struct service_health *health_of(struct starter *st)
{
	return container_of(st, struct service_health, starter);
}

static void on_started(struct starter *st, const struct run *run)
{
	(void)st;
	(void)run;
}

/* That is not the service's fault. */
static void on_refused(struct starter *st, int status, const char *message,
		       const char *hint)
{
	(void)status;
	(void)hint;
	log_warnx("service %s: it cannot be checked: %s",
		  health_of(st)->service->name, message);
}

static void on_ended(struct starter *st, const struct run *run,
		     const struct run_end *end)
{
	const struct result *result = end->result;

	(void)run;
	if (result->signalled)
		answered(health_of(st), "no answer");
	else
		answered(health_of(st),
			 result->code ? what_was(result->code) : NULL);
}

static const struct starter_ops ops = {
	.started = on_started,
	.refused = on_refused,
	.ended = on_ended,
};

/* --- a call --------------------------------------------------------------- */

static int make_policy(const struct service_health *h,
		       struct policy **ret_policy)
{
	static const enum policy_kind kinds[] = { POLICY_CALL, POLICY_BIND,
						  POLICY_RUN, POLICY_STORE };
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	const char *check = definition_of(h)->check;
	int r = policy_new(NULL, "[health] of the service", &p);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		policy_restrict(p, kinds[i]);
	r = policy_allow(p, POLICY_CALL, check, strlen(check));
	if (r == 0)
		*ret_policy = steal(&p);
	return r;
}

static int open_fds(int fds[4])
{
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fds[2] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fds[3] = memfd_create("thox-check", MFD_CLOEXEC);
	for (int i = 0; i < 4; i++)
		if (fds[i] < 0)
			return -errno;
	return pwrite(fds[3], text, sizeof(text) - 1, 0) ==
			       (ssize_t)sizeof(text) - 1
		       ? 0
		       : -EIO;
}

static int call(struct service_health *h)
{
	static const char name[] = "health check";
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	uint64_t ms = definition_of(h)->interval_ms;
	int fds[4] = { -1, -1, -1, -1 };
	char seconds[32];
	struct mp_writer args;
	int r = make_policy(h, &policy);

	if (r == 0)
		r = open_fds(fds);
	snprintf(seconds, sizeof(seconds), "%.3f", (double)ms / 1000);
	mp_writer_init_heap(&args);
	mp_write_array(&args, 2);
	mp_write_str(&args, definition_of(h)->check);
	mp_write_str(&args, seconds);
	if (r == 0)
		r = mp_writer_end(&args);
	if (r == 0) {
		struct run_spec spec = {
			.name = { name, sizeof(name) - 1 },
			.text = true,
			.args = { (const char *)args.data, args.used },
			.policy = policy,
			.wall_ms = ms + GRACE_MS,
		};

		h->starter.ops = &ops;
		run_start(server_of(h), &spec, fds, &h->starter);
	}
	mp_writer_deinit(&args);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	return r;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service_health *h =
		container_of(timer, struct service_health, timer);
	int r;

	(void)events;
	ev_timer_again(loop, timer);
	if (h->starter.run)
		return; /* it has its own time */
	r = call(h);
	if (r < 0)
		log_warnx("service %s: it cannot be checked: %s",
			  h->service->name, strerror(-r));
}

/* --- life ----------------------------------------------------------------- */

static void begin(struct service *sv)
{
	struct service_health *h = calloc(1, sizeof(*h));

	if (!h) {
		log_warnx("service %s: no memory to check it", sv->name);
		return;
	}
	h->service = sv;
	h->config = service_config_ref(sv->config);
	ev_timer_init(&h->timer, on_timer, 0.,
		      (double)definition_of(h)->interval_ms / 1000);
	ev_timer_again(server_of(h)->loop, &h->timer);
	sv->health = h;
}

void service_health_end(struct service *sv)
{
	struct service_health *h = steal(&sv->health);

	if (!h)
		return;
	ev_timer_stop(server_of(h)->loop, &h->timer);
	starter_leave_and_kill(&h->starter, CAUSE_KILLED);
	service_config_unref(h->config);
	free(h);
}

void service_health_follow(struct service *sv)
{
	bool wanted = sv->config && sv->config->definition->check &&
		      service_active(sv) && service_up(sv) &&
		      !sv->services->ending;

	if (wanted && !sv->health)
		begin(sv);
	else if (!wanted)
		service_health_end(sv);
}
