/*
 * Step 6, in a native process: messages with contexts in them.
 *
 * A context travels as the number of a link, which thoxd makes when asked to
 * share it. So such a message waits on its link until thoxd has answered for
 * each, has the numbers written into it, and goes; what is sent on the link
 * after it waits behind it.
 */

#include "native/private.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/control.h"

/* A context that thoxd is asked to share. */
struct share {
	struct list list;
	uint64_t id;
	struct outgoing *outgoing; /* NULL: nobody waits any more */
	struct native_slot slot;
	uint64_t link; /* over which it is shared */
};

#define CONTEXT_BYTES 8

/* --- values -----------------------------------------------------------------
 */

void native_values_init(struct native_values *v)
{
	*v = (struct native_values){ 0 };
	mp_writer_init_heap(&v->w);
}

void native_values_clear(struct native_values *v)
{
	if (v->w.bad) {
		mp_writer_deinit(&v->w);
		mp_writer_init_heap(&v->w);
	}
	v->w.used = 0;
	v->n_slots = 0;
}

void native_values_deinit(struct native_values *v)
{
	mp_writer_deinit(&v->w);
	free(v->slots);
	v->slots = NULL;
	v->n_slots = 0;
}

static void write_slot(struct native_values *v, uint64_t number, bool own)
{
	struct native_slot *slots;

	if (v->n_slots >= NATIVE_CONTEXTS_MAX) {
		v->w.bad = true;
		return;
	}
	slots = realloc(v->slots, (v->n_slots + 1) * sizeof(*slots));
	if (!slots) {
		v->w.bad = true;
		return;
	}
	v->slots = slots;
	wire_write_context(&v->w, 0);
	if (v->w.bad)
		return;
	slots[v->n_slots++] = (struct native_slot){
		.offset = v->w.used - CONTEXT_BYTES,
		.number = number,
		.own = own,
	};
}

void native_write_own(struct native_values *v, const struct native_context *c)
{
	write_slot(v, c->number, true);
}

void native_write_own_file(struct native_values *v,
			   const struct native_context *c,
			   const struct native_file *file)
{
	write_slot(v, c->number, true);
	if (!v->w.bad)
		v->slots[v->n_slots - 1].file = *file;
}

void native_write_link(struct native_values *v, const struct native_link *l)
{
	write_slot(v, l->number, false);
}

void native_write_again(struct native_values *v, uint64_t link)
{
	wire_write_context(&v->w, link);
}

/* --- parcels ----------------------------------------------------------------
 */

int native_parcel_copy(struct parcel *p, const uint8_t *data, size_t size,
		       const struct native_slot *slots, unsigned n_slots)
{
	struct parcel copy = { .size = size, .n_slots = n_slots };

	copy.data = malloc(size ? size : 1);
	copy.slots = calloc(n_slots ? n_slots : 1, sizeof(*slots));
	if (!copy.data || !copy.slots) {
		native_parcel_clear(&copy);
		return -ENOMEM;
	}
	memcpy(copy.data, data, size);
	if (n_slots > 0)
		memcpy(copy.slots, slots, n_slots * sizeof(*slots));
	*p = copy;
	return 0;
}

void native_parcel_clear(struct parcel *p)
{
	free(p->data);
	free(p->slots);
	*p = (struct parcel){ 0 };
}

/* --- waiting ----------------------------------------------------------------
 */

void native_parcel_forget(struct outgoing *o)
{
	struct share *s, *after;

	list_each(s, after, &o->link->native->shares, list)
	{
		if (s->outgoing == o)
			s->outgoing = NULL;
	}
	if (o->pending)
		o->pending->outgoing = NULL;
	o->link->waiting_bytes -= o->parcel.size;
	list_remove(&o->list);
	native_parcel_clear(&o->parcel);
	free(o->message);
	free(o);
}

static void write_file(struct mp_writer *w, const struct native_file *file)
{
	mp_write_str(w, "inode");
	mp_write_uint(w, file->inode);
	mp_write_str(w, "limit_bytes");
	mp_write_uint(w, file->limit_bytes);
	mp_write_str(w, "write");
	mp_write_bool(w, file->write);
}

static int send_share(struct native *n, const struct share *s)
{
	const struct native_slot *slot = &s->slot;
	struct mp_writer *w = native_begin(n);

	mp_write_array(w, slot->own ? 5 : 4);
	mp_write_uint(w, slot->own ? CONTROL_SHARE_OWN : CONTROL_SHARE_HELD);
	mp_write_uint(w, s->id);
	mp_write_uint(w, slot->number);
	mp_write_uint(w, s->link);
	if (slot->own) {
		mp_write_map(w, slot->file.inode > 0 ? 4 : 1);
		mp_write_str(w, "joined");
		mp_write_bool(w, true);
	}
	if (slot->file.inode > 0)
		write_file(w, &slot->file);
	return native_tell(n);
}

static int ask_share(struct outgoing *o, const struct native_slot *slot)
{
	struct native *n = o->link->native;
	struct share *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->id = ++n->last_id;
	s->outgoing = o;
	s->slot = *slot;
	s->link = o->link->number;
	r = send_share(n, s);
	if (r < 0) {
		free(s);
		return r;
	}
	list_append(&n->shares, &s->list);
	o->n_missing++;
	return 0;
}

int native_shares_again(struct native *n)
{
	struct share *s, *after;
	int r = 0;

	list_each(s, after, &n->shares, list)
	{
		if (r == 0)
			r = send_share(n, s);
	}
	return r;
}

/* A message that cannot go as it is: whoever waits for it is told. */
static void give_up(struct outgoing *o, int status, const char *message)
{
	struct native_link *l = o->link;
	struct native_pending *p = o->pending;
	uint32_t cid = o->cid;
	bool answer = o->answer;
	char text[256];

	snprintf(text, sizeof(text), "%s", message);
	native_parcel_forget(o);
	if (p) {
		native_pending_fail(p, status, text);
	} else if (answer) {
		wire_write_failure(native_begin(l->native), cid, status, text);
		(void)native_link_send(l);
	}
}

static void send_whole(struct outgoing *o)
{
	struct native_link *l = o->link;
	struct mp_writer *w = native_begin(l->native);
	int r;

	mp_write_raw(w, o->parcel.data, o->parcel.size);
	r = native_link_send(l);
	if (r == 0)
		native_parcel_forget(o);
	else if (r == -EMSGSIZE || r == -ENOBUFS)
		give_up(o, STATUS_TOO_LARGE,
			"the message is larger than the other end takes");
	else
		give_up(o, STATUS_CLOSED, strerror(-r));
}

/* Send what has all its contexts, in order. */
static void advance(struct native_link *l)
{
	while (!l->ended && !list_empty(&l->waiting)) {
		struct outgoing *o =
			list_first(&l->waiting, struct outgoing, list);

		if (o->n_missing > 0)
			return;
		if (o->status != STATUS_OK)
			give_up(o, o->status, o->message ? o->message : "");
		else
			send_whole(o);
	}
}

void native_on_shared(struct native *n, const struct native_control *m)
{
	struct share *s, *after;
	struct outgoing *o;

	list_each(s, after, &n->shares, list)
	{
		if (s->id == m->id)
			break;
	}
	if (&s->list == &n->shares)
		return;
	o = s->outgoing;
	list_remove(&s->list);
	if (o) {
		uint64_t number = htobe64(m->link);

		o->n_missing--;
		memcpy(o->parcel.data + s->slot.offset, &number,
		       sizeof(number));
		if (m->status != STATUS_OK && o->status == STATUS_OK) {
			o->status = m->status;
			o->message = strndup(m->message.p, m->message.size);
		}
		advance(o->link);
	}
	if (m->status != STATUS_OK && s->slot.own)
		native_context_refused(n, s->slot.number);
	free(s);
}

void native_shares_drop(struct native *n)
{
	struct share *s, *after;

	list_each(s, after, &n->shares, list)
	{
		free(s);
	}
	list_init(&n->shares);
}

static int wait_for_contexts(struct native_link *l, size_t args_offset,
			     const struct native_slot *slots, unsigned n_slots,
			     const struct fate *fate)
{
	const struct mp_writer *w = &l->native->out;
	struct outgoing *o;
	int r = mp_writer_end(w);

	if (r == 0 && w->used > l->peer_limit_bytes)
		r = -EMSGSIZE;
	if (r == 0 && l->waiting_bytes > 0 &&
	    l->waiting_bytes + w->used > NATIVE_WAITING_BYTES)
		r = -ENOBUFS;
	if (r < 0)
		return r;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->link = l;
	r = native_parcel_copy(&o->parcel, w->data, w->used, slots, n_slots);
	if (r < 0) {
		free(o);
		return r;
	}
	l->waiting_bytes += w->used;
	list_append(&l->waiting, &o->list);
	for (unsigned i = 0; i < n_slots && r == 0; i++) {
		o->parcel.slots[i].offset += args_offset;
		r = ask_share(o, &o->parcel.slots[i]);
	}
	if (r < 0) {
		native_parcel_forget(o);
		return r;
	}
	o->pending = fate->pending;
	o->answer = fate->answer;
	o->cid = fate->cid;
	if (o->pending)
		o->pending->outgoing = o;
	return 0;
}

int native_parcel_send(struct native_link *l, size_t args_offset,
		       const struct native_slot *slots, unsigned n_slots,
		       const struct fate *fate)
{
	if (l->ended)
		return -EPIPE;
	if (n_slots == 0 && list_empty(&l->waiting))
		return native_link_send(l);
	return wait_for_contexts(l, args_offset, slots, n_slots, fate);
}
