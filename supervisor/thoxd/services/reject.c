/*
 * Step 9, for services: a version that failed in its service.
 *
 * The version before is published again, as `thoxctl rollback` would, so that
 * nothing starts the bad one any more; that one is kept as refused, with the
 * reason. A text that was published meanwhile is left alone.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

static void text_freep(struct store_text **t)
{
	store_text_free(*t);
}

/* The one that was on trial: it is ending, or waits for its end. */
static uint64_t bad_version(const struct service_instance *in)
{
	if (in->dying)
		return in->dying->version;
	return in->process[SLOT_OTHER] ? in->process[SLOT_OTHER]->version : 0;
}

static int read_version(struct store *s, const char *program, uint64_t version,
			struct store_text **ret_text)
{
	struct name_ref ref = { .kind = REF_VERSION, .version = version };
	_cleanup_(fd_closep) int fd = -1;
	struct store_entry entry;
	int r;

	strcpy(ref.name, program);
	r = store_resolve(s, DIR_PROGRAMS, &ref, &entry, &fd);
	return r < 0 ? r
		     : store_text_from_fd(s, DIR_PROGRAMS, program, fd,
					  ret_text);
}

static int go_back(struct store *s, const struct store_entry *live,
		   uint64_t good, const char *reason)
{
	_cleanup_(text_freep) struct store_text *old = NULL, *bad = NULL;
	struct store_change changes[] = {
		{ .event = STORE_PUBLISHED,
		  .dir = DIR_PROGRAMS,
		  .name = live->name,
		  .runtime = live->runtime },
		{ .event = STORE_REJECTED,
		  .dir = DIR_PROGRAMS,
		  .name = live->name,
		  .reason = reason },
	};
	int r = read_version(s, live->name, good, &old);

	if (r == 0)
		r = read_version(s, live->name, live->version, &bad);
	if (r < 0)
		return r;
	changes[0].text = old;
	changes[1].text = bad;
	store_writer_self(&changes[0].writer);
	store_writer_self(&changes[1].writer);
	r = store_commit(s, changes, ARRAY_SIZE(changes));
	return r < 0 ? r : changes[0].result;
}

static void reject(struct service_instance *in, const struct definition *d,
		   const char *reason)
{
	struct store *s = services_store(in->service->services);
	struct name_ref ref = { .kind = REF_LIVE };
	uint64_t bad = bad_version(in);
	struct store_entry live;
	int r;

	strcpy(ref.name, d->program);
	r = store_resolve(s, DIR_PROGRAMS, &ref, &live, NULL);
	if (r < 0 || live.builtin || live.version == in->good ||
	    (bad && live.version != bad) || in->good == 0)
		return;
	r = go_back(s, &live, in->good, reason);
	if (r < 0)
		log_warnx("service %s: version %llu of %s stays in the store: "
			  "%s",
			  in->service->name, (unsigned long long)live.version,
			  live.name, strerror(-r));
}

void service_reject(struct service_instance *in, enum machine_reason why)
{
	const struct service *sv = in->service;
	char name[SERVICE_NAME_BYTES + 16], reason[512];

	instance_name(in, name);
	snprintf(reason, sizeof(reason), "service %s did not go over to it: %s",
		 name, machine_reason_text(why));
	log_warnx("service %s: the new version of its program is not used: %s",
		  name, machine_reason_text(why));
	if (sv->config && !sv->config->definition->program_version)
		reject(in, sv->config->definition, reason);
}
