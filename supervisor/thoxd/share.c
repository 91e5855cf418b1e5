/*
 * Step 9: a context is shared.
 *
 * A share names everything by number and looks it up each time that it gets a
 * chance, since what it names may end while it waits. Two waits are possible:
 * until the link can be made, and until the receiver was told of it.
 */

#include "thoxd/share.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/holding.h"
#include "thoxd/making.h"
#include "thoxd/message.h"
#include "thoxd/server.h"
#include "thoxd/stream_file.h"
#include "thoxd/zero.h"

struct share {
	struct waiter waiter;
	struct list list; /* in the sharer's */
	struct principal *sharer;
	uint64_t id;
	uint64_t context; /* own, or 0 */
	uint64_t link;	  /* held, or 0 */
	uint64_t to;
	bool joined;
	bool answered; /* by what the sharer was told as the owner */
	struct stream_wish file;
	uint64_t made; /* the link's number, when the receiver is told */
};

static void share_free(struct share *share)
{
	list_remove(&share->waiter.list);
	list_remove(&share->list);
	share->sharer->n_shares--;
	free(share);
}

static int answer(struct principal *p, uint64_t id, int status, uint64_t link,
		  const char *message)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_SHARED);
	mp_write_uint(&w, id);
	mp_write_int(&w, status);
	if (status == STATUS_OK)
		mp_write_uint(&w, link);
	else
		mp_write_str(&w, message);
	return principal_send(p, &w, NULL, 0);
}

static int fail(struct share *share, int error)
{
	int r = answer(share->sharer, share->id, making_status(error), 0,
		       making_text(error));

	share_free(share);
	return r;
}

static int succeed(struct share *share, uint64_t link)
{
	int r = 0;

	if (!share->answered)
		r = answer(share->sharer, share->id, STATUS_OK, link, NULL);
	share_free(share);
	return r;
}

/* What is shared: a context, or a link to thoxd (then without one). */
struct source {
	struct context *context;
	struct holding *held; /* NULL: an own context */
};

static int find_source(const struct share *share, struct source *ret)
{
	struct principal *p = share->sharer;
	struct source source = { 0 };

	if (share->context) {
		source.context = context_get(p, share->context);
		*ret = source;
		return source.context ? 0 : -ENOMEM;
	}
	source.held = holding_find(p->server, share->link);
	if (!source.held || source.held->state != HOLDING_LINK ||
	    source.held->holder != p)
		return -EPIPE;
	source.context = source.held->context;
	*ret = source;
	return 0;
}

/* thoxd keeps the right and looks for it when a message names it. */
static int keep_right(const struct share *share, const struct source *source,
		      struct zero *z, uint64_t *ret_number)
{
	struct principal *p = share->sharer;
	struct principal *as = source->context ? p : source->held->as;
	struct holding *right;

	if (p->n_rights >= PRINCIPAL_RIGHTS_MAX)
		return -E2BIG;
	right = holding_new(p->server, HOLDING_RIGHT, source->context, p, as,
			    source->held, NULL);
	if (!right)
		return -ENOMEM;
	right->over = share->to;
	list_append(&z->rights, &right->of_call);
	*ret_number = right->number;
	return 0;
}

static int make(struct share *share, const struct source *source,
		const struct holding *to, struct principal *receiver,
		uint64_t *ret_number, struct principal **ret_wait)
{
	_cleanup_(fd_closep) int file = -1;
	struct making m = {
		.context = source->context,
		.receiver = receiver,
		.as = receiver,
		.wisher = share->sharer,
		.through = source->held,
		.over = share->to,
		.answers = share->joined ? &share->id : NULL,
		.answered = &share->answered,
	};
	struct holding *link;
	int r;

	if (!source->context)
		return zero_share(source->held, receiver, share->to, ret_number,
				  ret_wait);
	if (share->file.inode > 0 &&
	    stream_file_open(share->sharer, to, &share->file, &file) == 0)
		m.file = &file;
	r = making_link(&m, &link, ret_wait);
	if (r == 0)
		*ret_number = link->number;
	return r;
}

static void on_go(struct waiter *w);

/* It was made; the sharer may name it once the receiver was told. */
static int conclude(struct share *share, struct principal *receiver,
		    uint64_t number)
{
	if (!principal_busy(receiver))
		return succeed(share, number);
	share->made = number;
	principal_wait(receiver, &share->waiter);
	return 0;
}

static int attempt(struct share *share)
{
	struct principal *p = share->sharer, *receiver, *wait = NULL;
	struct holding *to = holding_find(p->server, share->to);
	struct source source = { 0 };
	uint64_t number;
	int r;

	if (!to || to->state != HOLDING_LINK || !holding_is_end(to, p))
		return fail(share, -EPIPE);
	receiver = holding_other(to, p);
	r = find_source(share, &source);
	if (r == 0)
		r = receiver
			    ? make(share, &source, to, receiver, &number, &wait)
			    : keep_right(share, &source, to->zero, &number);
	if (share->context && source.context)
		context_put(source.context);
	if (r == -EAGAIN) {
		making_wait(p->server, wait, &share->waiter);
		return 0;
	}
	if (r < 0)
		return fail(share, r);
	return receiver ? conclude(share, receiver, number)
			: succeed(share, number);
}

static void on_go(struct waiter *w)
{
	struct share *share = container_of(w, struct share, waiter);

	/* an answer that cannot be sent is the control link's own trouble */
	if (!share->made)
		(void)attempt(share);
	else if (holding_find(share->sharer->server, share->made))
		(void)succeed(share, share->made);
	else
		(void)fail(share, -EPIPE);
}

int share_start(struct principal *p, const struct principal_message *m)
{
	struct share *share;

	if (p->n_shares >= PRINCIPAL_SHARES_MAX)
		return answer(p, m->id, making_status(-E2BIG), 0,
			      making_text(-E2BIG));
	share = calloc(1, sizeof(*share));
	if (!share)
		return -ENOMEM;
	share->waiter.go = on_go;
	list_init(&share->waiter.list);
	share->sharer = p;
	share->id = m->id;
	share->context = m->context;
	share->link = m->link;
	share->to = m->to;
	share->joined = m->joined;
	share->file = m->file;
	list_append(&p->shares, &share->list);
	p->n_shares++;
	return attempt(share);
}

void share_principal_gone(struct principal *p)
{
	while (!list_empty(&p->shares))
		share_free(list_first(&p->shares, struct share, list));
}
