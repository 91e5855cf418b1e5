/* Storage, step 6: from memory to the disk, a batch at a time. */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/util.h"
#include "storaged/clock.h"
#include "storaged/keys_private.h"
#include "storaged/limits.h"

/*
 * One batch fills while at most one flies. A batch takes off
 * - at the end of the loop's turn, when somebody waits for it (so that all
 *   who came in the same turn share its sync),
 * - or STORAGE_GROUP_MS after its first change,
 * but not before the one in front of it has landed. Those whom a landing has
 * answered come again in a moment, mostly: it hesitates for as many as there
 * were, but never for longer than a small part of what a commit takes.
 */

#define HESITATE_PART 8 /* of the time of the last commit */

/*
 * Who calls alone would only wait for two threads to take turns, and so would
 * many who all wait for the same batch: it is committed by the loop itself, as
 * long as nobody calls who does not wait for it, and the disk is quick.
 */
#define ALONE_S	 0.02	 /* since somebody else called */
#define QUICK_NS 2000000 /* of the last commit */

/* The wall clock was set if it moved by more than this. */
#define SKEW_MS 1000

static void launch(struct keys *k);
static bool may_commit_here(const struct keys *k);
static void on_done(struct job *j);
static void set_aside(struct keys *k);

/* --- filling ------------------------------------------------------------ */

static void batch_free(struct batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->count; i++)
		blob_unref(b->changes[i].value);
	free(b->changes);
	free(b);
}

void keys_batches_free(struct keys *k)
{
	batch_free(steal(&k->flying));
	batch_free(steal(&k->filling));
}

int keys_batch_room(struct keys *k, size_t count)
{
	struct batch *b = k->filling;
	size_t capacity;
	void *changes;

	if (!b) {
		b = k->filling = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		b->serial = k->serial;
	}
	if (b->count + count <= b->capacity)
		return 0;
	capacity = b->capacity ? b->capacity * 2 : 16;
	if (capacity < b->count + count)
		capacity = b->count + count;
	changes = reallocarray(b->changes, capacity, sizeof(*b->changes));
	if (!changes)
		return -ENOMEM;
	b->changes = changes;
	b->capacity = capacity;
	return 0;
}

void keys_schedule(struct keys *k, bool urgent)
{
	if (urgent && k->n_urgent++ == 0)
		k->urgent_ns = clock_ns();
	if (urgent && !k->urgent) {
		k->urgent = true;
		list_remove(&k->due);
		list_append(&k->env->due, &k->due);
	}
	if (!ev_is_active(&k->group) && !k->urgent) {
		ev_timer_set(&k->group, STORAGE_GROUP_MS / 1000.0, 0.);
		ev_timer_start(k->env->loop, &k->group);
	}
}

static void on_group(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct keys *k = watcher->data;

	(void)loop;
	(void)events;
	k->urgent = true;
	launch(k);
}

/* Others of the last batch are about to come. */
static bool hesitates(const struct keys *k)
{
	return !k->busy && !k->damage && k->n_urgent < k->expected &&
	       clock_ns() - k->urgent_ns < k->took_ns / HESITATE_PART;
}

/* What has come already is written while others are about to: in the end the
 * sync alone is to be waited for. */
static void write_ahead(struct keys *k)
{
	if (!k->filling || k->filling->written == k->filling->count ||
	    !may_commit_here(k))
		return;
	if (database_begin(k->writer, k->filling) < 0)
		k->took_ns = 0; /* a worker shall try */
}

static void on_impatient(struct ev_loop *loop, ev_idle *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	sched_yield(); /* to those who are about to come */
}

static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct keys_env *env = watcher->data;
	struct keys *k, *after;

	(void)events;
	list_each(k, after, &env->due, due)
	{
		if (hesitates(k)) {
			write_ahead(k);
			continue;
		}
		list_remove(&k->due);
		if (k->damage && !k->busy)
			set_aside(k);
		else
			launch(k);
	}
	if (!list_empty(&env->due))
		ev_idle_start(loop, &env->impatient);
	else
		ev_idle_stop(loop, &env->impatient);
}

/* --- taking off --------------------------------------------------------- */

/* In a worker. */
static int transact(struct keys *k)
{
	int r = 0;

	if (!k->writer && (k->flying || k->compacting))
		r = database_open(k->path, k->program, true, &k->writer);
	if (r == 0 && k->flying)
		r = database_commit(k->writer, k->flying);
	return r;
}

static int tidy(struct keys *k)
{
	int r = 0;

	if (k->compacting)
		r = database_compact(k->writer);
	if (r == 0 && k->writer)
		r = database_checkpoint(k->writer, k->closing);
	return r;
}

static void work(struct job *j)
{
	struct keys *k = container_of(j, struct keys, job);
	uint64_t begin_ns = clock_ns();

	if (k->retired && !k->writer && !k->flying)
		(void)database_checkpoint(k->retired, true);
	k->retired = database_close(k->retired);
	k->tidied = 0;
	k->result = transact(k);
	k->took_ns = clock_ns() - begin_ns;
	if (k->result == 0)
		k->tidied = tidy(k);
	if (k->result < 0 || k->tidied < 0)
		snprintf(k->job_why, sizeof(k->job_why), "%s",
			 database_reason());
	if (k->closing)
		k->writer = database_close(k->writer);
}

static void submit(struct keys *k)
{
	k->busy = true;
	worker_add(&k->env->workers, &k->job);
}

static struct database_meta meta_of(struct keys *k, uint64_t reserved)
{
	struct database_meta m = { .version = reserved,
				   .bytes = k->bytes,
				   .count = k->count,
				   .skew_ms = k->skew_ms };

	snprintf(m.boot, sizeof(m.boot), "%s", clock_boot_id());
	return m;
}

static void fill_meta(struct keys *k, struct batch *b)
{
	int64_t skew_ms = clock_skew_ms();
	uint64_t reserved = k->reserved;

	/* Somebody set the wall clock: what lies on the disk is meant by the
	 * old time, and is to end when it would have. */
	if (llabs(skew_ms - k->skew_ms) > SKEW_MS) {
		b->shift_ms = skew_ms - k->skew_ms;
		for (size_t i = 0; i < b->count; i++)
			if (b->changes[i].expires_ms)
				b->changes[i].expires_ms += b->shift_ms;
		k->skew_ms = skew_ms;
	}
	if (reserved < k->version + STORAGE_VERSIONS / 2)
		reserved = k->version + STORAGE_VERSIONS;
	b->meta = meta_of(k, reserved);
}

/* One caller, or all of them wait for this batch. */
static bool nobody_else(const struct keys *k)
{
	const struct keys_env *env = k->env;
	double now = ev_now(env->loop);

	return (k->n_urgent == 1 && now - env->company > ALONE_S) ||
	       (k->n_urgent > 0 && now - env->strangers > ALONE_S);
}

static bool may_commit_here(const struct keys *k)
{
	return nobody_else(k) && k->took_ns > 0 && k->took_ns < QUICK_NS &&
	       k->writer && !database_checkpoint_due(k->writer);
}

static void count_strangers(const struct keys *k)
{
	struct keys_env *env = k->env;

	if (env->n_calls > k->n_urgent)
		env->strangers = ev_now(env->loop);
	env->n_calls = 0;
}

static void launch(struct keys *k)
{
	bool here;

	if (k->busy)
		return; /* when that is done */
	count_strangers(k);
	here = may_commit_here(k);
	k->urgent = false;
	k->expected = k->n_urgent;
	k->n_urgent = 0;
	ev_timer_stop(k->env->loop, &k->group);
	if (!k->filling)
		return;
	k->flying = steal(&k->filling);
	k->serial++;
	fill_meta(k, k->flying);
	if (!here) {
		submit(k);
		return;
	}
	k->busy = true;
	work(&k->job);
	on_done(&k->job);
}

/* --- landing ------------------------------------------------------------ */

static void tell_waiting(struct keys *k, uint64_t serial, int error)
{
	while (!list_empty(&k->waiting)) {
		struct keys_wait *w =
			list_first(&k->waiting, struct keys_wait, list);

		if (w->serial > serial)
			return;
		list_remove(&w->list);
		w->fn(w, error);
	}
}

/* What the batch has is safe: it may be told, and may leave memory. */
static void land_changes(struct keys *k, const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct change *c = &b->changes[i];
		struct entry *e = c->user;

		if (c->sync && e->told < c->version) {
			e->told = c->version;
			k->hooks->changed(k->user, c->key, c->version,
					  c->value);
		}
		if (e->dirty == b->serial)
			cache_unpin(&k->env->cache, e);
	}
}

static void land(struct keys *k)
{
	struct batch *b = steal(&k->flying);

	k->durable = b->serial;
	k->reserved = b->meta.version;
	k->absent = false;
	if (k->writer)
		keys_count_open(k);
	land_changes(k, b);
	batch_free(b);
	tell_waiting(k, k->durable, 0);
}

/* Memory forgets everything; whoever waits is told @error. */
static void drop(struct keys *k, int error)
{
	keys_batches_free(k);
	k->urgent = false;
	k->n_urgent = 0;
	ev_timer_stop(k->env->loop, &k->group);
	k->durable = k->serial++;
	keys_forget(k);
	k->hooks->lost(k->user);
	tell_waiting(k, k->durable, error);
}

/* A damaged file is kept for those who can read it, out of the way. */
static void set_aside(struct keys *k)
{
	static const char *const ends[] = { "-shm", "-wal", "" };
	char from[PATH_MAX + 8], to[PATH_MAX + 64], stamp[32];
	time_t now = (time_t)(clock_wall_ms() / 1000);
	int error = k->damage;
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	keys_forget(k); /* closes them first */
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(from, sizeof(from), "%s%s", k->path, ends[i]);
		snprintf(to, sizeof(to), "%s.damaged-%s%s", k->path, stamp,
			 ends[i]);
		(void)rename(from, to); /* not all of them need be there */
	}
	k->damage = 0;
	k->hooks->damaged(k->user, to, k->why);
	drop(k, error);
}

static int outcome(struct keys *k)
{
	int r = k->result;

	/* What is committed is; that it does not leave the WAL now is bad
	 * only if it is for ever. */
	if (r == -EBADMSG || (r == 0 && k->tidied == -EBADMSG)) {
		k->damage = -EBADMSG;
		snprintf(k->why, sizeof(k->why), "%s", k->job_why);
	}
	return k->damage ? k->damage : r;
}

static void on_done(struct job *j)
{
	struct keys *k = container_of(j, struct keys, job);
	struct keys_wait *compacted = steal(&k->compacted);
	int r = outcome(k);

	k->busy = k->closing = k->compacting = false;
	if (k->result == 0 && k->flying)
		land(k);
	if (k->damage)
		set_aside(k);
	else if (r < 0)
		drop(k, r);
	if (compacted)
		compacted->fn(compacted, r < 0 ? r : k->tidied);
	if (k->urgent) {
		list_remove(&k->due);
		list_append(&k->env->due, &k->due);
	}
	if (k->pressed && !keys_pressed(k)) {
		k->pressed = false;
		k->hooks->room(k->user);
	}
}

/* --- waiting, closing --------------------------------------------------- */

void keys_wait(struct keys *k, struct keys_wait *w)
{
	struct list *at = &k->waiting;

	/* Nearly always the newest. */
	while (at->prev != &k->waiting &&
	       list_entry(at->prev, struct keys_wait, list)->serial > w->serial)
		at = at->prev;
	list_append(at, &w->list);
}

void keys_unwait(struct keys_wait *w)
{
	list_remove(&w->list);
}

uint64_t keys_flush(struct keys *k)
{
	if (k->filling) {
		keys_schedule(k, true);
		return k->serial;
	}
	return k->flying ? k->flying->serial : 0;
}

/* The last transaction says how far the versions really got. */
static void fill_last(struct keys *k)
{
	if (keys_batch_room(k, 0) < 0)
		return; /* then the next one begins further on */
	k->flying = steal(&k->filling);
	k->serial++;
	fill_meta(k, k->flying);
	k->flying->meta.version = k->reserved = k->version;
}

void keys_close(struct keys *k)
{
	if (k->busy)
		return;
	if (k->filling) {
		launch(k); /* and closed the next time */
		return;
	}
	if (k->loaded && !k->absent && k->reserved != k->version)
		fill_last(k);
	if (!list_empty(&k->opened)) {
		list_remove(&k->opened);
		k->env->n_open--;
	}
	if (!k->flying && !k->writer && !k->reader)
		return;
	k->retired = steal(&k->reader);
	k->closing = true;
	submit(k);
}

int keys_compact(struct keys *k, struct keys_wait *w)
{
	int r = keys_load(k);

	if (r < 0)
		return r;
	if (k->busy)
		return -EBUSY;
	if (k->absent)
		return -ENOENT;
	k->compacting = true;
	k->compacted = w;
	if (k->filling)
		launch(k);
	else
		submit(k);
	return 0;
}

void keys_commit_init(struct keys *k)
{
	struct keys_env *env = k->env;

	k->job = (struct job){ .work = work, .done = on_done };
	ev_timer_init(&k->group, on_group, 0., 0.);
	k->group.data = k;
	if (ev_is_active(&env->turn))
		return;
	ev_prepare_init(&env->turn, on_turn);
	env->turn.data = env;
	ev_prepare_start(env->loop, &env->turn);
	ev_idle_init(&env->impatient, on_impatient);
}
