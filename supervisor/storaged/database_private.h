#pragma once

/*
 * What the database's own files share. Everyone else includes database.h.
 */

#include <sqlite3.h>

#include "storaged/database.h"

enum statement {
	GET,
	LIST,
	DUE,
	NEXT_DUE,
	META,
	BEGIN,
	COMMIT,
	ROLLBACK,
	SET,
	REPLACE,
	REMOVE,
	SET_META,
	SHIFT,
	STATEMENTS
};

#define REASON_BYTES 256

struct database {
	sqlite3 *sqlite;
	sqlite3_stmt *statements[STATEMENTS];
	struct mp_writer value; /* of the row that was read last */
	int wal_frames;
	int64_t page_bytes;
	struct database_meta meta; /* as this one committed it */
	bool has_meta;
	bool begun; /* a transaction, by database_begin() */
};

/* What SQLite's @code means; unless it is a success, its words are kept. */
int database_error(struct database *db, int code);
/* Prepared at the first use; the database's. */
int database_statement(struct database *db, enum statement which,
		       sqlite3_stmt **ret_statement);
int database_execute(struct database *db, const char *sql);
void database_bind_bytes(sqlite3_stmt *s, int at, struct mp_bytes b);
/* Of this thread, REASON_BYTES. */
char *database_reason_buffer(void);
