/* Tests of what lies between SQLite and a WAL. */

#include "storaged/wal.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"

#define FLAGS (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL)

static char dir[64], path[80];

/* --- a default VFS that counts, and fails ---------------------------------- */

static sqlite3_vfs counting, *plain;
static sqlite3_io_methods counted;
static const sqlite3_io_methods *uncounted;
static unsigned n_writes, n_syncs, n_sizes;
static int next_write; /* what it returns instead of writing, once */

static int count_write(sqlite3_file *file, const void *data, int size,
		       sqlite3_int64 at)
{
	int code = next_write;

	n_writes++;
	next_write = SQLITE_OK;
	return code ? code : uncounted->xWrite(file, data, size, at);
}

static int count_sync(sqlite3_file *file, int flags)
{
	n_syncs++;
	return uncounted->xSync(file, flags);
}

static int count_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	n_sizes++;
	return uncounted->xFileSize(file, ret_size);
}

static int count_open(sqlite3_vfs *self, const char *name, sqlite3_file *file,
		      int flags, int *ret_flags)
{
	int code = plain->xOpen(plain, name, file, flags, ret_flags);

	(void)self;
	if (code != SQLITE_OK || !(flags & SQLITE_OPEN_WAL))
		return code;
	uncounted = file->pMethods;
	counted = *uncounted;
	counted.xWrite = count_write;
	counted.xSync = count_sync;
	counted.xFileSize = count_size;
	file->pMethods = &counted;
	return SQLITE_OK;
}

static void begin_counting(void)
{
	n_writes = n_syncs = n_sizes = 0;
}

static int set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/thox-wal.XXXXXX");
	if (!mkdtemp(dir))
		return -errno;
	snprintf(path, sizeof(path), "%s/db", dir);
	plain = sqlite3_vfs_find(NULL);
	counting = *plain;
	counting.zName = "counting";
	counting.xOpen = count_open;
	if (sqlite3_vfs_register(&counting, 1) != SQLITE_OK)
		return -ENOMEM;
	return wal_register() == SQLITE_OK ? 0 : -ENOMEM;
}

static void remove_all(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char name[96];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		(void)unlink(name);
	}
}

/* --- the file alone ------------------------------------------------------- */

static sqlite3_file *file;
static const char *file_name; /* as SQLite makes names, with parameters */

static int open_file(const char *power_safe)
{
	const char *parameters[] = { "psow", power_safe };
	sqlite3_vfs *vfs = sqlite3_vfs_find(WAL_VFS);
	char name[96];

	/* The WAL takes its mode from it. */
	fd_close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(name, sizeof(name), "%s-wal", path);
	file_name = sqlite3_create_filename(name, "", name, 1, parameters);
	file = calloc(1, (size_t)vfs->szOsFile);
	begin_counting();
	return vfs->xOpen(vfs, file_name, file, FLAGS | SQLITE_OPEN_URI, NULL);
}

static void close_wal(void)
{
	if (file && file->pMethods)
		file->pMethods->xClose(file);
	free(steal(&file));
	sqlite3_free_filename(file_name);
	file_name = NULL;
	next_write = SQLITE_OK;
}

static void close_file(void)
{
	close_wal();
	remove_all();
}

static int write_text(const char *text, sqlite3_int64 at)
{
	return file->pMethods->xWrite(file, text, (int)strlen(text), at);
}

/* What others find in it. */
static const char *content(void)
{
	static char data[256];
	char name[96];
	ssize_t size;
	int fd;

	snprintf(name, sizeof(name), "%s-wal", path);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	size = read(fd, data, sizeof(data) - 1);
	fd_close(fd);
	data[size > 0 ? size : 0] = '\0';
	return data;
}

static int sync_file(void)
{
	return file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

/* Verify that writes which follow on each other are one when they are synced,
 * and that others come in their order. */
static void check_joined(void)
{
	CHECK_EQ(open_file("1"), SQLITE_OK);
	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	CHECK_EQ(write_text("page", 4), SQLITE_OK);
	CHECK_EQ(write_text("head", 8), SQLITE_OK);
	CHECK_STR(content(), "");
	CHECK_EQ(sync_file(), SQLITE_OK);
	CHECK_STR(content(), "headpagehead");
	CHECK_EQ(n_writes, 1);
	CHECK_EQ(n_syncs, 1);

	CHECK_EQ(write_text("HEAD", 8), SQLITE_OK);
	CHECK_EQ(write_text("AGE", 5), SQLITE_OK); /* does not follow */
	CHECK_STR(content(), "headpageHEAD");
	CHECK_EQ(write_text("!", 5), SQLITE_OK);
	CHECK_EQ(sync_file(), SQLITE_OK);
	CHECK_STR(content(), "headp!GEHEAD");
	CHECK_EQ(n_writes, 4);
	CHECK_EQ(sync_file(), SQLITE_OK);
	CHECK_EQ(n_writes, 4);
}

static void test_joined(void)
{
	check_joined();
	close_file();
}

/* Verify that nothing of the same connection misses what is kept. */
static void check_seen(void)
{
	sqlite3_int64 size = 0;
	char data[5] = "";

	CHECK_EQ(open_file("1"), SQLITE_OK);
	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	CHECK_EQ(file->pMethods->xRead(file, data, 4, 0), SQLITE_OK);
	CHECK_STR(data, "head");
	CHECK_EQ(write_text("page", 4), SQLITE_OK);
	CHECK_EQ(file->pMethods->xFileSize(file, &size), SQLITE_OK);
	CHECK_EQ(size, 8);
	CHECK_EQ(write_text("tail", 8), SQLITE_OK);
	CHECK_EQ(file->pMethods->xTruncate(file, 6), SQLITE_OK);
	CHECK_STR(content(), "headpa");
	CHECK_EQ(write_text("st", 6), SQLITE_OK);
	CHECK_EQ(file->pMethods->xFileControl(file, SQLITE_FCNTL_SYNC, NULL),
		 SQLITE_NOTFOUND);
	CHECK_STR(content(), "headpast");
	CHECK_EQ(write_text(".", 8), SQLITE_OK);
	CHECK_EQ(file->pMethods->xClose(file), SQLITE_OK);
	file->pMethods = NULL;
	CHECK_STR(content(), "headpast.");
}

static void test_seen(void)
{
	check_seen();
	close_file();
}

/* Verify that no more is kept than there is room for, and that what is larger
 * than that goes straight on. */
static void check_much(void)
{
	static char some[50000], large[100000];
	sqlite3_int64 size = 0;

	CHECK_EQ(open_file("1"), SQLITE_OK);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(
			file->pMethods->xWrite(file, some, sizeof(some),
					       (sqlite3_int64)sizeof(some) * i),
			SQLITE_OK);
	CHECK_EQ(n_writes, 9);
	CHECK_EQ(file->pMethods->xWrite(file, large, sizeof(large),
					10 * sizeof(some)),
		 SQLITE_OK);
	CHECK_EQ(n_writes, 11);
	CHECK_EQ(file->pMethods->xFileSize(file, &size), SQLITE_OK);
	CHECK_EQ(size, 10 * sizeof(some) + sizeof(large));
	CHECK_EQ(n_writes, 11);
}

static void test_much(void)
{
	check_much();
	close_file();
}

/* Verify that a file which is written after the sync is left alone. */
static void check_not_power_safe(void)
{
	CHECK_EQ(open_file("0"), SQLITE_OK);
	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	CHECK_EQ(write_text("page", 4), SQLITE_OK);
	CHECK_STR(content(), "headpage");
	CHECK_EQ(n_writes, 2);
}

static void test_not_power_safe(void)
{
	check_not_power_safe();
	close_file();
}

/* Verify that a late failure is told by a sync or a write, and only once. */
static void check_late_failure(void)
{
	char data[4];

	CHECK_EQ(open_file("1"), SQLITE_OK);
	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	next_write = SQLITE_FULL;
	CHECK_EQ(sync_file(), SQLITE_FULL);
	CHECK_EQ(n_syncs, 0);
	CHECK_EQ(sync_file(), SQLITE_OK);

	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	next_write = SQLITE_IOERR_WRITE;
	CHECK_EQ(write_text("page", 100), SQLITE_IOERR_WRITE);
	CHECK_EQ(sync_file(), SQLITE_OK);

	/* A read does not end a transaction. */
	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	next_write = SQLITE_FULL;
	CHECK_EQ(file->pMethods->xRead(file, data, 4, 0), SQLITE_FULL);
	CHECK_EQ(sync_file(), SQLITE_FULL);

	CHECK_EQ(write_text("head", 0), SQLITE_OK);
	next_write = SQLITE_FULL;
	CHECK_EQ(file->pMethods->xTruncate(file, 0), SQLITE_FULL);
	CHECK_EQ(write_text("page", 4), SQLITE_FULL);
	CHECK_EQ(write_text("page", 4), SQLITE_OK);
	CHECK_EQ(sync_file(), SQLITE_OK);
}

static void test_late_failure(void)
{
	check_late_failure();
	close_file();
}

static sqlite3_int64 size_now(void)
{
	struct stat st;
	char name[96];

	snprintf(name, sizeof(name), "%s-wal", path);
	return stat(name, &st) < 0 ? -1 : (sqlite3_int64)st.st_size;
}

/* Verify that a WAL in use grows ahead, and is not asked for its size before
 * that can matter. */
static void check_grows(void)
{
	sqlite3_int64 size;
	char name[96];

	CHECK_EQ(open_file("1"), SQLITE_OK);
	wal_grow(file, 1000);
	CHECK_EQ(size_now(), 0);
	CHECK_EQ(n_sizes, 0);
	wal_grow(file, 20000);
	size = size_now();
	CHECK(size >= 40000 && size < 60000);
	CHECK_EQ(n_sizes, 1);
	wal_grow(file, size - 20000);
	CHECK_EQ(size_now(), size);
	CHECK_EQ(n_sizes, 1);
	wal_grow(file, size);
	CHECK(size_now() >= 2 * size);
	CHECK_EQ(n_sizes, 2);

	/* It is large enough from before. */
	close_wal();
	size = size_now();
	CHECK_EQ(open_file("1"), SQLITE_OK);
	wal_grow(file, 20000);
	wal_grow(file, size - 20000);
	CHECK_EQ(size_now(), size);
	CHECK_EQ(n_sizes, 1);

	/* Somebody else has cut it, and it begins anew. */
	snprintf(name, sizeof(name), "%s-wal", path);
	CHECK_EQ(truncate(name, 0), 0);
	wal_grow(file, 20000);
	CHECK(size_now() >= 40000);
}

static void test_grows(void)
{
	check_grows();
	close_file();
}

/* --- below SQLite ---------------------------------------------------------- */

static sqlite3 *writer, *other;

static int execute(const char *sql)
{
	return sqlite3_exec(writer, sql, NULL, NULL, NULL);
}

/* What somebody else finds there; -1: an error. */
static int64_t ask(const char *sql)
{
	sqlite3_stmt *s = NULL;
	int64_t value = -1;

	if (sqlite3_prepare_v2(other, sql, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return value;
}

/* In pages of 512 bytes: each row of `t` has one of its own. */
static int open_both(void)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	int code = sqlite3_open_v2(path, &writer, flags, WAL_VFS);

	if (code == SQLITE_OK)
		code = execute("PRAGMA synchronous = FULL;"
			       "PRAGMA page_size = 512;"
			       "PRAGMA journal_mode = WAL;"
			       "PRAGMA wal_autocheckpoint = 0;"
			       "CREATE TABLE t (id INTEGER PRIMARY KEY, v);"
			       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
			       "SELECT i + 1 FROM n LIMIT 20) "
			       "INSERT INTO t SELECT i, zeroblob(400) FROM n");
	if (code == SQLITE_OK)
		code = sqlite3_open_v2(path, &other, flags, NULL);
	return code;
}

static void close_both(void)
{
	sqlite3_close(steal(&other));
	sqlite3_close(steal(&writer));
	next_write = SQLITE_OK;
	remove_all();
}

#define CHANGED "SELECT count(*) FROM t WHERE v <> zeroblob(400)"
#define CHANGE	"UPDATE t SET v = randomblob(400)"

/* Verify that a transaction is one write and one sync, after which everybody
 * has it, and nobody before. */
static void check_transaction(void)
{
	CHECK_EQ(open_both(), SQLITE_OK);
	CHECK_EQ(execute("BEGIN IMMEDIATE;" CHANGE), SQLITE_OK);
	CHECK_EQ(ask(CHANGED), 0);
	begin_counting();
	CHECK_EQ(execute("COMMIT"), SQLITE_OK);
	CHECK_EQ(n_writes, 1);
	CHECK_EQ(n_syncs, 1);
	CHECK_EQ(ask(CHANGED), 20);
}

static void test_transaction(void)
{
	check_transaction();
	close_both();
}

/* Verify that a transaction whose frames do not reach the disk is none. */
static void check_full_disk(void)
{
	CHECK_EQ(open_both(), SQLITE_OK);
	CHECK_EQ(execute("BEGIN IMMEDIATE;" CHANGE), SQLITE_OK);
	next_write = SQLITE_FULL;
	CHECK_EQ(execute("COMMIT"), SQLITE_FULL);
	(void)execute("ROLLBACK"); /* SQLite may have done it */
	CHECK_EQ(ask(CHANGED), 0);
	CHECK_EQ(execute(CHANGE " WHERE id <= 5"), SQLITE_OK);
	CHECK_EQ(ask(CHANGED), 5);
	CHECK_EQ(ask("SELECT count(*) FROM pragma_integrity_check "
		     "WHERE integrity_check = 'ok'"),
		 1);
}

static void test_full_disk(void)
{
	check_full_disk();
	close_both();
}

/* Verify that pages which leave memory before the commit are found again, and
 * that what was given up is not. */
static void check_spilled(void)
{
	CHECK_EQ(open_both(), SQLITE_OK);
	CHECK_EQ(execute("PRAGMA cache_size = 5;BEGIN IMMEDIATE;" CHANGE),
		 SQLITE_OK);
	CHECK_EQ(execute("UPDATE t SET v = zeroblob(401)"), SQLITE_OK);
	CHECK_EQ(ask(CHANGED), 0);
	CHECK_EQ(execute("ROLLBACK"), SQLITE_OK);
	CHECK_EQ(ask(CHANGED), 0);
	CHECK_EQ(execute("BEGIN IMMEDIATE;" CHANGE ";"
			 "UPDATE t SET v = zeroblob(401);"
			 "COMMIT"),
		 SQLITE_OK);
	CHECK_EQ(ask("SELECT count(*) FROM t WHERE length(v) = 401"), 20);
	CHECK_EQ(execute("PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
	CHECK_EQ(ask("SELECT count(*) FROM t WHERE length(v) = 401"), 20);
}

static void test_spilled(void)
{
	check_spilled();
	close_both();
}

int main(void)
{
	if (set_up() < 0)
		return 1;
	RUN(test_joined);
	RUN(test_seen);
	RUN(test_much);
	RUN(test_not_power_safe);
	RUN(test_late_failure);
	RUN(test_grows);
	RUN(test_transaction);
	RUN(test_full_disk);
	RUN(test_spilled);
	(void)rmdir(dir);
	return tap_done();
}
