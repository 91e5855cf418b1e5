/* Tests of the record: what a transaction brings, written at once or ahead. */

#include "storaged/database.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"

static char dir[64], path[80];
static struct database *db;
static struct change changes[8];
static struct batch batch;
static uint64_t version;

/* --- a database, and a batch for it --------------------------------------- */

static void reopen(void)
{
	db = database_close(db);
	if (database_open(path, "test", true, &db) < 0)
		abort();
}

static void fresh(void)
{
	strcpy(dir, "/tmp/thox-test-database-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/test.db", dir);
	version = 0;
	reopen();
}

static void end(void)
{
	char command[128];

	db = database_close(db);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command) != 0)
		abort();
}

static void clear(void)
{
	for (size_t i = 0; i < batch.count; i++)
		blob_unref(changes[i].value);
	batch = (struct batch){ .changes = changes };
}

static struct blob *number(int n)
{
	uint8_t b = (uint8_t)n;

	return blob_new(&b, 1);
}

/* A number of one byte; -1: the key is removed. */
static void add(const char *key, int n)
{
	changes[batch.count++] = (struct change){
		.key = { key, strlen(key) },
		.value = n < 0 ? NULL : number(n),
		.version = ++version,
	};
}

static int commit(void)
{
	int r = database_commit(db, &batch);

	clear();
	return r;
}

/* The number, -1 when there is none, below that an error. */
static int got(const char *key)
{
	struct mp_bytes name = { key, strlen(key) };
	struct database_row row;
	struct database *reader = NULL;
	int r = database_open(path, "test", false, &reader), n = -1;

	if (r == 0)
		r = database_get(reader, name, &row);
	if (r > 0)
		n = row.value.size == 1 ? (uint8_t)row.value.p[0] : -1000;
	else if (r < 0)
		n = r < -1 ? r : -1000;
	database_close(reader);
	return n;
}

/* As whoever has the file could. */
static int execute(const char *sql)
{
	sqlite3 *other = NULL;
	int code = sqlite3_open(path, &other);

	if (code == SQLITE_OK)
		code = sqlite3_exec(other, sql, NULL, NULL, NULL);
	sqlite3_close(other);
	return code;
}

/* --- what is written ahead ------------------------------------------------ */

/* Verify that what was written ahead is there when the rest is, not before. */
static void test_ahead(void)
{
	fresh();
	add("a", 1);
	add("b", 2);
	CHECK(database_begin(db, &batch) == 0 && batch.written == 2);
	CHECK(got("a") == -1);
	add("c", 3);
	CHECK(database_begin(db, &batch) == 0 && batch.written == 3);
	add("d", 4);
	CHECK(commit() == 0);
	CHECK(got("a") == 1 && got("b") == 2 && got("c") == 3 && got("d") == 4);
	add("a", 5);
	CHECK(commit() == 0 && got("a") == 5);
	end();
}

/* Verify that a key that changes after it was written ahead has its last
 * value, or none. */
static void test_changed_after(void)
{
	fresh();
	add("a", 1);
	add("b", 2);
	add("c", 3);
	CHECK(database_begin(db, &batch) == 0);
	blob_unref(changes[1].value);
	changes[1].value = number(9);
	batch.written = 1;
	CHECK(database_begin(db, &batch) == 0 && batch.written == 3);
	blob_unref(changes[2].value);
	changes[2].value = NULL;
	batch.written = 2;
	CHECK(commit() == 0);
	CHECK(got("a") == 1 && got("b") == 9 && got("c") == -1);
	end();
}

/* Verify that nothing is there of what was written ahead and not committed. */
static void test_given_up(void)
{
	fresh();
	add("a", 1);
	CHECK(commit() == 0);
	add("a", 2);
	add("b", 3);
	CHECK(database_begin(db, &batch) == 0);
	clear();
	reopen();
	CHECK(got("a") == 1 && got("b") == -1);
	add("c", 4);
	CHECK(commit() == 0 && got("a") == 1 && got("c") == 4);
	end();
}

/* Verify that of a failure nothing stays, and the batch may be tried again. */
static void test_failed_ahead(void)
{
	fresh();
	CHECK(execute("CREATE TRIGGER no BEFORE INSERT ON keys "
		      "WHEN NEW.key = x'62' " /* b */
		      "BEGIN SELECT RAISE(ABORT, 'no'); END") == SQLITE_OK);
	add("a", 1);
	CHECK(database_begin(db, &batch) == 0);
	add("b", 2);
	CHECK(database_begin(db, &batch) < 0 && batch.written == 0);
	CHECK(strcmp(database_reason(), "no") == 0);
	CHECK(execute("DROP TRIGGER no") == SQLITE_OK); /* no lock is left */
	CHECK(commit() == 0 && got("a") == 1 && got("b") == 2);
	end();
}

static int64_t expires(const char *key)
{
	struct mp_bytes name = { key, strlen(key) };
	struct database_row row;

	return database_get(db, name, &row) > 0 ? row.expires_ms : -1;
}

/* Verify that times of all rows move once, whenever they were written: a
 * batch's own were moved by whoever made it. */
static void test_shift(void)
{
	fresh();
	add("old", 1);
	changes[0].expires_ms = 1000;
	CHECK(commit() == 0);
	add("ahead", 2);
	changes[0].expires_ms = 2000;
	CHECK(database_begin(db, &batch) == 0);
	add("late", 3);
	changes[0].expires_ms = 2500;
	changes[1].expires_ms = 3500;
	batch.shift_ms = 500;
	CHECK(commit() == 0);
	CHECK(expires("old") == 1500 && expires("ahead") == 2500 &&
	      expires("late") == 3500);
	end();
}

/* --- what lies there already ---------------------------------------------- */

/* Verify that it does not matter whether somebody knew that a row is there. */
static void test_replaces(void)
{
	fresh();
	add("a", 1);
	changes[0].replaces = true; /* it does not */
	add("b", 2);
	changes[1].expires_ms = 1000;
	CHECK(commit() == 0);
	CHECK(got("a") == 1 && got("b") == 2);
	add("a", 3); /* it does */
	add("b", 4);
	changes[1].replaces = true;
	CHECK(commit() == 0);
	CHECK(got("a") == 3 && got("b") == 4 && expires("b") == 0);
	add("b", -1);
	changes[0].replaces = true;
	CHECK(commit() == 0 && got("b") == -1);
	CHECK(database_verify(db) == 0);
	end();
}

int main(void)
{
	if (database_init() < 0)
		return 1;
	clear();
	RUN(test_ahead);
	RUN(test_changed_after);
	RUN(test_given_up);
	RUN(test_failed_ahead);
	RUN(test_shift);
	RUN(test_replaces);
	return tap_done();
}
