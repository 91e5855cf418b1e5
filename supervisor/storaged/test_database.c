/* Tests of the record: what a transaction brings. */

#include "storaged/database.h"

#include <errno.h>
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

static int64_t expires(const char *key)
{
	struct mp_bytes name = { key, strlen(key) };
	struct database_row row;

	return database_get(db, name, &row) > 0 ? row.expires_ms : -1;
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
	RUN(test_replaces);
	return tap_done();
}
