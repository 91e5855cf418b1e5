/* Storage, step 5, listing and expiring: the database, and memory over it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/clock.h"
#include "storaged/keys_private.h"
#include "storaged/limits.h"

/* --- listing ------------------------------------------------------------ */

/*
 * Rows come in order from the database; the entries that it may not have yet
 * are sorted and merged in, and count instead of its rows.
 */
struct listing {
	struct keys *keys;
	struct mp_bytes prefix, from;
	keys_row_fn fn;
	void *user;
	struct entry **over;
	size_t n_over, at; /* those before `at` were given */
	uint64_t now_ms, wait;
};

static int compare(struct mp_bytes a, struct mp_bytes b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.size > b.size) - (a.size < b.size);
}

static int by_key(const void *a, const void *b)
{
	return compare(entry_key(*(struct entry *const *)a),
		       entry_key(*(struct entry *const *)b));
}

static bool wanted(const struct listing *l, struct mp_bytes key)
{
	if (key.size < l->prefix.size ||
	    (l->prefix.size && memcmp(key.p, l->prefix.p, l->prefix.size) != 0))
		return false;
	return compare(key, l->from) >= 0;
}

static void collect(struct listing *l, const struct batch *b)
{
	for (size_t i = 0; b && i < b->count; i++) {
		struct entry *e = b->changes[i].user;

		/* Its last change is in one batch only. */
		if (e->dirty != b->serial || !wanted(l, entry_key(e)))
			continue;
		if (e->sync > l->keys->durable && e->sync > l->wait)
			l->wait = e->sync;
		l->over[l->n_over++] = e;
	}
}

static int collect_all(struct listing *l)
{
	const struct batch *filling = l->keys->filling;
	const struct batch *flying = l->keys->flying;
	size_t n =
		(filling ? filling->count : 0) + (flying ? flying->count : 0);

	if (n == 0)
		return 0;
	l->over = reallocarray(NULL, n, sizeof(struct entry *));
	if (!l->over)
		return -ENOMEM;
	collect(l, flying);
	collect(l, filling);
	qsort(l->over, l->n_over, sizeof(struct entry *), by_key);
	return 0;
}

static int give_entry(struct listing *l, const struct entry *e)
{
	struct keys_row row = { .key = entry_key(e), .version = e->version };

	if (!e->value || keys_expired(e, l->now_ms))
		return 0;
	row.value = (struct mp_bytes){ e->value->data, e->value->size };
	row.ttl_ms = e->deadline_ms ? e->deadline_ms - l->now_ms : 0;
	return l->fn(&row, l->user);
}

/* Those that come before @key, or all. */
static int give_before(struct listing *l, const struct mp_bytes *key)
{
	int r = 0;

	while (r == 0 && l->at < l->n_over &&
	       (!key || compare(entry_key(l->over[l->at]), *key) < 0))
		r = give_entry(l, l->over[l->at++]);
	return r;
}

static int on_row(const struct database_row *r, void *user)
{
	struct listing *l = user;
	struct keys_row row = { .key = r->key,
				.value = r->value,
				.version = r->version };
	int64_t ttl_ms = r->expires_ms - l->keys->skew_ms - (int64_t)l->now_ms;
	int result = give_before(l, &r->key);

	if (result)
		return result;
	if (l->at < l->n_over &&
	    compare(entry_key(l->over[l->at]), r->key) == 0)
		return give_entry(l, l->over[l->at++]);
	if (r->expires_ms && ttl_ms <= 0)
		return 0;
	row.ttl_ms = r->expires_ms ? (uint64_t)ttl_ms : 0;
	return l->fn(&row, l->user);
}

int keys_list(struct keys *k, struct mp_bytes prefix, struct mp_bytes from,
	      keys_row_fn fn, void *user, uint64_t *ret_wait)
{
	struct listing l = { .keys = k,
			     .prefix = prefix,
			     .from = compare(from, prefix) < 0 ? prefix : from,
			     .fn = fn,
			     .user = user,
			     .now_ms = clock_boot_ms() };
	struct database *db = NULL;
	int r;

	if (prefix.size > STORAGE_KEY_BYTES)
		return -ENAMETOOLONG;
	r = keys_load(k);
	if (r == 0 && k->flying && k->flying->shift_ms) {
		k->pressed = true;
		r = -EAGAIN;
	}
	if (r == 0)
		r = collect_all(&l);
	if (r == 0) {
		r = keys_reader(k, &db);
		if (r == 0)
			r = database_list(db, l.from, prefix, on_row, &l);
		if (r == -ENOENT)
			r = 0;
		if (r == 0)
			r = give_before(&l, NULL);
	}
	free(l.over);
	*ret_wait = l.wait;
	return r < 0 ? keys_failed(k, r) : r;
}

/* --- expiring ----------------------------------------------------------- */

void keys_due_at(struct keys *k, uint64_t deadline_ms)
{
	uint64_t now_ms = clock_boot_ms();
	double after;

	if (k->next_due_ms && k->next_due_ms <= deadline_ms)
		return;
	k->next_due_ms = deadline_ms;
	after = deadline_ms > now_ms ? (double)(deadline_ms - now_ms) / 1000
				     : 0;
	ev_timer_stop(k->env->loop, &k->expiry);
	ev_timer_set(&k->expiry, after, 0.);
	ev_timer_start(k->env->loop, &k->expiry);
}

void keys_due_load(struct keys *k)
{
	struct database *db;
	int64_t wall_ms = 0;

	/* Also what expired long ago: its turn is now. */
	if (keys_reader(k, &db) == 0 &&
	    database_next_due(db, INT64_MIN, &wall_ms) == 0 && wall_ms)
		keys_due_at(k, wall_ms > k->skew_ms
				       ? (uint64_t)(wall_ms - k->skew_ms)
				       : 1);
}

struct due {
	struct blob *keys[STORAGE_DUE_MAX];
	size_t count;
};

static int on_due_row(const struct database_row *row, void *user)
{
	struct due *d = user;
	struct blob *b = blob_new(row->key.p ? row->key.p : "", row->key.size);

	if (!b)
		return -ENOMEM;
	d->keys[d->count++] = b;
	return 0;
}

static void expire_one(struct keys *k, struct mp_bytes key, uint64_t now_ms)
{
	struct entry *e;

	if (keys_lookup(k, key, &e) == 0 && e->value && keys_expired(e, now_ms))
		(void)keys_expire(k, e);
}

/* What the database has, then what it does not have yet. True: there may be
 * more, when this is committed. */
static bool expire_all(struct keys *k, struct database *db, uint64_t now_ms)
{
	struct due d = { .count = 0 };

	if (db)
		(void)database_due(db, (int64_t)now_ms + k->skew_ms,
				   STORAGE_DUE_MAX, on_due_row, &d);
	for (size_t i = 0; i < d.count; i++) {
		struct mp_bytes key = { d.keys[i]->data, d.keys[i]->size };

		expire_one(k, key, now_ms);
		blob_unref(d.keys[i]);
	}
	for (size_t i = 0; k->filling && i < k->filling->count; i++) {
		struct entry *e = k->filling->changes[i].user;

		if (e->value && keys_expired(e, now_ms))
			(void)keys_expire(k, e);
	}
	return d.count == STORAGE_DUE_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static uint64_t next_due(struct keys *k, struct database *db, uint64_t now_ms)
{
	struct batch *batches[] = { k->filling, k->flying };
	int64_t wall_ms = 0;
	uint64_t next = 0;

	if (db &&
	    database_next_due(db, (int64_t)now_ms + k->skew_ms, &wall_ms) ==
		    0 &&
	    wall_ms > 0)
		next = (uint64_t)(wall_ms - k->skew_ms);
	for (size_t j = 0; j < ARRAY_SIZE(batches); j++)
		for (size_t i = 0; batches[j] && i < batches[j]->count; i++) {
			struct entry *e = batches[j]->changes[i].user;

			next = earlier(next, e->deadline_ms);
		}
	return next;
}

/* Longer than a batch fills. */
#define AGAIN_MS (2 * STORAGE_GROUP_MS)

static void on_expiry(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct keys *k = watcher->data;
	uint64_t now_ms = clock_boot_ms(), next;
	struct database *db = NULL;
	bool again;

	(void)loop;
	(void)events;
	k->next_due_ms = 0;
	if (keys_load(k) < 0)
		return;
	if (k->flying && k->flying->shift_ms) {
		keys_due_at(k, now_ms + AGAIN_MS);
		return;
	}
	(void)keys_reader(k, &db);
	again = expire_all(k, db, now_ms);
	next = next_due(k, db, now_ms);
	if (again || (next && next <= now_ms))
		next = now_ms + AGAIN_MS;
	if (next)
		keys_due_at(k, next);
}

void keys_expiry_init(struct keys *k)
{
	ev_timer_init(&k->expiry, on_expiry, 0., 0.);
	k->expiry.data = k;
}
