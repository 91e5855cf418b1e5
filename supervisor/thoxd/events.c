/* At any step: what happens is told to those who asked for it. */

#include "thoxd/events.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/field.h"
#include "thoxd/making.h"
#include "thoxd/run.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"

struct subscriber {
	struct list list;
	int fd;
	uint64_t lost; /* since the last record that had room */
};

/* --- subscribers ---------------------------------------------------------- */

void events_init(struct events *e)
{
	list_init(&e->subscribers);
	e->n = 0;
}

static void drop(struct events *e, struct subscriber *sub)
{
	list_remove(&sub->list);
	fd_close(sub->fd);
	free(sub);
	e->n--;
}

/* Those that are gone, since perhaps nothing has happened for long. */
static void sweep(struct events *e)
{
	struct subscriber *sub, *after;

	list_each(sub, after, &e->subscribers, list)
	{
		struct pollfd p = { .fd = sub->fd };

		if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
			drop(e, sub);
	}
}

int events_subscribe(struct events *e, int *ret_fd)
{
	struct subscriber *sub;
	int pair[2];
	int r;

	sweep(e);
	if (e->n >= EVENTS_SUBSCRIBERS_MAX)
		return -EUSERS;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	r = making_pair(pair);
	if (r < 0) {
		free(sub);
		return r;
	}
	sub->fd = pair[0];
	list_append(&e->subscribers, &sub->list);
	e->n++;
	*ret_fd = pair[1];
	return 0;
}

/* --- records -------------------------------------------------------------- */

/* @n keys follow. */
static void begin(struct mp_writer *w, const char *type, uint32_t n)
{
	mp_writer_init_heap(w);
	mp_write_map(w, 2 + n);
	field_text(w, "type", type);
	field_number(w, "time_ms", services_time_ms());
}

/* 0; -EAGAIN: no room; else it is gone. */
static int post(const struct subscriber *sub, const struct mp_writer *w)
{
	if (send(sub->fd, w->data, w->used, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : -errno;
	return 0;
}

static int post_lost(struct subscriber *sub)
{
	struct mp_writer w;
	int r;

	if (sub->lost == 0)
		return 0;
	begin(&w, "lost", 1);
	field_number(&w, "count", sub->lost);
	r = mp_writer_end(&w);
	r = r < 0 ? -EAGAIN : post(sub, &w);
	mp_writer_deinit(&w);
	if (r == 0)
		sub->lost = 0;
	return r;
}

static void tell(struct events *e, struct mp_writer *w)
{
	struct subscriber *sub, *after;
	bool whole = mp_writer_end(w) == 0;

	list_each(sub, after, &e->subscribers, list)
	{
		int r = post_lost(sub);

		if (r == 0)
			r = whole ? post(sub, w) : -EAGAIN;
		if (r == -EAGAIN)
			sub->lost++;
		else if (r < 0)
			drop(e, sub);
	}
	mp_writer_deinit(w);
}

/* --- what happens --------------------------------------------------------- */

void events_service(struct server *s, const struct service_instance *in,
		    enum machine_state from)
{
	char name[SERVICE_NAME_BYTES + 16];
	struct mp_writer w;

	if (s->events.n == 0)
		return;
	instance_name(in, name);
	begin(&w, "service", 6);
	field_text(&w, "service", name);
	field_text(&w, "from", machine_state_name(from));
	field_text(&w, "state", machine_state_name(in->machine.state));
	field_text(&w, "why",
		   in->detail ? in->detail
			      : machine_reason_text(in->machine.reason));
	field_number(&w, "pid", (uint64_t)instance_pid(in));
	field_number(&w, "restarts", in->machine.restart.count);
	tell(&s->events, &w);
}

void events_started(struct server *s, const struct run *run)
{
	struct mp_writer w;

	if (s->events.n == 0)
		return;
	begin(&w, "started", 5);
	field_number(&w, "pid", (uint64_t)run_pid(run));
	field_text(&w, "name", run->name);
	field_number(&w, "version", run->version);
	field_text(&w, "runtime", run->runtime);
	field_text(&w, "service", run->service);
	tell(&s->events, &w);
}

void events_ended(struct server *s, const struct run *run,
		  const struct run_end *end)
{
	struct mp_writer w;

	if (s->events.n == 0)
		return;
	begin(&w, "ended", 6);
	field_number(&w, "pid", (uint64_t)end->exit->pid);
	field_text(&w, "name", run->name);
	field_text(&w, "service", run->service);
	field_number(&w, end->result->signalled ? "signal" : "code",
		     (uint64_t)end->result->code);
	field_text(&w, "reason", end->result->reason);
	field_text(&w, "detail", end->result->detail);
	tell(&s->events, &w);
}

void events_store(struct server *s, enum store_dir dir,
		  const struct store_entry *entry)
{
	static const char *const types[] = {
		[STORE_PUBLISHED] = "published",
		[STORE_REJECTED] = "rejected",
		[STORE_REMOVED] = "removed",
	};
	struct mp_writer w;

	if (s->events.n == 0)
		return;
	begin(&w, types[entry->event], 3);
	field_text(&w, "directory", store_dir_name(dir));
	field_text(&w, "name", entry->name);
	field_number(&w, "version", entry->version);
	tell(&s->events, &w);
}
