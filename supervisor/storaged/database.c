/* Storage, step 2: the SQLite file below one program's keys. */

#include "storaged/database.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "storaged/database_private.h"
#include "storaged/limits.h"
#include "storaged/wal.h"

#define APPLICATION_ID 0x74686f78 /* "thox" */

static const char *const texts[STATEMENTS] = {
	[GET] = "SELECT key, value, version, expires FROM keys WHERE key = ?",
	[LIST] = "SELECT key, value, version, expires FROM keys "
		 "WHERE key >= ? AND key < ? ORDER BY key",
	[DUE] = "SELECT key, value, version, expires FROM keys "
		"WHERE expires <= ? ORDER BY expires LIMIT ?",
	[NEXT_DUE] = "SELECT min(expires) FROM keys WHERE expires > ?",
	[META] = "SELECT version, bytes, count, skew_ms, boot FROM storage",
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SET] = "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)",
	[REPLACE] = "UPDATE keys SET value = ?2, version = ?3, expires = ?4 "
		    "WHERE key = ?1",
	[REMOVE] = "DELETE FROM keys WHERE key = ?",
	[SET_META] = "UPDATE storage SET version = ?, bytes = ?, count = ?, "
		     "skew_ms = ?, boot = ?",
	[SHIFT] = "UPDATE keys SET expires = expires + ? "
		  "WHERE expires IS NOT NULL",
};

static const char schema[] = "BEGIN IMMEDIATE;"
			     "CREATE TABLE keys ("
			     " key BLOB NOT NULL PRIMARY KEY,"
			     " value ANY,"
			     " version INTEGER NOT NULL,"
			     " expires INTEGER"
			     ") STRICT, WITHOUT ROWID;"
			     "CREATE INDEX keys_expires ON keys (expires)"
			     " WHERE expires IS NOT NULL;"
			     "CREATE TABLE storage ("
			     " id INTEGER PRIMARY KEY CHECK (id = 1),"
			     " program TEXT NOT NULL,"
			     " version INTEGER NOT NULL,"
			     " bytes INTEGER NOT NULL,"
			     " count INTEGER NOT NULL,"
			     " skew_ms INTEGER NOT NULL,"
			     " boot TEXT NOT NULL"
			     ") STRICT;";

static __thread char reason[REASON_BYTES];

const char *database_reason(void)
{
	return reason;
}

char *database_reason_buffer(void)
{
	return reason;
}

static int error_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	default:
		return -EIO;
	}
}

int database_error(struct database *db, int code)
{
	int r = error_of(code), system = 0;

	if (r < 0)
		snprintf(reason, sizeof(reason), "%s",
			 db->sqlite ? sqlite3_errmsg(db->sqlite)
				    : sqlite3_errstr(code));
	if (r == -EIO && db->sqlite)
		system = sqlite3_system_errno(db->sqlite);
	if ((code & 0xff) == SQLITE_CANTOPEN)
		return system ? -system : -ENOENT;
	/* A full disk may also show as a failed write. */
	return system == ENOSPC || system == EDQUOT ? -ENOSPC : r;
}

int database_execute(struct database *db, const char *sql)
{
	return database_error(db,
			      sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL));
}

/* The first column of the first row. */
static int query(struct database *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db->sqlite, sql, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return database_error(db, code);
}

int database_statement(struct database *db, enum statement which,
		       sqlite3_stmt **ret)
{
	int code = SQLITE_OK;

	if (!db->statements[which])
		code = sqlite3_prepare_v3(db->sqlite, texts[which], -1,
					  SQLITE_PREPARE_PERSISTENT,
					  &db->statements[which], NULL);
	*ret = db->statements[which];
	return database_error(db, code);
}

void database_bind_bytes(sqlite3_stmt *s, int at, struct mp_bytes b)
{
	/* No bytes would be NULL if there were no pointer either. */
	sqlite3_bind_blob64(s, at, b.p ? b.p : "", b.size, SQLITE_STATIC);
}

int database_init(void)
{
	/* Nobody asks for its statistics, and each allocation would pay. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	return error_of(wal_register());
}

/* --- life --------------------------------------------------------------- */

static int on_wal(void *user, sqlite3 *sqlite, const char *name, int frames)
{
	struct database *db = user;

	(void)sqlite;
	(void)name;
	db->wal_frames = frames;
	return SQLITE_OK;
}

static int make_schema(struct database *db, const char *program)
{
	char *sql = sqlite3_mprintf(
		"%s"
		"INSERT INTO storage VALUES (1, %Q, 0, 0, 0, 0, '');"
		"PRAGMA application_id = %d;"
		"PRAGMA user_version = %d;"
		"COMMIT;",
		schema, program, APPLICATION_ID, DATABASE_VERSION);
	int r = sql ? database_execute(db, sql) : -ENOMEM;

	sqlite3_free(sql);
	return r;
}

static int check_schema(struct database *db, const char *program, bool writer)
{
	int64_t id = 0, version = 0, tables = 0;
	int r;

	r = query(db, "PRAGMA application_id", &id);
	if (r == 0)
		r = query(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = query(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return r;
	if (id == 0 && version == 0 && tables == 0)
		return writer ? make_schema(db, program) : -ENOENT;
	if (id == APPLICATION_ID && version > DATABASE_VERSION) {
		snprintf(reason, sizeof(reason), "its schema is version %lld",
			 (long long)version);
		return -EPROTONOSUPPORT;
	}
	if (id != APPLICATION_ID || version < 1) {
		snprintf(reason, sizeof(reason), "it is not thox's");
		return -EBADMSG;
	}
	return 0;
}

static int prepare(struct database *db, const char *program, bool writer)
{
	static const char common[] = "PRAGMA trusted_schema = OFF;"
				     "PRAGMA temp_store = MEMORY;";
	/* Of a new file. A commit writes the pages that it changes, mostly one
	 * for each key; but a row of more than a quarter of one takes
	 * another. */
	static const char page_size[] = "PRAGMA page_size = 2048";
	char sql[64];
	int64_t ignored;
	int r;

	sqlite3_extended_result_codes(db->sqlite, 1);
	sqlite3_busy_timeout(db->sqlite, STORAGE_LOCKED_MS);
	sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
			  NULL);
	snprintf(sql, sizeof(sql), "PRAGMA cache_size = -%d",
		 STORAGE_SQLITE_KIB);
	r = database_execute(db, common);
	if (r == 0)
		r = database_execute(db, sql);
	if (r == 0 && writer) {
		/* The synced WAL is what makes an answer durable; when it goes
		 * into the file is decided by database_checkpoint(). */
		r = database_execute(db, page_size);
		if (r == 0) /* which WAL_VFS needs, too */
			r = database_execute(db, "PRAGMA synchronous = FULL");
		if (r == 0)
			r = query(db, "PRAGMA journal_mode = WAL", &ignored);
		if (r == 0)
			r = database_execute(db,
					     "PRAGMA wal_autocheckpoint = 0");
		if (r == 0)
			r = query(db, "PRAGMA page_size", &db->page_bytes);
		sqlite3_wal_hook(db->sqlite, on_wal, db);
	}
	if (r == 0)
		r = check_schema(db, program, writer);
	if (r == 0 && !writer)
		r = database_execute(db, "PRAGMA query_only = 1");
	return r;
}

int database_open(const char *path, const char *program, bool writer,
		  struct database **ret_db)
{
	/* A reader too may have to recover a WAL, which takes writing. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_NOFOLLOW | (writer ? SQLITE_OPEN_CREATE : 0);
	struct database *db = calloc(1, sizeof(*db));
	int r;

	if (!db)
		return -ENOMEM;
	mp_writer_init_heap(&db->value);
	r = database_error(db, sqlite3_open_v2(path, &db->sqlite, flags,
					       writer ? WAL_VFS : NULL));
	if (r == 0)
		r = prepare(db, program, writer);
	if (r < 0) {
		database_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

struct database *database_close(struct database *db)
{
	if (!db)
		return NULL;
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->sqlite);
	mp_writer_deinit(&db->value);
	free(db);
	return NULL;
}
