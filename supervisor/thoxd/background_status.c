/* At any step: what is asked about runs in the background. */

#include "thoxd/background_status.h"

#include "rpc/mp.h"
#include "service/machine.h"
#include "thoxd/background.h"
#include "thoxd/bus.h"
#include "thoxd/field.h"
#include "thoxd/principal.h"
#include "thoxd/run.h"

static const char why[] = "by thox-exec -d: gone at its end";

const char *background_state(const struct background *b)
{
	const struct run *run = b->starter.run;

	if (!run || run->terminating || run->cause != CAUSE_NONE)
		return machine_state_name(MACHINE_STOPPING);
	return machine_state_name(b->client ? MACHINE_STARTING
					    : MACHINE_RUNNING);
}

static void write_names(struct mp_writer *w, const char *key,
			const struct run *run)
{
	struct provider *provider, *after;
	uint32_t n = 0;

	mp_write_str(w, key);
	if (!run) {
		mp_write_array(w, 0);
		return;
	}
	list_each(provider, after, &run->principal.providers, of_principal) n++;
	mp_write_array(w, n);
	list_each(provider, after, &run->principal.providers, of_principal)
		mp_write_strn(w, provider->name->name, provider->name->size);
}

static void write_common(struct mp_writer *w, const struct background *b)
{
	const struct run *run = b->starter.run;

	field_text(w, "name", b->name);
	field_text(w, "state", background_state(b));
	field_text(w, "why", why);
	field_number(w, "since_ms", run ? run->started_ms : 0);
	field_number(w, "pid", run ? (uint64_t)run_pid(run) : 0);
	field_number(w, "restarts", 0);
}

static void write_instance(struct mp_writer *w, const struct background *b)
{
	const struct run *run = b->starter.run;

	mp_write_map(w, 9);
	write_common(w, b);
	field_number(w, "version", run ? run->version : 0);
	field_number(w, "other_pid", 0);
	write_names(w, "names", run);
}

void background_status_write(struct mp_writer *w, const struct background *b,
			     bool detailed)
{
	const struct run *run = b->starter.run;

	mp_write_map(w, 13 + detailed);
	write_common(w, b);
	field_flag(w, "enabled", false);
	field_flag(w, "transient", true);
	field_text(w, "type", "simple");
	field_text(w, "program", run ? run->principal.program : "");
	field_number(w, "instances_wanted", 1);
	field_number(w, "instances_running", b->client ? 0 : 1);
	write_names(w, "provides", run);
	if (!detailed)
		return;
	mp_write_str(w, "instances");
	mp_write_array(w, 1);
	write_instance(w, b);
}
