/*
 * Step 9, for services: this thoxd goes on where another one was.
 *
 *	records -> instances -> their processes -> names -> links
 *
 * Everything is looked up by the keys in the records, and what is not found is
 * left out. Only when all is there are the processes told, and then what
 * happened meanwhile happens.
 */

#include "thoxd/adopt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/control.h"
#include "thoxd/holding.h"
#include "thoxd/message.h"
#include "thoxd/pidfd.h"
#include "thoxd/policy.h"
#include "thoxd/record.h"
#include "thoxd/runner.h"
#include "thoxd/server.h"
#include "thoxd/services/reject.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/zero.h"

/* What the keeper kept under one name, until it is somebody's. */
struct taken {
	struct list list;
	char name[KEEPER_NAME_BYTES + 1];
	struct mp_bytes record; /* owned */
	pid_t pid;
	int fds[LINK_FDS_MAX];
	unsigned n_fds;
	bool used; /* it stays at the keeper */
};

/* A process, found by its key. */
struct adopted {
	struct table_entry entry;
	struct list list;
	struct record_process record; /* points into: */
	struct taken *taken;
	struct service_process *process; /* NULL: nobody's */
};

struct adoption {
	struct services *services;
	struct table processes;
	struct list all; /* adopted */
};

/* --- taking --------------------------------------------------------------- */

static bool is(const char *name, const char *kind)
{
	return strncmp(name, kind, strlen(kind)) == 0;
}

static struct taken *taken_free(struct taken *t)
{
	list_remove(&t->list);
	for (unsigned i = 0; i < t->n_fds; i++)
		fd_close(t->fds[i]);
	free((void *)t->record.p);
	free(t);
	return NULL;
}

bool adopt_take(struct server *s, const struct keeper_message *kept,
		struct link_message *m)
{
	struct taken *t;
	char *copy;

	if (!is(kept->name, RECORD_INSTANCE) &&
	    !is(kept->name, RECORD_PROCESS) && !is(kept->name, RECORD_NAME) &&
	    !is(kept->name, RECORD_LINK) && !is(kept->name, RECORD_STORAGED) &&
	    !is(kept->name, RECORD_REJECTED))
		return false;
	t = calloc(1, sizeof(*t));
	copy = malloc(kept->record.size + 1);
	if (!t || !copy)
		log_fatalx("no memory for what the keeper kept");
	memcpy(copy, kept->record.p, kept->record.size);
	strcpy(t->name, kept->name);
	t->record = (struct mp_bytes){ copy, kept->record.size };
	t->pid = kept->pid;
	for (unsigned i = 0; i < m->n_fds; i++)
		t->fds[t->n_fds++] = link_message_take_fd(m, i);
	list_append(&s->services.taken, &t->list);
	return true;
}

/* --- processes ------------------------------------------------------------ */

static struct adopted *find(const struct adoption *a, uint64_t key)
{
	struct table_entry *e =
		table_find(&a->processes, table_hash(&key, sizeof(key)));

	for (; e; e = table_next(e)) {
		struct adopted *p = container_of(e, struct adopted, entry);

		if (p->record.key == key)
			return p;
	}
	return NULL;
}

static struct principal *principal_of(struct adoption *a, uint64_t key)
{
	struct storaged *d = &a->services->server->storaged;
	const struct adopted *p = find(a, key);

	if (d->begun && d->principal.kept == key)
		return &d->principal;
	if (!p || !p->process || !p->process->starter.run)
		return NULL;
	return &p->process->starter.run->principal;
}

/* Nobody will ever know it: it is killed by the keeper's word of its PID,
 * which is its own as long as the keeper has not been told to drop it. */
static void end(const struct server *s, const struct taken *t)
{
	_cleanup_(fd_closep) int pidfd = -1;

	if (t->pid <= 0)
		return;
	pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	if (pidfd >= 0 && pidfd_is_child(pidfd, t->pid, s->keeper_pid))
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static const char *why(int error)
{
	return error == -ENOTSUP ? "of another release" : "damaged";
}

static bool fds_fit(const struct record_process *r, const struct taken *t)
{
	return t->pid > 0 && t->n_fds == 2U + r->has[0] + r->has[1] + r->has[2];
}

static void read_process(struct adoption *a, struct taken *t)
{
	struct adopted *p = calloc(1, sizeof(*p));
	int r = p ? record_read_process(t->record, &p->record) : -ENOMEM;

	if (r == 0 && (!fds_fit(&p->record, t) || find(a, p->record.key)))
		r = -EBADMSG;
	if (r < 0) {
		log_warnx("what was kept of the process %d is %s; it is ended",
			  (int)t->pid, why(r));
		end(a->services->server, t);
		free(p);
		return;
	}
	p->taken = t;
	list_append(&a->all, &p->list);
	table_add(&a->processes, &p->entry,
		  table_hash(&p->record.key, sizeof(p->record.key)));
}

/* --- instances ------------------------------------------------------------ */

/* The process that @in had in @slot. */
static void claim(struct adoption *a, struct service_instance *in,
		  enum machine_slot slot, uint64_t key)
{
	struct adopted *p = key ? find(a, key) : NULL;
	int r;

	if (!p || p->process || p->record.number != in->number ||
	    strcmp(p->record.service, in->service->name) != 0)
		return;
	r = service_process_adopt(in, slot, &p->record, p->taken->pid,
				  p->taken->fds);
	if (r < 0) {
		log_warnx("service %s: its process %d cannot be taken over: %s",
			  in->service->name, (int)p->taken->pid, strerror(-r));
		return;
	}
	p->process = in->process[slot];
	p->taken->used = true;
}

static void make_room(struct adoption *a, struct taken *t)
{
	struct record_instance r;
	struct service *sv;

	if (record_read_instance(t->record, &r) < 0)
		return;
	sv = services_restore(a->services, r.service);
	if (!sv || service_make_room(sv, r.number) < 0)
		log_warnx("no room for what was kept of service %s", r.service);
}

static void adopt_instance(struct adoption *a, struct taken *t)
{
	struct record_instance r;
	struct service_instance *in = NULL;
	struct service *sv;
	int e = record_read_instance(t->record, &r);

	if (e < 0) {
		log_warnx("what was kept of a service is %s", why(e));
		return;
	}
	sv = services_find(a->services, r.service);
	if (sv)
		in = service_instance_of(sv, r.number);
	if (!in || in->kept) {
		log_warnx("service %s is not what it was any more", r.service);
		return;
	}
	t->used = true;
	in->kept = r.key;
	sv->restored = true;
	for (int slot = 0; slot < SLOT_COUNT; slot++)
		claim(a, in, (enum machine_slot)slot, r.process[slot]);
	instance_restore(in, &r);
}

/* --- thox-storaged -------------------------------------------------------- */

static void adopt_storaged(struct adoption *a, struct taken *t)
{
	uint64_t key = strtoull(t->name + strlen(RECORD_STORAGED), NULL, 10);
	struct storaged *d = &a->services->server->storaged;
	struct mp_reader r;
	uint64_t format;

	mp_reader_init(&r, t->record.p, t->record.size);
	format = mp_read_uint(&r);
	if (mp_end(&r) < 0 || format != RECORD_FORMAT || t->pid <= 0 ||
	    t->n_fds != 2 || d->running) {
		log_warnx("what was kept of thox-storaged is %s; it is ended",
			  why(-EBADMSG));
		end(a->services->server, t);
		return;
	}
	t->used = true;
	storaged_adopt(d, key, t->pid, t->fds);
}

/* --- names and links ------------------------------------------------------ */

/* Without it its process would not be what it was: it is ended, and started
 * anew by its service's rules. */
static void end_owner(struct adoption *a, const struct taken *t, int error)
{
	const char *key = strrchr(t->name, ':') + 1;
	const struct adopted *p = find(a, strtoull(key, NULL, 10));

	if (!p || !p->process || !p->process->starter.run)
		return;
	log_warnx("service %s: what was kept as %s is %s; its process %d is "
		  "ended",
		  p->record.service, t->name, why(error), (int)p->taken->pid);
	run_kill(p->process->starter.run, CAUSE_KILLED);
}

static void adopt_name(struct adoption *a, struct taken *t)
{
	uint64_t key = strtoull(t->name + strlen(RECORD_NAME), NULL, 10);
	struct principal *p;
	struct record_name r;
	int e = record_read_name(t->record, &r);

	if (e < 0) {
		end_owner(a, t, e);
		return;
	}
	p = principal_of(a, r.key);
	t->used = p && bus_restore(p, r.name, r.fallback, r.waits, key) == 0;
}

/* Its policy, as a reference. */
static int read_grant(struct adoption *a, const struct record_link *r,
		      struct policy **ret)
{
	const struct principal *p;
	struct mp_reader reader;

	if (r->grant) {
		p = principal_of(a, r->grant);
		*ret = p ? policy_ref(p->policy) : NULL;
		return *ret ? 0 : -ENOENT;
	}
	mp_reader_init(&reader, r->levels.p, r->levels.size);
	return policy_read(&reader, ret);
}

static struct context *get_context(struct principal *owner,
				   const struct record_link *r,
				   bool *ret_pinned)
{
	struct context *c = NULL;

	*ret_pinned = true;
	if (r->context)
		return context_get(owner, r->context);
	c = context_find_name(owner, r->name);
	*ret_pinned = !c;
	return c ? c : context_of_name(owner, r->name);
}

static struct holding *restore_link(struct adoption *a,
				    const struct record_link *r,
				    struct policy *grant)
{
	struct server *s = a->services->server;
	struct principal *owner = principal_of(a, r->owner);
	struct principal *holder = principal_of(a, r->holder);
	struct principal *as = principal_of(a, r->as);
	struct holding *through = holding_find_any(s, r->through), *h;
	struct context *c = NULL;
	bool pinned = false;

	if (!holder || !as || (r->owner && !owner) ||
	    holding_find_any(s, r->number))
		return NULL;
	if (owner)
		c = get_context(owner, r, &pinned);
	if (owner && !c)
		return NULL;
	h = holding_restore(s, r->number,
			    r->trace ? HOLDING_TRACE : HOLDING_LINK, c, holder,
			    as, through, grant);
	if (pinned)
		context_put(c);
	return h;
}

static void adopt_link(struct adoption *a, struct taken *t)
{
	_cleanup_(policy_unrefp) struct policy *grant = NULL;
	struct record_link r;
	struct holding *h;
	int e = record_read_link(t->record, &r);

	if (e == 0 && !r.owner && !r.trace && t->n_fds != 1)
		e = -EBADMSG;
	e = e ? e : read_grant(a, &r, &grant);
	if (e < 0) {
		if (e != -ENOENT) /* of somebody who is gone */
			end_owner(a, t, e);
		return;
	}
	h = restore_link(a, &r, grant);
	if (!h)
		return;
	h->routed = r.routed;
	h->over = r.over;
	h->kept = true;
	t->used = true;
	if (!r.owner && !r.trace && zero_restore(h, &t->fds[0]) < 0) {
		holding_free(h);
		return;
	}
	if (r.zero && !r.trace)
		h->holder->zero = h;
}

/* --- rejections ----------------------------------------------------------- */

/* One that cannot be read is told; its version is tried once more. */
static void adopt_rejection(struct adoption *a, struct taken *t)
{
	struct record_rejection r;
	int e = record_read_rejection(t->record, &r);

	if (e < 0) {
		log_warnx("what was kept of a version that failed is %s",
			  why(e));
		return;
	}
	t->used = rejection_restore(a->services, &r) == 0;
}

/* --- all of it ------------------------------------------------------------ */

static void each(struct adoption *a, const char *kind,
		 void (*fn)(struct adoption *a, struct taken *t))
{
	struct taken *t, *after;

	list_each(t, after, &a->services->taken, list)
	{
		if (is(t->name, kind))
			fn(a, t);
	}
}

static int compare(const void *x, const void *y)
{
	struct taken *const *a = x, *const *b = y;
	uint64_t m = strtoull((*a)->name + strlen(RECORD_LINK), NULL, 10);
	uint64_t n = strtoull((*b)->name + strlen(RECORD_LINK), NULL, 10);

	return (m > n) - (m < n);
}

/* In the order in which they were made: what came through one is younger. */
static void adopt_links(struct adoption *a)
{
	_cleanup_(freep) struct taken **links = NULL;
	struct taken *t, *after;
	size_t n = 0;

	list_each(t, after, &a->services->taken, list) n++;
	links = calloc(n + 1, sizeof(*links));
	if (!links)
		return;
	n = 0;
	list_each(t, after, &a->services->taken, list)
	{
		if (is(t->name, RECORD_LINK))
			links[n++] = t;
	}
	qsort(links, n, sizeof(*links), compare);
	for (size_t i = 0; i < n; i++)
		adopt_link(a, links[i]);
}

/* Whom no instance knows: its service is one that cannot go on. */
static void end_unclaimed(struct adoption *a)
{
	struct services *m = a->services;
	struct adopted *p, *after;
	struct service *sv;

	list_each(p, after, &a->all, list)
	{
		if (p->process)
			continue;
		log_warnx("service %s: its process %d has no place any more; "
			  "it is ended",
			  p->record.service, (int)p->taken->pid);
		end(m->server, p->taken);
		sv = services_find(m, p->record.service);
		if (sv && !sv->restored)
			sv->wanted = true;
	}
}

static void tell(struct principal *principal)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_AGAIN);
	mp_write_uint(&w, principal->server->restarts);
	(void)principal_send(principal, &w, NULL, 0);
	/* the last thoxd may have been about to say so */
	bus_forget(principal);
}

static void forget(struct adoption *a)
{
	struct services *m = a->services;
	struct adopted *p, *after;

	list_each(p, after, &a->all, list)
	{
		table_remove(&a->processes, &p->entry);
		list_remove(&p->list);
		free(p);
	}
	table_deinit(&a->processes);
	while (!list_empty(&m->taken)) {
		struct taken *t = list_first(&m->taken, struct taken, list);

		if (!t->used)
			parent_drop(&m->server->parent, t->name);
		taken_free(t);
	}
}

void adopt_begin(struct services *m)
{
	struct adoption a = { .services = m };
	struct adopted *p, *after;
	unsigned n = 0;

	if (list_empty(&m->taken))
		return;
	list_init(&a.all);
	table_init(&a.processes);
	each(&a, RECORD_REJECTED, adopt_rejection);
	each(&a, RECORD_PROCESS, read_process);
	each(&a, RECORD_INSTANCE, make_room);
	each(&a, RECORD_INSTANCE, adopt_instance);
	end_unclaimed(&a);
	each(&a, RECORD_STORAGED, adopt_storaged);
	each(&a, RECORD_NAME, adopt_name);
	adopt_links(&a);
	list_each(p, after, &a.all, list)
	{
		if (!p->process)
			continue;
		tell(&p->process->starter.run->principal);
		n++;
	}
	if (storaged_adopted(&m->server->storaged))
		tell(&m->server->storaged.principal);
	log_info("%u processes of services go on", n);
	forget(&a);
}

void adopt_end(struct services *m)
{
	struct service *sv, *after;

	list_each(sv, after, &m->all, list)
	{
		for (unsigned i = 0; i < sv->n_instances; i++)
			instance_catch_up(&sv->instances[i]);
		if (!sv->restored)
			continue;
		service_catch_up(sv);
		services_settled(sv); /* its health, its idleness */
	}
}
