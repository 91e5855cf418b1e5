/*
 * Steps 6 to 9: who a process is, what it says about contexts, and its end.
 *
 * The order of the end: nobody can reach it any more; what it asked for is
 * forgotten; its names, its links to thoxd and its contexts go; then those
 * that waited for it go on, and find it gone.
 */

#include "thoxd/principal.h"

#include <errno.h>
#include <string.h>

#include "rpc/control.h"
#include "thoxd/bus.h"
#include "thoxd/child.h"
#include "thoxd/holding.h"
#include "thoxd/message.h"
#include "thoxd/pipe.h"
#include "thoxd/policy.h"
#include "thoxd/server.h"
#include "thoxd/share.h"
#include "thoxd/zero.h"

static unsigned links_max(uint64_t memory_bytes, uint64_t descriptors)
{
	uint64_t max = PRINCIPAL_LINKS_MAX;

	if (memory_bytes && memory_bytes / PRINCIPAL_LINK_BYTES < max)
		max = memory_bytes / PRINCIPAL_LINK_BYTES;
	if (max < PRINCIPAL_LINKS_MIN)
		max = PRINCIPAL_LINKS_MIN;
	if (descriptors && descriptors < max)
		max = descriptors;
	return (unsigned)max;
}

void principal_init(struct principal *p, struct server *s,
		    const struct principal_ops *ops, uint64_t memory_bytes,
		    uint64_t descriptors)
{
	*p = (struct principal){
		.server = s,
		.ops = ops,
		.serial = ++s->last_serial,
		.program = "",
		.service = "",
		.links_max = links_max(memory_bytes, descriptors),
	};
	list_init(&p->list);
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->contexts);
	list_init(&p->held);
	list_init(&p->acting);
	list_init(&p->waiters);
	list_init(&p->shares);
	list_init(&p->providers);
	list_init(&p->zeros);
	list_init(&p->pipes);
}

/* --- its control link -----------------------------------------------------
 */

int principal_send(struct principal *p, const struct mp_writer *w,
		   const int *fds, unsigned n_fds)
{
	return p->control ? peer_send(p->control, w, fds, n_fds) : -EPIPE;
}

bool principal_busy(const struct principal *p)
{
	return p->control && !p->control->closed &&
	       link_has_queued(&p->control->link);
}

void waiters_go(struct list *waiters)
{
	struct list now;

	list_init(&now);
	while (!list_empty(waiters)) {
		struct list *first = waiters->next;

		list_remove(first);
		list_append(&now, first);
	}
	while (!list_empty(&now)) {
		struct waiter *w = list_first(&now, struct waiter, list);

		list_remove(&w->list);
		w->go(w);
	}
}

void principal_wait(struct principal *p, struct waiter *w)
{
	list_append(&p->waiters, &w->list);
}

/* Who goes may fill it again, and wait again. */
static void release_waiters(struct principal *p)
{
	while (!list_empty(&p->waiters) && !principal_busy(p)) {
		struct waiter *w = list_first(&p->waiters, struct waiter, list);

		list_remove(&w->list);
		w->go(w);
	}
}

static void on_flushed(struct peer *peer)
{
	release_waiters(peer->user);
}

/* --- its life -------------------------------------------------------------
 */

void principal_begin(struct principal *p, struct peer *control, pid_t pid,
		     const struct process *process)
{
	p->control = control;
	p->pid = pid;
	p->process = process;
	control->user = p;
	control->on_flushed = on_flushed;
	list_append(&p->server->principals, &p->list);
}

void principal_set_policy(struct principal *p, struct policy *policy)
{
	struct policy *old = p->policy;

	p->policy = policy_ref(policy);
	policy_unref(old);
}

void principal_adopt(struct principal *parent, struct principal *child)
{
	child->parent = parent;
	list_append(&parent->children, &child->sibling);
	parent->n_children++;
}

static void leave_family(struct principal *p)
{
	struct principal *child, *after;

	list_each(child, after, &p->children, sibling)
	{
		list_remove(&child->sibling);
		child->parent = NULL;
	}
	p->n_children = 0;
	list_remove(&p->sibling);
	if (p->parent)
		p->parent->n_children--;
	p->parent = NULL;
}

void principal_end(struct principal *p)
{
	if (!p->server)
		return;
	child_parent_gone(p, false);
	if (p->control) {
		p->control->on_flushed = NULL;
		p->control->user = NULL;
	}
	p->control = NULL;
	list_remove(&p->list);
	share_principal_gone(p);
	zero_principal_gone(p);
	bus_principal_gone(p);
	holding_principal_gone(p);
	pipe_principal_gone(p);
	release_waiters(p);
	leave_family(p);
	p->policy = policy_unref(p->policy);
	p->server = NULL;
}

/* --- what it says ---------------------------------------------------------
 */

bool principal_takes(const struct link_message *m)
{
	struct mp_reader r;
	uint64_t kind;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	kind = mp_read_uint(&r);
	return !r.bad &&
	       (kind == CONTROL_NOTIFY || kind == CONTROL_USE ||
		(kind >= CONTROL_WANT_ZERO && kind <= CONTROL_PIPE_CLOSED));
}

static void notify(struct principal *p, const struct principal_message *m)
{
	if (p->ops && p->ops->notify)
		p->ops->notify(p, m->notice, m->text);
}

int principal_message(struct principal *p, struct link_message *raw)
{
	struct principal_message m;
	int r = principal_message_parse(raw->data, raw->size, raw->n_fds, &m);

	if (r < 0)
		return r;
	switch (m.kind) {
	case CONTROL_WANT_ZERO:
		return zero_want(p);
	case CONTROL_SHARE_OWN:
	case CONTROL_SHARE_HELD:
		return share_start(p, &m);
	case CONTROL_REVOKE:
		return holding_revoke(p, m.id, m.context, m.pid);
	case CONTROL_LINK_CLOSED:
		holding_closed(p, m.link);
		return 0;
	case CONTROL_CONTEXT_CLOSED:
		holding_context_closed(p, m.context);
		return 0;
	case CONTROL_WANT_PIPE:
		return pipe_want(p, m.id);
	case CONTROL_PIPE_CLOSED:
		pipe_closed(p, m.pipe, m.writer);
		return 0;
	case CONTROL_NOTIFY:
		notify(p, &m);
		return 0;
	case CONTROL_USE:
		if (p->ops && p->ops->used)
			p->ops->used(p, &m.use);
		return 0;
	}
	return -EPROTO;
}

int principal_ask_use(struct principal *p)
{
	uint8_t buf[16];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_WANT_USE);
	mp_write_uint(&w, 0);
	return principal_send(p, &w, NULL, 0);
}

/* --- who it is ------------------------------------------------------------
 */

struct principal *principal_find(struct server *s, pid_t pid)
{
	struct principal *p, *after;

	list_each(p, after, &s->principals, list) if (p->pid == pid) return p;
	return NULL;
}

bool principal_same_service(const struct principal *a,
			    const struct principal *b)
{
	size_t size = strcspn(a->service, ":");

	return size > 0 && size == strcspn(b->service, ":") &&
	       memcmp(a->service, b->service, size) == 0;
}

unsigned principal_identity_keys(const struct principal *p)
{
	return 1 + !!p->program[0] + !!p->service[0];
}

void principal_write_identity(const struct principal *p, struct mp_writer *w)
{
	mp_write_str(w, "pid");
	mp_write_int(w, p->pid);
	if (p->program[0]) {
		mp_write_str(w, "program");
		mp_write_str(w, p->program);
	}
	if (p->service[0]) {
		mp_write_str(w, "service");
		mp_write_str(w, p->service);
	}
}
