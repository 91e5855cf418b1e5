/* Storage, step 5: what a key holds. */

#include "storaged/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "storaged/clock.h"
#include "storaged/keys_private.h"
#include "storaged/limits.h"

/* --- what all programs share -------------------------------------------- */

int keys_env_init(struct keys_env *env, struct ev_loop *loop,
		  const char *directory, size_t cache_bytes)
{
	int r;

	memset(env, 0, sizeof(*env));
	env->loop = loop;
	env->directory = directory;
	env->open_max = STORAGE_OPEN_MAX;
	list_init(&env->open);
	list_init(&env->due);
	r = database_init();
	if (r == 0)
		r = cache_init(&env->cache, cache_bytes);
	if (r < 0)
		return r;
	r = workers_init(&env->workers, loop);
	if (r < 0)
		cache_deinit(&env->cache);
	return r;
}

void keys_env_deinit(struct keys_env *env)
{
	ev_prepare_stop(env->loop, &env->turn);
	ev_idle_stop(env->loop, &env->impatient);
	workers_deinit(&env->workers);
	cache_deinit(&env->cache);
}

/* --- life --------------------------------------------------------------- */

int keys_init(struct keys *k, struct keys_env *env, const char *program,
	      const char *path, const struct keys_hooks *hooks, void *user)
{
	memset(k, 0, sizeof(*k));
	k->env = env;
	k->hooks = hooks;
	k->user = user;
	k->limit_bytes = STORAGE_KEYS_BYTES;
	k->serial = 1;
	if (strlen(program) >= sizeof(k->program) ||
	    strlen(path) >= sizeof(k->path))
		return -ENAMETOOLONG;
	strcpy(k->program, program);
	strcpy(k->path, path);
	list_init(&k->opened);
	list_init(&k->entries);
	list_init(&k->waiting);
	list_init(&k->due);
	keys_commit_init(k);
	keys_expiry_init(k);
	return 0;
}

bool keys_idle(const struct keys *k)
{
	return !k->busy && !k->filling && !k->flying && list_empty(&k->waiting);
}

static void close_reader(struct keys *k)
{
	k->reader = database_close(k->reader);
	if (!k->writer && !list_empty(&k->opened)) {
		list_remove(&k->opened);
		k->env->n_open--;
	}
}

void keys_forget(struct keys *k)
{
	while (!list_empty(&k->entries))
		cache_remove(&k->env->cache,
			     list_first(&k->entries, struct entry, mine));
	k->writer = database_close(k->writer);
	close_reader(k);
	k->loaded = false;
	k->next_due_ms = 0;
	ev_timer_stop(k->env->loop, &k->expiry);
}

void keys_deinit(struct keys *k)
{
	keys_batches_free(k);
	keys_forget(k);
	ev_timer_stop(k->env->loop, &k->group);
	list_remove(&k->due);
}

/* --- the database, when it is needed ------------------------------------ */

/* Others make place, those first that were not used for the longest. */
static void make_place(struct keys_env *env, struct keys *but)
{
	struct keys *k, *after;

	list_each(k, after, &env->open, opened)
	{
		if (env->n_open < env->open_max)
			return;
		if (k != but && keys_idle(k))
			keys_close(k);
	}
}

void keys_count_open(struct keys *k)
{
	if (list_empty(&k->opened)) {
		make_place(k->env, k);
		k->env->n_open++;
	}
	list_remove(&k->opened);
	list_append(&k->env->open, &k->opened);
}

int keys_failed(struct keys *k, int error)
{
	if (error != -EBADMSG)
		return error;
	if (!k->damage)
		snprintf(k->why, sizeof(k->why), "%s", database_reason());
	k->damage = error;
	list_remove(&k->due);
	list_append(&k->env->due, &k->due);
	return error;
}

int keys_reader(struct keys *k, struct database **ret_db)
{
	int r = 0;

	if (k->loaded && k->absent)
		return -ENOENT;
	if (!k->reader) {
		r = database_open(k->path, k->program, false, &k->reader);
		if (r < 0)
			return r;
	}
	keys_count_open(k);
	*ret_db = k->reader;
	return 0;
}

static int load_meta(struct keys *k, struct database *db)
{
	struct database_meta m;
	int r = database_meta(db, &m);

	if (r < 0)
		return r;
	k->absent = false;
	k->version = k->reserved = m.version;
	k->bytes = m.bytes;
	k->count = m.count;
	/* Of this boot: the clock that nobody sets goes on. Of another: only
	 * the wall clock has. */
	k->skew_ms = clock_skew_ms();
	if (m.boot[0] && strcmp(m.boot, clock_boot_id()) == 0)
		k->skew_ms = m.skew_ms;
	return 0;
}

int keys_load(struct keys *k)
{
	struct database *db;
	int r;

	if (k->damage)
		return k->damage;
	if (k->loaded)
		return 0;
	r = keys_reader(k, &db);
	if (r == 0)
		r = load_meta(k, db);
	if (r == -ENOENT) {
		k->absent = true;
		k->version = k->reserved = k->bytes = k->count = 0;
		k->skew_ms = clock_skew_ms();
		r = 0;
	}
	if (r < 0)
		return keys_failed(k, r);
	k->loaded = true;
	if (!k->absent)
		keys_due_load(k);
	return 0;
}

/* --- getting ------------------------------------------------------------ */

bool keys_expired(const struct entry *e, uint64_t now_ms)
{
	return e->deadline_ms && e->deadline_ms <= now_ms;
}

/* An entry of what the database has, or of nothing. */
static int take_in(struct keys *k, struct mp_bytes key,
		   const struct database_row *row, struct entry **ret_entry)
{
	struct blob *value = NULL;
	struct entry *e;

	if (row) {
		value = blob_new(row->value.p, row->value.size);
		if (!value)
			return -ENOMEM;
	}
	e = cache_add(&k->env->cache, k, &k->entries, key);
	if (!e) {
		blob_unref(value);
		return -ENOMEM;
	}
	if (row) {
		cache_set(&k->env->cache, e, value);
		e->version = e->told = row->version;
		/* A deadline of the past is one, however long ago. */
		if (row->expires_ms)
			e->deadline_ms = row->expires_ms > k->skew_ms
						 ? (uint64_t)(row->expires_ms -
							      k->skew_ms)
						 : 1;
	}
	*ret_entry = e;
	return 0;
}

int keys_lookup(struct keys *k, struct mp_bytes key, struct entry **ret_entry)
{
	struct database_row row;
	struct database *db;
	int r;

	if (key.size > STORAGE_KEY_BYTES)
		return -ENAMETOOLONG;
	r = keys_load(k);
	if (r < 0)
		return r;
	*ret_entry = cache_find(&k->env->cache, k, key);
	if (*ret_entry)
		return 0;
	if (k->flying && k->flying->shift_ms) {
		/* Which clock the rows go by is being changed. */
		k->pressed = true;
		return -EAGAIN;
	}
	r = keys_reader(k, &db);
	if (r == 0)
		r = database_get(db, key, &row);
	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		return keys_failed(k, r);
	return take_in(k, key, r > 0 ? &row : NULL, ret_entry);
}

int keys_get(struct keys *k, struct mp_bytes key, struct keys_value *ret_value)
{
	struct keys_value v = { 0 };
	struct entry *e = NULL;
	uint64_t now_ms;
	int r = keys_lookup(k, key, &e);

	if (r < 0)
		return r;
	now_ms = e->deadline_ms ? clock_boot_ms() : 0;
	if (e->value && !keys_expired(e, now_ms)) {
		v.value = e->value;
		v.version = e->version;
		v.ttl_ms = e->deadline_ms ? e->deadline_ms - now_ms : 0;
	}
	if (e->sync > k->durable)
		v.wait = e->sync;
	*ret_value = v;
	return 0;
}

int keys_stat(struct keys *k, uint64_t *ret_count, uint64_t *ret_bytes)
{
	int r = keys_load(k);

	if (r < 0)
		return r;
	*ret_count = k->count;
	*ret_bytes = k->bytes;
	return 0;
}
