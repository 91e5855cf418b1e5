/* Storage, step 10: one program's storage, while it is used. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/storage_private.h"

/* Kept for those who come back soon. */
#define UNUSED_MAX 1024U

static struct space **bucket_of(struct storage *s, const char *program)
{
	return &s->buckets[hash_bytes(&s->env.cache.seed, program,
				      strlen(program)) %
			   SPACE_BUCKETS];
}

/* --- what its keys tell --------------------------------------------------- */

static void on_changed(void *user, struct mp_bytes key, uint64_t version,
		       struct blob *value)
{
	struct space *sp = user;
	struct watch *w, *after;

	list_each(w, after, &sp->watches, list)
	{
		if (watch_changed(w, key, version, value))
			watch_tell(w);
	}
}

static void on_lost(void *user)
{
	struct space *sp = user;
	struct watch *w, *after;

	list_each(w, after, &sp->watches, list)
	{
		if (watch_lose(w))
			watch_tell(w);
	}
}

static void on_damaged(void *user, const char *path, const char *why)
{
	struct space *sp = user;
	const char *file = strrchr(path, '/');
	char line[PATH_MAX + 512];

	sp->damages++;
	snprintf(sp->aside, sizeof(sp->aside), "%s", file ? file + 1 : path);
	snprintf(line, sizeof(line),
		 "the keys of `%s` are damaged (%s): set aside as %s",
		 sp->program, why, path);
	sp->storage->report(line);
}

static void on_room(void *user)
{
	calls_resume(user);
}

static const struct keys_hooks hooks = { .changed = on_changed,
					 .lost = on_lost,
					 .damaged = on_damaged,
					 .room = on_room };

/* --- life ----------------------------------------------------------------- */

static int space_new(struct storage *s, const char *program,
		     struct space **ret_space)
{
	struct space *sp = calloc(1, sizeof(*sp));
	char path[PATH_MAX + 8];
	int r;

	if (!sp)
		return -ENOMEM;
	sp->storage = s;
	strcpy(sp->program, program);
	list_init(&sp->watches);
	list_init(&sp->streams);
	list_init(&sp->callers);
	list_init(&sp->unused);
	list_init(&sp->parked);
	locks_init(&sp->locks, s->env.loop, &s->env.cache.seed);
	snprintf(path, sizeof(path), "%s/%s.db", s->keys_path, program);
	r = keys_init(&sp->keys, &s->env, program, path, &hooks, sp);
	if (r < 0) {
		free(sp);
		return r;
	}
	sp->keys.limit_bytes = s->limit_bytes;
	sp->next = *bucket_of(s, program);
	*bucket_of(s, program) = sp;
	*ret_space = sp;
	return 0;
}

static void space_free(struct space *sp)
{
	struct space **at = bucket_of(sp->storage, sp->program);

	while (*at != sp)
		at = &(*at)->next;
	*at = sp->next;
	list_remove(&sp->unused);
	sp->storage->n_unused--;
	keys_deinit(&sp->keys);
	locks_deinit(&sp->locks);
	free(sp);
}

struct space *space_find(struct storage *s, const char *program)
{
	struct space *sp = *bucket_of(s, program);

	while (sp && strcmp(sp->program, program) != 0)
		sp = sp->next;
	return sp;
}

int space_get(struct storage *s, const char *program, struct space **ret_space)
{
	struct space *sp;
	int r = 0;

	if (!name_valid(program))
		return -EINVAL;
	sp = space_find(s, program);
	if (!sp)
		r = space_new(s, program, &sp);
	if (r < 0)
		return r;
	if (!list_empty(&sp->unused)) {
		list_remove(&sp->unused);
		s->n_unused--;
	}
	sp->refs++;
	*ret_space = sp;
	return 0;
}

void space_put(struct space *sp)
{
	if (!sp || --sp->refs > 0)
		return;
	list_append(&sp->storage->unused, &sp->unused);
	sp->storage->n_unused++;
	spaces_trim(sp->storage, false);
}

void spaces_trim(struct storage *s, bool all)
{
	struct space *sp, *after;

	list_each(sp, after, &s->unused, unused)
	{
		if (!all && s->n_unused <= UNUSED_MAX)
			return;
		if (keys_idle(&sp->keys) && list_empty(&sp->keys.opened))
			space_free(sp);
		else if (keys_idle(&sp->keys) || all)
			keys_close(&sp->keys); /* goes the next time */
	}
}
