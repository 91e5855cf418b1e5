/*
 * Steps 4 to 9, for services: an instance's processes are runs.
 *
 * What the run and the process itself tell becomes an event of the instance's
 * machine; which, says the place that the process has at that moment.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/adopt.h"
#include "thoxd/bus.h"
#include "thoxd/run_adopt.h"
#include "thoxd/services/reject.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/status.h"

static struct service_process *process_of(struct starter *st)
{
	return container_of(st, struct service_process, starter);
}

static struct server *server_of(const struct service_process *p)
{
	return services_server(p->instance->service->services);
}

static struct mp_bytes bytes_of(const char *text)
{
	return (struct mp_bytes){ text, strlen(text) };
}

static bool is_main(const struct service_process *p)
{
	return p->instance->process[SLOT_MAIN] == p;
}

struct service_process *service_process_free(struct service_process *p)
{
	if (!p)
		return NULL;
	service_cpu_end(p);
	starter_leave_and_kill(&p->starter, CAUSE_KILLED);
	if (p->kept)
		adopt_drop_process(p->instance->service->services, p);
	p->config = service_config_unref(p->config);
	names_deinit(&p->names);
	free(p);
	return NULL;
}

/* --- what is told --------------------------------------------------------- */

static void tell_ready(struct service_process *p)
{
	if (p->ready)
		return;
	p->ready = true;
	adopt_keep_process(p);
	instance_handle(p->instance,
			is_main(p) ? MACHINE_EV_READY : MACHINE_EV_OTHER_READY);
}

static void on_started(struct starter *st, const struct run *run)
{
	struct service_process *p = process_of(st);
	struct logs *logs = &server_of(p)->logs;

	p->pid = run_pid(run);
	p->version = run->version;
	if (!is_main(p) || p->instance->machine.trial)
		p->instance->tried = p->version;
	for (size_t i = 0; i < ARRAY_SIZE(p->logs); i++)
		logs_pid(logs, p->logs[i], p->pid);
	adopt_keep_process(p);
	adopt_instance_changed(p->instance);
	service_cpu_begin(p);
	if (p->config->definition->ready == READY_START)
		tell_ready(p);
}

/* It is nobody's any more when its machine hears of it. */
static void end(struct service_process *p, bool ok)
{
	struct service_instance *in = p->instance;
	struct services *m = in->service->services;
	bool was_main = is_main(p);

	in->process[was_main ? SLOT_MAIN : SLOT_OTHER] = NULL;
	in->dying = p;
	/* the instance may be gone after it */
	instance_handle(in, !was_main ? MACHINE_EV_OTHER_EXIT
			    : ok      ? MACHINE_EV_EXIT_OK
				      : MACHINE_EV_EXIT_FAILED);
	adopt_flush(m); /* its end is known before it is forgotten */
	adopt_drop_process(m, p);
	service_process_free(p);
}

static void on_refused(struct starter *st, int status, const char *message,
		       const char *hint)
{
	struct service_process *p = process_of(st);

	(void)status;
	(void)hint;
	service_set_text(&p->instance->detail, message);
	if (p->spawning)
		p->refused = true; /* its start tells */
	else
		end(p, false);
}

static void remember_end(struct service_instance *in, const struct run_end *e,
			 bool ok)
{
	struct service_end *last = instance_last(in);
	const struct result *result = e->result;

	if (!last)
		return;
	last->pid = e->exit->pid;
	last->code = result->code;
	last->signalled = result->signalled;
	last->failed = !ok;
	last->ms = services_time_ms();
	snprintf(last->reason, sizeof(last->reason), "%s", result->reason);
	service_set_text(&last->detail, result->detail);
}

static void on_ended(struct starter *st, const struct run *run,
		     const struct run_end *e)
{
	struct service_process *p = process_of(st);
	const struct result *result = e->result;
	bool ok = definition_success(p->config->definition,
				     result->signalled ? 0 : result->code,
				     result->signalled ? result->code : 0);

	remember_end(p->instance, e, ok);
	service_set_text(&p->instance->detail, NULL);
	p->ending = run;
	end(p, ok);
}

static void on_notice(struct starter *st, const char *text)
{
	struct service_process *p = process_of(st);

	log_info("service %s: %s", p->instance->service->name, text);
}

/* --- what it says itself -------------------------------------------------- */

static bool all_bound(const struct service_process *p)
{
	const struct names *provides = &p->config->definition->provides;

	for (uint32_t i = 0; i < provides->n; i++)
		if (!names_has(&p->names, provides->items[i]))
			return false;
	return true;
}

static void on_bound(struct starter *st, const char *name)
{
	struct service_process *p = process_of(st);

	if (!names_has(&p->names, name) &&
	    names_add(&p->names, name, strlen(name)) < 0)
		log_warnx("service %s: no memory to note a name",
			  p->instance->service->name);
	services_callers_wake(p->instance->service);
	adopt_keep_process(p);
	if (p->config->definition->ready == READY_BIND && all_bound(p))
		tell_ready(p);
}

static void on_notified(struct starter *st, enum notice what,
			struct mp_bytes text)
{
	struct service_process *p = process_of(st);

	(void)text;
	if (what == NOTICE_READY &&
	    p->config->definition->ready == READY_NOTIFY)
		tell_ready(p);
	if (what == NOTICE_LEFT)
		service_idle_left(p->instance->service);
	if (what == NOTICE_ALIVE && is_main(p))
		instance_alive(p->instance);
}

/* How it was called, as it says. */
static void on_used(struct starter *st, const struct principal_use *use)
{
	struct service_process *p = process_of(st);

	(void)use; /* it is the run's */
	p->used_ms = services_time_ms();
	service_idle_told(p->instance->service);
}

static const struct starter_ops starter_ops = {
	.started = on_started,
	.refused = on_refused,
	.ended = on_ended,
	.notice = on_notice,
	.notified = on_notified,
	.bound = on_bound,
	.used = on_used,
};

bool service_process_of(const struct run *run)
{
	return run->starter && run->starter->ops == &starter_ops;
}

/* --- the start ------------------------------------------------------------ */

static void write_args(struct mp_writer *w, const struct names *args)
{
	mp_write_array(w, args->n);
	for (uint32_t i = 0; i < args->n; i++)
		mp_write_str(w, args->items[i]);
}

/* NAME=VALUE */
static void write_pairs(struct mp_writer *w, const struct names *pairs)
{
	mp_write_map(w, pairs->n);
	for (uint32_t i = 0; i < pairs->n; i++) {
		const char *text = pairs->items[i];
		size_t n = strcspn(text, "=");

		mp_write_strn(w, text, n);
		mp_write_str(w, text + n + 1);
	}
}

static int open_streams(struct service_process *p, int fds[4])
{
	const struct definition *d = p->config->definition;
	const struct service *sv = p->instance->service;
	struct log_options options = {
		.keep = d->log_keep,
		.rotate_bytes = d->log_rotate_bytes,
		.rotate_ms = d->log_rotate_ms,
		.rate_bytes = d->output_rate_bytes,
	};
	char number[16] = "";
	int r = 0;

	if (options.rotate_ms == DEFINITION_NONE)
		options.rotate_ms = 0;
	if (options.rate_bytes == DEFINITION_NONE)
		options.rate_bytes = 0;
	if (p->instance->number > 0)
		snprintf(number, sizeof(number), "%u", p->instance->number);
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fds[0] < 0)
		return -errno;
	fds[0] = fd_set_aside(fds[0]);
	for (int i = 0; r == 0 && i < 2; i++)
		r = logs_open(&server_of(p)->logs, sv->ref.name,
			      number[0] ? number : sv->ref.instance, i == 1,
			      &options, &p->logs[i], &fds[1 + i]);
	return r;
}

static void fill_limits(struct run_spec *spec, const struct definition *d)
{
	spec->memory_bytes = d->memory_bytes;
	spec->cpu_ms = d->cpu_ms ? d->cpu_ms : RUN_NO_LIMIT;
	spec->wall_ms = RUN_NO_LIMIT;
	spec->grace_ms = RUN_NO_LIMIT; /* the machine has its own time */
	spec->tasks = d->tasks;
	spec->descriptors = d->descriptors;
	spec->storage_bytes = d->storage_bytes;
	spec->messages = d->messages;
}

/* @version: 0: the live one. */
static void run_it(struct service_process *p, uint64_t version, int fds[4])
{
	const struct definition *d = p->config->definition;
	char name[SERVICE_NAME_BYTES + 16], program[NAME_MAX_BYTES + 32];
	struct run_spec spec = { .service = name, .policy = p->config->policy };
	char why[SERVICE_SECRET_WHY_BYTES];
	struct mp_writer args, env, secrets;
	int r;

	instance_name(p->instance, name);
	if (version)
		snprintf(program, sizeof(program), "%s@%llu", d->program,
			 (unsigned long long)version);
	else
		snprintf(program, sizeof(program), "%s", d->program);
	mp_writer_init_heap(&args);
	mp_writer_init_heap(&env);
	mp_writer_init_heap(&secrets);
	write_args(&args, &d->args);
	write_pairs(&env, &d->env);
	r = service_secrets_write(server_of(p), d, &secrets, why);
	spec.name = bytes_of(program);
	if (d->runtime)
		spec.runtime = bytes_of(d->runtime);
	spec.args = (struct mp_bytes){ (const char *)args.data, args.used };
	spec.env = (struct mp_bytes){ (const char *)env.data, env.used };
	if (d->secrets.n > 0)
		spec.secrets = (struct mp_bytes){ (const char *)secrets.data,
						  secrets.used };
	fill_limits(&spec, d);
	p->starter.ops = &starter_ops;
	if (r < 0)
		on_refused(&p->starter, 0, why, NULL);
	else if (mp_writer_end(&args) < 0 || mp_writer_end(&env) < 0 ||
		 mp_writer_end(&secrets) < 0)
		on_refused(&p->starter, 0, strerror(ENOMEM), NULL);
	else
		run_start(server_of(p), &spec, fds, &p->starter);
	mp_writer_deinit(&args);
	mp_writer_deinit(&env);
	explicit_bzero(secrets.data, secrets.used);
	mp_writer_deinit(&secrets);
}

/*
 * Which version is to be started, 0: the live one. That is not the one that
 * was rejected, though the store may still show it. What it will be is noted
 * only to tell another one from it.
 */
static uint64_t choose_version(struct service_process *p)
{
	struct services *m = p->instance->service->services;
	const struct definition *d = p->config->definition;
	uint64_t version = d->program_version, good = 0;
	struct store_entry entry, other;

	if (services_find_program(m, d, version, &entry) < 0)
		return version;
	if (version == 0)
		good = rejection_instead(m, &entry);
	if (good && services_find_program(m, d, good, &other) == 0) {
		version = good;
		entry = other;
	}
	p->version = entry.version;
	snprintf(p->sha256, sizeof(p->sha256), "%s", entry.sha256);
	return version;
}

static int begin(struct service_process *p, bool waits)
{
	int fds[4] = { -1, -1, -1, -1 };
	int r = open_streams(p, fds);
	uint64_t version = choose_version(p);

	if (r < 0)
		service_set_text(&p->instance->detail,
				 r == -ENOBUFS ? LOGS_TOO_MANY : strerror(-r));
	if (waits)
		p->instance->tried = p->version;
	p->spawning = true;
	if (r == 0)
		run_it(p, version, fds);
	p->spawning = false;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	if (r < 0 || p->refused || !p->starter.run)
		return r < 0 ? r : -ECHILD;
	p->starter.run->principal.in_waiting = waits;
	if (waits)
		adopt_keep_process(p);
	return 0;
}

int service_process_start(struct service_instance *in, enum machine_slot slot)
{
	struct service_process *p = calloc(1, sizeof(*p));
	int r = p ? service_config_for(in, &p->config) : -ENOMEM;

	if (r < 0) {
		free(p);
		service_set_text(&in->detail, "its definition cannot be used");
		return r;
	}
	p->instance = in;
	in->process[slot] = p;
	instance_go_by(in, p->config);
	r = begin(p, slot == SLOT_OTHER);
	if (r < 0) {
		log_warnx("service %s: no process could be started: %s",
			  in->service->name, in->detail ? in->detail : "?");
		in->process[slot] = NULL;
		service_process_free(p);
	}
	return r;
}

/* --- from an earlier thoxd ------------------------------------------------ */

static int restore_names(struct service_process *p, struct mp_bytes names)
{
	struct mp_reader r;
	uint32_t n;
	int e = 0;

	mp_reader_init(&r, names.p, names.size);
	for (n = mp_read_array(&r); n > 0 && e == 0; n--) {
		struct mp_bytes name = mp_read_str(&r);

		e = names_add(&p->names, name.p, name.size);
	}
	return e;
}

static void fill(struct service_process *p, const struct record_process *r,
		 pid_t pid)
{
	p->starter.ops = &starter_ops;
	p->kept = r->key;
	p->pid = pid;
	p->ready = r->ready;
	p->version = r->version;
	memcpy(p->sha256, r->sha256, sizeof(p->sha256));
	memcpy(p->logs, r->logs, sizeof(p->logs));
}

int service_process_adopt(struct service_instance *in, enum machine_slot slot,
			  const struct record_process *r, pid_t pid, int *fds)
{
	struct service_process *p = calloc(1, sizeof(*p));
	char name[SERVICE_NAME_BYTES + 16];
	int e;

	if (!p)
		return -ENOMEM;
	p->instance = in;
	instance_name(in, name);
	e = service_config_of_version(in, r->definition, &p->config);
	e = e ? e : restore_names(p, r->names);
	fill(p, r, pid);
	e = e ? e
	      : run_adopt(server_of(p), r, name, p->config->policy, pid, fds,
			  &p->starter);
	if (e < 0) {
		p->kept = 0; /* which the keeper is told of by others */
		service_process_free(p);
		return e;
	}
	p->starter.run->principal.in_waiting = r->waits;
	p->starter.run->principal.kept = r->key;
	p->starter.run->paused = status_is_stopped(pid);
	in->process[slot] = p;
	service_cpu_begin(p);
	return 0;
}

void service_process_streams_changed(const struct run *run)
{
	if (service_process_of(run))
		adopt_keep_process(process_of(run->starter));
}

/* --- meanwhile, and the end ----------------------------------------------- */

void service_process_terminate(struct service_process *p)
{
	if (p->starter.run)
		(void)run_signal(p->starter.run, RUN_TERMINATE, 0, 0);
}

void service_process_kill(struct service_process *p)
{
	if (p->starter.run)
		(void)run_signal(p->starter.run, RUN_KILL, 0, 0);
}

void service_process_tell_reload(struct service_process *p)
{
	if (p->starter.run)
		(void)run_signal(p->starter.run, RUN_RELOAD, 0, 0);
}

/* Also while its end is told: its names are its own until that is over. */
static struct principal *principal_of(struct service_process *p)
{
	if (p && p->starter.run)
		return &p->starter.run->principal;
	return p && p->ending ? (struct principal *)&p->ending->principal
			      : NULL;
}

/* Taking one over takes it out of the list: so they are named first. */
static int names_of(const struct principal *principal, struct names *ret)
{
	struct provider *provider, *after;
	int r = 0;

	list_each(provider, after, &principal->providers, of_principal)
	{
		if (r == 0)
			r = names_add(ret, provider->name->name,
				      provider->name->size);
	}
	return r;
}

int service_process_ask_use(struct service_process *p)
{
	struct principal *principal = principal_of(p);

	if (!principal || !principal->control)
		return -EPIPE;
	return principal_busy(principal) ? -EAGAIN
					 : principal_ask_use(principal);
}

unsigned service_process_leave(struct service_process *p)
{
	struct principal *principal = principal_of(p);
	struct names names = { 0 };
	unsigned n = 0;

	if (!principal || names_of(principal, &names) < 0)
		return 0;
	for (uint32_t i = 0; i < names.n; i++)
		n += bus_leave(bytes_of(names.items[i]), principal) == 0;
	names_deinit(&names);
	return n;
}

void service_process_hand_over(struct service_process *from,
			       struct service_process *to)
{
	struct principal *old = principal_of(from), *new = principal_of(to);
	struct names names = { 0 };

	if (!new)
		return;
	if (old && names_of(old, &names) < 0)
		log_warnx("service %s: no memory to take names over",
			  to->instance->service->name);
	for (uint32_t i = 0; i < names.n; i++) {
		struct mp_bytes name = bytes_of(names.items[i]);

		/* what it has bound, or had before it was relieved of it */
		if (bus_has_bound(new, name) ||
		    names_has(&to->names, names.items[i]))
			(void)bus_take_over(name, old, new);
	}
	names_deinit(&names);
	bus_promote(new);
	adopt_keep_process(to);
}
