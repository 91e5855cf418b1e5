/* Step 6, in a native process: contexts of its own, names, pushes. */

#include "native/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "rpc/control.h"

struct native_context *native_context_find(struct native *n, uint64_t number)
{
	struct native_context *c, *after;

	list_each(c, after, &n->contexts, list)
	{
		if (c->number == number)
			return c;
	}
	return NULL;
}

struct bound *native_bound_find(struct native *n, struct mp_bytes name)
{
	struct bound *b, *after;

	list_each(b, after, &n->names, list)
	{
		if (mp_bytes_equal(name, b->name))
			return b;
	}
	return NULL;
}

const struct native_handler *native_link_handler(const struct native_link *l,
						 void **ret_user)
{
	*ret_user = NULL;
	if (l->native->freeing)
		return NULL;
	if (l->context) {
		*ret_user = l->context->user;
		return l->context->handler;
	}
	if (l->bound) {
		*ret_user = l->bound->user;
		return l->bound->handler;
	}
	return NULL;
}

static void clear_wishes(struct native_link *l)
{
	while (!list_empty(&l->wishes)) {
		struct wish *w = list_first(&l->wishes, struct wish, list);

		list_remove(&w->list);
		free(w);
	}
	l->n_wishes = 0;
}

/* The link has ended. */
void native_holder_gone(struct native_link *l)
{
	const struct native_handler *handler;
	unsigned left = 0;
	void *user;

	clear_wishes(l);
	handler = native_link_handler(l, &user);
	if (l->context)
		left = --l->context->n_holders;
	else if (l->bound)
		left = --l->bound->n_holders;
	if (handler && handler->closed)
		handler->closed(l->native, &l->peer, left, user);
	if (l->bound && l->bound->moving)
		native_check_moved(l->native);
}

/* --- own contexts -----------------------------------------------------------
 */

int native_context_new(struct native *n, const struct native_handler *handler,
		       void *user, struct native_context **ret)
{
	struct native_context *c;

	if (n->n_contexts >= NATIVE_LINKS_MAX)
		return -EMFILE;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->native = n;
	c->number = ++n->last_context;
	c->handler = handler;
	c->user = user;
	list_append(&n->contexts, &c->list);
	n->n_contexts++;
	*ret = c;
	return 0;
}

/* Their links lead nowhere: no callback hears of their end. */
static void end_links(struct native *n, struct native_context *c,
		      struct bound *b)
{
	struct native_link *l, *after;
	bool again;

	do {
		again = false;
		list_each(l, after, &n->links, list)
		{
			if (!(c && l->context == c) && !(b && l->bound == b))
				continue;
			l->untold = c != NULL;
			l->context = NULL;
			l->bound = NULL;
			native_requests_void(l);
			native_link_end(l);
			again = true;
			break;
		}
	} while (again);
}

struct native_context *native_context_close(struct native_context *c)
{
	struct native *n;
	struct mp_writer *w;

	if (!c)
		return NULL;
	n = c->native;
	list_remove(&c->list);
	n->n_contexts--;
	n->n_closed++;
	end_links(n, c, NULL);
	if (!n->error) {
		w = native_begin(n);
		mp_write_array(w, 2);
		mp_write_uint(w, CONTROL_CONTEXT_CLOSED);
		mp_write_uint(w, c->number);
		(void)native_tell(n);
	}
	free(c);
	return NULL;
}

unsigned native_context_holders(const struct native_context *c)
{
	return c->n_holders;
}

void *native_context_user(const struct native_context *c)
{
	return c->user;
}

void native_peer_close(struct native *n, struct native_peer *peer)
{
	struct native_link *l = native_link_find(n, peer->link, false);

	if (l)
		native_link_end(l);
}

bool native_peer_granted(struct native *n, const struct native_peer *peer,
			 const char *name)
{
	const struct native_link *l = native_link_find(n, peer->link, false);

	return l && native_granted(l, (struct mp_bytes){ name, strlen(name) });
}

void native_context_refused(struct native *n, uint64_t number)
{
	struct native_context *c = native_context_find(n, number);

	if (c && c->handler->refused && !n->freeing)
		c->handler->refused(c, c->user);
}

/* --- revoking ---------------------------------------------------------------
 */

struct asked {
	struct list list;
	uint64_t id;
	uint64_t context;
	pid_t pid;
	native_answer_fn fn;
	void *user;
};

static int send_revoke(struct native *n, const struct asked *a)
{
	struct mp_writer *w = native_begin(n);

	mp_write_array(w, 4);
	mp_write_uint(w, CONTROL_REVOKE);
	mp_write_uint(w, a->id);
	mp_write_uint(w, a->context);
	mp_write_int(w, a->pid);
	return native_tell(n);
}

int native_revoke(struct native_context *c, pid_t pid, native_answer_fn fn,
		  void *user)
{
	struct native *n = c->native;
	struct asked *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->id = ++n->last_id;
	a->context = c->number;
	a->pid = pid;
	a->fn = fn;
	a->user = user;
	r = send_revoke(n, a);
	if (r < 0) {
		free(a);
		return r;
	}
	list_append(&n->asked, &a->list);
	return 0;
}

int native_revocations_again(struct native *n)
{
	struct asked *a, *after;
	int r = 0;

	list_each(a, after, &n->asked, list)
	{
		if (r == 0)
			r = send_revoke(n, a);
	}
	return r;
}

static void end_numbers(struct native *n, struct mp_bytes links)
{
	struct mp_reader r;
	uint32_t items;

	mp_reader_init(&r, links.p, links.size);
	for (items = mp_read_array(&r); items > 0 && !r.bad; items--) {
		struct native_link *l =
			native_link_find(n, mp_read_uint(&r), false);

		if (l)
			native_link_end(l);
	}
}

void native_on_revoked(struct native *n, const struct native_control *m)
{
	struct native_answer answer = { m->status, native_no_args };
	struct asked *a, *after;
	uint8_t buf[512];
	struct mp_writer w;

	if (m->links.size > 0)
		end_numbers(n, m->links);
	list_each(a, after, &n->asked, list)
	{
		if (a->id == m->id)
			break;
	}
	if (&a->list == &n->asked)
		return;
	list_remove(&a->list);
	if (m->status != STATUS_OK) {
		mp_writer_init(&w, buf, sizeof(buf));
		mp_write_array(&w, 1);
		mp_write_strn(&w, m->message.p,
			      m->message.size < 400 ? m->message.size : 400);
		answer.args = (struct mp_bytes){ (char *)buf, w.used };
	}
	if (a->fn)
		a->fn(n, &answer, a->user);
	free(a);
}

/* --- names ------------------------------------------------------------------
 */

static void bound_free(struct bound *b)
{
	struct native *n = b->native;

	list_remove(&b->list);
	end_links(n, NULL, b);
	free(b);
}

static void on_bound(struct native *n, const struct native_answer *a,
		     void *user)
{
	struct bound *b = user;
	native_answer_fn fn = b->fn;
	void *fn_user = b->fn_user;

	b->pending = NULL;
	if (a->status != STATUS_OK)
		bound_free(b);
	if (fn)
		fn(n, a, fn_user);
}

static int call_bind(struct bound *b, unsigned flags)
{
	struct native_values v;
	int r;

	native_values_init(&v);
	mp_write_array(&v.w, flags & NATIVE_FALLBACK ? 2 : 1);
	mp_write_str(&v.w, b->name);
	if (flags & NATIVE_FALLBACK) {
		mp_write_map(&v.w, 1);
		mp_write_str(&v.w, "fallback");
		mp_write_bool(&v.w, true);
	}
	r = native_call(b->native, NULL, "bind", &v, 0, on_bound, b,
			&b->pending);
	native_values_deinit(&v);
	return r;
}

int native_bind(struct native *n, const char *name, unsigned flags,
		const struct native_handler *handler, void *user,
		native_answer_fn fn, void *fn_user)
{
	const struct mp_bytes whole = { name, strlen(name) };
	struct bound *b;
	int r;

	if (!wire_check_name(name, whole.size))
		return -EINVAL;
	if (native_bound_find(n, whole))
		return -EEXIST;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->native = n;
	b->handler = handler;
	b->user = user;
	b->fn = fn;
	b->fn_user = fn_user;
	memcpy(b->name, name, whole.size);
	/* There may be callers before thoxd's answer is read. */
	list_append(&n->names, &b->list);
	r = call_bind(b, flags);
	if (r < 0) {
		list_remove(&b->list);
		free(b);
	}
	return r;
}

int native_unbind(struct native *n, const char *name)
{
	const struct mp_bytes whole = { name, strlen(name) };
	struct bound *b = native_bound_find(n, whole);
	struct native_values v;
	int r;

	if (!b)
		return -ENOENT;
	if (b->pending)
		native_cancel(b->pending);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, name);
	r = native_call(n, NULL, "unbind", &v, 0, NULL, NULL, NULL);
	native_values_deinit(&v);
	bound_free(b);
	return r;
}

/* --- another instance takes over --------------------------------------------
 */

void native_on_move(struct native *n, struct mp_bytes name)
{
	struct bound *b = native_bound_find(n, name);
	struct native_link *l, *after;

	if (!b)
		return;
	b->moving = true;
	list_each(l, after, &n->links, list)
	{
		if (l->bound != b)
			continue;
		wire_write_moved(native_begin(n));
		(void)native_link_send(l);
	}
	native_check_moved(n);
}

/* Has everybody who called a name that was taken over gone elsewhere, and all
 * that they called been answered? */
void native_check_moved(struct native *n)
{
	struct native_link *l, *after;
	struct bound *b, *next;
	bool moved = false;

	list_each(b, next, &n->names, list)
	{
		if (!b->moving)
			continue;
		moved = true;
		list_each(l, after, &n->links, list)
		{
			if (l->bound == b && (!l->moved || l->n_requests > 0 ||
					      link_has_queued(&l->link)))
				return;
		}
	}
	if (moved && !n->left && !n->error && !n->freeing) {
		n->left = true;
		(void)native_notify(n, "left", NULL);
	}
}

/* --- pushes -----------------------------------------------------------------
 */

static int send_push(struct native_link *l, const char *name,
		     const struct native_values *args)
{
	const struct fate fate = { 0 };
	struct mp_writer *w = native_begin(l->native);
	size_t offset;

	wire_begin_push(w, name, strlen(name), false);
	offset = w->used;
	if (args)
		mp_write_raw(w, args->w.data, args->w.used);
	else
		mp_write_array(w, 0);
	native_trace_push(l, true, l->peer.pid,
			  (struct mp_bytes){ name, strlen(name) },
			  w->used - offset);
	return native_parcel_send(l, offset, args ? args->slots : NULL,
				  args ? args->n_slots : 0, &fate);
}

static int check_push(const char *name, const struct native_values *args)
{
	if (!wire_check_name(name, strlen(name)))
		return -EINVAL;
	return args ? mp_writer_end(&args->w) : 0;
}

/* A push to the bus that goes when context 0 is there. */
struct late_push {
	struct list list;
	struct parcel args;
	char name[WIRE_NAME_BYTES + 1];
};

static int push_later(struct native *n, const char *name,
		      const struct native_values *args)
{
	struct late_push *p;
	size_t size = args ? args->w.used : native_no_args.size;
	int r;

	if (n->late_bytes + size > NATIVE_WAITING_BYTES)
		return -ENOBUFS;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	memcpy(p->name, name, strlen(name));
	r = native_parcel_copy(
		&p->args,
		args ? args->w.data : (const uint8_t *)native_no_args.p, size,
		args ? args->slots : NULL, args ? args->n_slots : 0);
	if (r < 0) {
		free(p);
		return r;
	}
	n->late_bytes += size;
	list_append(&n->late, &p->list);
	return native_want_zero(n);
}

static void late_free(struct native *n, struct late_push *p)
{
	n->late_bytes -= p->args.size;
	list_remove(&p->list);
	native_parcel_clear(&p->args);
	free(p);
}

void native_late_send(struct native *n)
{
	while (!list_empty(&n->late)) {
		struct late_push *p =
			list_first(&n->late, struct late_push, list);
		const struct native_values args = {
			.w = { .data = p->args.data, .used = p->args.size },
			.slots = p->args.slots,
			.n_slots = p->args.n_slots,
		};

		(void)send_push(n->zero, p->name, &args);
		late_free(n, p);
	}
}

int native_push(struct native *n, struct native_link *on, const char *name,
		const struct native_values *args)
{
	int r = n->error ? n->error : check_push(name, args);

	if (r < 0)
		return r;
	if (!on && !n->zero)
		return push_later(n, name, args);
	return send_push(on ? on : n->zero, name, args);
}

static bool wants(struct native_link *l, struct mp_bytes name)
{
	struct wish *w, *after;

	list_each(w, after, &l->wishes, list)
	{
		if (wire_below(name, w->name, w->size))
			return true;
	}
	return false;
}

int native_push_own(struct native_context *c, const char *name,
		    const struct native_values *args)
{
	const struct mp_bytes whole = { name, strlen(name) };
	struct native_link *l, *after;
	int r = check_push(name, args);

	if (r < 0)
		return r;
	list_each(l, after, &c->native->links, list)
	{
		/* One that has something queued does not keep up. */
		if (l->context != c || link_has_queued(&l->link) ||
		    !wants(l, whole) || !native_granted(l, whole))
			continue;
		(void)send_push(l, name, args);
	}
	return 0;
}

/* --- listening --------------------------------------------------------------
 */

static struct ear *find_ear(struct native *n, struct native_link *on,
			    const char *name)
{
	struct ear *e, *after;

	list_each(e, after, &n->ears, list)
	{
		if (e->link == on && strcmp(e->name, name) == 0)
			return e;
	}
	return NULL;
}

static int tell_listen(struct native_link *l, const char *name, bool on)
{
	wire_write_listen(native_begin(l->native), name, strlen(name), on);
	return native_link_send(l);
}

int native_listen(struct native *n, struct native_link *on, const char *name,
		  native_push_fn fn, void *user)
{
	struct ear *e = find_ear(n, on, name);
	int r = 0;

	if (!wire_check_name(name, strlen(name)))
		return -EINVAL;
	if (e) {
		e->fn = fn;
		e->user = user;
		return 0;
	}
	if (on || n->zero)
		r = tell_listen(on ? on : n->zero, name, true);
	else
		r = native_want_zero(n);
	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->link = on;
	e->fn = fn;
	e->user = user;
	memcpy(e->name, name, strlen(name));
	list_append(&n->ears, &e->list);
	return 0;
}

int native_unlisten(struct native *n, struct native_link *on, const char *name)
{
	struct ear *e = find_ear(n, on, name);

	if (!e)
		return -ENOENT;
	list_remove(&e->list);
	free(e);
	if (!on && !n->zero)
		return 0;
	return tell_listen(on ? on : n->zero, name, false);
}

void native_ears_tell(struct native *n, struct native_link *l)
{
	struct ear *e, *after;

	list_each(e, after, &n->ears, list)
	{
		if (!e->link)
			(void)tell_listen(l, e->name, true);
	}
}

void native_ears_gone(struct native_link *l)
{
	struct ear *e, *after;

	list_each(e, after, &l->native->ears, list)
	{
		if (e->link != l)
			continue;
		list_remove(&e->list);
		free(e);
	}
}

/* [pid, program, service, lost] of the bus. */
static void read_info(struct mp_bytes info, struct native_push *p)
{
	struct mp_reader r;
	uint32_t items;

	if (info.size == 0)
		return;
	mp_reader_init(&r, info.p, info.size);
	for (items = mp_read_map(&r); items > 0 && !r.bad; items--) {
		struct mp_bytes key = mp_read_str(&r);

		if (mp_bytes_equal(key, "pid"))
			p->pid = (pid_t)mp_read_uint(&r);
		else if (mp_bytes_equal(key, "program"))
			p->program = mp_read_str(&r);
		else if (mp_bytes_equal(key, "service"))
			p->service = mp_read_str(&r);
		else if (mp_bytes_equal(key, "lost"))
			p->lost = mp_read_uint(&r);
		else
			mp_skip(&r);
	}
}

/* To whoever listens to the longest prefix of it. */
static void hear(struct native_link *l, const struct wire_message *m)
{
	struct native *n = l->native;
	struct native_push p = { .name = m->name, .args = m->args };
	struct ear *e, *after, *best = NULL;

	list_each(e, after, &n->ears, list)
	{
		bool here = e->link ? e->link == l : l->zero;

		if (here && wire_below(m->name, e->name, strlen(e->name)) &&
		    (!best || strlen(e->name) > strlen(best->name)))
			best = e;
	}
	if (l->resolves) /* its other end is thoxd */
		read_info(m->info, &p);
	native_trace_push(l, false, p.pid, m->name, m->args.size);
	if (best && best->fn)
		best->fn(n, &p, best->user);
}

void native_on_push(struct native_link *l, const struct wire_message *m)
{
	const struct native_handler *handler;
	void *user;

	if (l->held) {
		hear(l, m);
		return;
	}
	native_trace_push(l, false, l->peer.pid, m->name, m->args.size);
	handler = native_link_handler(l, &user);
	if (handler && handler->push && native_granted(l, m->name))
		handler->push(l->native, &l->peer, m->name, m->args, user);
}

/* --- the end ----------------------------------------------------------------
 */

void native_contexts_free(struct native *n)
{
	while (!list_empty(&n->contexts))
		native_context_close(
			list_first(&n->contexts, struct native_context, list));
	while (!list_empty(&n->names))
		bound_free(list_first(&n->names, struct bound, list));
	while (!list_empty(&n->ears)) {
		struct ear *e = list_first(&n->ears, struct ear, list);

		list_remove(&e->list);
		free(e);
	}
	while (!list_empty(&n->late))
		late_free(n, list_first(&n->late, struct late_push, list));
	native_requests_free(n);
	while (!list_empty(&n->asked)) {
		struct asked *a = list_first(&n->asked, struct asked, list);

		list_remove(&a->list);
		free(a);
	}
}
