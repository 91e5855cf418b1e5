/* Storage, step 2, writing: what one transaction brings. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/database_private.h"
#include "storaged/limits.h"
#include "storaged/wal.h"

#define WAL_HEADER_BYTES 24 /* of a frame */

/* Run to the end; there are no rows to see. */
static int finish(struct database *db, sqlite3_stmt *s)
{
	int r = database_error(db, sqlite3_step(s));

	sqlite3_reset(s);
	return r;
}

static int run(struct database *db, enum statement which)
{
	sqlite3_stmt *s;
	int r = database_statement(db, which, &s);

	return r < 0 ? r : finish(db, s);
}

/* As SQLite's own where it has the type, so that people can read it. */
static void bind_value(sqlite3_stmt *s, int at, const struct blob *value)
{
	struct mp_bytes raw = { value->data, value->size }, text;
	struct mp_reader r;
	double real;

	mp_reader_init(&r, raw.p, raw.size);
	switch (mp_peek(&r)) {
	case MP_NIL:
		sqlite3_bind_null(s, at);
		return;
	case MP_INT:
		sqlite3_bind_int64(s, at, mp_read_int(&r));
		return;
	case MP_STR:
		text = mp_read_str(&r);
		sqlite3_bind_text64(s, at, text.p, text.size, SQLITE_STATIC,
				    SQLITE_UTF8);
		return;
	case MP_DOUBLE:
		/* SQLite takes "not a number" for NULL. */
		real = mp_read_double(&r);
		if (!isnan(real)) {
			sqlite3_bind_double(s, at, real);
			return;
		}
		break;
	default:
		break;
	}
	database_bind_bytes(s, at, raw);
}

static int write_row(struct database *db, enum statement which,
		     const struct change *c)
{
	sqlite3_stmt *s;
	int r = database_statement(db, which, &s);

	if (r < 0)
		return r;
	database_bind_bytes(s, 1, c->key);
	if (which != REMOVE) {
		bind_value(s, 2, c->value);
		sqlite3_bind_int64(s, 3, (int64_t)c->version);
		if (c->expires_ms)
			sqlite3_bind_int64(s, 4, c->expires_ms);
		else
			sqlite3_bind_null(s, 4);
	}
	return finish(db, s);
}

/* To put a row in another's place is cheaper than to look for one in the way,
 * remove it and make a new one. */
static int write_change(struct database *db, const struct change *c)
{
	int r;

	if (!c->value)
		return write_row(db, REMOVE, c);
	if (c->replaces) {
		r = write_row(db, REPLACE, c);
		if (r < 0 || sqlite3_changes(db->sqlite) > 0)
			return r;
	}
	return write_row(db, SET, c);
}

/* As SQLite orders them; what was first is first among equals. */
static int by_key(const void *a, const void *b)
{
	const struct change *x = *(const struct change *const *)a;
	const struct change *y = *(const struct change *const *)b;
	size_t least = x->key.size < y->key.size ? x->key.size : y->key.size;
	int order = memcmp(x->key.p, y->key.p, least);

	if (order == 0)
		order = (x->key.size > y->key.size) -
			(x->key.size < y->key.size);
	return order != 0 ? order : (x > y) - (x < y);
}

/* Those that were not written yet, in the order of keys, so that each page is
 * taken up once. */
static int write_changes(struct database *db, const struct batch *b)
{
	size_t n = b->count - b->written;
	const struct change **order = calloc(n + 1, sizeof(*order));
	int r = order ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++)
		order[i] = &b->changes[b->written + i];
	if (r == 0)
		qsort(order, n, sizeof(*order), by_key);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_change(db, order[i]);
	free(order);
	return r;
}

static bool meta_equal(const struct database_meta *a,
		       const struct database_meta *b)
{
	return a->version == b->version && a->bytes == b->bytes &&
	       a->count == b->count && a->skew_ms == b->skew_ms &&
	       strcmp(a->boot, b->boot) == 0;
}

/* It is a page of its own: left out where values of one size replace each
 * other. */
static int write_meta(struct database *db, const struct database_meta *m)
{
	sqlite3_stmt *s;
	int r;

	if (db->has_meta && meta_equal(&db->meta, m))
		return 0;
	r = database_statement(db, SET_META, &s);
	if (r < 0)
		return r;
	sqlite3_bind_int64(s, 1, (int64_t)m->version);
	sqlite3_bind_int64(s, 2, (int64_t)m->bytes);
	sqlite3_bind_int64(s, 3, (int64_t)m->count);
	sqlite3_bind_int64(s, 4, m->skew_ms);
	sqlite3_bind_text(s, 5, m->boot, -1, SQLITE_STATIC);
	return finish(db, s);
}

static int shift(struct database *db, int64_t shift_ms)
{
	sqlite3_stmt *s;
	int r = database_statement(db, SHIFT, &s);

	if (r < 0)
		return r;
	sqlite3_bind_int64(s, 1, shift_ms);
	return finish(db, s);
}

static void grow_ahead(const struct database *db)
{
	int64_t used = db->wal_frames * (db->page_bytes + WAL_HEADER_BYTES);
	sqlite3_file *wal = NULL;

	if (sqlite3_file_control(db->sqlite, "main",
				 SQLITE_FCNTL_JOURNAL_POINTER,
				 &wal) == SQLITE_OK &&
	    wal)
		wal_grow(wal, used);
}

static int begin(struct database *db)
{
	int r = db->begun ? 0 : run(db, BEGIN);

	if (r == 0 && !db->begun)
		grow_ahead(db);
	return r;
}

/* The reason is that of what failed before. */
static void roll_back(struct database *db)
{
	char why[REASON_BYTES];

	db->begun = false;
	if (sqlite3_get_autocommit(db->sqlite))
		return;
	memcpy(why, database_reason(), sizeof(why));
	(void)run(db, ROLLBACK);
	memcpy(database_reason_buffer(), why, sizeof(why));
}

int database_begin(struct database *db, struct batch *b)
{
	int r = begin(db);

	if (r < 0)
		return r;
	db->begun = true;
	r = write_changes(db, b);
	b->written = r < 0 ? 0 : b->count;
	if (r < 0)
		roll_back(db);
	return r;
}

int database_commit(struct database *db, const struct batch *b)
{
	int r = begin(db);

	if (r < 0)
		return r;
	/* Also of what was written ahead, by the old time. */
	if (b->shift_ms)
		r = shift(db, b->shift_ms);
	if (r == 0)
		r = write_changes(db, b);
	if (r == 0)
		r = write_meta(db, &b->meta);
	if (r == 0)
		r = run(db, COMMIT);
	db->has_meta = r == 0;
	db->meta = b->meta;
	db->begun = false;
	if (r < 0)
		roll_back(db);
	return r;
}

bool database_checkpoint_due(const struct database *db)
{
	return db->wal_frames >= STORAGE_WAL_FRAMES;
}

int database_checkpoint(struct database *db, bool all)
{
	int code;

	if (!all && !database_checkpoint_due(db))
		return 0;
	code = sqlite3_wal_checkpoint_v2(db->sqlite, NULL,
					 all ? SQLITE_CHECKPOINT_TRUNCATE
					     : SQLITE_CHECKPOINT_PASSIVE,
					 NULL, NULL);
	if (code == SQLITE_BUSY)
		return 0; /* the next one does it */
	db->wal_frames = 0;
	if (all && code == SQLITE_OK) /* whoever closes last tidies up */
		sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
				  0, NULL);
	return database_error(db, code);
}

int database_compact(struct database *db)
{
	int r = database_execute(db, "VACUUM");

	return r == 0 ? database_checkpoint(db, true) : r;
}

int database_verify(struct database *db)
{
	sqlite3_stmt *s = NULL;
	const char *text;
	int code, r;

	code = sqlite3_prepare_v2(db->sqlite, "PRAGMA integrity_check(1)", -1,
				  &s, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	r = database_error(db, code);
	text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0)
				  : NULL;
	if (r == 0 && (!text || strcmp(text, "ok") != 0)) {
		snprintf(database_reason_buffer(), REASON_BYTES, "%s",
			 text ? text : "");
		r = -EBADMSG;
	}
	sqlite3_finalize(s);
	return r;
}

int database_copy(struct database *db, const char *path)
{
	struct database to = { 0 };
	sqlite3_backup *backup;
	int code, r;

	code = sqlite3_open_v2(path, &to.sqlite,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				       SQLITE_OPEN_NOMUTEX,
			       NULL);
	r = database_error(&to, code);
	backup = r < 0 ? NULL
		       : sqlite3_backup_init(to.sqlite, "main", db->sqlite,
					     "main");
	if (backup) {
		/* In one step: under one read lock, so of one moment. */
		sqlite3_backup_step(backup, -1);
		code = sqlite3_backup_finish(backup);
		r = database_error(&to, code);
	} else if (r == 0) {
		r = database_error(&to, sqlite3_errcode(to.sqlite));
	}
	sqlite3_close(to.sqlite);
	return r;
}
