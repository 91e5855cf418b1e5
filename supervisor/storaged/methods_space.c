/* Storage, step 12: calls about a storage as a whole. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "storaged/storage_private.h"

/* One's own is no secret, whatever the policy. */
static bool is_own(const struct call *c, const char *program)
{
	const struct space *own = c->caller->space;

	return own && strcmp(own->program, program) == 0;
}

static int may_open(struct call *c, const char *program)
{
	if (is_own(c, program))
		return 0;
	return c->storage->ops->may_open(c->storage->front, c->caller->user,
					 program);
}

int owner_refuses(struct call *c, int r)
{
	snprintf(c->text, sizeof(c->text),
		 r == -EBUSY ? "the storage is in use by another program of "
			       "that name, which was removed"
			     : "the storage is another program's, which took "
			       "this one's name");
	return r == -EBUSY ? -EBUSY : -EPERM;
}

static int claim_for(struct call *c, struct space *sp, uint64_t since)
{
	int r = space_claim(sp, since);

	return r == -EBUSY || r == -ESTALE ? owner_refuses(c, r) : r;
}

static int open_option(struct call *c, struct mp_bytes key,
		       struct mp_reader *value, void *user)
{
	if (mp_bytes_equal(key, "since"))
		return option_uint(c, "since", value, user);
	return invalid(c, "there is no option `%.*s`", (int)key.size, key.p);
}

/* open(program, {since}) -> context: another program's storage */
static int open_other(struct call *c)
{
	uint64_t since = 0;
	char program[NAME_MAX_BYTES + 1];
	struct storage_object *o;
	struct mp_bytes name;
	int r = arg_bytes(c, "the program", &name);

	if (r == 0)
		r = arg_options(c, open_option, &since);
	if (r < 0)
		return r;
	if (mp_bytes_copy(name, program, sizeof(program)) < 0 ||
	    !name_valid(program))
		return invalid(c, "no program can have that name");
	r = may_open(c, program);
	if (r < 0) {
		snprintf(c->text, sizeof(c->text),
			 "the storage of `%s` is not allowed", program);
		return r;
	}
	r = object_new(c, OBJECT_SPACE, &o);
	if (r < 0)
		return r;
	o->other = !is_own(c, program);
	if (!o->other)
		since = c->caller->since_ns; /* as thoxd says */
	space_put(steal(&o->space));	     /* not the caller's own */
	r = space_get(c->storage, program, &o->space);
	if (r == 0)
		r = claim_for(c, o->space, since);
	if (r < 0) {
		storage_object_free(o);
		return r;
	}
	c->storage->ops->hand(c->storage->front, c->request, o, NULL);
	return CALL_LATER;
}

/* stat() -> {program, keys, keys_bytes, limit_bytes, stream_bytes, …} */
static int stat_space(struct call *c)
{
	struct stream_info info = { 0 };
	uint64_t count = 0, bytes = 0;
	int r = keys_stat(c->keys, &count, &bytes);

	if (r < 0)
		return r;
	r = stream_stat(&c->storage->streams, c->space->program, &info);
	mp_write_array(c->out, 1);
	mp_write_map(c->out, r == 0 ? 7 : 6);
	mp_write_str(c->out, "program");
	mp_write_str(c->out, c->space->program);
	mp_write_str(c->out, "keys");
	mp_write_uint(c->out, count);
	mp_write_str(c->out, "keys_bytes");
	mp_write_uint(c->out, bytes);
	mp_write_str(c->out, "limit_bytes");
	if (c->keys->limit_bytes <= INT64_MAX)
		mp_write_uint(c->out, c->keys->limit_bytes);
	else
		mp_write_nil(c->out); /* none */
	mp_write_str(c->out, "locks");
	mp_write_uint(c->out, c->space->locks.count);
	mp_write_str(c->out, "version");
	mp_write_uint(c->out, c->keys->version);
	if (r == 0) {
		mp_write_str(c->out, "stream_bytes");
		mp_write_uint(c->out, info.size_bytes);
	}
	return 0;
}

static void on_compacted(struct keys_wait *w, int error)
{
	static const char none[] = "\x90";

	late_answer(container_of(w, struct late, wait), error,
		    (struct mp_bytes){ none, 1 });
}

/* compact(): give the space of what was removed back to the disk */
static int compact(struct call *c)
{
	struct late *l = late_new(c);
	int r;

	if (!l)
		return -ENOMEM;
	l->wait.fn = on_compacted;
	r = keys_compact(c->keys, &l->wait);
	if (r == 0)
		return CALL_LATER;
	late_free(l);
	if (r == -ENOENT) { /* nothing is as compact */
		mp_write_array(c->out, 0);
		return 0;
	}
	return r;
}

/* --- removal ---------------------------------------------------------------- */

/* But for the caller of @l, who asks for it. */
bool space_in_use(const struct storage_caller *c)
{
	const struct space *sp = c->space;

	return sp->callers.next != &c->list || c->list.next != &sp->callers ||
	       sp->locks.count > 0;
}

static int remove_files(struct space *sp)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[PATH_MAX + 16];
	int r;

	keys_forget(&sp->keys); /* closes them first */
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", sp->keys.path, ends[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	r = stream_remove(&sp->storage->streams, sp->program);
	return r == -ENOENT ? 0 : r;
}

/* Nothing of the keys is with a worker now. */
static void on_calm(struct keys_wait *w, int error)
{
	struct late *l = container_of(w, struct late, wait);
	struct storage_caller *c = l->caller;
	static const char none[] = "\x90";

	if (error == 0 &&
	    (!c || space_in_use(c) || !keys_idle(&c->space->keys)))
		error = -EBUSY;
	if (error == 0)
		error = remove_files(c->space);
	late_answer(l, error, (struct mp_bytes){ none, 1 });
}

/* remove(): keys and stream, as if they had never been; nobody else may have
 * the storage meanwhile */
static int remove_space(struct call *c)
{
	struct late *l;
	int r;

	if (space_in_use(c->caller))
		return -EBUSY;
	l = late_new(c);
	if (!l)
		return -ENOMEM;
	l->wait.fn = on_calm;
	r = keys_compact(c->keys, &l->wait);
	if (r == 0)
		return CALL_LATER;
	late_free(l);
	if (r != -ENOENT)
		return r;
	if (!keys_idle(c->keys))
		return -EBUSY; /* the first of them are on their way */
	mp_write_array(c->out, 0);
	return remove_files(c->space);
}

/* adopt(number): what a program of that name left; nil: the last one */
static int adopt(struct call *c)
{
	uint64_t number = 0;
	int r = 0;

	if (c->n_args > 0)
		r = arg_uint(c, "the number of what was set aside", &number);
	if (r < 0)
		return r;
	if (!c->caller->other) {
		snprintf(c->text, sizeof(c->text),
			 "no program makes itself an heir");
		return -EPERM;
	}
	if (space_in_use(c->caller) || !keys_idle(c->keys))
		return -EBUSY;
	r = space_adopt(c->space, number);
	if (r == -ENOENT)
		snprintf(c->text, sizeof(c->text),
			 "nothing of `%s` was set aside", c->space->program);
	if (r == -EEXIST)
		snprintf(c->text, sizeof(c->text),
			 "`%s` keeps something itself", c->space->program);
	mp_write_array(c->out, 0);
	return r;
}

const struct method space_methods[] = {
	{ .name = "storage.adopt", .fn = adopt, .keys = true },
	{ .name = "storage.open", .fn = open_other, .free = true },
	{ .name = "storage.stat", .fn = stat_space, .keys = true },
	{ .name = "storage.compact", .fn = compact, .keys = true },
	{ .name = "storage.remove", .fn = remove_space, .keys = true },
	{ 0 },
};
