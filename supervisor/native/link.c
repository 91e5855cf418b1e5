/*
 * Step 6, in a native process: both ends of links.
 *
 * A link is read one message at a time. It is not read while its other end
 * does not take what is sent to it, or has NATIVE_REQUESTS_MAX requests open:
 * so nothing grows with what a peer sends, and the peer waits in the end. A
 * link that is not read is not noticed to end either; its end comes then with
 * the error of what is sent.
 */

#include "native/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "rpc/control.h"

#define HELLO_BYTES 64

static void on_ready(struct source *s, uint32_t events);

struct native_link *native_link_find(struct native *n, uint64_t number,
				     bool held)
{
	struct native_link *l = n->buckets[number % LINK_BUCKETS];

	while (l && (l->number != number || l->held != held))
		l = l->next;
	return l;
}

static void table_add(struct native_link *l)
{
	struct native_link **at = &l->native->buckets[l->number % LINK_BUCKETS];

	l->next = *at;
	*at = l;
	list_append(&l->native->links, &l->list);
	l->native->n_links++;
}

static void table_remove(struct native_link *l)
{
	struct native_link **at = &l->native->buckets[l->number % LINK_BUCKETS];

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	list_remove(&l->list);
	l->native->n_links--;
}

/* --- life -------------------------------------------------------------------
 */

static int copy_peer(struct native_link *l, const struct native_control *m)
{
	size_t n = m->program.size, k = m->service.size, s = m->storage.size;
	char *p = calloc(1, n + k + s + 3);

	if (!p)
		return -ENOMEM;
	l->peer_text = p;
	l->peer.link = m->link;
	l->peer.pid = m->pid;
	l->peer.storage_bytes = m->storage_bytes;
	l->peer.storage_since = m->storage_since;
	if (n > 0)
		l->peer.program = memcpy(p, m->program.p, n);
	if (k > 0)
		l->peer.service = memcpy(p + n + 1, m->service.p, k);
	if (s > 0)
		l->peer.storage = memcpy(p + n + k + 2, m->storage.p, s);
	if (m->grants.size > NATIVE_GRANT_BYTES)
		return -EMSGSIZE;
	if (m->grants.size > 0) {
		l->grants = malloc(m->grants.size);
		if (!l->grants)
			return -ENOMEM;
		memcpy(l->grants, m->grants.p, m->grants.size);
		l->grants_size = m->grants.size;
	}
	return 0;
}

/* Nobody here wants a signal for what comes, whoever had the socket before. */
static void calm(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_ASYNC))
		(void)fcntl(fd, F_SETFL, flags & ~O_ASYNC);
}

static void init_lists(struct native_link *l)
{
	list_init(&l->list);
	list_init(&l->waiting);
	list_init(&l->pending);
	list_init(&l->routes);
	list_init(&l->requests);
	list_init(&l->wishes);
}

static struct native_link *allocate(struct native *n,
				    const struct native_control *m, int fd,
				    bool held)
{
	struct native_link *l = calloc(1, sizeof(*l));

	if (!l) {
		fd_close(fd);
		return NULL;
	}
	init_lists(l);
	l->native = n;
	l->number = m->link;
	l->over = m->over;
	l->held = held;
	l->zero = m->zero;
	l->resolves = m->resolves;
	l->peer_limit_bytes = LINK_MESSAGE_BYTES;
	link_init(&l->link, fd);
	l->link.bytes_only = true;
	/* Whoever is served is not read while its answers wait, so what may
	 * wait is the answers to requests that were read already. */
	l->link.queue_limit_bytes =
		held ? LINK_QUEUE_BYTES : 2 * LINK_MESSAGE_BYTES;
	l->source.fd = fd;
	l->source.on_ready = on_ready;
	calm(fd);
	return l;
}

static void discard(struct native_link *l)
{
	link_deinit(&l->link); /* again: nothing happens */
	free(l->peer_text);
	free(l->grants);
	free(l);
}

/* Before the first message, and not before: most contexts are only passed on,
 * and a hello wakes its reader. */
int native_link_greet(struct native_link *l)
{
	const struct native_handler *handler;
	uint8_t buf[HELLO_BYTES];
	struct mp_writer w;
	void *user;

	handler = l->held ? NULL : native_link_handler(l, &user);
	l->greeted = true;
	mp_writer_init(&w, buf, sizeof(buf));
	if (handler && handler->returned)
		wire_write_hello_returns(&w, l->link.limit_bytes);
	else
		wire_write_hello(&w, l->link.limit_bytes);
	return link_send(&l->link, w.data, w.used, NULL, 0);
}

/* A peer that shares and never says so must not fill the table. */
static bool too_many_untaken(struct native *n, uint64_t over)
{
	struct native_link *l, *after;
	unsigned count = 0;

	if (n->n_links < NATIVE_CONTEXTS_MAX)
		return false;
	list_each(l, after, &n->links, list)
	{
		if (l->held && !l->zero && l->refs == 0 && l->over == over)
			count++;
	}
	return count >= NATIVE_CONTEXTS_MAX;
}

/* What the holder of @l calls on; one that was closed meanwhile: -ENOENT. */
static int find_owned(struct native_link *l, const struct native_control *m)
{
	struct native *n = l->native;

	if (m->context)
		l->context = native_context_find(n, m->context);
	else
		l->bound = native_bound_find(n, m->name);
	return l->context || l->bound ? copy_peer(l, m) : -ENOENT;
}

static int may_open(struct native *n, const struct native_control *m, bool held)
{
	if (native_link_find(n, m->link, held))
		return -EPROTO;
	if (n->n_links >= NATIVE_LINKS_MAX ||
	    (held && too_many_untaken(n, m->over)))
		return -EMFILE;
	return 0;
}

int native_link_open(struct native *n, const struct native_control *m, int fd,
		     bool held, struct native_link **ret)
{
	struct native_link *l;
	int r = fd < 0 ? -EPROTO : may_open(n, m, held);

	if (r < 0) {
		fd_close(fd);
		return r;
	}
	l = allocate(n, m, fd, held);
	if (!l)
		return -ENOMEM;
	if (!held)
		r = find_owned(l, m);
	if (r == 0)
		r = native_source_set(n, &l->source, EPOLLIN);
	if (r < 0) {
		discard(l);
		return r;
	}
	table_add(l);
	*ret = l;
	return 0;
}

static void tell_closed(struct native_link *l)
{
	struct mp_writer *w = native_begin(l->native);

	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_LINK_CLOSED);
	mp_write_uint(w, l->number);
	(void)native_tell(l->native);
}

/* What came over it and was not told of yet never will be. */
static void close_given(struct native_link *l)
{
	struct native_link *given, *after;

	list_each(given, after, &l->native->links, list)
	{
		if (given->held && given->over == l->number &&
		    given->refs == 0 && !given->zero &&
		    list_empty(&given->pending)) {
			native_link_end(given);
			after = list_first(&l->native->links,
					   struct native_link, list);
		}
	}
}

/* Everything that hangs on it learns of the end. */
static void let_go(struct native_link *l)
{
	while (!list_empty(&l->waiting))
		native_parcel_forget(
			list_first(&l->waiting, struct outgoing, list));
	if (l->held) {
		if (l->native->zero == l) {
			l->native->zero = NULL;
			l->native->zero_wanted = false;
		}
		native_routes_drop(l->native, l);
		native_routes_clear(l);
		native_ears_gone(l);
		/* Their callbacks may call again: on another link. */
		while (!list_empty(&l->pending)) {
			struct native_pending *p = list_first(
				&l->pending, struct native_pending, list);

			native_pending_fail(p, STATUS_CLOSED,
					    "it was gone before it answered");
		}
		if (l->on_end && l->refs > 0)
			l->on_end(l, l->end_user);
	} else {
		native_requests_gone(l);
		native_holder_gone(l);
	}
}

void native_link_end(struct native_link *l)
{
	struct native *n = l->native;
	uint64_t context = l->context ? l->context->number : 0;
	uint64_t closed = n->n_closed;

	if (l->ended)
		return;
	l->ended = true;
	(void)native_source_set(n, &l->source, 0);
	table_remove(l);
	l->refs++; /* while callbacks run */
	close_given(l);
	let_go(l);
	l->refs--;
	/* One whose last holder was this is mostly closed in a callback. */
	if (context && n->n_closed != closed)
		l->untold = !native_context_find(n, context);
	if (!l->untold && !n->error)
		tell_closed(l);
	link_deinit(&l->link);
	list_append(&n->garbage, &l->list);
}

void native_collect(struct native *n)
{
	struct native_link *l, *after;

	list_each(l, after, &n->garbage, list)
	{
		if (l->refs > 0)
			continue; /* somebody keeps it, ended as it is */
		list_remove(&l->list);
		discard(l);
	}
}

void native_link_unref(struct native_link *l)
{
	/* One that has ended is among the garbage already. */
	if (--l->refs == 0 && !l->ended && !l->zero && list_empty(&l->pending))
		native_link_end(l);
}

struct native_link *native_link_close(struct native_link *l)
{
	if (!l)
		return NULL;
	l->on_end = NULL;
	if (l->refs == 1 && !l->ended) {
		l->refs = 0;
		native_link_end(l);
	} else {
		native_link_unref(l);
	}
	return NULL;
}

bool native_link_ended(const struct native_link *l)
{
	return l->ended;
}

void native_link_on_end(struct native_link *l,
			void (*fn)(struct native_link *l, void *user),
			void *user)
{
	l->on_end = fn;
	l->end_user = user;
}

/* --- sending ----------------------------------------------------------------
 */

void native_link_watch(struct native_link *l)
{
	uint32_t events = 0;

	if (l->ended)
		return;
	if (l->held ||
	    (!link_has_queued(&l->link) && l->n_requests < NATIVE_REQUESTS_MAX))
		events |= EPOLLIN;
	if (link_has_queued(&l->link))
		events |= EPOLLOUT;
	/* EPOLLHUP comes unasked: then it is read to its end. */
	if (events == 0)
		events = EPOLLRDHUP;
	if (native_source_set(l->native, &l->source, events) < 0)
		native_link_end(l);
}

int native_link_send(struct native_link *l)
{
	const struct mp_writer *w = &l->native->out;
	int r = mp_writer_end(w);

	if (l->ended)
		return -EPIPE;
	if (r == 0 && w->used > l->peer_limit_bytes)
		r = -EMSGSIZE;
	if (r == 0 && !l->greeted)
		r = native_link_greet(l);
	if (r < 0)
		return r;
	r = link_send(&l->link, w->data, w->used, NULL, 0);
	if (r == 0 && link_has_queued(&l->link))
		native_link_watch(l);
	return r;
}

/* --- receiving --------------------------------------------------------------
 */

static void on_moved(struct native_link *l)
{
	if (l->held) {
		wire_write_moved(native_begin(l->native));
		(void)native_link_send(l);
		native_routes_drop(l->native, l);
	}
	l->moved = true; /* of an owner's: nobody calls any more */
	if (!l->held)
		native_check_moved(l->native);
}

static void on_resolve(struct native_link *l, uint32_t cid)
{
	struct mp_writer *w = native_begin(l->native);

	wire_begin_answer(w, cid, STATUS_OK);
	mp_write_array(w, 1);
	mp_write_str(w, "");
	(void)native_link_send(l);
}

static void on_stray_call(struct native_link *l, uint32_t cid)
{
	wire_write_failure(native_begin(l->native), cid, STATUS_NOT_FOUND,
			   "calls go from the holder to the owner");
	(void)native_link_send(l);
}

static void handle(struct native_link *l, const struct wire_message *m)
{
	switch (m->kind) {
	case WIRE_HELLO:
		if (m->message_bytes > 0)
			l->peer_limit_bytes = m->message_bytes;
		break;
	case WIRE_CALL:
		if (l->held)
			on_stray_call(l, m->cid);
		else
			native_on_call(l, m);
		break;
	case WIRE_ANSWER:
		if (l->held)
			native_on_answer(l, m);
		break;
	case WIRE_CANCEL:
		if (!l->held)
			native_on_cancel(l, m->cid);
		break;
	case WIRE_PUSH:
		native_on_push(l, m);
		break;
	case WIRE_LISTEN:
		if (!l->held)
			native_on_listen(l, m);
		break;
	case WIRE_MOVED:
		on_moved(l);
		break;
	case WIRE_RESOLVE:
		on_resolve(l, m->cid);
		break;
	case WIRE_RETURN:
		if (!l->held)
			native_on_return(l);
		break;
	default:
		break; /* of a newer peer */
	}
}

/* What to do with each number of a context in a message of @l. */
typedef bool (*number_fn)(struct native_link *l, uint64_t number);

/* True when @fn was for some number. */
static bool each_context(struct native_link *l, struct mp_reader *r,
			 number_fn fn)
{
	bool found = false;
	uint64_t number;
	uint32_t items;

	switch (mp_peek(r)) {
	case MP_ARRAY:
		for (items = mp_read_array(r); items > 0 && !r->bad; items--)
			found |= each_context(l, r, fn);
		break;
	case MP_MAP:
		for (items = mp_read_map(r) * 2; items > 0 && !r->bad; items--)
			found |= each_context(l, r, fn);
		break;
	case MP_EXT:
		number = wire_read_context(r);
		return number && fn(l, number);
	default:
		mp_skip(r);
	}
	return found;
}

static bool is_unknown(struct native_link *l, uint64_t number)
{
	return !native_link_find(l->native, number, true);
}

/* The message is over: who did not take its context does not want it. */
static bool close_untaken(struct native_link *l, uint64_t number)
{
	struct native_link *given = native_link_find(l->native, number, true);

	if (given && given->over == l->number && given->refs == 0 &&
	    !given->zero)
		native_link_end(given);
	return true;
}

/* An extension of eight bytes begins with one of these two: most messages
 * have none, and need not be taken apart to know. */
static bool may_have_contexts(struct mp_bytes args)
{
	return args.size > 0 && (memchr(args.p, 0xc7, args.size) ||
				 memchr(args.p, 0xd7, args.size));
}

static bool contexts_in(struct native_link *l, struct mp_bytes args,
			number_fn fn)
{
	struct mp_reader r;

	if (!may_have_contexts(args))
		return false;
	mp_reader_init(&r, args.p, args.size);
	return each_context(l, &r, fn);
}

/* Keep what @m points to: the record buffer is about to be used again. */
static int keep(struct link_message *m)
{
	uint8_t *copy;

	if (m->owned)
		return 0;
	copy = malloc(m->size);
	if (!copy)
		return -ENOMEM;
	m->data = m->owned = memcpy(copy, m->data, m->size);
	return 0;
}

static int accept_message(struct native_link *l, struct link_message *raw)
{
	struct wire_message m;
	int r = wire_parse(raw->data, raw->size, &m);

	if (r < 0)
		return r;
	if (contexts_in(l, m.args, is_unknown)) {
		/* thoxd has told of them before: that waits to be read. */
		r = keep(raw);
		if (r < 0)
			return r;
		native_drain_control(l->native);
		if (l->ended)
			return 0;
		(void)wire_parse(raw->data, raw->size, &m);
	}
	l->native->reading = l->number;
	handle(l, &m);
	l->native->reading = 0;
	contexts_in(l, m.args, close_untaken);
	return 0;
}

static void on_ready(struct source *s, uint32_t events)
{
	struct native_link *l = container_of(s, struct native_link, source);
	struct link_message m;
	int r = 0;

	if (events & EPOLLOUT) {
		r = link_flush(&l->link);
		if (r == 0)
			native_link_watch(l);
	}
	if (r == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) &&
	    !l->ended) {
		r = link_receive(&l->link, false, &m);
		if (r > 0) {
			r = accept_message(l, &m);
			link_message_deinit(&m);
		}
	}
	if (r < 0)
		native_link_end(l);
}

struct native_link *native_take(struct native *n, struct mp_reader *r)
{
	struct native_link *l;
	uint64_t number;

	if (mp_peek(r) == MP_NIL) {
		mp_read_nil(r);
		return NULL;
	}
	number = wire_read_context(r);
	l = number ? native_link_find(n, number, true) : NULL;
	if (!l || l->over == 0 || l->over != n->reading)
		return NULL;
	l->refs++;
	return l;
}
