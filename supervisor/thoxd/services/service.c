/*
 * Steps 4 to 9, for services: one service, as a whole.
 *
 * Its instances live side by side, each on its own; what is asked of the
 * service is asked of all of them, and it is up, or gone, when all are.
 */

#include "thoxd/services/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "thoxd/adopt.h"
#include "thoxd/services/reject.h"
#include "thoxd/services/services.h"

void service_set_text(char **field, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	free(*field);
	*field = copy; /* without memory it is not said */
}

/* --- instances ------------------------------------------------------------ */

static void drop_instances(struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		instance_deinit(&sv->instances[i]);
	free(sv->instances);
	sv->instances = NULL;
	sv->n_instances = 0;
}

static unsigned wanted_instances(const struct service *sv)
{
	const struct definition *d = sv->config ? sv->config->definition : NULL;

	return d && d->instances ? (unsigned)d->instances : 1;
}

static int make_instances(struct service *sv, unsigned n, bool numbered)
{
	struct service_instance *instances = calloc(n, sizeof(*instances));

	if (!instances)
		return -ENOMEM;
	drop_instances(sv);
	for (unsigned i = 0; i < n; i++)
		instance_init(&instances[i], sv, numbered ? i + 1 : 0);
	sv->instances = instances;
	sv->n_instances = n;
	return 0;
}

/* As many as the newest definition wants, when nothing runs. */
static int fit_instances(struct service *sv)
{
	unsigned n = wanted_instances(sv);
	bool numbered = sv->config && sv->config->definition->instances > 1;

	if (sv->n_instances == n && (sv->instances[0].number > 0) == numbered)
		return 0;
	if (!service_idle(sv))
		return 0;
	return make_instances(sv, n, numbered);
}

int service_make_room(struct service *sv, unsigned number)
{
	bool numbered = sv->instances[0].number > 0;

	if (number > DEFINITION_INSTANCES_MAX)
		return -EINVAL;
	if (service_instance_of(sv, number))
		return 0;
	if (number == 0)
		return make_instances(sv, 1, false);
	if (numbered && sv->n_instances > number)
		number = sv->n_instances;
	return make_instances(sv, number, true);
}

struct service_instance *service_instance_of(struct service *sv,
					     unsigned number)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (sv->instances[i].number == number)
			return &sv->instances[i];
	return NULL;
}

/* --- life ----------------------------------------------------------------- */

/* `NAME` or `NAME:INSTANCE`, and then `NAME` once more: there may be thousands
 * of services, whose names are short. */
static struct service *alloc(const struct service_ref *ref)
{
	char full[SERVICE_NAME_BYTES];
	size_t full_size, name_size = strlen(ref->name) + 1;
	struct service *sv;
	char *texts;

	service_ref_format(ref->name, ref->instance, full);
	full_size = strlen(full) + 1;
	sv = calloc(1, sizeof(*sv) + full_size + name_size);
	if (!sv)
		return NULL;
	texts = memcpy(sv->name, full, full_size);
	sv->ref.instance = ref->instance[0] ? texts + name_size : "";
	sv->ref.name = memcpy(texts + full_size, ref->name, name_size);
	return sv;
}

struct service *service_new(struct services *m, const char *name)
{
	struct service_ref ref;
	struct service *sv;

	if (service_ref_parse(name, &ref, NULL) < 0)
		return NULL;
	sv = alloc(&ref);
	if (!sv)
		return NULL;
	sv->services = m;
	list_init(&sv->list);
	list_init(&sv->callers);
	if (fit_instances(sv) < 0) {
		free(sv);
		return NULL;
	}
	return sv;
}

struct service *service_free(struct service *sv)
{
	if (!sv)
		return NULL;
	drop_instances(sv);
	service_idle_deinit(sv);
	service_health_end(sv);
	service_schedule_forget(sv);
	service_config_unref(sv->config);
	free(sv->problem);
	free(sv->failure);
	list_remove(&sv->list);
	free(sv);
	return NULL;
}

/* --- its definition ------------------------------------------------------- */

static int use(struct service *sv, struct definition **d, uint64_t version)
{
	struct service_config *config = NULL;
	int r = service_config_new(sv->name, d, version, &config);

	if (r < 0)
		return r;
	service_config_unref(sv->config);
	sv->config = config;
	service_set_text(&sv->problem, NULL);
	return 0;
}

int service_refresh(struct service *sv)
{
	const char *instance = sv->ref.instance[0] ? sv->ref.instance : NULL;
	char reason[DEFINITION_NOTE_BYTES + NAME_MAX_BYTES + 16];
	struct definition_notes notes;
	struct definition *d = NULL;
	struct store_entry entry;
	int r = load_definition(services_store(sv->services), sv->ref.name,
				instance, &d, &notes, &entry);

	sv->gone = r == -ENOENT;
	if (r == 0 && instance && !d->is_template)
		r = -ENOTSUP;
	if (r == 0)
		r = use(sv, &d, entry.version);
	definition_free(d);
	if (r == -EINVAL) {
		definition_reason(&notes, sv->ref.name, reason, sizeof(reason));
		service_set_text(&sv->problem, reason);
	} else if (r == -ENOTSUP) {
		service_set_text(&sv->problem,
				 "it is no template: its definition uses no "
				 "%i");
		r = -EINVAL;
	} else if (r < 0 && r != -ENOENT) {
		service_set_text(&sv->problem, strerror(-r));
	}
	return r;
}

const char *service_obstacle(const struct service *sv)
{
	const struct definition *d = sv->config ? sv->config->definition : NULL;

	if (sv->gone)
		return "its definition was removed";
	if (sv->problem)
		return sv->problem;
	if (!d)
		return "it has no definition";
	if (d->is_template && !d->instance && d->instances == 0)
		return "it is a template: name an instance, as in "
		       "NAME:INSTANCE";
	return NULL;
}

/* --- what is asked of it -------------------------------------------------- */

static bool is_up(const struct service_instance *in)
{
	switch (in->machine.state) {
	case MACHINE_RUNNING:
	case MACHINE_RELOADING:
	case MACHINE_SETTLING:
	case MACHINE_DONE:
		return true;
	default:
		return false;
	}
}

void service_start(struct service *sv)
{
	bool rerun = sv->rerun;

	sv->rerun = false;
	if (fit_instances(sv) < 0)
		log_warnx("service %s: no memory for its instances", sv->name);
	for (unsigned i = 0; i < sv->n_instances; i++) {
		struct service_instance *in = &sv->instances[i];

		if (!is_up(in) || (rerun && in->machine.state == MACHINE_DONE))
			instance_handle(in, MACHINE_EV_START);
	}
}

static void tell_all(struct service *sv, enum machine_event event)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		instance_handle(&sv->instances[i], event);
}

void service_stop(struct service *sv)
{
	tell_all(sv, MACHINE_EV_STOP);
}

void service_reset(struct service *sv)
{
	service_set_text(&sv->failure, NULL);
	tell_all(sv, MACHINE_EV_RESET);
}

const char *service_reload_obstacle(const struct service *sv)
{
	if (!service_active(sv))
		return "it does not run";
	return sv->config->definition->policy.reload == MACHINE_RELOAD_NONE
		       ? "its definition has no reload = restart or event"
		       : NULL;
}

bool service_reloads(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (sv->instances[i].machine.state == MACHINE_RELOADING)
			return true;
	return false;
}

bool service_rejected(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (sv->instances[i].machine.reason == REASON_REJECTED)
			return true;
	return false;
}

void service_reload(struct service *sv)
{
	tell_all(sv, MACHINE_EV_RELOAD);
}

/* What it runs has that number now: the earlier one may be forgotten. */
static void renumber(struct service_instance *in, struct service_process *p,
		     uint64_t version)
{
	if (in->good == p->version)
		in->good = version;
	if (in->tried == p->version)
		in->tried = version;
	p->version = version;
	adopt_keep_process(p);
	adopt_instance_changed(in);
}

/* The very text that it has gone over to, or is about to, is no new version: a
 * rollback to it, or the same file copied again. */
static void follow(struct service_instance *in, const struct store_entry *entry)
{
	struct service_process *p = instance_newest(in, in->machine.state);

	if (!p)
		return;
	if (p->sha256[0] && strcmp(p->sha256, entry->sha256) == 0)
		renumber(in, p, entry->version);
	else
		instance_handle(in, MACHINE_EV_RELOAD);
}

bool service_follows(const struct service *sv)
{
	const struct definition *d = sv->config ? sv->config->definition : NULL;

	return d && !d->program_version &&
	       d->policy.reload != MACHINE_RELOAD_NONE;
}

void service_program_changed(struct service *sv,
			     const struct store_entry *entry)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		follow(&sv->instances[i], entry);
}

void service_catch_up(struct service *sv)
{
	struct store_entry live;

	if (service_follows(sv) &&
	    services_find_program(sv->services, sv->config->definition, 0,
				  &live) == 0 &&
	    !live.builtin && rejection_instead(sv->services, &live) == 0)
		service_program_changed(sv, &live);
}

/* --- what it is like ------------------------------------------------------ */

bool service_up(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (!is_up(&sv->instances[i]))
			return false;
	return true;
}

bool service_idle(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (!machine_idle(&sv->instances[i].machine))
			return false;
	return true;
}

bool service_active(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (machine_active(&sv->instances[i].machine))
			return true;
	return false;
}

bool service_backs_off(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (sv->instances[i].machine.state == MACHINE_BACK_OFF)
			return true;
	return false;
}

/* The state that most wants to be seen. */
enum machine_state service_state(const struct service *sv)
{
	static const uint8_t weight[MACHINE_N_STATES] = {
		[MACHINE_INACTIVE] = 1,	 [MACHINE_DONE] = 2,
		[MACHINE_RUNNING] = 3,	 [MACHINE_SETTLING] = 4,
		[MACHINE_RELOADING] = 5, [MACHINE_STARTING] = 6,
		[MACHINE_STOPPING] = 7,	 [MACHINE_BACK_OFF] = 8,
		[MACHINE_FAILED] = 9,
	};
	enum machine_state state = MACHINE_INACTIVE;

	for (unsigned i = 0; i < sv->n_instances; i++)
		if (weight[sv->instances[i].machine.state] > weight[state])
			state = sv->instances[i].machine.state;
	return state;
}
