/* Storage, step 10: all of it, and who calls. */

#include "storaged/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/status.h"
#include "storaged/clock.h"
#include "storaged/storage_private.h"

/* --- life ----------------------------------------------------------------- */

static int make_dir(char path[PATH_MAX], const char *root, const char *below)
{
	if (snprintf(path, PATH_MAX, "%s/%s", root, below) >= PATH_MAX)
		return -ENAMETOOLONG;
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_dir(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* One process: two would each answer from a memory of its own. One that ends
 * has all of it on the disk before it lets go. */
static int claim(struct storage *s)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000000 };
	char path[PATH_MAX + 16];
	int tries = STORAGE_CLAIM_MS / 20;

	snprintf(path, sizeof(path), "%s/lock", s->root);
	s->lock_fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return -errno;
	while (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (tries-- == 0)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* What a former life left half-written. */
static int clear_tmp(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!list) {
		int r = -errno;

		fd_close(copy);
		return r;
	}
	while ((e = readdir(list)))
		if (e->d_type == DT_REG)
			(void)unlinkat(fd, e->d_name, 0);
	closedir(list);
	return 0;
}

static void check_streams(struct space *sp)
{
	struct storage_object *o, *after;
	struct stream_info info = { 0 };

	if (list_empty(&sp->streams))
		return;
	(void)stream_stat(&sp->storage->streams, sp->program, &info);
	list_each(o, after, &sp->streams, streams)
	{
		if (o->inode == info.inode)
			continue;
		list_remove(&o->streams);
		sp->storage->ops->close(o);
	}
}

/* The stream has another file: whoever has it open is to open it again. */
static void on_replaced(void *user, const char *name)
{
	struct storage *s = user;
	struct space *sp = name ? space_find(s, name) : NULL;

	if (sp)
		check_streams(sp);
	for (size_t i = 0; !name && i < SPACE_BUCKETS; i++)
		for (sp = s->buckets[i]; sp; sp = sp->next)
			check_streams(sp);
}

static int open_all(struct storage *s, const char *store_path)
{
	int data_fd = -1, tmp_fd = -1, r;

	r = make_dir(s->root, store_path, ".storage");
	if (r == 0)
		r = claim(s);
	if (r == 0)
		r = make_dir(s->keys_path, s->root, "keys");
	if (r == 0)
		r = make_dir(s->tmp_path, s->root, "tmp");
	if (r == 0)
		r = make_dir(s->owners_path, s->root, "owners");
	if (r == 0)
		r = make_dir(s->orphans_path, s->root, "orphans");
	if (r == 0)
		r = make_dir(s->data_path, store_path, "data");
	if (r == 0)
		r = open_dir(s->data_path, &data_fd);
	if (r == 0)
		r = open_dir(s->tmp_path, &tmp_fd);
	if (r == 0)
		r = clear_tmp(tmp_fd);
	if (r < 0) {
		fd_close(data_fd);
		fd_close(tmp_fd);
		return r;
	}
	s->streams.replaced = on_replaced;
	s->streams.user = s;
	return streams_init(&s->streams, s->env.loop, &s->env.workers, data_fd,
			    tmp_fd);
}

int storage_open(const struct storage_options *options,
		 struct storage **ret_storage)
{
	struct storage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->ops = options->ops;
	s->front = options->front;
	list_init(&s->callers);
	pins_init(&s->pins);
	s->report = options->report;
	s->lock_fd = -1;
	s->limit_bytes = options->limit_bytes ? options->limit_bytes
					      : STORAGE_KEYS_BYTES;
	list_init(&s->unused);
	mp_writer_init_heap(&s->out);
	(void)clock_boot_id();
	r = keys_env_init(&s->env, options->loop, s->root,
			  options->cache_bytes ? options->cache_bytes
					       : STORAGE_CACHE_BYTES);
	if (r < 0) {
		free(s);
		return r;
	}
	r = open_all(s, options->store_path);
	if (r < 0) {
		keys_env_deinit(&s->env);
		fd_close(s->lock_fd);
		free(s);
		return r;
	}
	s->paths[0] = s->root;
	s->paths[1] = s->data_path;
	*ret_storage = s;
	return 0;
}

const char *const *storage_paths(const struct storage *s)
{
	return s->paths;
}

void storage_leave(struct storage *s)
{
	while (!list_empty(&s->callers))
		storage_caller_free(
			list_first(&s->callers, struct storage_caller, all));
}

struct storage *storage_close(struct storage *s)
{
	if (!s)
		return NULL;
	while (s->n_unused > 0) {
		spaces_trim(s, true);
		workers_drain(&s->env.workers);
	}
	workers_drain(&s->env.workers);
	pins_deinit(&s->pins);
	streams_deinit(&s->streams);
	keys_env_deinit(&s->env);
	mp_writer_deinit(&s->out);
	fd_close(s->lock_fd);
	free(s);
	return NULL;
}

/* --- callers -------------------------------------------------------------- */

/* Takes over the reference to @sp. */
static int caller_new(struct storage *s, struct space *sp, void *user,
		      struct storage_caller **ret_caller)
{
	struct storage_caller *c = calloc(1, sizeof(*c));

	if (!c) {
		space_put(sp);
		return -ENOMEM;
	}
	c->storage = s;
	c->space = sp;
	c->user = user;
	list_append(&s->callers, &c->all);
	list_init(&c->list);
	list_init(&c->calls);
	list_init(&c->objects);
	if (sp) {
		c->damages = sp->damages;
		list_append(&sp->callers, &c->list);
	}
	*ret_caller = c;
	return 0;
}

int storage_caller_new(struct storage *s, const char *program, void *user,
		       struct storage_caller **ret_caller)
{
	struct space *sp = NULL;
	int r = program ? space_get(s, program, &sp) : 0;

	if (r == 0)
		r = caller_new(s, sp, user, ret_caller);
	if (r == 0)
		(*ret_caller)->own = program != NULL;
	return r;
}

void storage_caller_limit(struct storage_caller *c, uint64_t limit_bytes)
{
	if (c->space && limit_bytes > 0)
		c->space->keys.limit_bytes = limit_bytes;
}

void storage_caller_since(struct storage_caller *c, uint64_t since_ns)
{
	c->since_ns = since_ns;
}

int storage_caller_on(struct storage *s, struct storage_object *o, void *user,
		      struct storage_caller **ret_caller)
{
	int r;

	o->space->refs++;
	r = caller_new(s, o->space, user, ret_caller);
	if (r == 0 && o->type != OBJECT_SPACE)
		(*ret_caller)->on = o;
	if (r == 0)
		(*ret_caller)->other = o->other;
	return r;
}

static void disown(struct storage_object *o)
{
	list_remove(&o->mine);
	if (o->owner)
		o->owner->n_objects--;
	o->owner = NULL;
}

struct storage_caller *storage_caller_free(struct storage_caller *c)
{
	if (!c)
		return NULL;
	calls_forget(c);
	/* They may have been passed on: each goes when its context does. */
	while (!list_empty(&c->objects))
		disown(list_first(&c->objects, struct storage_object, mine));
	list_remove(&c->list);
	list_remove(&c->all);
	space_put(c->space);
	free(c);
	return NULL;
}

/* --- what contexts stand for ------------------------------------------------ */

int object_new(struct call *c, enum object_type type,
	       struct storage_object **ret_object)
{
	struct storage_object *o;

	if (c->caller->n_objects >= STORAGE_OBJECTS_MAX)
		return -EMFILE;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->type = type;
	list_init(&o->streams);
	list_init(&o->mine);
	list_append(&c->caller->objects, &o->mine);
	o->owner = c->caller;
	c->caller->n_objects++;
	if (c->space) {
		o->space = c->space;
		o->space->refs++;
	}
	*ret_object = o;
	return 0;
}

void storage_object_free(struct storage_object *o)
{
	disown(o);
	if (o->late) /* a watch whose last holder has left */
		late_answer(o->late, -ECANCELED, (struct mp_bytes){ 0 });
	if (o->type == OBJECT_LOCK)
		lock_release(&o->claim);
	watch_free(o->watch);
	list_remove(&o->streams);
	if (o->type == OBJECT_STREAM)
		pins_look(&o->space->storage->pins, o->space->program,
			  o->inode);
	space_put(o->space);
	free(o);
}

bool storage_object_has_calls(const struct storage_object *o)
{
	return o->type == OBJECT_SPACE || o->type == OBJECT_WATCH;
}

bool storage_object_is_lock(const struct storage_object *o)
{
	return o->type == OBJECT_LOCK;
}

void storage_object_set(struct storage_object *o, void *front)
{
	o->front = front;
}

void *storage_object_get(const struct storage_object *o)
{
	return o->front;
}
