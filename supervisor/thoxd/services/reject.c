/*
 * Step 9, for services: a version that failed in its service.
 *
 * The version before is published again, as `thoxctl rollback` would, so that
 * nothing starts the bad one any more; that one is kept as refused, with the
 * reason. A text that was published meanwhile is left alone.
 */

#include "thoxd/services/reject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/adopt.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"

/* --- in the worker -------------------------------------------------------- */

static void text_freep(struct store_text **t)
{
	store_text_free(*t);
}

static int read_version(const struct rejection *j, uint64_t version,
			struct store_entry *ret_entry,
			struct store_text **ret_text)
{
	struct store *s = j->server->store;
	struct name_ref ref = { .kind = REF_VERSION, .version = version };
	_cleanup_(fd_closep) int fd = -1;
	int r;

	strcpy(ref.name, j->record.program);
	r = store_read(s, DIR_PROGRAMS, &ref, ret_entry, &fd);
	return r < 0 ? r
		     : store_text_from_fd(s, DIR_PROGRAMS, ref.name, fd,
					  ret_text);
}

/*
 * What is live is the bad one, or (half of it was done before a thoxd died)
 * the good one's text again, without a refusal. -EAGAIN: anything else.
 */
static int look(const struct rejection *j, const struct store_entry *good,
		struct store_entry *ret_live, bool *ret_half)
{
	int r = store_lookup(j->server->store, DIR_PROGRAMS, j->record.program,
			     ret_live);

	if (r < 0)
		return r;
	*ret_half = ret_live->version == j->record.bad + 1 &&
		    ret_live->rejected_id == 0 &&
		    strcmp(ret_live->sha256, good->sha256) == 0;
	return *ret_half || ret_live->version == j->record.bad ? 0 : -EAGAIN;
}

static int go_back(const struct rejection *j)
{
	_cleanup_(text_freep) struct store_text *good = NULL, *bad = NULL;
	struct store_entry good_entry, bad_entry, live;
	struct store_change changes[] = {
		{ .event = STORE_PUBLISHED,
		  .dir = DIR_PROGRAMS,
		  .name = j->record.program,
		  .runtime = good_entry.runtime },
		{ .event = STORE_REJECTED,
		  .dir = DIR_PROGRAMS,
		  .name = j->record.program,
		  .runtime = bad_entry.runtime,
		  .reason = j->record.reason },
	};
	bool half = false;
	int r = read_version(j, j->record.good, &good_entry, &good);

	if (r == 0)
		r = read_version(j, j->record.bad, &bad_entry, &bad);
	if (r == 0)
		r = look(j, &good_entry, &live, &half);
	if (r < 0)
		return r;
	changes[0].text = good;
	changes[1].text = bad;
	store_writer_self(&changes[0].writer);
	store_writer_self(&changes[1].writer);
	changes[half].only_id = live.id;
	changes[1].follows = !half;
	r = store_commit(j->server->store, changes + half,
			 ARRAY_SIZE(changes) - half);
	return r < 0 ? r : changes[half].result;
}

static void work(struct job *job)
{
	struct rejection *j = container_of(job, struct rejection, job);

	j->result = go_back(j);
}

/* --- in the loop ---------------------------------------------------------- */

static struct rejection *rejection_free(struct rejection *j)
{
	list_remove(&j->list);
	free(j);
	return NULL;
}

/* There is nothing to take back: something else is live, or nothing. */
static bool is_over(int result)
{
	return result == 0 || result == -EAGAIN || result == -ENOENT ||
	       result == -ESTALE;
}

static void say_stays(const struct rejection *j, int error)
{
	log_warnx("version %llu of %s stays in the store: %s",
		  (unsigned long long)j->record.bad, j->record.program,
		  error == -EAGAIN ? "it has a newer one" : strerror(-error));
}

static void done(struct job *job)
{
	struct rejection *j = container_of(job, struct rejection, job);
	struct server *s = j->server;

	j->working = false;
	if (j->result < 0)
		say_stays(j, j->result);
	if (is_over(j->result)) {
		adopt_drop_rejection(j);
		rejection_free(j);
	}
	server_check_end(s);
}

static void begin(struct rejection *j)
{
	struct server *s = j->server;
	int r = s->worker ? 0 : worker_new(s->loop, &s->worker);

	if (r < 0) {
		say_stays(j, r);
		return;
	}
	j->working = true;
	j->job = (struct job){ .work = work, .done = done };
	worker_add(s->worker, &j->job);
}

static struct rejection *add(struct services *m,
			     const struct record_rejection *r)
{
	struct rejection *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->server = services_server(m);
	j->record = *r;
	list_append(&m->rejections, &j->list);
	return j;
}

/* @bad: 0: any. */
static struct rejection *find(struct services *m, const char *program,
			      uint64_t bad)
{
	struct rejection *j, *after;

	list_each(j, after, &m->rejections, list)
	{
		if (strcmp(j->record.program, program) == 0 &&
		    (bad == 0 || bad == j->record.bad))
			return j;
	}
	return NULL;
}

/* @d's program, if that is what is live, and another was good. */
static void reject(struct service_instance *in, const struct definition *d,
		   const char *reason)
{
	struct services *m = in->service->services;
	struct record_rejection r = { .good = in->good };
	struct store_entry live;
	struct rejection *j;

	if (services_find_program(m, d, 0, &live) < 0 || live.builtin ||
	    live.version == in->good ||
	    (in->tried && live.version != in->tried) || in->good == 0 ||
	    find(m, live.name, in->tried))
		return;
	strcpy(r.program, live.name);
	r.bad = live.version;
	snprintf(r.reason, sizeof(r.reason), "%.*s", (int)sizeof(r.reason) - 1,
		 reason);
	j = add(m, &r);
	if (!j) {
		log_warnx("service %s: no memory to take version %llu of %s "
			  "back",
			  in->service->name, (unsigned long long)live.version,
			  live.name);
		return;
	}
	adopt_keep_rejection(j);
	begin(j);
}

/* The one that goes on serving, if there is one, is of the same program. */
static bool is_of_its_own(const struct service_instance *in,
			  const struct definition *d)
{
	const struct service_process *p = in->process[SLOT_MAIN];

	return !p || strcmp(p->config->definition->program, d->program) == 0;
}

void service_reject(struct service_instance *in, enum machine_reason why)
{
	const struct definition *d = in->config ? in->config->definition : NULL;
	char name[SERVICE_NAME_BYTES + 16], reason[512];

	instance_name(in, name);
	snprintf(reason, sizeof(reason), "service %s did not go over to it: %s",
		 name, machine_reason_text(why));
	log_warnx("service %s: the new version of its program is not used: %s",
		  name, machine_reason_text(why));
	if (d && !d->program_version && is_of_its_own(in, d))
		reject(in, d, reason);
}

uint64_t rejection_instead(struct services *m, const struct store_entry *live)
{
	struct rejection *j = find(m, live->name, live->version);

	if (!j || live->builtin)
		return 0;
	if (!j->working)
		begin(j);
	return j->record.good;
}

int rejection_restore(struct services *m, const struct record_rejection *r)
{
	struct rejection *j = add(m, r);

	if (!j)
		return -ENOMEM;
	begin(j);
	return 0;
}

bool rejections_settled(const struct services *m)
{
	struct rejection *j, *after;

	list_each(j, after, &m->rejections, list)
	{
		if (j->working)
			return false;
	}
	return true;
}
