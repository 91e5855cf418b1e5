/*
 * Step 7, in a runner: what happened, for whoever asks.
 *
 * A task's place in the list is the order of the first event that it has not
 * looked at, and the orders of those before that which it left. So an event
 * can be unlinked without looking for those whose place it was, and one that
 * nobody wants costs no task anything.
 */

#include "runner/event.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/status.h"
#include "runner/channel.h"
#include "runner/child.h"
#include "runner/context.h"
#include "runner/handler.h"
#include "runner/incoming.h"
#include "runner/limits.h"
#include "runner/mailbox.h"
#include "runner/runner.h"
#include "runner/served.h"
#include "runner/task.h"

const char *const event_type_name[EV_COUNT] = {
	[EV_CALL] = "call",	      [EV_ANSWER] = "answer",
	[EV_OPEN] = "open",	      [EV_CLOSE] = "close",
	[EV_PUSH] = "push",	      [EV_LOST] = "lost",
	[EV_LISTEN] = "listen",	      [EV_CANCEL] = "cancel",
	[EV_ALARM] = "alarm",	      [EV_TERMINATE] = "terminate",
	[EV_INTERRUPT] = "interrupt", [EV_RELOAD] = "reload",
	[EV_EXIT] = "exit",
};

#define SIGNALS                                                                \
	(EV_BIT(EV_TERMINATE) | EV_BIT(EV_INTERRUPT) | EV_BIT(EV_RELOAD))
#define N_LOST 8

static struct list events = { &events, &events };
static struct list pulling = { &pulling, &pulling }; /* mailboxes */
static uint64_t last_order;
static unsigned n_listed, n_droppable;
static size_t droppable_bytes;
static unsigned n_naming[EV_COUNT]; /* tasks that wait for a signal by name */

/* Those told last as lost, to which more can be added. */
static struct event *recent_lost[N_LOST];
static unsigned next_lost;

uint64_t event_next_order(void)
{
	return ++last_order;
}

/* --- life -------------------------------------------------------------------
 */

static struct event *new_event(enum event_type type)
{
	struct event *e = malloc(sizeof(*e)); /* quicker than calloc() */

	if (!e)
		return NULL;
	*e = (struct event){
		.refs = 1,
		.type = type,
		.bytes = sizeof(*e),
		.code = -1,
		.signal = -1,
		.own = LUA_NOREF,
	};
	list_init(&e->list);
	return e;
}

/* What it tells is let go of, but for its name. */
static void clear(struct event *e)
{
	e->in = incoming_unref(e->in);
	e->peer = peer_unref(e->peer);
	if (e->served && e->served->event == e)
		e->served->event = NULL;
	e->served = served_unref(e->served);
	if (e->own != LUA_NOREF)
		luaL_unref(runner.L, LUA_REGISTRYINDEX, e->own);
	e->own = LUA_NOREF;
}

struct event *event_ref(struct event *e)
{
	e->refs++;
	return e;
}

struct event *event_unref(struct event *e)
{
	if (!e || --e->refs > 0)
		return NULL;
	clear(e);
	if (e->context)
		context_unref(e->context);
	free(e->name);
	free(e);
	return NULL;
}

static bool set_name(struct event *e, struct mp_bytes name)
{
	e->name = malloc(name.size + 1);
	if (!e->name)
		return false;
	memcpy(e->name, name.p, name.size);
	e->name_size = name.size;
	return true;
}

/* No task finds it any more. */
static void unlist(struct event *e)
{
	if (!e->listed)
		return;
	e->listed = false;
	list_remove(&e->list);
	n_listed--;
	if (e->type != EV_CALL) {
		n_droppable--;
		droppable_bytes -= e->bytes;
	}
	for (unsigned i = 0; i < N_LOST; i++)
		if (recent_lost[i] == e)
			recent_lost[i] = NULL;
	event_unref(e);
}

/* --- the bound --------------------------------------------------------------
 */

static struct event *find_lost(const struct context *c, struct mp_bytes name)
{
	for (unsigned i = 0; i < N_LOST; i++) {
		struct event *e = recent_lost[i];

		if (e && e->context == c && e->name_size == name.size &&
		    memcmp(e->name, name.p, name.size) == 0)
			return e;
	}
	return NULL;
}

static bool is_recent_lost(const struct event *e)
{
	for (unsigned i = 0; i < N_LOST; i++)
		if (recent_lost[i] == e)
			return true;
	return false;
}

static void remember_lost(struct event *e)
{
	recent_lost[next_lost] = e;
	next_lost = (next_lost + 1) % N_LOST;
}

/* A push becomes the word that it is lost, for those who have not taken it.
 * False: that is said already, or there is no memory to. */
static bool turn_into_lost(struct event *e)
{
	struct mp_bytes name = e->in->m.name;
	struct event *before = find_lost(e->context, name);

	if (before) {
		before->number++;
		return false;
	}
	if (!set_name(e, name))
		return false;
	clear(e);
	droppable_bytes -= e->bytes - sizeof(*e);
	e->bytes = sizeof(*e);
	e->type = EV_LOST;
	e->number = 1;
	remember_lost(e);
	return true;
}

static bool is_over_bound(void)
{
	return n_droppable > LIMIT_EVENTS ||
	       (droppable_bytes > LIMIT_EVENT_BYTES && n_droppable > 1);
}

/* The word that some were lost is to go: another of the same name says it,
 * too, or this one stays to have more added. True: it may go. */
static bool add_to_other(struct event *e)
{
	struct mp_bytes name = { e->name, e->name_size };
	struct event *other = find_lost(e->context, name);

	if (other)
		other->number += e->number;
	else if (!recent_lost[next_lost])
		remember_lost(e);
	return !is_recent_lost(e);
}

static bool make_room(struct event *e)
{
	switch (e->type) {
	case EV_PUSH:
		return !turn_into_lost(e);
	case EV_LOST:
		return add_to_other(e);
	default:
		return true;
	}
}

/* The oldest go, for the tasks that have not taken them yet. */
static void keep_bound(void)
{
	struct event *e, *after;

	if (!is_over_bound())
		return;
	list_each(e, after, &events, list)
	{
		if (e->type == EV_CALL || is_recent_lost(e))
			continue;
		if (make_room(e))
			unlist(e);
		if (!is_over_bound())
			return;
	}
}

/* --- coming -----------------------------------------------------------------
 */

static void wake_for(enum event_type type)
{
	struct mailbox *box, *after;

	list_each(box, after, &pulling,
		  pulling) if ((box->wants & EV_BIT(type)) ||
			       type == EV_TERMINATE) task_wake(box->task);
}

/* To the list, for every task that is there. */
static void append(struct event *e)
{
	e->left = task_count();
	e->order = event_next_order();
	e->newest_task = task_newest();
	e->listed = true;
	list_append(&events, &e->list);
	n_listed++;
	if (e->type != EV_CALL) {
		n_droppable++;
		droppable_bytes += e->bytes;
	}
	wake_for(e->type);
	keep_bound();
}

/* With its context and who is at the other end. */
static struct event *new_event_of(enum event_type type, struct context *c,
				  struct peer *peer)
{
	struct event *e = new_event(type);

	if (!e)
		return NULL;
	e->context = c ? context_ref(c) : NULL;
	e->peer = peer_ref(peer);
	return e;
}

void event_called(struct served *s)
{
	static const char message[] = "not enough memory to take the call";
	struct event *e = new_event_of(EV_CALL, s->context, s->peer);

	if (!e) {
		served_fail(s, STATUS_TOO_LARGE, message, sizeof(message) - 1);
		return;
	}
	e->served = served_ref(s);
	s->event = e;
	append(e);
}

void event_call_answered(struct served *s)
{
	struct event *e = s->event;

	s->event = NULL;
	if (e)
		unlist(e);
}

void event_cancelled(struct served *s)
{
	struct event *e = new_event(EV_CANCEL);

	if (!e)
		return;
	e->number = s->cid;
	append(e);
}

void event_answered(struct mailbox *box)
{
	if (box->wants & EV_BIT(EV_ANSWER))
		task_wake(box->task);
}

void event_of_context(enum event_type type, struct context *c,
		      struct peer *peer)
{
	struct event *e = new_event_of(type, c, peer);

	if (e)
		append(e);
}

/* What thoxd says of a push to the bus: who pushed, and what was lost. */
struct push_info {
	int64_t pid;
	struct mp_bytes program, service;
	uint64_t lost;
};

static void read_info(struct mp_bytes raw, struct push_info *ret)
{
	struct mp_reader r;

	*ret = (struct push_info){ .program = { "", 0 }, .service = { "", 0 } };
	if (raw.size == 0)
		return;
	mp_reader_init(&r, raw.p, raw.size);
	for (uint32_t n = mp_read_map(&r); n > 0 && !r.bad; n--) {
		struct mp_bytes key = mp_read_str(&r);

		if (mp_bytes_equal(key, "pid"))
			ret->pid = mp_read_int(&r);
		else if (mp_bytes_equal(key, "program"))
			ret->program = mp_read_str(&r);
		else if (mp_bytes_equal(key, "service"))
			ret->service = mp_read_str(&r);
		else if (mp_bytes_equal(key, "lost"))
			ret->lost = mp_read_uint(&r);
		else
			mp_skip(&r);
	}
	if (r.bad)
		*ret = (struct push_info){ .program = { "", 0 },
					   .service = { "", 0 } };
}

void event_lost(struct context *c, struct mp_bytes name, uint64_t count)
{
	struct event *e = find_lost(c, name);

	if (e && e->list.next == &events) { /* nothing came since */
		e->number += count;
		return;
	}
	e = new_event_of(EV_LOST, c, NULL);
	if (!e || !set_name(e, name)) {
		event_unref(e);
		return;
	}
	e->number = count;
	remember_lost(e); /* first: nothing may be added to one that went */
	append(e);
}

void event_on_push(struct channel *c, struct link_message *raw,
		   const struct wire_message *m)
{
	struct push_info info;
	struct peer *peer;
	struct event *e;

	read_info(m->info, &info);
	if (info.lost > 0)
		event_lost(c->context, m->name, info.lost);
	peer = c->kind == CHANNEL_ZERO && info.pid
		       ? peer_get((pid_t)info.pid, info.program, info.service)
		       : peer_ref(c->peer);
	e = new_event_of(EV_PUSH, c->context, peer);
	peer_unref(peer);
	if (e)
		e->in = incoming_new(c->number, raw, m);
	if (!e || !e->in) {
		event_unref(e);
		incoming_discard(c->number, m);
		event_lost(c->context, m->name, 1);
		return;
	}
	e->bytes += incoming_bytes(e->in);
	if (handler_push(e)) /* which takes what it needs */
		event_unref(e);
	else
		append(e);
}

void event_on_listen(struct channel *c, struct mp_bytes name, bool on)
{
	struct event *e = new_event_of(EV_LISTEN, c->context, c->peer);

	if (!e || !set_name(e, name)) {
		event_unref(e);
		return;
	}
	e->on = on;
	if (handler_listen(e)) /* which takes what it needs */
		event_unref(e);
	else
		append(e);
}

void event_alarm(uint64_t id)
{
	struct event *e = new_event(EV_ALARM);

	if (!e)
		return;
	e->number = id;
	append(e);
}

void event_child_ended(pid_t pid, const int64_t *code, const int64_t *signal)
{
	struct event *e = new_event(EV_EXIT);

	child_ended(pid, code ? *code : -1, signal ? *signal : -1);
	if (!e)
		return;
	e->pid = pid;
	e->code = code ? *code : -1;
	e->signal = signal ? *signal : -1;
	append(e);
}

bool event_signal(enum event_type type)
{
	struct event *e;

	if (type == EV_TERMINATE && handler_terminate())
		return true;
	if (n_naming[type] == 0)
		return false;
	e = new_event(type);
	if (!e)
		return false;
	append(e);
	return true;
}

int event_queue(int own)
{
	struct event *e;

	if (n_droppable >= LIMIT_EVENTS)
		return -ENOBUFS;
	e = new_event(EV_OWN);
	if (!e)
		return -ENOMEM;
	e->own = own;
	append(e);
	return 0;
}

/* --- going ------------------------------------------------------------------
 */

/* The place of an order among those that a task left, or where it would be. */
static unsigned find_skipped(const struct mailbox *box, uint64_t order)
{
	unsigned low = 0, high = box->n_skipped;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (box->skipped[middle] < order)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_skipped(const struct mailbox *box, uint64_t order)
{
	unsigned i = find_skipped(box, order);

	return i < box->n_skipped && box->skipped[i] == order;
}

/* A call that nobody has taken: tasks that begin later may take it, too. */
static bool is_waiting(const struct event *e)
{
	return e->type == EV_CALL && !e->served->taken;
}

/* Is the task one of those that @e->left counts? */
static bool is_counted(const struct event *e, const struct task *t)
{
	return e->newest_task >= t->id;
}

/* Has the task it still before it? */
static bool concerns(const struct mailbox *box, const struct event *e)
{
	return (is_counted(e, box->task) || is_waiting(e)) &&
	       (e->order >= box->cursor || is_skipped(box, e->order));
}

/* Those that were left and are gone need not be known any more. */
static void compact(struct mailbox *box)
{
	struct event *e, *after;
	unsigned n = 0;

	list_each(e, after, &events,
		  list) if (e->order < box->cursor && is_skipped(box, e->order))
		box->skipped[n++] = e->order;
	box->n_skipped = n;
}

/* One task less that will take it. */
static void count_missed(struct event *e, const struct task *t)
{
	if (is_counted(e, t) && --e->left == 0 && !is_waiting(e))
		unlist(e);
}

static void count_taken(struct event *e, const struct task *t)
{
	if (is_counted(e, t))
		e->left--;
	if (e->left == 0)
		unlist(e);
}

static void skip(struct mailbox *box, struct event *e)
{
	box->cursor = e->order + 1;
	if (box->n_skipped == box->skipped_size) {
		unsigned size = box->skipped_size ? 2 * box->skipped_size : 16;
		uint64_t *larger =
			realloc(box->skipped, size * sizeof(*larger));

		if (!larger) {
			count_missed(e, box->task);
			return;
		}
		box->skipped = larger;
		box->skipped_size = size;
	}
	box->skipped[box->n_skipped++] = e->order;
}

void event_leave(struct mailbox *box, struct event *e)
{
	if (e->listed && e->order >= box->cursor)
		skip(box, e);
}

void event_take(struct mailbox *box, struct event *e)
{
	unsigned i;

	if (!e->listed)
		return;
	if (e->order >= box->cursor) {
		box->cursor = e->order + 1;
	} else {
		i = find_skipped(box, e->order);
		box->n_skipped--;
		memmove(box->skipped + i, box->skipped + i + 1,
			(box->n_skipped - i) * sizeof(*box->skipped));
	}
	count_taken(e, box->task);
}

struct event *event_peek(struct mailbox *box, unsigned wants,
			 const struct event *after)
{
	uint64_t order = after ? after->order : 0;
	struct event *e, *next;

	if (box->n_skipped > 2 * n_listed + 64)
		compact(box);
	list_each(e, next, &events, list)
	{
		if (e->order <= order || !concerns(box, e))
			continue;
		if ((wants & EV_BIT(e->type)) || e->type == EV_TERMINATE)
			return e;
		if (e->order >= box->cursor)
			skip(box, e);
	}
	return NULL;
}

/* --- for mailboxes ----------------------------------------------------------
 */

void event_pull_begin(struct mailbox *box, unsigned wants)
{
	box->wants = wants;
	list_append(&pulling, &box->pulling);
}

void event_pull_end(struct mailbox *box)
{
	box->wants = 0;
	list_remove(&box->pulling);
}

void event_name_signals(struct mailbox *box, unsigned types)
{
	for (unsigned i = 0; i < EV_COUNT; i++)
		if ((types & SIGNALS & ~box->names) & EV_BIT(i)) {
			box->names |= EV_BIT(i);
			n_naming[i]++;
		}
}

void event_task_ended(struct task *t, struct mailbox *box)
{
	struct event *e, *after;

	list_each(e, after, &events, list) if (!box || concerns(box, e))
		count_missed(e, t);
	if (!box)
		return;
	event_pull_end(box);
	for (unsigned i = 0; i < EV_COUNT; i++)
		if (box->names & EV_BIT(i))
			n_naming[i]--;
}

bool event_terminate_task(struct task *t)
{
	struct mailbox *box = mailbox_of(t);

	if (!box || !box->wants)
		return false;
	box->told_to_terminate = true;
	task_wake(t);
	return true;
}
