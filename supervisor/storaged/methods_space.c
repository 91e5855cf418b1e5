/* Storage, step 12: calls about a storage as a whole. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/storage_private.h"

/* open(program) -> context: another program's storage */
static int open_other(struct call *c)
{
	char program[NAME_MAX_BYTES + 1];
	struct storage_object *o;
	struct mp_bytes name;
	int r = arg_bytes(c, "the program", &name);

	if (r < 0)
		return r;
	if (mp_bytes_copy(name, program, sizeof(program)) < 0 ||
	    !name_valid(program))
		return invalid(c, "no program can have that name");
	r = c->storage->ops->may_open(c->storage->front, c->caller->user,
				      program);
	if (r < 0) {
		snprintf(c->text, sizeof(c->text),
			 "the storage of `%s` is not allowed", program);
		return r;
	}
	r = object_new(c, OBJECT_SPACE, &o);
	if (r < 0)
		return r;
	space_put(steal(&o->space)); /* not the caller's own */
	r = space_get(c->storage, program, &o->space);
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
	mp_write_uint(c->out, c->keys->limit_bytes);
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

const struct method space_methods[] = {
	{ .name = "storage.open", .fn = open_other, .free = true },
	{ .name = "storage.stat", .fn = stat_space, .keys = true },
	{ .name = "storage.compact", .fn = compact, .keys = true },
	{ 0 },
};
