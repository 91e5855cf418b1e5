/* Storage, step 12: `storage.keys.watch`, and the calls on what it answers. */

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "storaged/storage_private.h"

/* watch(prefix) -> context, which has one call: `next` */
int keys_watch(struct call *c)
{
	struct storage_object *o;
	struct mp_bytes prefix;
	uint64_t count, bytes;
	int r = arg_bytes(c, "the prefix", &prefix);

	if (r == 0 && prefix.size > STORAGE_KEY_BYTES)
		r = -ENAMETOOLONG;
	if (r == 0) /* what expires is told too, so it must be known */
		r = keys_stat(c->keys, &count, &bytes);
	if (r == 0)
		r = object_new(c, OBJECT_WATCH, &o);
	if (r < 0)
		return r;
	r = watch_new(prefix, &c->storage->env.cache.seed, o, &o->watch);
	if (r < 0) {
		storage_object_free(o);
		return r;
	}
	list_append(&c->space->watches, &o->watch->list);
	c->storage->ops->hand(c->storage->front, c->request, o, NULL);
	return CALL_LATER;
}

/*
 * next() -> lost, {key, version, state, value}…: as soon as there is something
 * to tell. A call and not a push, since pushes are lost when their receiver is
 * slow: so whoever watches sets the pace, and nothing is.
 */
static int next(struct call *c)
{
	struct storage_object *o = c->caller->on;
	struct late *l;

	if (watch_has(o->watch)) {
		watch_take(o->watch, STORAGE_CHANGES_BYTES, c->out);
		return 0;
	}
	if (o->late)
		return invalid(c, "another call waits for the next change");
	l = late_new(c);
	if (!l)
		return -ENOMEM;
	l->object = o;
	o->late = l;
	return CALL_LATER;
}

void watch_tell(struct watch *w)
{
	struct storage_object *o = w->user;
	struct late *l = o->late;
	struct mp_writer *out;

	if (!l)
		return;
	out = &l->args;
	watch_take(w, STORAGE_CHANGES_BYTES, out);
	if (mp_writer_end(out) < 0) {
		(void)watch_lose(w); /* it is told when there is memory */
		late_answer(l, -ENOMEM, (struct mp_bytes){ 0 });
		return;
	}
	late_answer(l, 0,
		    (struct mp_bytes){ (const char *)out->data, out->used });
}

const struct method watch_methods[] = {
	{ .name = "next", .fn = next },
	{ 0 },
};
