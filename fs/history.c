/* A name's past: which of its records anybody may still see. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fs/private.h"

/*
 * Walking from the newest record back: a version is told once, by its newest
 * record (a touched or replaced one hides what was before it), until `keep`
 * versions were seen; refusals and removals in between are told, at most
 * `keep` of each. What lies further back is excess: its files may go.
 */
struct walk {
	struct store *s;
	struct history seen, excess;
	struct history dropped; /* only their ids matter */
	size_t versions, rejected, removed;
	uint64_t last_version;
	bool want_excess;
};

void history_deinit(struct history *h)
{
	free(h->recs);
	memset(h, 0, sizeof(*h));
}

static int add(struct history *h, const struct record *rec)
{
	if ((h->count & (h->count - 1)) == 0) {
		size_t capacity = h->count ? h->count * 2 : 1;
		struct record *recs =
			reallocarray(h->recs, capacity, sizeof(*recs));

		if (!recs)
			return -ENOMEM;
		h->recs = recs;
	}
	h->recs[h->count++] = *rec;
	return 0;
}

static bool is_dropped(const struct walk *w, uint64_t id)
{
	for (size_t i = 0; i < w->dropped.count; i++)
		if (w->dropped.recs[i].id == id)
			return true;
	return false;
}

static int on_published(struct walk *w, const struct record *rec)
{
	if (rec->version == w->last_version || is_dropped(w, rec->id))
		return 0;
	w->last_version = rec->version;
	if (w->versions == w->s->keep)
		return w->want_excess ? add(&w->excess, rec) : 1;
	w->versions++;
	return add(&w->seen, rec);
}

/* Only the newest refused text is kept; the others' lines stay a while. */
static int on_rejected(struct walk *w, const struct record *rec)
{
	int r = 0;

	if (w->rejected > 0 && w->want_excess && !is_dropped(w, rec->id))
		r = add(&w->excess, rec);
	if (r == 0 && w->rejected++ < w->s->keep)
		r = add(&w->seen, rec);
	return r;
}

static int on_record(const struct record *rec, uint32_t at, void *user)
{
	struct walk *w = user;

	(void)at;
	switch (rec->type) {
	case RECORD_PUBLISHED:
		return on_published(w, rec);
	case RECORD_REJECTED:
		return on_rejected(w, rec);
	case RECORD_REMOVED:
		return w->removed++ < w->s->keep ? add(&w->seen, rec) : 0;
	case RECORD_DROPPED:
		return add(&w->dropped, rec);
	case RECORD_PURGED:
		return 1;
	}
	return 0;
}

int history_read(struct store *s, const struct index_node *node,
		 struct history *ret_history)
{
	struct walk w = { .s = s };
	int r = index_walk(&s->index, node, on_record, &w);

	history_deinit(&w.dropped);
	if (r < 0) {
		history_deinit(&w.seen);
		return r;
	}
	*ret_history = w.seen;
	return 0;
}

int history_excess(struct store *s, const struct index_node *node,
		   struct history *ret_history)
{
	struct walk w = { .s = s, .want_excess = true };
	int r = index_walk(&s->index, node, on_record, &w);

	history_deinit(&w.dropped);
	history_deinit(&w.seen);
	if (r < 0) {
		history_deinit(&w.excess);
		return r;
	}
	*ret_history = w.excess;
	return 0;
}
