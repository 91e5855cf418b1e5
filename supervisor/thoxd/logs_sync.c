/*
 * Step 8, in thoxd: until what was printed is in the files.
 *
 * thox-logd reads what was in the pipes before it answers, so whoever asks now
 * must not be told by an answer to an earlier question. One question is on its
 * way at a time: those who come meanwhile have the next one.
 */

#include "rpc/logd.h"
#include "thoxd/logs.h"

static void finish(struct logs_sync *w)
{
	list_remove(&w->list);
	w->done(w);
}

void logs_sync_ask(struct logs *l)
{
	struct logs_sync *w, *after;
	struct mp_writer m;
	uint8_t buf[32];

	if (!l->linked || l->syncing || list_empty(&l->syncs))
		return;
	mp_writer_init(&m, buf, sizeof(buf));
	mp_write_array(&m, 2);
	mp_write_uint(&m, LOGD_SYNC);
	mp_write_uint(&m, ++l->last_token);
	if (peer_send(&l->peer, &m, NULL, 0) < 0)
		return; /* it takes nothing: whoever waits gives up */
	l->syncing = true;
	list_each(w, after, &l->syncs, list) w->token = l->last_token;
}

/* Those that wait for no answer are of the next one. */
void logs_sync_answered(struct logs *l, uint64_t token)
{
	if (token != l->last_token || !l->syncing)
		return;
	l->syncing = false;
	while (!list_empty(&l->syncs)) {
		struct logs_sync *w =
			list_first(&l->syncs, struct logs_sync, list);

		if (w->token == 0)
			break;
		finish(w);
	}
	logs_sync_ask(l);
}

/* The next thox-logd reads all the pipes, and is asked then. Without a pipe
 * there is nothing that it could read. */
void logs_sync_lost(struct logs *l)
{
	struct logs_sync *w, *after;

	l->syncing = false;
	list_each(w, after, &l->syncs, list) w->token = 0;
	while (logs_settled(l) && !list_empty(&l->syncs))
		finish(list_first(&l->syncs, struct logs_sync, list));
}

bool logs_sync(struct logs *l, struct logs_sync *sync)
{
	if (logs_settled(l))
		return true;
	sync->token = 0;
	list_append(&l->syncs, &sync->list);
	logs_sync_ask(l);
	return false;
}
