/*
 * Step 7, in a runner: the ends of links.
 *
 * A channel is found by its number, and referred to by a pointer only where
 * nothing runs in between: a finaliser of the program may close any. Its
 * memory goes with the last reference, which the receiving loop holds.
 */

#include "runner/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runner/grants.h"
#include "runner/limits.h"
#include "runner/listens.h"
#include "runner/map.h"
#include "runner/relay.h"
#include "runner/runner.h"
#include "runner/task.h"
#include "runner/tell.h"

/* Messages taken from a channel before others have their turn. */
#define BATCH 16

static struct map channels[2]; /* by number: to owners, to holders of ours */
static struct map peers;       /* by PID; one with a program of its own each */
static struct channel *latest;
static size_t queued_bytes; /* by all */
static unsigned n_returned;

/* --- peers ------------------------------------------------------------------
 */

static char *copy(struct mp_bytes b)
{
	char *text = b.size ? malloc(b.size + 1) : NULL;

	if (text) {
		memcpy(text, b.p, b.size);
		text[b.size] = '\0';
	}
	return text;
}

struct peer *peer_ref(struct peer *p)
{
	if (p)
		p->refs++;
	return p;
}

struct peer *peer_unref(struct peer *p)
{
	if (!p || --p->refs > 0)
		return NULL;
	if (map_get(&peers, (uint64_t)p->pid) == p)
		map_remove(&peers, (uint64_t)p->pid);
	free(p->program);
	free(p->service);
	free(p);
	return NULL;
}

static bool is_text(const char *text, struct mp_bytes b)
{
	return text ? mp_bytes_equal(b, text) : b.size == 0;
}

struct peer *peer_get(pid_t pid, struct mp_bytes program,
		      struct mp_bytes service)
{
	struct peer *p = map_get(&peers, (uint64_t)pid);

	if (p && is_text(p->program, program) && is_text(p->service, service))
		return peer_ref(p);
	if (p) /* an old one, whose PID came round */
		map_remove(&peers, (uint64_t)pid);
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->refs = 1;
	p->pid = pid;
	p->program = copy(program);
	p->service = copy(service);
	if ((program.size && !p->program) || (service.size && !p->service) ||
	    (pid > 0 && map_put(&peers, (uint64_t)pid, p) < 0))
		return peer_unref(p);
	return p;
}

/* --- life -------------------------------------------------------------------
 */

/*
 * Whoever may call here is not read while answers to it wait: what it makes
 * this process keep is bounded by that. An owner is always read, or two that
 * wait for each other would wait for ever.
 */
static void want(struct channel *c)
{
	bool queued = link_has_queued(&c->link);

	watch_set(&c->watch, !c->throttled && (!channel_is_ours(c) || !queued),
		  queued || c->outgoing || !list_empty(&c->senders));
}

static bool on_ready(struct watch *w);

struct channel *channel_ref(struct channel *c)
{
	c->refs++;
	return c;
}

struct channel *channel_unref(struct channel *c)
{
	if (--c->refs == 0)
		free(c);
	return NULL;
}

static void say_hello(struct channel *c, uint64_t again)
{
	uint8_t buf[64];
	struct mp_writer w;

	c->greeted = true;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_hello_again(&w, LIMIT_MESSAGE_BYTES, again);
	channel_post(c, buf, w.used);
}

struct channel *channel_open(enum channel_kind kind, uint64_t number, int fd,
			     struct peer *peer)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (c)
		c->kind = kind;
	if (!c || channel_find(number, channel_is_ours(c)) ||
	    map_put(&channels[channel_is_ours(c)], number, c) < 0) {
		free(c);
		fd_close(fd);
		tell_link_closed(number);
		return NULL;
	}
	c->refs = 1;
	c->number = number;
	c->file = -1;
	c->peer = peer_ref(peer);
	c->limit_bytes = LINK_MESSAGE_BYTES;
	list_init(&c->list);
	list_init(&c->senders);
	list_init(&c->served);
	list_init(&c->throttle);
	list_init(&c->calls);
	link_init(&c->link, fd);
	c->link.limit_bytes = LIMIT_MESSAGE_BYTES;
	c->link.bytes_only = true;
	c->link.queue_limit_bytes = UINT32_MAX; /* see channel_post() */
	if (watch_add(&c->watch, fd, on_ready) < 0) {
		channel_close(c, true);
		return NULL;
	}
	return c;
}

struct channel *channel_find(uint64_t number, bool ours)
{
	return map_get(&channels[ours], number);
}

static void forget_outgoing(struct channel *c)
{
	if (!c->outgoing)
		return;
	allocator_discharge(&runner.allocator,
			    LINK_ROOM_BYTES + c->outgoing_bytes);
	free(c->outgoing);
	c->outgoing = NULL;
}

void channel_renew(struct channel *c, uint64_t again)
{
	link_forget_partial(&c->link);
	forget_outgoing(c);
	say_hello(c, again);
	want(c);
}

static void end(struct channel *c, bool tell, bool by_us)
{
	if (c->closed)
		return;
	c->closed = true;
	map_remove(&channels[channel_is_ours(c)], c->number);
	list_remove(&c->list);
	list_remove(&c->throttle);
	if (latest == c)
		latest = NULL;
	watch_remove(&c->watch);
	queued_bytes -= c->link.queued_bytes;
	link_deinit(&c->link);
	c->file = fd_close(c->file);
	if (c->taken)
		*c->taken = fd_close(*c->taken);
	c->taken = NULL;
	forget_outgoing(c);
	n_returned -= c->returned;
	if (tell)
		tell_link_closed(c->number);
	task_wake_all(&c->senders);
	channel_hooks.closed(c, by_us);
	c->grants = grants_free(c->grants);
	c->listens = listens_free(c->listens);
	c->relays = relays_free(c->relays);
	c->peer = peer_unref(c->peer);
	channel_unref(c);
}

void channel_close(struct channel *c, bool tell)
{
	end(c, tell, true);
}

void channel_lost(struct channel *c, bool tell)
{
	end(c, tell, false);
}

/* --- given back -------------------------------------------------------------
 */

static bool may_return(const struct channel *c)
{
	return c->returns && !c->returned && c->kind == CHANNEL_HELD &&
	       !c->route && c->n_calls == 0 && channel_has_room(c) &&
	       list_empty(&c->senders) && c->claimed < UINT64_MAX &&
	       n_returned < LIMIT_RETURNED;
}

bool channel_return(struct channel *c)
{
	uint8_t buf[8];
	struct mp_writer w;

	if (!may_return(c))
		return false;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_return(&w);
	if (channel_post(c, buf, w.used) < 0)
		return false;
	c->context = NULL;
	c->returned = true;
	n_returned++;
	return true;
}

bool channel_claimable(const struct channel *c, uint64_t message)
{
	if (c->returned)
		return message > c->claimed;
	return !c->claimed || c->claimed == message;
}

void channel_claim(struct channel *c, uint64_t message)
{
	n_returned -= c->returned;
	c->returned = false;
	c->claimed = message;
}

/* --- sending ----------------------------------------------------------------
 */

/* Before the first message, and not before: most contexts are only passed on,
 * and a hello wakes its reader. */
static void greet(struct channel *c)
{
	if (!c->greeted)
		say_hello(c, 0);
}

/* The rest of a large message is the channel's from now on. */
static int keep_outgoing(struct channel *c, const uint8_t *data, size_t size,
			 size_t done)
{
	size_t bytes = LINK_ROOM_BYTES + size;
	struct allocator *a = &runner.allocator;

	if (bytes > a->limit_bytes - a->used_bytes)
		return -ENOMEM;
	c->outgoing = malloc(bytes);
	if (!c->outgoing)
		return -ENOMEM;
	allocator_charge(a, bytes);
	memcpy(c->outgoing + LINK_ROOM_BYTES, data, size);
	c->outgoing_bytes = size;
	c->outgoing_done = done;
	want(c);
	return 0;
}

int channel_send(struct channel *c, uint8_t *data, size_t size)
{
	size_t done = 0;
	int r;

	if (size > c->limit_bytes)
		return -EMSGSIZE;
	if (c->outgoing && size >= LINK_RECORD_BYTES)
		return -EAGAIN; /* its fragments would lie among the others */
	greet(c);
	r = link_send_some(&c->link, data, size, &done);
	if (r != -EAGAIN || done == 0)
		return r;
	r = keep_outgoing(c, data, size, done);
	if (r < 0) /* half a message stands in the way of all others */
		end(c, true, false);
	return r;
}

/* May so much more be queued? */
static bool may_queue(const struct channel *c, size_t size)
{
	if (c->outgoing && size >= LINK_RECORD_BYTES)
		return false;
	return !link_has_queued(&c->link) || size <= LIMIT_SHORT_BYTES ||
	       queued_bytes + size <= LIMIT_QUEUED_BYTES;
}

static int queued(struct channel *c, size_t before, int r)
{
	queued_bytes += c->link.queued_bytes - before;
	if (link_has_queued(&c->link))
		want(c);
	return r == -ECONNRESET ? -EPIPE : r;
}

int channel_post_in_place(struct channel *c, uint8_t *data, size_t size)
{
	size_t before, done = 0;
	int r;

	if (size > c->limit_bytes)
		return -EMSGSIZE;
	if (!may_queue(c, size))
		return -ENOBUFS;
	greet(c);
	before = c->link.queued_bytes;
	r = link_send_some(&c->link, data, size, &done);
	if (r == -EAGAIN)
		r = link_queue_rest(&c->link, data, size, done);
	return queued(c, before, r);
}

int channel_post(struct channel *c, const void *data, size_t size)
{
	size_t before;

	if (size > c->limit_bytes)
		return -EMSGSIZE;
	if (!may_queue(c, size))
		return -ENOBUFS;
	greet(c);
	before = c->link.queued_bytes;
	return queued(c, before, link_send(&c->link, data, size, NULL, 0));
}

bool channel_has_room(const struct channel *c)
{
	return !link_has_queued(&c->link) && !c->outgoing;
}

void channel_wait_room(lua_State *L, uint64_t number, const char *what,
		       uint64_t deadline_ns)
{
	struct channel *c = channel_find(number, false);

	if (!c)
		return;
	task_check_wait(L);
	watch_set(&c->watch, c->watch.reading, true);
	task_wait_at(L, &c->senders, what, deadline_ns);
}

/* There is room: first for what lies here, then for those who wait. */
static void flush(struct channel *c)
{
	size_t before = c->link.queued_bytes;
	int r = link_flush(&c->link);

	queued_bytes -= before - c->link.queued_bytes;
	if (r == 0 && c->outgoing && !link_has_queued(&c->link)) {
		r = link_send_some(&c->link, c->outgoing + LINK_ROOM_BYTES,
				   c->outgoing_bytes, &c->outgoing_done);
		if (r != -EAGAIN)
			forget_outgoing(c);
	}
	/* an error is the end of the link, which reading finds */
	if (channel_has_room(c))
		task_wake_all(&c->senders);
	want(c);
}

/* --- receiving --------------------------------------------------------------
 */

/* 1: go on, *ret_kind has come; 0: nothing there; negative: its end. */
static int receive(struct channel *c, int64_t *ret_kind)
{
	struct link_message raw;
	struct wire_message m;
	int r;

	r = link_receive(&c->link, watch_may_wait(), &raw);
	if (r <= 0)
		return r;
	r = wire_parse(raw.data, raw.size, &m);
	if (r == 0) {
		/* An answer is expected when it is waited for. */
		watch_worked(m.kind != WIRE_ANSWER);
		*ret_kind = m.kind;
		if (m.kind != WIRE_ANSWER)
			latest = c;
		channel_hooks.message(c, &raw, &m);
		r = 1;
	}
	link_message_deinit(&raw);
	return r;
}

/* Its end was seen. */
static void ended(struct channel *c)
{
	channel_hooks.ending(c);
	end(c, true, false);
}

/* Who has asked one thing, which goes through (relay.h), waits for the answer;
 * who has answered all waits to be asked; who greets often has but been given
 * a context. */
static bool has_said_all(const struct channel *c, int64_t kind)
{
	if (!channel_is_ours(c))
		return c->n_calls == 0;
	return kind == WIRE_HELLO || c->n_served == 1;
}

static bool on_ready(struct watch *w)
{
	struct channel *c = container_of(w, struct channel, watch);
	int64_t kind = WIRE_HELLO;
	unsigned n = 0;
	bool more;
	int r = 1;

	channel_ref(c);
	if (!w->reading && watch_fd_ready(w->fd, 0)) {
		/* What it has said before it went nobody waits for. */
		ended(c);
		channel_unref(c);
		return false;
	}
	if (w->writing)
		flush(c);
	while (r > 0 && !c->closed && w->reading && n++ < BATCH) {
		r = receive(c, &kind);
		/* What is likely the only one: the next is looked for when
		 * there is nothing else to do. */
		if (r > 0 && n == 1 && task_others_ready())
			break;
		if (r > 0 && n == 1 && has_said_all(c, kind)) {
			watch_doubt();
			r = 0;
		}
	}
	if (r < 0)
		ended(c);
	more = r > 0 && !c->closed && w->reading;
	channel_unref(c);
	return more;
}

void channel_throttle(struct channel *c)
{
	c->throttled = true;
	want(c);
}

void channel_resume(struct channel *c)
{
	c->throttled = false;
	want(c);
}

void channel_expect(struct channel *c, bool answer)
{
	watch_expect(&c->watch, answer);
}

struct channel *channel_latest(void)
{
	return latest;
}
