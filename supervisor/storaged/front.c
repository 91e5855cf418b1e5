/* Storage, step 13: calls come over links, answers go back. */

#include "storaged/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fs/name.h"
#include "rpc/status.h"
#include "rpc/storaged.h"
#include "storaged/limits.h"

/*
 * A context that stands for an object, until nobody holds it any more. That of
 * a lock may be given back instead: then it stands for nothing, until whoever
 * had it takes another lock. So most locks are a call and a message, and thoxd
 * has nothing to do with them.
 */
struct handed {
	struct list list;
	struct list spare; /* while it stands for nothing */
	struct front *front;
	struct native_context *context;
	struct storage_object *object; /* NULL: it stands for nothing */
	uint64_t over;		       /* the link that named it */
	uint64_t link;		       /* its first holder's */
};

static void use(struct handed *h, struct storage_object *object)
{
	h->object = object;
	storage_object_set(object, h);
	if (list_empty(&h->spare))
		return;
	list_remove(&h->spare);
	h->front->n_spare--;
}

static void handed_free(struct handed *h)
{
	list_remove(&h->list);
	if (!list_empty(&h->spare)) {
		list_remove(&h->spare);
		h->front->n_spare--;
	}
	native_context_close(h->context);
	if (h->object)
		storage_object_free(h->object);
	free(h);
}

/* --- calls ------------------------------------------------------------------ */

static void on_call(struct native_request *q, void *user)
{
	struct storage_caller *c = q->peer->data;
	struct mp_bytes name = { q->name, strlen(q->name) };

	(void)user;
	if (!c) {
		(void)native_answer_failure(q, STATUS_NOT_FOUND,
					    "this context has no calls");
		return;
	}
	storage_call(c, q, name, q->args, q->deadline_ms);
}

static void on_cancel(struct native_request *q, void *user)
{
	(void)user;
	if (q->peer->data)
		storage_cancel(q->peer->data, q);
}

static void on_opened(struct native *n, struct native_peer *peer, void *user)
{
	struct front *f = user;
	struct storage_caller *c = NULL;

	(void)n;
	if (storage_caller_new(f->storage, peer->storage, peer, &c) < 0)
		return;
	storage_caller_limit(c, peer->storage_bytes);
	storage_caller_since(c, peer->storage_since);
	peer->data = c;
}

static void on_closed(struct native *n, struct native_peer *peer, unsigned left,
		      void *user)
{
	(void)n;
	(void)left;
	(void)user;
	peer->data = storage_caller_free(peer->data);
}

static const struct native_handler on_name = { .call = on_call,
					       .cancel = on_cancel,
					       .opened = on_opened,
					       .closed = on_closed,
					       .unchecked = true };

/* --- contexts --------------------------------------------------------------- */

static void on_holder(struct native *n, struct native_peer *peer, void *user)
{
	struct handed *h = user;
	struct storage_caller *c = NULL;

	(void)n;
	if (storage_object_has_calls(h->object) &&
	    storage_caller_on(h->front->storage, h->object, peer, &c) == 0)
		peer->data = c;
}

static void on_lock_holder(struct native *n, struct native_peer *peer,
			   void *user)
{
	struct handed *h = user;

	if (!h->object) /* it is passed on that it is his no more */
		native_peer_close(n, peer);
	else if (!h->link)
		h->link = peer->link;
}

static void spare(struct handed *h)
{
	struct front *f = h->front;
	struct storage_object *o = steal(&h->object);

	if (f->n_spare >= STORAGE_SPARES_MAX)
		handed_free(list_first(&f->spare, struct handed, spare));
	list_append(&f->spare, &h->spare);
	f->n_spare++;
	storage_object_free(o); /* who waited for it may get this context */
}

static void on_lock_returned(struct native *n, struct native_peer *peer,
			     void *user)
{
	struct handed *h = user;

	if (h->object && peer->link == h->link &&
	    native_context_holders(h->context) == 1)
		spare(h);
	else
		native_peer_close(n, peer);
}

static void on_holder_gone(struct native *n, struct native_peer *peer,
			   unsigned left, void *user)
{
	struct handed *h = user;

	(void)n;
	peer->data = storage_caller_free(peer->data);
	if (left == 0)
		handed_free(h);
}

static void on_refused(struct native_context *c, void *user)
{
	/* Whoever asked for it was gone before he had it. */
	if (native_context_holders(c) == 0)
		handed_free(user);
}

static const struct native_handler on_context = { .call = on_call,
						  .cancel = on_cancel,
						  .opened = on_holder,
						  .closed = on_holder_gone,
						  .refused = on_refused };

static const struct native_handler on_lock = { .opened = on_lock_holder,
					       .closed = on_holder_gone,
					       .returned = on_lock_returned,
					       .refused = on_refused };

/* --- what storage asks for ---------------------------------------------------- */

static void op_answer(void *request, int status, struct mp_bytes args)
{
	struct native_request *q = request;
	struct native_values v;
	struct mp_reader r;
	struct mp_bytes text;

	if (status == STATUS_OK) {
		/* They are sent before this returns: no copy is needed. */
		v = (struct native_values){ .w = { .data = (uint8_t *)args.p,
						   .size = args.size,
						   .used = args.size } };
		(void)native_answer(q, &v);
		return;
	}
	mp_reader_init(&r, args.p, args.size);
	(void)mp_read_array(&r);
	text = mp_read_str(&r);
	(void)native_answer_failure(q, status, "%.*s", (int)text.size, text.p);
}

static int handed_new(struct front *f, struct storage_object *object,
		      uint64_t over, struct handed **ret)
{
	const struct native_handler *handler =
		storage_object_is_lock(object) ? &on_lock : &on_context;
	struct handed *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = native_context_new(f->native, handler, h, &h->context);
	if (r < 0) {
		free(h);
		return r;
	}
	h->front = f;
	h->over = over;
	list_init(&h->spare);
	use(h, object);
	list_append(&f->handed, &h->list);
	*ret = h;
	return 0;
}

/* One that whoever asks has given back. */
static struct handed *find_spare(struct front *f, uint64_t over)
{
	struct handed *h, *after;

	list_each(h, after, &f->spare, spare)
	{
		if (h->over == over)
			return h;
	}
	return NULL;
}

static void answer_again(struct native_request *q, struct handed *h)
{
	struct native_values v;
	int r;

	native_values_init(&v);
	mp_write_array(&v.w, 1);
	native_write_again(&v, h->link);
	r = native_answer(q, &v);
	native_values_deinit(&v);
	if (r < 0)
		handed_free(h);
}

static void op_hand(void *front, void *request, struct storage_object *object,
		    const struct storage_file *file)
{
	struct native_request *q = request;
	struct native_values v;
	struct handed *h = storage_object_is_lock(object)
				   ? find_spare(front, q->peer->link)
				   : NULL;
	int r;

	if (h) {
		use(h, object);
		answer_again(q, h);
		return;
	}
	r = handed_new(front, object, q->peer->link, &h);
	if (r < 0) {
		storage_object_free(object);
		(void)native_answer_failure(q, STATUS_TOO_LARGE,
					    "storaged has too many contexts");
		return;
	}
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	if (file)
		native_write_own_file(
			&v, h->context,
			&(struct native_file){ .inode = file->inode,
					       .limit_bytes = file->limit_bytes,
					       .write = file->write });
	else
		native_write_own(&v, h->context);
	r = native_answer(q, &v);
	native_values_deinit(&v);
	if (r < 0)
		handed_free(h);
}

static void op_close(struct storage_object *object)
{
	handed_free(storage_object_get(object));
}

static int op_may_open(void *front, void *user, const char *program)
{
	struct front *f = front;
	struct native_peer *peer = user;
	char name[sizeof(STORAGED_OPEN) + NAME_MAX_BYTES + 1];

	snprintf(name, sizeof(name), STORAGED_OPEN ".%s", program);
	return native_peer_granted(f->native, peer, STORAGED_OPEN) &&
			       native_peer_granted(f->native, peer, name)
		       ? 0
		       : -EPERM;
}

static int op_may_admin(void *front, void *user, const char *name)
{
	struct front *f = front;

	return native_peer_granted(f->native, user, name) ? 0 : -EPERM;
}

static int64_t op_pid(void *user)
{
	const struct native_peer *peer = user;

	return peer->pid;
}

const struct storage_ops front_ops = { .answer = op_answer,
				       .hand = op_hand,
				       .close = op_close,
				       .may_open = op_may_open,
				       .may_admin = op_may_admin,
				       .pid = op_pid };

/* --- the loop ----------------------------------------------------------------- */

static void on_io(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct front *f = watcher->data;
	int r = native_dispatch(f->native);

	(void)events;
	if (r < 0) {
		f->error = r;
		ev_break(loop, EVBREAK_ALL);
	}
}

static void on_bound(struct native *n, const struct native_answer *a,
		     void *user)
{
	struct front *f = user;

	if (a->status == STATUS_OK) {
		(void)native_notify(n, "ready", NULL);
		return;
	}
	f->error = -EADDRINUSE;
	ev_break(f->loop, EVBREAK_ALL);
}

int front_init(struct front *f, struct ev_loop *loop, struct native *native)
{
	int r;

	*f = (struct front){ .loop = loop, .native = native };
	list_init(&f->handed);
	list_init(&f->spare);
	ev_io_init(&f->io, on_io, native_fd(native), EV_READ);
	f->io.data = f;
	ev_io_start(loop, &f->io);
	r = native_bind(native, STORAGED_NAME, 0, &on_name, f, on_bound, f);
	if (r < 0)
		front_deinit(f);
	return r;
}

void front_deinit(struct front *f)
{
	ev_io_stop(f->loop, &f->io);
	if (f->storage)
		storage_leave(f->storage);
	while (!list_empty(&f->handed))
		handed_free(list_first(&f->handed, struct handed, list));
}
