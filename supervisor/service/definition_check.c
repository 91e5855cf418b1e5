/* Step 4, for services: do the values of a definition go together? */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/wire.h"
#include "service/definition_private.h"

/* Callers are handed so many instances at most. */
#define ROUTED WIRE_ROUTES_MAX

static bool given(const struct reading *rd, const char *section,
		  const char *name)
{
	return line_of(rd, section, name) > 0;
}

/* --- defaults ------------------------------------------------------------ */

void definition_set_defaults(struct reading *rd)
{
	struct definition *d = rd->d;

	d->policy.start_timeout_ms = 30000;
	d->policy.restart = (struct restart_policy){
		.when = RESTART_ON_FAILURE,
		.limit = 10,
		.limit_ms = 300000,
		.delay_ms = 100,
		.max_delay_ms = 60000,
		.reset_after_ms = 10000,
		.factor = 2,
		.jitter = 0.1,
	};
	d->policy.stop_timeout_ms = 10000;
	d->policy.terminate_first = true;
	d->policy.settle_ms = DEFINITION_SETTLE_MS;
	d->interval_ms = 10000;
	d->failures = 3;
	d->log_keep = 8;
	d->log_rotate_bytes = 8U << 20;
	d->log_rotate_ms = DEFINITION_NONE;
}

static void say_none(uint64_t *value)
{
	if (*value == DEFINITION_NONE)
		*value = 0;
}

/* Defaults that depend on other keys. */
static void fill_in(struct reading *rd)
{
	struct definition *d = rd->d;

	if (d->schedule_text && !given(rd, "service", "type"))
		d->type = TYPE_ONESHOT;
	d->policy.oneshot = d->type == TYPE_ONESHOT;
	if (d->type == TYPE_ONESHOT && !given(rd, "restart", "policy"))
		d->policy.restart.when = RESTART_NEVER;
	if (d->type == TYPE_ONESHOT && !given(rd, "service", "start-timeout"))
		d->policy.start_timeout_ms = 0;
	if (!given(rd, "restart", "max-delay") &&
	    d->policy.restart.max_delay_ms < d->policy.restart.delay_ms)
		d->policy.restart.max_delay_ms = d->policy.restart.delay_ms;
	if (!given(rd, "service", "provides") &&
	    wire_check_name(d->name, strlen(d->name)) &&
	    names_add(&d->provides, d->name, strlen(d->name)) < 0)
		rd->error = -ENOMEM;
	say_none(&d->policy.start_timeout_ms);
	say_none(&d->idle_timeout_ms);
	say_none(&d->watchdog_ms);
}

/* --- contradictions ------------------------------------------------------ */

static unsigned first_line(const struct reading *rd, const char *section,
			   const char *name, const char *other_section,
			   const char *other_name)
{
	unsigned a = line_of(rd, section, name);
	unsigned b = line_of(rd, other_section, other_name);

	return a > b ? a : b; /* the later one made it wrong */
}

static void check_kinds(struct reading *rd)
{
	const struct definition *d = rd->d;

	if (!d->program && rd->notes->errors == 0)
		note_error(rd, 0,
			   "no program is named: [service] program = "
			   "NAME");
	if (d->type == TYPE_ONESHOT && d->policy.restart.when == RESTART_ALWAYS)
		note_error(
			rd,
			first_line(rd, "restart", "policy", "service", "type"),
			"a oneshot cannot be restarted always: it would "
			"never be done");
	if (d->type == TYPE_ONESHOT && d->activation == ACTIVATION_CALL)
		note_error(rd,
			   first_line(rd, "service", "activation", "service",
				      "type"),
			   "a oneshot answers no calls: activation = call "
			   "cannot start it");
	if (d->schedule_text && d->activation == ACTIVATION_CALL &&
	    d->type == TYPE_SIMPLE)
		note_error(rd,
			   first_line(rd, "service", "activation", "service",
				      "schedule"),
			   "it is started by its schedule or by calls, not by "
			   "both");
}

static void check_names(struct reading *rd)
{
	const struct definition *d = rd->d;

	if (d->provides.n > 0)
		return;
	if (d->ready == READY_BIND && d->type == TYPE_SIMPLE)
		note_error(rd, line_of(rd, "service", "ready"),
			   "ready = bind waits for names, and it provides "
			   "none");
	if (d->activation == ACTIVATION_CALL)
		note_error(rd, line_of(rd, "service", "activation"),
			   "activation = call waits for calls of names, and "
			   "it provides none");
}

static void check_delays(struct reading *rd)
{
	const struct restart_policy *p = &rd->d->policy.restart;

	if (p->max_delay_ms < p->delay_ms)
		note_error(rd,
			   first_line(rd, "restart", "max-delay", "restart",
				      "delay"),
			   "max-delay is less than delay");
}

/* --- other services ------------------------------------------------------ */

struct relation {
	const char *name;
	const struct names *names;
};

/* A template's own instances may depend on each other. */
static bool is_self(const struct reading *rd, const char *name)
{
	const struct definition *d = rd->d;
	struct service_ref ref;

	if (service_ref_parse(name, &ref, NULL) < 0 ||
	    strcmp(ref.name, d->name) != 0)
		return false;
	return !d->is_template || !ref.instance[0] ||
	       strcmp(ref.instance, d->instance ? d->instance : "i") == 0;
}

static void check_relations(struct reading *rd)
{
	const struct definition *d = rd->d;
	const struct relation relations[] = {
		{ "requires", &d->requires }, { "wants", &d->wants },
		{ "after", &d->after },	      { "before", &d->before },
		{ "part-of", &d->part_of },
	};

	for (size_t i = 0; i < ARRAY_SIZE(relations); i++) {
		const struct relation *r = &relations[i];

		for (uint32_t k = 0; k < r->names->n; k++) {
			const char *name = r->names->items[k];
			unsigned line = line_of(rd, "order", r->name);

			if (is_self(rd, name))
				note_error(rd, line,
					   "%s: %.100s would depend on itself",
					   r->name, name);
			else if (i < 3 && names_has(&d->before, name))
				note_error(rd, line,
					   "%.100s is to start before it "
					   "(%s) and after it (before)",
					   name, r->name);
		}
	}
	if (d->on_limit && is_self(rd, d->on_limit))
		note_error(rd, line_of(rd, "restart", "on-limit"),
			   "on-limit would start the service itself");
}

/* --- what is not there --------------------------------------------------- */

static bool missing(const struct reading *rd, enum store_dir dir,
		    const char *name, uint64_t version, unsigned line)
{
	const struct definition_lookup *lookup = rd->source->lookup;
	const struct definition_need need = { dir, name, version, line };

	return lookup && lookup->has(lookup->user, &need) == 0;
}

static void check_texts(struct reading *rd)
{
	const struct definition *d = rd->d;
	unsigned line = line_of(rd, "service", "program");
	bool as_such = d->is_template && !d->instance;

	if (d->program && !(as_such && rd->program_open)) {
		if (missing(rd, DIR_PROGRAMS, d->program, 0, line))
			note_error(rd, line, "there is no program %.100s",
				   d->program);
		else if (d->program_version &&
			 missing(rd, DIR_PROGRAMS, d->program,
				 d->program_version, line))
			note_error(rd, line,
				   "there is no version %llu of %.100s",
				   (unsigned long long)d->program_version,
				   d->program);
	}
	/* `cc#hello` names it, too. */
	if (given(rd, "service", "runtime"))
		line = line_of(rd, "service", "runtime");
	if (d->runtime && strcmp(d->runtime, "native") != 0 &&
	    !(as_such && (rd->runtime_open || rd->program_open)) &&
	    missing(rd, DIR_RUNTIMES, d->runtime, 0, line))
		note_error(rd, line, "there is no runtime %.100s", d->runtime);
}

static void warn_of_missing(struct reading *rd, const char *section,
			    const char *key, const char *name)
{
	unsigned line = line_of(rd, section, key);
	struct service_ref ref;

	if (service_ref_parse(name, &ref, NULL) == 0 &&
	    missing(rd, DIR_SERVICES, ref.name, 0, line))
		note_warning(rd, line, "%s: there is no service %.100s yet",
			     key, name);
}

static void check_services(struct reading *rd)
{
	const struct definition *d = rd->d;

	if (d->is_template && !d->instance)
		return;
	for (uint32_t i = 0; i < d->requires.n; i++)
		warn_of_missing(rd, "order", "requires", d->requires.items[i]);
	for (uint32_t i = 0; i < d->part_of.n; i++)
		warn_of_missing(rd, "order", "part-of", d->part_of.items[i]);
	if (d->on_limit)
		warn_of_missing(rd, "restart", "on-limit", d->on_limit);
}

/* --- without effect ------------------------------------------------------ */

static bool oneshot(const struct definition *d)
{
	return d->type == TYPE_ONESHOT;
}

static bool no_schedule(const struct definition *d)
{
	return !d->schedule_text;
}

static bool not_by_call(const struct definition *d)
{
	return d->activation != ACTIVATION_CALL;
}

static bool never_restarted(const struct definition *d)
{
	return d->policy.restart.when == RESTART_NEVER;
}

static bool always_restarted(const struct definition *d)
{
	return d->policy.restart.when == RESTART_ALWAYS;
}

static bool no_limit(const struct definition *d)
{
	return d->policy.restart.limit == 0;
}

static bool ready_at_once(const struct definition *d)
{
	return d->type == TYPE_SIMPLE && d->ready == READY_START;
}

static bool killed_at_once(const struct definition *d)
{
	return !d->policy.terminate_first;
}

static bool unchecked(const struct definition *d)
{
	return !d->check;
}

static bool constant_delay(const struct definition *d)
{
	return d->policy.restart.factor == 1 &&
	       d->policy.restart.when != RESTART_NEVER;
}

static bool unnamed_template(const struct definition *d)
{
	return d->is_template && !d->instance && d->instances == 0;
}

/* A key that was given, and when it does nothing. */
static const struct {
	const char *section, *name;
	bool (*when)(const struct definition *d);
	const char *why;
} idle_keys[] = {
	{ "service", "ready", oneshot, "a oneshot is ready when it is done" },
	{ "service", "reload", oneshot, "a oneshot is not running for long" },
	{ "service", "catch-up", no_schedule, "there is no schedule" },
	{ "service", "idle-timeout", not_by_call,
	  "only activation = call could start it again" },
	{ "service", "start-timeout", ready_at_once,
	  "it is ready when its process is there" },
	{ "service", "autostart", unnamed_template,
	  "an instance of a template is enabled by its name" },
	{ "restart", "delay", never_restarted, "the policy is never" },
	{ "restart", "max-delay", never_restarted, "the policy is never" },
	{ "restart", "max-delay", constant_delay, "the factor is 1" },
	{ "restart", "factor", never_restarted, "the policy is never" },
	{ "restart", "jitter", never_restarted, "the policy is never" },
	{ "restart", "reset-after", never_restarted, "the policy is never" },
	{ "restart", "limit", never_restarted, "the policy is never" },
	{ "restart", "on-limit", never_restarted, "the policy is never" },
	{ "restart", "on-limit", no_limit, "there is no limit" },
	{ "restart", "success-codes", always_restarted,
	  "the policy is always" },
	{ "stop", "timeout", killed_at_once,
	  "without notify it is killed at once" },
	{ "health", "watchdog", oneshot, "it is never ready" },
	{ "health", "check", oneshot, "it is never ready" },
	{ "health", "interval", unchecked, "there is no check" },
	{ "health", "failures", unchecked, "there is no check" },
};

static void warn_of_idle_keys(struct reading *rd)
{
	for (size_t i = 0; i < ARRAY_SIZE(idle_keys); i++) {
		unsigned line =
			line_of(rd, idle_keys[i].section, idle_keys[i].name);

		if (line > 0 && idle_keys[i].when(rd->d))
			note_warning(rd, line, "%s has no effect: %s",
				     idle_keys[i].name, idle_keys[i].why);
	}
}

static void warn_of_the_rest(struct reading *rd)
{
	const struct definition *d = rd->d;

	if (d->policy.restart.when != RESTART_NEVER &&
	    !restart_limit_reachable(&d->policy.restart))
		note_warning(rd, line_of(rd, "restart", "limit"),
			     "limit is never reached: its restarts alone, "
			     "with their delays, take longer than its time");
	if (d->schedule_text && !d->autostart)
		note_warning(rd, line_of(rd, "service", "schedule"),
			     "the schedule holds only while the service is "
			     "enabled (autostart = yes, or thoxctl enable)");
	if (d->instances > ROUTED && d->provides.n > 0)
		note_warning(rd, line_of(rd, "service", "instances"),
			     "a caller uses %u of the instances at most",
			     ROUTED);
	if (d->schedule_text && rd->source->now_s > 0 &&
	    !schedule_comes_after(d->schedule, rd->source->now_s))
		note_error(rd, line_of(rd, "service", "schedule"),
			   "schedule: '%.60s' never comes any more",
			   d->schedule_text);
}

void definition_check(struct reading *rd)
{
	fill_in(rd);
	if (rd->error < 0)
		return;
	check_kinds(rd);
	check_names(rd);
	check_delays(rd);
	check_relations(rd);
	check_texts(rd);
	check_services(rd);
	warn_of_idle_keys(rd);
	warn_of_the_rest(rd);
}
