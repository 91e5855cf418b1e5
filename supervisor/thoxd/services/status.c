/* At any step: what is asked about services. */

#include "thoxd/services/status.h"

#include "rpc/mp.h"
#include "thoxd/field.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/status.h"

static void names(struct mp_writer *w, const char *key,
		  const struct names *list)
{
	mp_write_str(w, key);
	mp_write_array(w, list ? list->n : 0);
	for (uint32_t i = 0; list && i < list->n; i++)
		mp_write_str(w, list->items[i]);
}

/* --- an instance ---------------------------------------------------------- */

static void write_end(struct mp_writer *w, const struct service_end *e)
{
	mp_write_str(w, "last_end");
	if (!e) {
		mp_write_nil(w);
		return;
	}
	mp_write_map(w, 5);
	field_number(w, "pid", (uint64_t)e->pid);
	field_number(w, e->signalled ? "signal" : "code", (uint64_t)e->code);
	field_text(w, "reason", e->reason);
	field_text(w, "detail", e->detail);
	field_number(w, "ended_ms", e->ms);
}

static uint64_t held(const struct service_process *p)
{
	const struct list *head, *at;
	uint64_t n = 0;

	if (!p || !p->starter.run)
		return 0;
	head = &p->starter.run->principal.held;
	for (at = head->next; at != head; at = at->next)
		n++;
	return n;
}

/* What the kernel says of it. */
static void write_process(struct mp_writer *w, const struct service_process *p)
{
	mp_write_str(w, "process");
	if (p && p->starter.run && p->pid > 0)
		status_write_process(w, p->starter.run);
	else
		mp_write_nil(w);
}

static void write_instance(struct mp_writer *w,
			   const struct service_instance *in)
{
	const struct service_process *p = in->process[SLOT_MAIN];
	const struct service_process *other = in->process[SLOT_OTHER];
	const struct run *run = p ? p->starter.run : NULL;
	char name[SERVICE_NAME_BYTES + 16];

	instance_name(in, name);
	mp_write_map(w, 15);
	field_text(w, "name", name);
	field_text(w, "state", machine_state_name(in->machine.state));
	field_text(w, "why",
		   in->detail ? in->detail
			      : machine_reason_text(in->machine.reason));
	field_number(w, "since_ms", in->since_ms);
	field_number(w, "pid", p ? (uint64_t)p->pid : 0);
	field_number(w, "version", p ? p->version : 0);
	field_number(w, "other_pid", other ? (uint64_t)other->pid : 0);
	field_number(w, "restarts", in->machine.restart.count);
	names(w, "names", p ? &p->names : NULL);
	field_number(w, "contexts", held(p));
	field_number(w, "calls", run ? run->use.calls : 0);
	field_number(w, "waiting", run ? run->use.waiting : 0);
	write_end(w, in->last);
	field_flag(w, "last_end_failed", in->last && in->last->failed);
	write_process(w, p);
}

/* --- a service ------------------------------------------------------------ */

static pid_t first_pid(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++)
		if (instance_pid(&sv->instances[i]))
			return instance_pid(&sv->instances[i]);
	return 0;
}

/* The longest in its state, of those that make the whole's. */
static uint64_t since_ms(const struct service *sv)
{
	enum machine_state state = service_state(sv);
	uint64_t first = 0;

	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_instance *in = &sv->instances[i];

		if (in->machine.state == state &&
		    (first == 0 || in->since_ms < first))
			first = in->since_ms;
	}
	return first;
}

static uint64_t restarts(const struct service *sv)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < sv->n_instances; i++)
		n += sv->instances[i].machine.restart.count;
	return n;
}

static unsigned running(const struct service *sv)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sv->n_instances; i++)
		n += sv->instances[i].machine.ready_ms > 0;
	return n;
}

static const char *why(const struct service *sv)
{
	enum machine_state state = service_state(sv);

	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_instance *in = &sv->instances[i];

		if (in->machine.state == state && in->machine.reason)
			return in->detail ? in->detail
					  : machine_reason_text(
						    in->machine.reason);
	}
	return sv->failure;
}

/* What runs was started under another text than the newest one. */
static bool is_changed(const struct service *sv)
{
	for (unsigned i = 0; i < sv->n_instances; i++) {
		const struct service_process *p =
			sv->instances[i].process[SLOT_MAIN];

		if (p && sv->config &&
		    p->config->version != sv->config->version)
			return true;
	}
	return false;
}

static bool is_bare_template(const struct service *sv)
{
	return sv->config && sv->config->definition->is_template &&
	       !sv->ref.instance[0] && !sv->config->definition->instances;
}

static uint64_t next_ms(const struct service *sv)
{
	return (uint64_t)service_schedule_next(sv) * 1000;
}

void service_status_write_short(struct mp_writer *w, const struct service *sv)
{
	field_text(w, "name", sv->name);
	field_text(w, "state", machine_state_name(service_state(sv)));
	field_text(w, "why", why(sv));
	field_flag(w, "template", is_bare_template(sv));
	field_number(w, "restarts", restarts(sv));
	field_number(w, "wanted", sv->n_instances);
	field_number(w, "running", running(sv));
}

#define FIELDS		25
#define DETAILED_FIELDS 1

void service_status_write(struct mp_writer *w, const struct service *sv,
			  bool detailed)
{
	const struct definition *d = sv->config ? sv->config->definition : NULL;

	mp_write_map(w, FIELDS + (detailed ? DETAILED_FIELDS : 0));
	field_text(w, "name", sv->name);
	field_text(w, "description", d && d->description ? d->description : "");
	field_text(w, "state", machine_state_name(service_state(sv)));
	field_text(w, "why", why(sv));
	field_number(w, "since_ms", since_ms(sv));
	field_number(w, "pid", (uint64_t)first_pid(sv));
	field_flag(w, "enabled", services_enabled(sv));
	field_flag(w, "autostart", d && d->autostart);
	field_text(w, "program", d ? d->program : NULL);
	field_text(w, "type",
		   !d			     ? NULL
		   : d->type == TYPE_ONESHOT ? "oneshot"
					     : "simple");
	field_number(w, "instances_wanted", sv->n_instances);
	field_number(w, "instances_running", running(sv));
	field_number(w, "restarts", restarts(sv));
	field_number(w, "definition", sv->config ? sv->config->version : 0);
	field_flag(w, "changed", is_changed(sv));
	field_flag(w, "removed", sv->gone);
	field_flag(w, "template", is_bare_template(sv));
	field_text(w, "problem", sv->problem);
	field_text(w, "schedule", d ? d->schedule_text : NULL);
	field_number(w, "next_ms", next_ms(sv));
	names(w, "provides", d ? &d->provides : NULL);
	names(w, "requires", d ? &d->requires : NULL);
	names(w, "wants", d ? &d->wants : NULL);
	names(w, "after", d ? &d->after : NULL);
	names(w, "part_of", d ? &d->part_of : NULL);
	if (!detailed)
		return;
	mp_write_str(w, "instances");
	mp_write_array(w, sv->n_instances);
	for (unsigned i = 0; i < sv->n_instances; i++) {
		struct service_process *p = sv->instances[i].process[SLOT_MAIN];

		write_instance(w, &sv->instances[i]);
		if (p) /* for the next time that somebody asks */
			(void)service_process_ask_use(p);
	}
}
