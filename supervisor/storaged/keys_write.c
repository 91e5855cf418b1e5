/* Storage, step 5, writing: memory first, and into the batch that fills. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/util.h"
#include "storaged/clock.h"
#include "storaged/keys_private.h"
#include "storaged/limits.h"

/* A write that only has to be done: nothing can fail any more. */
struct prepared {
	struct entry *entry; /* pinned */
	struct blob *value;  /* NULL: remove; owned until it is done */
	uint64_t deadline_ms;
};

static uint64_t cost_of(const struct entry *e, const struct blob *value)
{
	return value ? STORAGE_KEY_OVERHEAD + (uint64_t)e->key_size +
			       value->size
		     : 0;
}

/* --- is there room? ----------------------------------------------------- */

/* Looked at once a second: the spare bytes are for what comes between. */
static bool disk_full(struct keys_env *env)
{
	struct statvfs st;
	double now = ev_now(env->loop);

	if (now - env->room_checked < 1 && env->room_checked <= now)
		return env->full;
	env->room_checked = now;
	env->full = statvfs(env->directory, &st) == 0 &&
		    (uint64_t)st.f_bavail * st.f_frsize < STORAGE_SPARE_BYTES;
	return env->full;
}

bool keys_pressed(const struct keys *k)
{
	const struct batch *b = k->filling;

	return (b && (b->count >= STORAGE_DIRTY_KEYS ||
		      b->bytes >= STORAGE_DIRTY_BYTES)) ||
	       (k->flying && k->flying->shift_ms);
}

static int check_pressure(struct keys *k)
{
	if (!keys_pressed(k))
		return 0;
	k->pressed = true;
	keys_schedule(k, true);
	return -EAGAIN;
}

static int check_room(struct keys *k, const struct prepared *p, size_t count)
{
	uint64_t grown = 0, shrunk = 0;

	for (size_t i = 0; i < count; i++) {
		grown += cost_of(p[i].entry, p[i].value);
		shrunk += cost_of(p[i].entry, p[i].entry->value);
	}
	if (grown <= shrunk)
		return 0; /* also when it is over already */
	if (k->bytes - shrunk + grown > k->limit_bytes)
		return -EDQUOT;
	return disk_full(k->env) ? -ENOSPC : 0;
}

/* --- doing it ----------------------------------------------------------- */

static void count_change(struct keys *k, const struct entry *e,
			 const struct blob *value)
{
	k->bytes -= cost_of(e, e->value);
	k->bytes += cost_of(e, value);
	k->count -= e->value != NULL;
	k->count += value != NULL;
}

/* The entry's place in the batch: the one that it has, or a new one. */
static struct change *change_of(struct keys *k, struct entry *e)
{
	struct batch *b = k->filling;
	struct change *c;

	if (e->dirty == k->serial) {
		c = &b->changes[e->change];
		if (b->written > e->change) /* it is to be written again */
			b->written = e->change;
		b->bytes -= c->value ? c->value->size : 0;
		blob_unref(c->value);
		return c;
	}
	e->dirty = k->serial;
	e->change = (uint32_t)b->count;
	c = &b->changes[b->count++];
	*c = (struct change){ .key = entry_key(e),
			      .user = e,
			      .replaces = e->value != NULL };
	b->bytes += e->key_size;
	return c;
}

static void apply(struct keys *k, struct prepared *p, bool sync)
{
	struct entry *e = p->entry;
	struct change *c = change_of(k, e);

	count_change(k, e, p->value);
	e->version = ++k->version;
	e->deadline_ms = p->value ? p->deadline_ms : 0;
	c->version = e->version;
	c->expires_ms =
		e->deadline_ms ? (int64_t)e->deadline_ms + k->skew_ms : 0;
	c->value = p->value ? blob_ref(p->value) : NULL;
	c->sync = sync;
	k->filling->bytes += p->value ? p->value->size : 0;
	cache_set(&k->env->cache, e, steal(&p->value));
	if (sync)
		e->sync = k->serial;
	if (e->deadline_ms)
		keys_due_at(k, e->deadline_ms);
}

/* Told when it is safe, or at once if nobody asked for that. */
static void tell(struct keys *k, struct entry *e)
{
	e->told = e->version;
	k->hooks->changed(k->user, entry_key(e), e->version, e->value);
}

static void unpin(struct keys *k, struct entry *e)
{
	if (e->dirty <= k->durable)
		cache_unpin(&k->env->cache, e);
}

static uint64_t apply_all(struct keys *k, struct prepared *p, size_t count,
			  bool sync)
{
	/* A number that the database has not set aside yet could be given
	 * out a second time after a crash: it is told when it has. */
	sync = sync || k->version + count > k->reserved;
	for (size_t i = 0; i < count; i++)
		apply(k, &p[i], sync);
	keys_schedule(k, sync);
	for (size_t i = 0; i < count && !sync; i++)
		tell(k, p[i].entry);
	return sync ? k->serial : 0;
}

/* --- transactions ------------------------------------------------------- */

static int prepare(struct keys *k, const struct keys_write *w,
		   struct prepared *ret)
{
	int r;

	if (w->ttl_ms > STORAGE_TTL_MS)
		return -EINVAL;
	r = keys_lookup(k, w->key, &ret->entry);
	if (r < 0)
		return r;
	/* Stays in memory while the others come in. */
	cache_pin(&k->env->cache, ret->entry);
	if (w->ttl_ms)
		ret->deadline_ms = clock_boot_ms() + w->ttl_ms;
	if (w->value.size) {
		ret->value = blob_new(w->value.p, w->value.size);
		if (!ret->value)
			return -ENOMEM;
	}
	return 0;
}

/* 0, KEYS_CONFLICT or an error. */
static int check_reads(struct keys *k, const struct keys_read *reads,
		       size_t count, struct keys_result *result)
{
	struct keys_value v;
	int r;

	for (size_t i = 0; i < count; i++) {
		r = keys_get(k, reads[i].key, &v);
		if (r < 0)
			return r;
		if (v.wait > result->wait)
			result->wait = v.wait;
		if (v.version != reads[i].version) {
			result->conflict = i;
			result->version = v.version;
			return KEYS_CONFLICT;
		}
	}
	return 0;
}

/* A removal of what is not there changes nothing. */
static bool changes_nothing(const struct prepared *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (p[i].value || p[i].entry->value)
			return false;
	return true;
}

static int write_all(struct keys *k, struct prepared *p, size_t count,
		     bool sync, struct keys_result *result)
{
	const struct entry *last = p[count - 1].entry;
	uint64_t wait;
	int r;

	result->existed =
		last->value &&
		!keys_expired(last, last->deadline_ms ? clock_boot_ms() : 0);
	if (changes_nothing(p, count)) {
		result->version = k->version;
		if (last->sync > k->durable)
			result->wait = last->sync;
		return 0;
	}
	r = check_room(k, p, count);
	if (r == 0)
		r = keys_batch_room(k, count);
	if (r < 0)
		return r;
	wait = apply_all(k, p, count, sync);
	if (wait)
		result->wait = wait;
	result->version = k->version;
	return 0;
}

static int write_list(struct keys *k, const struct keys_write *writes,
		      size_t count, bool sync, struct keys_result *result)
{
	struct prepared one = { 0 }, *p = &one;
	size_t n = 0;
	int r = 0;

	if (count > 1)
		p = calloc(count, sizeof(*p));
	if (!p)
		return -ENOMEM;
	for (; r == 0 && n < count; n++)
		r = prepare(k, &writes[n], &p[n]);
	if (r == 0)
		r = write_all(k, p, count, sync, result);
	for (size_t i = 0; i < n; i++) {
		blob_unref(p[i].value);
		if (p[i].entry)
			unpin(k, p[i].entry);
	}
	if (p != &one)
		free(p);
	return r;
}

int keys_transact(struct keys *k, const struct keys_read *reads, size_t n_reads,
		  const struct keys_write *writes, size_t n_writes, bool sync,
		  struct keys_result *ret_result)
{
	struct keys_result result = { 0 };
	int r = keys_load(k);

	if (r == 0 && n_writes)
		r = check_pressure(k);
	if (r == 0)
		r = check_reads(k, reads, n_reads, &result);
	if (r == 0 && n_writes)
		r = write_list(k, writes, n_writes, sync, &result);
	if (r >= 0)
		*ret_result = result;
	return r;
}

int keys_increment(struct keys *k, struct mp_bytes key, struct mp_bytes by,
		   bool sync, struct keys_value *ret_value)
{
	uint8_t bytes[16];
	struct mp_writer w;
	struct mp_bytes old = { 0 };
	struct keys_result result;
	struct keys_value v;
	struct keys_write one = { .key = key };
	int r = keys_get(k, key, &v);

	if (r < 0)
		return r;
	if (v.value)
		old = (struct mp_bytes){ v.value->data, v.value->size };
	mp_writer_init(&w, bytes, sizeof(bytes));
	r = value_add(old, by, &w);
	if (r < 0)
		return r;
	one.value = (struct mp_bytes){ (const char *)bytes, w.used };
	one.ttl_ms = v.ttl_ms;
	r = keys_transact(k, NULL, 0, &one, 1, sync, &result);
	if (r < 0)
		return r;
	r = keys_get(k, key, &v);
	if (r == 0) {
		v.wait = result.wait;
		*ret_value = v;
	}
	return r;
}

int keys_expire(struct keys *k, struct entry *e)
{
	struct prepared p = { .entry = e };
	int r = keys_batch_room(k, 1);

	if (r < 0)
		return r;
	cache_pin(&k->env->cache, e);
	(void)apply_all(k, &p, 1, false);
	return 0;
}
