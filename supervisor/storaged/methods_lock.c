/* Storage, step 12: `storage.lock`, answered with a context. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/storaged.h"
#include "storaged/clock.h"
#include "storaged/storage_private.h"

struct lock_options {
	uint64_t wait_ms;
	bool shared;
};

static int on_option(struct call *c, struct mp_bytes key,
		     struct mp_reader *value, void *user)
{
	struct lock_options *o = user;

	if (mp_bytes_equal(key, "timeout"))
		return option_seconds(c, "timeout", value, &o->wait_ms);
	if (mp_bytes_equal(key, "shared"))
		return option_bool(c, "shared", value, &o->shared);
	return invalid(c, "there is no option `%.*s`", (int)key.size, key.p);
}

static void on_granted(struct claim *claim)
{
	struct storage_object *o =
		container_of(claim, struct storage_object, claim);
	struct late *l = o->late;
	struct storage *s = l->storage;
	void *request = l->request;

	late_free(l);
	s->ops->hand(s->front, request, o, NULL);
}

void lock_give_up(struct late *l, int error)
{
	struct storage_object *o = l->object;

	late_answer(l, error, (struct mp_bytes){ 0 });
	storage_object_free(o);
}

static void on_timed_out(struct claim *claim)
{
	struct storage_object *o =
		container_of(claim, struct storage_object, claim);

	lock_give_up(o->late, -ETIMEDOUT);
}

/* No longer than the call itself may wait. */
static uint64_t wait_of(const struct call *c, uint64_t wait_ms)
{
	uint64_t now_ms = clock_ns() / 1000000, left;

	if (!c->deadline_ms)
		return wait_ms;
	left = c->deadline_ms > now_ms ? c->deadline_ms - now_ms : 0;
	return left < wait_ms ? left : wait_ms;
}

/* lock(name, {timeout, shared}) -> context: held until that is closed */
static int lock(struct call *c)
{
	struct lock_options o = { .wait_ms = STORAGE_LOCK_WAIT_MS };
	struct storage_object *object = NULL;
	struct mp_bytes name;
	int r = arg_bytes(c, "the name", &name);

	if (r == 0)
		r = arg_options(c, on_option, &o);
	if (r == 0)
		r = object_new(c, OBJECT_LOCK, &object);
	if (r < 0)
		return r;
	object->late = late_new(c);
	if (!object->late) {
		storage_object_free(object);
		return -ENOMEM;
	}
	object->late->object = object;
	object->claim.shared = o.shared;
	object->claim.granted = on_granted;
	object->claim.timed_out = on_timed_out;
	r = lock_claim(&c->space->locks, name, wait_of(c, o.wait_ms),
		       &object->claim);
	if (r == LOCK_HELD) {
		on_granted(&object->claim);
		return CALL_LATER;
	}
	if (r == LOCK_WAITS)
		return CALL_LATER;
	late_free(object->late);
	storage_object_free(object);
	if (r == -EINVAL)
		return invalid(c, "a lock's name has 1 to %u bytes",
			       STORAGE_LOCK_NAME_BYTES);
	if (r == -EBUSY)
		snprintf(c->text, sizeof(c->text), "the lock is taken");
	return r == -EBUSY ? -ETIMEDOUT : r;
}

struct listing {
	struct mp_writer rows;
	uint32_t count;
	/* of all programs': whose they are, and who claims them */
	const struct storage_ops *ops;
	const char *program;
};

static void write_claimant(const struct claim *claim, struct listing *l)
{
	const struct storage_object *o =
		container_of(claim, const struct storage_object, claim);

	mp_write_str(&l->rows, "program");
	mp_write_str(&l->rows, l->program);
	mp_write_str(&l->rows, "pid");
	/* One that was passed on may outlive whom it was given to. */
	if (o->owner && l->ops->pid)
		mp_write_int(&l->rows, l->ops->pid(o->owner->user));
	else
		mp_write_nil(&l->rows);
}

static int on_claim(const struct claim *claim, void *user)
{
	struct listing *l = user;
	struct mp_bytes name = lock_name(claim->lock);
	uint64_t since_ms = clock_boot_ms() - claim->since_ms;

	l->count++;
	mp_write_map(&l->rows, l->program ? 6 : 4);
	if (l->program)
		write_claimant(claim, l);
	mp_write_str(&l->rows, "name");
	mp_write_strn(&l->rows, name.p, name.size);
	mp_write_str(&l->rows, "held");
	mp_write_bool(&l->rows, claim->held);
	mp_write_str(&l->rows, "shared");
	mp_write_bool(&l->rows, claim->shared);
	mp_write_str(&l->rows, "seconds");
	mp_write_double(&l->rows, (double)since_ms / 1000);
	return l->count == STORAGE_LIST_MAX;
}

static int answer_listing(struct call *c, struct listing *l)
{
	int r = mp_writer_end(&l->rows);

	mp_write_array(c->out, l->count);
	mp_write_raw(c->out, l->rows.data, l->rows.used);
	mp_writer_deinit(&l->rows);
	return r;
}

static int may_admin(const struct call *c, const char *name)
{
	const struct storage_ops *ops = c->storage->ops;

	return ops->may_admin ? ops->may_admin(c->storage->front,
					       c->caller->user, name)
			      : -EPERM;
}

/* locks() -> {name, held, shared, seconds}…: who has and who waits */
static int locks(struct call *c)
{
	struct listing l = { 0 };

	mp_writer_init_heap(&l.rows);
	(void)locks_each(&c->space->locks, on_claim, &l);
	return answer_listing(c, &l);
}

/* admin.locks() -> {program, pid, name, held, shared, seconds}…: of all */
static int admin_locks(struct call *c)
{
	struct storage *s = c->storage;
	struct listing l = { .ops = s->ops };
	bool full = false;
	int r = may_admin(c, STORAGED_ADMIN ".locks");

	if (r < 0)
		return r;
	mp_writer_init_heap(&l.rows);
	for (size_t i = 0; i < SPACE_BUCKETS; i++)
		for (struct space *sp = s->buckets[i]; sp; sp = sp->next) {
			l.program = sp->program;
			full = full ||
			       (sp->locks.count > 0 &&
				locks_each(&sp->locks, on_claim, &l) != 0);
		}
	return answer_listing(c, &l);
}

const struct method admin_methods[] = {
	{ .name = STORAGED_ADMIN ".locks", .fn = admin_locks, .free = true },
	{ 0 },
};

const struct method lock_methods[] = {
	{ .name = "storage.lock", .fn = lock },
	{ .name = "storage.locks", .fn = locks },
	{ 0 },
};
