/* Storage, step 12: the calls below `storage.stream`. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/storage_private.h"

static int on_write_option(struct call *c, struct mp_bytes key,
			   struct mp_reader *value, void *user)
{
	if (mp_bytes_equal(key, "write"))
		return option_bool(c, "write", value, user);
	return invalid(c, "there is no option `%.*s`", (int)key.size, key.p);
}

/* Of a stream that is there, or of none yet. */
static int no_file(struct call *c, bool there)
{
	mp_write_array(c->out, 1);
	if (there)
		mp_write_bool(c->out, false);
	else
		mp_write_nil(c->out);
	return 0;
}

/* It is remembered as handed out before anybody has it. */
static int pin_stream(struct call *c, uint64_t *ret_inode)
{
	struct pins *pins = &c->storage->pins;
	const char *program = c->space->program;
	int fd, r;

	r = stream_open(&c->storage->streams, program, ret_inode, &fd);
	return r < 0 ? r : pins_add(pins, program, *ret_inode, fd);
}

/*
 * open({write}) -> a context that ends when the stream is replaced, and with
 * it a descriptor, which thoxd makes; nil when there is no stream; false when
 * there can be no descriptor: what a process does to a storage that is not its
 * own may be withdrawn at any time, and old files may be held too long.
 */
static int open_stream(struct call *c)
{
	struct storage_file file = { .program = c->space->program,
				     .limit_bytes =
					     c->space->keys.limit_bytes };
	struct storage_object *o;
	int r = arg_options(c, on_write_option, &file.write);

	if (r == 0 && !c->caller->own)
		return no_file(c, true);
	if (r == 0 && file.write) /* thoxd opens what is there */
		r = stream_write(&c->storage->streams, file.program, 0,
				 (struct mp_bytes){ 0 }, file.limit_bytes);
	if (r == 0)
		r = pin_stream(c, &file.inode);
	if (r == 0)
		r = object_new(c, OBJECT_STREAM, &o);
	if (r == -ENOENT || r == -EBUSY || r == -EMFILE)
		return no_file(c, r != -ENOENT);
	if (r < 0)
		return r;
	o->inode = file.inode;
	list_append(&c->space->streams, &o->streams);
	c->storage->ops->hand(c->storage->front, c->request, o, &file);
	return CALL_LATER;
}

static int answer_bytes(struct call *c, uint64_t offset, uint64_t size)
{
	struct blob *b = NULL;
	int r = stream_read(&c->storage->streams, c->space->program, offset,
			    size, &b);

	if (r < 0)
		return r;
	mp_write_array(c->out, 1);
	mp_write_strn(c->out, b->data, b->size);
	blob_unref(b);
	return 0;
}

/* get() -> the whole, nil when there is no stream */
static int get(struct call *c)
{
	struct stream_info info;
	int r = stream_stat(&c->storage->streams, c->space->program, &info);

	if (r == -ENOENT) {
		mp_write_array(c->out, 1);
		mp_write_nil(c->out);
		return 0;
	}
	if (r == 0 && info.size_bytes > STORAGE_STREAM_CALL_BYTES) {
		(void)invalid(c, "a call carries at most %u bytes: open it",
			      STORAGE_STREAM_CALL_BYTES);
		return -EFBIG;
	}
	return r < 0 ? r : answer_bytes(c, 0, info.size_bytes);
}

/* read(offset, count) -> bytes, fewer at the end, and none of no stream */
static int read_at(struct call *c)
{
	uint64_t offset = 0, size = 0;
	int r = arg_uint(c, "the offset", &offset);

	if (r == 0)
		r = arg_uint(c, "the count", &size);
	if (r < 0)
		return r;
	if (size > STORAGE_STREAM_CALL_BYTES)
		size = STORAGE_STREAM_CALL_BYTES;
	r = answer_bytes(c, offset, size);
	if (r != -ENOENT)
		return r;
	mp_write_array(c->out, 1);
	mp_write_str(c->out, "");
	return 0;
}

/* write(offset, bytes) */
static int write_at(struct call *c)
{
	struct mp_bytes data;
	uint64_t offset = 0;
	int r = arg_uint(c, "the offset", &offset);

	if (r == 0)
		r = arg_bytes(c, "the text", &data);
	if (r == 0)
		r = stream_write(&c->storage->streams, c->space->program,
				 offset, data, c->space->keys.limit_bytes);
	mp_write_array(c->out, 0);
	return r;
}

/* truncate(size) */
static int truncate_to(struct call *c)
{
	uint64_t size = 0;
	int r = arg_uint(c, "the size", &size);

	if (r == 0)
		r = stream_truncate(&c->storage->streams, c->space->program,
				    size, c->space->keys.limit_bytes);
	mp_write_array(c->out, 0);
	return r;
}

/* size() -> bytes, nil when there is no stream */
static int size_of(struct call *c)
{
	struct stream_info info;
	int r = stream_stat(&c->storage->streams, c->space->program, &info);

	mp_write_array(c->out, 1);
	if (r == 0)
		mp_write_uint(c->out, info.size_bytes);
	else
		mp_write_nil(c->out);
	return r == -ENOENT ? 0 : r;
}

/* remove() */
static int remove_stream(struct call *c)
{
	int r = stream_remove(&c->storage->streams, c->space->program);

	mp_write_array(c->out, 0);
	return r;
}

/* --- what the disk takes its time for ----------------------------------- */

static void on_done(struct stream_task *t)
{
	struct late *l = t->user;
	static const char none[] = "\x90";
	int r = t->result;

	free(t);
	late_answer(l, r, (struct mp_bytes){ none, 1 });
}

static int begin(struct call *c, struct stream_task **ret_task,
		 struct late **ret_late)
{
	struct stream_task *t = calloc(1, sizeof(*t));
	struct late *l = t ? late_new(c) : NULL;

	if (!l) {
		free(t);
		return -ENOMEM;
	}
	t->done = on_done;
	t->user = l;
	*ret_task = t;
	*ret_late = l;
	return 0;
}

static int began(struct stream_task *t, struct late *l, int r)
{
	if (r == 0)
		return CALL_LATER;
	late_free(l);
	free(t);
	return r;
}

/* set(text): replaces the whole, at once and durably */
static int set(struct call *c)
{
	struct stream_task *t = NULL;
	struct mp_bytes data;
	struct late *l = NULL;
	struct blob *b;
	int r = arg_bytes(c, "the text", &data);

	if (r == 0)
		r = begin(c, &t, &l);
	if (r < 0)
		return r;
	b = blob_new(data.p ? data.p : "", data.size);
	r = b ? stream_replace(&c->storage->streams, c->space->program, b,
			       c->space->keys.limit_bytes, t)
	      : -ENOMEM;
	return began(t, l, r);
}

/* sync(): what was written is on the disk; no stream is */
static int sync_stream(struct call *c)
{
	struct stream_task *t = NULL;
	struct late *l = NULL;
	int r = begin(c, &t, &l);

	if (r < 0)
		return r;
	return began(t, l,
		     stream_sync(&c->storage->streams, c->space->program, t));
}

const struct method stream_methods[] = {
	{ .name = "storage.stream.get", .fn = get },
	{ .name = "storage.stream.set", .fn = set },
	{ .name = "storage.stream.open", .fn = open_stream },
	{ .name = "storage.stream.read", .fn = read_at },
	{ .name = "storage.stream.write", .fn = write_at },
	{ .name = "storage.stream.truncate", .fn = truncate_to },
	{ .name = "storage.stream.size", .fn = size_of },
	{ .name = "storage.stream.sync", .fn = sync_stream },
	{ .name = "storage.stream.remove", .fn = remove_stream },
	{ 0 },
};
