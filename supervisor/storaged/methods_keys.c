/* Storage, step 12: the calls below `storage.keys`. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/storage_private.h"

/* --- one key -------------------------------------------------------------- */

/* Seconds left, or nil. */
static void write_ttl(struct mp_writer *w, uint64_t ttl_ms)
{
	if (ttl_ms)
		mp_write_double(w, (double)ttl_ms / 1000);
	else
		mp_write_nil(w);
}

static void write_blob(struct mp_writer *w, const struct blob *b)
{
	if (b)
		mp_write_raw(w, b->data, b->size);
	else
		mp_write_nil(w);
}

/* get(key) -> value, version, ttl; nil, 0 when there is none */
static int get(struct call *c)
{
	struct mp_bytes key;
	struct keys_value v;
	int r = arg_bytes(c, "the key", &key);

	if (r == 0)
		r = keys_get(c->keys, key, &v);
	if (r < 0)
		return r;
	c->wait = v.wait;
	mp_write_array(c->out, 3);
	write_blob(c->out, v.value);
	mp_write_uint(c->out, v.version);
	write_ttl(c->out, v.ttl_ms);
	return 0;
}

struct options {
	uint64_t ttl_ms;
	uint64_t version;
	bool has_version;
	bool sync;
};

static int on_option(struct call *c, struct mp_bytes key,
		     struct mp_reader *value, void *user)
{
	struct options *o = user;

	if (mp_bytes_equal(key, "sync"))
		return option_bool(c, "sync", value, &o->sync);
	if (mp_bytes_equal(key, "ttl")) {
		int r = option_seconds(c, "ttl", value, &o->ttl_ms);

		/* What has ended already is a removal, and meant as one. */
		return r == 0 && o->ttl_ms == 0
			       ? invalid(c, "ttl must be more than 0")
			       : r;
	}
	if (mp_bytes_equal(key, "if_version")) {
		o->has_version = true;
		return option_uint(c, "if_version", value, &o->version);
	}
	return invalid(c, "there is no option `%.*s`", (int)key.size, key.p);
}

/* One write, perhaps on a condition; the value has no bytes: remove. */
static int write_one(struct call *c, struct mp_bytes key, struct mp_bytes value,
		     const struct options *o, struct keys_result *result)
{
	struct keys_read read = { .key = key, .version = o->version };
	struct keys_write w = { .key = key,
				.value = value,
				.ttl_ms = o->ttl_ms };
	int r;

	r = keys_transact(c->keys, &read, o->has_version ? 1 : 0, &w, 1,
			  o->sync, result);
	if (r >= 0)
		c->wait = result->wait;
	return r;
}

/* set(key, value, {ttl, if_version, sync}) -> version | false, version */
static int set(struct call *c)
{
	struct mp_bytes key, value;
	struct options o = { 0 };
	struct keys_result result;
	int r = arg_bytes(c, "the key", &key);

	if (r == 0)
		r = arg_value(c, &value);
	if (r == 0)
		r = arg_options(c, on_option, &o);
	if (r == 0)
		r = write_one(c, key, value, &o, &result);
	if (r < 0)
		return r;
	mp_write_array(c->out, r == KEYS_CONFLICT ? 2 : 1);
	if (r == KEYS_CONFLICT)
		mp_write_bool(c->out, false);
	mp_write_uint(c->out, result.version);
	return 0;
}

/* delete(key, {if_version, sync}) -> was there | nil, version */
static int delete (struct call *c)
{
	struct mp_bytes key, none = { 0 };
	struct options o = { 0 };
	struct keys_result result;
	int r = arg_bytes(c, "the key", &key);

	if (r == 0)
		r = arg_options(c, on_option, &o);
	if (r == 0 && o.ttl_ms)
		r = invalid(c, "a removal has no ttl");
	if (r == 0)
		r = write_one(c, key, none, &o, &result);
	if (r < 0)
		return r;
	mp_write_array(c->out, r == KEYS_CONFLICT ? 2 : 1);
	if (r == KEYS_CONFLICT) {
		mp_write_nil(c->out);
		mp_write_uint(c->out, result.version);
	} else {
		mp_write_bool(c->out, result.existed);
	}
	return 0;
}

/* increment(key, by, {sync}) -> sum, version */
static int increment(struct call *c)
{
	struct mp_bytes key, by;
	struct options o = { 0 };
	struct keys_value v;
	int r = arg_bytes(c, "the key", &key);

	if (r == 0)
		r = arg_value(c, &by);
	if (r == 0)
		r = arg_options(c, on_option, &o);
	if (r == 0 && (o.ttl_ms || o.has_version))
		r = invalid(c, "an increment has no option but sync");
	if (r == 0)
		r = keys_increment(c->keys, key, by, o.sync, &v);
	if (r < 0)
		return r;
	c->wait = v.wait;
	mp_write_array(c->out, 2);
	write_blob(c->out, v.value);
	mp_write_uint(c->out, v.version);
	return 0;
}

/* --- many keys ------------------------------------------------------------ */

struct page {
	struct call *call;
	struct mp_bytes after;
	bool has_after, keys_only;
	uint64_t limit;
	uint32_t count;
	size_t bytes;
	struct mp_writer rows; /* four items for each */
	struct blob *next;     /* where the next page begins */
};

static int on_list_option(struct call *c, struct mp_bytes key,
			  struct mp_reader *value, void *user)
{
	struct page *p = user;

	if (mp_bytes_equal(key, "limit"))
		return option_uint(c, "limit", value, &p->limit);
	if (mp_bytes_equal(key, "keys"))
		return option_bool(c, "keys", value, &p->keys_only);
	if (mp_bytes_equal(key, "from")) {
		enum mp_type type = mp_peek(value);

		if (type != MP_STR && type != MP_BIN)
			return invalid(c, "from must be a string");
		p->after = mp_read_str(value);
		p->has_after = true;
		return 0;
	}
	return invalid(c, "there is no option `%.*s`", (int)key.size, key.p);
}

#define PAGE_FULL 1

static int on_row(const struct keys_row *row, void *user)
{
	struct page *p = user;
	size_t bytes = row->key.size + (p->keys_only ? 0 : row->value.size);

	/* At least one, or it would never end. */
	if (p->count >= p->limit ||
	    (p->count > 0 && p->bytes + bytes > STORAGE_LIST_BYTES)) {
		p->next = blob_new(row->key.p ? row->key.p : "", row->key.size);
		return p->next ? PAGE_FULL : -ENOMEM;
	}
	p->count++;
	p->bytes += bytes;
	mp_write_strn(&p->rows, row->key.p, row->key.size);
	if (p->keys_only)
		mp_write_nil(&p->rows);
	else
		mp_write_raw(&p->rows, row->value.p, row->value.size);
	mp_write_uint(&p->rows, row->version);
	write_ttl(&p->rows, row->ttl_ms);
	return 0;
}

static int write_page(struct call *c, struct page *p)
{
	if (mp_writer_end(&p->rows) < 0)
		return -ENOMEM;
	mp_write_array(c->out, 1 + 4 * p->count);
	if (p->next)
		mp_write_strn(c->out, p->next->data, p->next->size);
	else
		mp_write_nil(c->out);
	mp_write_raw(c->out, p->rows.data, p->rows.used);
	return 0;
}

/* list(prefix, {from, limit, keys}) -> next | nil, {key, value, version, ttl}… */
static int list(struct call *c)
{
	struct page p = { .call = c, .limit = STORAGE_LIST_MAX };
	struct mp_bytes prefix;
	int r = arg_bytes(c, "the prefix", &prefix);

	if (r == 0)
		r = arg_options(c, on_list_option, &p);
	if (r == 0 && p.limit == 0)
		r = invalid(c, "limit must be more than 0");
	if (r < 0)
		return r;
	if (p.limit > STORAGE_LIST_MAX)
		p.limit = STORAGE_LIST_MAX;
	mp_writer_init_heap(&p.rows);
	r = keys_list(c->keys, prefix, p.has_after ? p.after : prefix, on_row,
		      &p, &c->wait);
	if (r >= 0)
		r = write_page(c, &p);
	mp_writer_deinit(&p.rows);
	blob_unref(p.next);
	return r;
}

struct transaction {
	struct keys_read *reads;
	struct keys_write *writes;
	uint64_t n_reads;
	uint32_t n_writes;
};

static int read_read(struct call *c, struct keys_read *ret)
{
	int r = arg_bytes(c, "a key that was read", &ret->key);

	return r == 0 ? arg_uint(c, "its version", &ret->version) : r;
}

/* "set", key, value, ttl | nil; or "delete", key */
static int read_write(struct call *c, struct keys_write *ret)
{
	struct mp_bytes what;
	int r = arg_bytes(c, "what to do", &what);

	if (r == 0)
		r = arg_bytes(c, "a key to write", &ret->key);
	if (r < 0 || mp_bytes_equal(what, "delete"))
		return r;
	if (!mp_bytes_equal(what, "set"))
		return invalid(c, "a transaction sets or deletes");
	r = arg_value(c, &ret->value);
	if (r < 0)
		return r;
	if (c->n_args == 0)
		return invalid(c, "a ttl is missing");
	c->n_args--;
	if (mp_peek(&c->args) == MP_NIL) {
		mp_read_nil(&c->args);
		return 0;
	}
	r = option_seconds(c, "ttl", &c->args, &ret->ttl_ms);
	return r == 0 && ret->ttl_ms == 0
		       ? invalid(c, "ttl must be more than 0")
		       : r;
}

static int read_transaction(struct call *c, struct transaction *t,
			    struct options *o)
{
	/* The options come first here: the rest is as long as it is. */
	int r = arg_options(c, on_option, o);

	if (r == 0)
		r = arg_uint(c, "the number of reads", &t->n_reads);
	if (r < 0)
		return r;
	if (o->ttl_ms || o->has_version)
		return invalid(c, "a transaction has no option but sync");
	if (t->n_reads > STORAGE_READS_MAX)
		return invalid(c, "a transaction reads at most %u keys",
			       STORAGE_READS_MAX);
	t->reads = calloc(STORAGE_READS_MAX, sizeof(*t->reads));
	t->writes = calloc(STORAGE_WRITES_MAX, sizeof(*t->writes));
	if (!t->reads || !t->writes)
		return -ENOMEM;
	for (uint64_t i = 0; r == 0 && i < t->n_reads; i++)
		r = read_read(c, &t->reads[i]);
	while (r == 0 && c->n_args > 0) {
		if (t->n_writes == STORAGE_WRITES_MAX)
			return invalid(c,
				       "a transaction writes at most %u keys",
				       STORAGE_WRITES_MAX);
		r = read_write(c, &t->writes[t->n_writes++]);
	}
	return r;
}

/*
 * transaction({sync}, n, {key, version} n times, then each "set", key, value,
 * ttl | nil or "delete", key) -> version | false, key, version
 */
static int transaction(struct call *c)
{
	struct transaction t = { 0 };
	struct options o = { 0 };
	struct keys_result result;
	int r = read_transaction(c, &t, &o);

	if (r == 0)
		r = keys_transact(c->keys, t.reads, t.n_reads, t.writes,
				  t.n_writes, o.sync, &result);
	if (r >= 0) {
		c->wait = result.wait;
		mp_write_array(c->out, r == KEYS_CONFLICT ? 3 : 1);
		if (r == KEYS_CONFLICT) {
			struct mp_bytes key = t.reads[result.conflict].key;

			mp_write_bool(c->out, false);
			mp_write_strn(c->out, key.p, key.size);
		}
		mp_write_uint(c->out, result.version);
		r = 0;
	}
	free(t.reads);
	free(t.writes);
	return r;
}

/* flush(): everything up to now is on the disk */
static int flush(struct call *c)
{
	c->wait = keys_flush(c->keys);
	mp_write_array(c->out, 0);
	return 0;
}

const struct method keys_methods[] = {
	{ .name = "storage.keys.get", .fn = get, .keys = true },
	{ .name = "storage.keys.set", .fn = set, .keys = true },
	{ .name = "storage.keys.delete", .fn = delete, .keys = true },
	{ .name = "storage.keys.increment", .fn = increment, .keys = true },
	{ .name = "storage.keys.list", .fn = list, .keys = true },
	{ .name = "storage.keys.transaction", .fn = transaction, .keys = true },
	{ .name = "storage.keys.flush", .fn = flush, .keys = true },
	{ .name = "storage.keys.watch", .fn = keys_watch, .keys = true },
	{ 0 },
};
