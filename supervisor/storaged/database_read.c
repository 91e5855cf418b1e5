/* Storage, step 2, reading: rows as calls carry them. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "storaged/database_private.h"
#include "storaged/limits.h"

int database_meta(struct database *db, struct database_meta *ret_meta)
{
	struct database_meta m = { 0 };
	sqlite3_stmt *s;
	const char *boot;
	int code, r;

	r = database_statement(db, META, &s);
	if (r < 0)
		return r;
	code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		m.version = (uint64_t)sqlite3_column_int64(s, 0);
		m.bytes = (uint64_t)sqlite3_column_int64(s, 1);
		m.count = (uint64_t)sqlite3_column_int64(s, 2);
		m.skew_ms = sqlite3_column_int64(s, 3);
		boot = (const char *)sqlite3_column_text(s, 4);
		snprintf(m.boot, sizeof(m.boot), "%s", boot ? boot : "");
		*ret_meta = m;
	}
	r = code == SQLITE_DONE ? -EBADMSG : database_error(db, code);
	sqlite3_reset(s);
	return r;
}

/* As a call carries it. */
static int column_value(struct database *db, sqlite3_stmt *s, int at)
{
	struct mp_writer *w = &db->value;
	struct mp_bytes b;

	w->used = 0;
	switch (sqlite3_column_type(s, at)) {
	case SQLITE_INTEGER:
		mp_write_int(w, sqlite3_column_int64(s, at));
		break;
	case SQLITE_FLOAT:
		mp_write_double(w, sqlite3_column_double(s, at));
		break;
	case SQLITE_NULL:
		mp_write_nil(w);
		break;
	case SQLITE_TEXT:
		b.p = (const char *)sqlite3_column_text(s, at);
		b.size = (size_t)sqlite3_column_bytes(s, at);
		mp_write_strn(w, b.p, b.size);
		break;
	default:
		b.p = sqlite3_column_blob(s, at);
		b.size = (size_t)sqlite3_column_bytes(s, at);
		/* What somebody else put there is taken as mere bytes. */
		if (value_check(b) == 0)
			mp_write_raw(w, b.p, b.size);
		else
			mp_write_bin(w, b.p, b.size);
	}
	return mp_writer_end(w);
}

static int column_row(struct database *db, sqlite3_stmt *s,
		      struct database_row *ret_row)
{
	int r = column_value(db, s, 1);

	ret_row->key.p = sqlite3_column_blob(s, 0);
	ret_row->key.size = (size_t)sqlite3_column_bytes(s, 0);
	ret_row->value.p = (const char *)db->value.data;
	ret_row->value.size = db->value.used;
	ret_row->version = (uint64_t)sqlite3_column_int64(s, 2);
	ret_row->expires_ms = sqlite3_column_int64(s, 3);
	return r;
}

/* @s is bound: give each of its rows to @fn. */
static int each_row(struct database *db, sqlite3_stmt *s, database_row_fn fn,
		    void *user)
{
	struct database_row row;
	int code, r = 0;

	while (r == 0 && (code = sqlite3_step(s)) != SQLITE_DONE) {
		r = database_error(db, code);
		if (r == 0)
			r = column_row(db, s, &row);
		if (r == 0)
			r = fn(&row, user);
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r;
}

static int take_row(const struct database_row *row, void *user)
{
	*(struct database_row *)user = *row;
	return 1;
}

int database_get(struct database *db, struct mp_bytes key,
		 struct database_row *ret_row)
{
	sqlite3_stmt *s;
	int r = database_statement(db, GET, &s);

	if (r < 0)
		return r;
	database_bind_bytes(s, 1, key);
	return each_row(db, s, take_row, ret_row);
}

/* The first bytes that are above all that begin with @prefix. */
static struct mp_bytes after_prefix(struct mp_bytes prefix,
				    char buffer[STORAGE_KEY_BYTES + 1])
{
	size_t n = prefix.size;

	memcpy(buffer, prefix.p ? prefix.p : "", n);
	while (n > 0 && (unsigned char)buffer[n - 1] == 0xff)
		n--;
	if (n > 0) {
		buffer[n - 1]++;
		return (struct mp_bytes){ buffer, n };
	}
	/* Above every key there may be. */
	memset(buffer, 0xff, STORAGE_KEY_BYTES + 1);
	return (struct mp_bytes){ buffer, STORAGE_KEY_BYTES + 1 };
}

int database_list(struct database *db, struct mp_bytes from,
		  struct mp_bytes prefix, database_row_fn fn, void *user)
{
	char buffer[STORAGE_KEY_BYTES + 1];
	sqlite3_stmt *s;
	int r = database_statement(db, LIST, &s);

	if (r == 0 && prefix.size > STORAGE_KEY_BYTES)
		r = -EINVAL;
	if (r < 0)
		return r;
	database_bind_bytes(s, 1, from);
	database_bind_bytes(s, 2, after_prefix(prefix, buffer));
	return each_row(db, s, fn, user);
}

int database_due(struct database *db, int64_t wall_ms, unsigned limit,
		 database_row_fn fn, void *user)
{
	sqlite3_stmt *s;
	int r = database_statement(db, DUE, &s);

	if (r < 0)
		return r;
	sqlite3_bind_int64(s, 1, wall_ms);
	sqlite3_bind_int64(s, 2, limit);
	return each_row(db, s, fn, user);
}

int database_next_due(struct database *db, int64_t wall_ms,
		      int64_t *ret_wall_ms)
{
	sqlite3_stmt *s;
	int code, r = database_statement(db, NEXT_DUE, &s);

	if (r < 0)
		return r;
	sqlite3_bind_int64(s, 1, wall_ms);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*ret_wall_ms = sqlite3_column_int64(s, 0);
	r = database_error(db, code);
	sqlite3_reset(s);
	return r;
}
