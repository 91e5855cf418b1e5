/*
 * Steps 4 to 9, for services: what the keeper is given.
 *
 * A name bound or a link made is one message; so nothing is looked for here
 * that is not at hand.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "rpc/keeper.h"
#include "thoxd/adopt.h"
#include "thoxd/holding.h"
#include "thoxd/policy.h"
#include "thoxd/record.h"
#include "thoxd/runner.h"
#include "thoxd/server.h"
#include "thoxd/services/reject.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/zero.h"
#include "thoxd/zygote.h"

#define NAMES_BYTES 24000U /* of the names in a process's record */

static struct mp_bytes bytes_of(const char *text)
{
	return (struct mp_bytes){ text, text ? strlen(text) : 0 };
}

/* @of: whose process it is about, when that is another; 0. */
static void write_name(char ret[64], const char *kind, uint64_t key,
		       uint64_t of)
{
	int n = snprintf(ret, 64, "%s%" PRIu64, kind, key);

	if (of)
		snprintf(ret + n, 64 - (size_t)n, ":%" PRIu64, of);
}

static void keep(struct server *s, const char *kind, uint64_t key, uint64_t of,
		 const struct mp_writer *w, pid_t pid, const int *fds,
		 unsigned n_fds)
{
	char name[64];

	write_name(name, kind, key, of);
	if (mp_writer_end(w) == 0 && w->used <= KEEPER_RECORD_BYTES)
		parent_keep(&s->parent, name, w->data, w->used, pid, fds,
			    n_fds);
}

static void drop(struct server *s, const char *kind, uint64_t key, uint64_t of)
{
	char name[64];

	write_name(name, kind, key, of);
	parent_drop(&s->parent, name);
}

/* --- processes ------------------------------------------------------------ */

/* As many as there is room for: they are the names that it is given back when
 * another one, to which it gave them, is no good. */
static void write_names(struct mp_writer *w, const struct names *names)
{
	uint32_t n = 0;
	size_t bytes = 0;

	while (n < names->n && bytes < NAMES_BYTES)
		bytes += strlen(names->items[n++]) + 3;
	mp_write_array(w, n);
	for (uint32_t i = 0; i < n; i++)
		mp_write_str(w, names->items[i]);
}

static void fill_process(struct record_process *r,
			 const struct service_process *p)
{
	const struct run *run = p->starter.run;
	const struct service *sv = p->instance->service;

	r->key = p->kept;
	snprintf(r->service, sizeof(r->service), "%s", sv->name);
	r->number = p->instance->number;
	r->definition = p->config->version;
	snprintf(r->program, sizeof(r->program), "%s", run->name);
	r->version = p->version;
	r->itself = run->principal.program[0];
	snprintf(r->runtime, sizeof(r->runtime), "%s", run->runtime);
	r->uid = run->runner->zygote->uid;
	memcpy(r->sha256, p->sha256, sizeof(r->sha256));
	memcpy(r->logs, p->logs, sizeof(r->logs));
	r->ready = p->ready;
	r->waits = run->principal.in_waiting;
	r->started_ms = run->started_ms;
	r->memory_bytes = run->memory_bytes;
	r->cpu_ms = run->cpu_ms;
	r->tasks = run->tasks;
	r->descriptors = run->descriptors;
	r->processes = run->processes;
	for (unsigned i = 0; i < ARRAY_SIZE(r->has); i++)
		r->has[i] = run->fds[i] >= 0;
}

void adopt_keep_process(struct service_process *p)
{
	struct server *s = services_server(p->instance->service->services);
	struct run *run = p->starter.run;
	struct record_process r = { 0 };
	struct mp_writer names, w;
	int fds[5];
	unsigned n = 0;

	if (!run || !run->runner || run->runner->process.pid == 0 ||
	    run->runner->peer.closed)
		return;
	if (!p->kept)
		p->kept = ++s->last_key;
	run->principal.kept = p->kept;
	fds[n++] = run->runner->peer.link.fd;
	fds[n++] = run->runner->process.pidfd;
	for (unsigned i = 0; i < 3; i++)
		if (run->fds[i] >= 0)
			fds[n++] = run->fds[i];
	fill_process(&r, p);
	mp_writer_init_heap(&names);
	mp_writer_init_heap(&w);
	write_names(&names, &p->names);
	r.names = (struct mp_bytes){ (const char *)names.data, names.used };
	record_write_process(&w, &r);
	keep(s, RECORD_PROCESS, p->kept, 0, &w, run->runner->process.pid, fds,
	     n);
	mp_writer_deinit(&w);
	mp_writer_deinit(&names);
}

void adopt_drop_process(struct services *m, struct service_process *p)
{
	if (p->kept)
		drop(m->server, RECORD_PROCESS, p->kept, 0);
	p->kept = 0;
}

void adopt_keep_storaged(struct storaged *d)
{
	struct server *s = d->server;
	int fds[2] = { d->peer.link.fd, d->process.pidfd };
	uint8_t buf[16];
	struct mp_writer w;

	d->principal.kept = ++s->last_key;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_uint(&w, RECORD_FORMAT);
	keep(s, RECORD_STORAGED, d->principal.kept, 0, &w, d->process.pid, fds,
	     ARRAY_SIZE(fds));
}

void adopt_drop_storaged(struct storaged *d)
{
	if (d->principal.kept)
		drop(d->server, RECORD_STORAGED, d->principal.kept, 0);
	d->principal.kept = 0;
}

/* --- instances ------------------------------------------------------------ */

static void write_times(struct mp_writer *w, const struct restart *r)
{
	mp_write_array(w, r->n_times);
	for (uint32_t i = 0; i < r->n_times; i++)
		mp_write_uint(w, r->times_ms[(r->at + i) % r->capacity]);
}

static void fill_machine(struct record_instance *r, const struct machine *m)
{
	r->state = m->state;
	r->reason = m->reason;
	r->start_again = m->start_again;
	r->reload_again = m->reload_again;
	r->failing = m->failing;
	r->trial = m->trial;
	r->ready_ms = m->ready_ms;
	r->changed_ms = m->changed_ms;
	r->failures = m->restart.failures;
	r->restarts = m->restart.count;
	memcpy(r->present, m->present, sizeof(r->present));
}

static bool is_wanted(const struct service *sv)
{
	struct services *m = sv->services;

	return jobs_of(m->jobs, sv->node, NULL) == JOB_START ||
	       jobs_restarts(m->jobs, sv->node);
}

static void fill_last(struct record_instance *r, const struct service_end *last)
{
	r->last_pid = last->pid;
	r->last_code = last->code;
	r->last_signalled = last->signalled;
	r->last_ms = last->ms;
	memcpy(r->last_reason, last->reason, sizeof(r->last_reason));
	r->last_detail = bytes_of(last->detail);
}

static void fill_instance(struct record_instance *r,
			  const struct service_instance *in)
{
	r->key = in->kept;
	snprintf(r->service, sizeof(r->service), "%s", in->service->name);
	r->number = in->number;
	r->wanted = is_wanted(in->service);
	r->by_call = in->service->by_call;
	fill_machine(r, &in->machine);
	r->since_ms = in->since_ms;
	r->good = in->good;
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		r->process[slot] =
			in->process[slot] ? in->process[slot]->kept : 0;
		r->due_ms[slot] = in->due_ms[slot];
	}
	if (in->last)
		fill_last(r, in->last);
	r->detail = bytes_of(in->detail);
}

void adopt_keep_instance(struct service_instance *in)
{
	struct server *s = services_server(in->service->services);
	struct record_instance r = { 0 };
	struct mp_writer times, w;

	list_remove(&in->changed);
	if (!in->kept)
		in->kept = ++s->last_key;
	mp_writer_init_heap(&times);
	mp_writer_init_heap(&w);
	write_times(&times, &in->machine.restart);
	fill_instance(&r, in);
	r.times = (struct mp_bytes){ (const char *)times.data, times.used };
	record_write_instance(&w, &r);
	keep(s, RECORD_INSTANCE, in->kept, 0, &w, 0, NULL, 0);
	mp_writer_deinit(&w);
	mp_writer_deinit(&times);
}

void adopt_instance_changed(struct service_instance *in)
{
	struct services *m = in->service->services;

	list_remove(&in->changed);
	list_append(&m->changed, &in->changed);
	if (!ev_is_active(&m->flush))
		ev_prepare_start(m->server->loop, &m->flush);
}

void adopt_drop_instance(struct service_instance *in)
{
	list_remove(&in->changed);
	if (in->kept)
		drop(services_server(in->service->services), RECORD_INSTANCE,
		     in->kept, 0);
	in->kept = 0;
}

void adopt_flush(struct services *m)
{
	while (!list_empty(&m->changed))
		adopt_keep_instance(list_first(
			&m->changed, struct service_instance, changed));
}

/* --- links ---------------------------------------------------------------- */

/* The policy of one of those that it concerns, if it is that. */
static uint64_t grant_key(const struct holding *h)
{
	if (h->grant == h->as->policy)
		return h->as->kept;
	return h->grant == h->holder->policy ? h->holder->kept : 0;
}

static uint64_t kept_above(const struct holding *h)
{
	const struct holding *up = h->through;

	while (up && !up->kept)
		up = up->through;
	return up ? up->number : 0;
}

static void fill_link(struct record_link *r, const struct holding *h, bool zero)
{
	const struct context *c = h->context;

	r->number = h->number;
	r->trace = h->state == HOLDING_TRACE;
	r->routed = h->routed;
	r->zero = zero || h->holder->zero == h;
	r->owner = c ? c->owner->kept : 0;
	r->holder = h->holder->kept;
	r->as = h->as->kept;
	r->context = c ? c->number : 0;
	r->name = bytes_of(c && !c->number ? c->name : "");
	r->through = kept_above(h);
	r->over = h->over;
	r->grant = h->grant ? grant_key(h) : 0;
}

void adopt_keep_link(struct holding *h, int fd, bool zero)
{
	struct record_link r = { 0 };
	struct mp_writer levels, w;

	/* a daemon asks for its link to thoxd again */
	if (!h->context && h->holder->daemon)
		return;
	if (h->state == HOLDING_RIGHT || !h->holder->kept || !h->as->kept ||
	    (h->context && !h->context->owner->kept))
		return;
	if (fd < 0 && h->zero)
		fd = h->zero->peer.link.fd;
	mp_writer_init_heap(&levels);
	mp_writer_init_heap(&w);
	fill_link(&r, h, zero);
	if (h->grant && !r.grant) {
		policy_write(h->grant, &levels);
		r.levels = (struct mp_bytes){ (const char *)levels.data,
					      levels.used };
	}
	record_write_link(&w, &r);
	h->kept = w.used <= KEEPER_RECORD_BYTES;
	if (h->kept)
		keep(h->server, RECORD_LINK, h->number, h->holder->kept, &w, 0,
		     &fd, fd >= 0);
	mp_writer_deinit(&w);
	mp_writer_deinit(&levels);
}

void adopt_drop_link(struct holding *h)
{
	if (h->kept)
		drop(h->server, RECORD_LINK, h->number, h->holder->kept);
	h->kept = false;
}

/* --- names ---------------------------------------------------------------- */

void adopt_keep_name(struct provider *p)
{
	struct server *s = p->principal->server;
	uint8_t buf[256];
	struct mp_writer w;

	if (!p->principal->kept)
		return;
	if (!p->kept)
		p->kept = ++s->last_key;
	mp_writer_init(&w, buf, sizeof(buf));
	record_write_name(&w, &(struct record_name){
				      .key = p->principal->kept,
				      .name = { p->name->name, p->name->size },
				      .fallback = p->fallback,
				      .waits = p->waits });
	keep(s, RECORD_NAME, p->kept, p->principal->kept, &w, 0, NULL, 0);
}

void adopt_drop_name(struct provider *p)
{
	if (p->kept)
		drop(p->principal->server, RECORD_NAME, p->kept,
		     p->principal->kept);
}

/* --- rejections ----------------------------------------------------------- */

void adopt_keep_rejection(struct rejection *j)
{
	uint8_t buf[NAME_MAX_BYTES + STORE_REASON_BYTES + 64];
	struct mp_writer w;

	j->record.key = ++j->server->last_key;
	mp_writer_init(&w, buf, sizeof(buf));
	record_write_rejection(&w, &j->record);
	keep(j->server, RECORD_REJECTED, j->record.key, 0, &w, 0, NULL, 0);
}

void adopt_drop_rejection(struct rejection *j)
{
	drop(j->server, RECORD_REJECTED, j->record.key, 0);
}
