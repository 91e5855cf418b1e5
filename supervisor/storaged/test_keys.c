/* Tests of one program's keys: what is said, what is kept, what is lost. */

#include "storaged/keys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"
#include "storaged/clock.h"
#include "storaged/limits.h"

static char dir[64], path[128];
static struct ev_loop *loop;
static struct keys_env env;
static struct keys keys;
static unsigned n_changed, n_lost, n_damaged, n_room;
static char last_changed[64], aside[PATH_MAX + 64];

/* --- a program's keys, fresh or as the last test step left them ----------- */

static void on_changed(void *user, struct mp_bytes key, uint64_t version,
		       struct blob *value)
{
	(void)user;
	(void)version;
	n_changed++;
	snprintf(last_changed, sizeof(last_changed), "%.*s%s", (int)key.size,
		 key.p, value ? "" : " gone");
}

static void on_lost(void *user)
{
	(void)user;
	n_lost++;
}

static void on_damaged(void *user, const char *to, const char *why)
{
	(void)user;
	(void)why;
	n_damaged++;
	snprintf(aside, sizeof(aside), "%s", to);
}

static void on_room(void *user)
{
	(void)user;
	n_room++;
}

static const struct keys_hooks hooks = { .changed = on_changed,
					 .lost = on_lost,
					 .damaged = on_damaged,
					 .room = on_room };

static void begin_with(size_t cache_bytes)
{
	n_changed = n_lost = n_damaged = n_room = 0;
	loop = ev_loop_new(0);
	if (!loop || keys_env_init(&env, loop, dir, cache_bytes) < 0 ||
	    keys_init(&keys, &env, "test", path, &hooks, NULL) < 0)
		abort();
}

static void begin(void)
{
	begin_with(STORAGE_CACHE_BYTES);
}

/* Turn the loop until what was submitted is done. */
static void settle(void)
{
	do {
		ev_run(loop, EVRUN_NOWAIT);
		workers_drain(&env.workers);
	} while (!list_empty(&env.due) || env.workers.busy);
}

/* As a crash does: nothing more is written. */
static void crash(void)
{
	workers_drain(&env.workers);
	keys_deinit(&keys);
	keys_env_deinit(&env);
	ev_loop_destroy(loop);
}

static void end(void)
{
	keys_flush(&keys);
	settle();
	keys_close(&keys);
	settle();
	crash();
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (dir[0] && system(command) != 0)
		abort();
}

static void fresh_dir(void)
{
	remove_dir();
	strcpy(dir, "/tmp/thox-test-keys-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/test.db", dir);
}

static void fresh(void)
{
	fresh_dir();
	begin();
}

static struct mp_bytes bytes(const char *text)
{
	return (struct mp_bytes){ text, strlen(text) };
}

/* --- short words ---------------------------------------------------------- */

static struct keys_result result;

static int put_value(const char *key, const void *value, size_t size,
		     uint64_t ttl_ms, bool sync)
{
	struct keys_write w = { .key = bytes(key),
				.value = { value, size },
				.ttl_ms = ttl_ms };

	return keys_transact(&keys, NULL, 0, &w, 1, sync, &result);
}

/* A number of one byte. */
static int put(const char *key, int n)
{
	uint8_t b = (uint8_t)n;

	return put_value(key, &b, 1, 0, false);
}

static int put_if(const char *key, int n, uint64_t version)
{
	uint8_t b = (uint8_t)n;
	struct keys_write w = { bytes(key), { (char *)&b, 1 }, 0 };
	struct keys_read read = { bytes(key), version };

	return keys_transact(&keys, &read, 1, &w, 1, false, &result);
}

static int removed(const char *key)
{
	struct keys_write w = { .key = bytes(key) };

	return keys_transact(&keys, NULL, 0, &w, 1, false, &result);
}

/* The number, -1 when there is none, below that an error. */
static int got(const char *key)
{
	struct keys_value v;
	int r = keys_get(&keys, bytes(key), &v);

	if (r < 0)
		return r < -1 ? r : -1000;
	return v.value ? v.value->data[0] : -1;
}

static uint64_t version_of(const char *key)
{
	struct keys_value v = { 0 };

	(void)keys_get(&keys, bytes(key), &v);
	return v.version;
}

static char listed[256];

static int on_row(const struct keys_row *row, void *user)
{
	size_t n = strlen(listed);
	int *left = user;

	snprintf(listed + n, sizeof(listed) - n, "%.*s=%d ", (int)row->key.size,
		 row->key.p, row->value.p[0]);
	return left && --*left == 0;
}

static const char *list_from(const char *prefix, const char *from, int limit)
{
	uint64_t wait;
	int r;

	listed[0] = '\0';
	r = keys_list(&keys, bytes(prefix), bytes(from), on_row,
		      limit ? &limit : NULL, &wait);
	return r < 0 ? "failed" : listed;
}

static const char *list(const char *prefix)
{
	return list_from(prefix, "", 0);
}

/* --- what is set is got --------------------------------------------------- */

/* Verify that a key has what was set last, and is gone when removed. */
static void test_set_get_remove(void)
{
	fresh();
	CHECK_EQ(got("a"), -1);
	CHECK_EQ(put("a", 1), 0);
	CHECK(!result.existed);
	CHECK_EQ(got("a"), 1);
	CHECK_EQ(put("a", 2), 0);
	CHECK(result.existed);
	CHECK_EQ(got("a"), 2);
	CHECK_EQ(removed("a"), 0);
	CHECK(result.existed);
	CHECK_EQ(got("a"), -1);
	CHECK_EQ(removed("a"), 0);
	CHECK(!result.existed);
	end();
}

/* Verify that all of it is there again after a clean end. */
static void test_kept_over_an_end(void)
{
	fresh();
	CHECK_EQ(put("a", 1), 0);
	CHECK_EQ(put("b", 2), 0);
	CHECK_EQ(put("c", 3), 0);
	CHECK_EQ(removed("b"), 0);
	end();
	begin();
	CHECK_EQ(got("a"), 1);
	CHECK_EQ(got("b"), -1);
	CHECK_EQ(got("c"), 3);
	CHECK_EQ(keys.count, 2);
	end();
}

/* Verify that the empty key and keys of any bytes are keys like others. */
static void test_binary_keys(void)
{
	static const char odd[] = "\0\xff\n";
	struct mp_bytes empty = { NULL, 0 }, binary = { odd, 3 };
	uint8_t one = 1, two = 2;
	struct keys_write w[] = { { empty, { (char *)&one, 1 }, 0 },
				  { binary, { (char *)&two, 1 }, 0 } };
	struct keys_value v;

	fresh();
	CHECK_EQ(keys_transact(&keys, NULL, 0, w, 2, false, &result), 0);
	end();
	begin();
	CHECK_EQ(keys_get(&keys, empty, &v), 0);
	CHECK(v.value && v.value->data[0] == 1);
	CHECK_EQ(keys_get(&keys, binary, &v), 0);
	CHECK(v.value && v.value->data[0] == 2);
	end();
}

/* Verify that a key over the limit is refused and one at it is not. */
static void test_key_limit(void)
{
	char key[STORAGE_KEY_BYTES + 2];

	memset(key, 'k', sizeof(key));
	key[STORAGE_KEY_BYTES + 1] = '\0';
	fresh();
	CHECK_EQ(put(key, 1), -ENAMETOOLONG);
	CHECK_EQ(got(key), -ENAMETOOLONG);
	key[STORAGE_KEY_BYTES] = '\0';
	CHECK_EQ(put(key, 1), 0);
	end();
	begin();
	CHECK_EQ(got(key), 1);
	end();
}

static void check_round_trip(const void *value, size_t size)
{
	struct keys_value v;

	fresh();
	CHECK_EQ(put_value("v", value, size, 0, true), 0);
	end();
	begin();
	CHECK_EQ(keys_get(&keys, bytes("v"), &v), 0);
	CHECK(v.value);
	CHECK_EQ(v.value->size, size);
	CHECK_EQ(memcmp(v.value->data, value, size), 0);
	end();
}

/* Verify that values of every kind come back from the disk as they were. */
static void test_every_type(void)
{
	static const struct {
		const char *bytes;
		size_t size;
	} values[] = {
		{ "\xc0", 1 },				       /* nil */
		{ "\xc2", 1 },				       /* false */
		{ "\x7f", 1 },				       /* 127 */
		{ "\xd3\x80\0\0\0\0\0\0\0", 9 },	       /* least */
		{ "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9 }, /* uint */
		{ "\xcb\x3f\xf8\0\0\0\0\0\0", 9 },	       /* 1.5 */
		{ "\xcb\x7f\xf8\0\0\0\0\0\0", 9 },	       /* nan */
		{ "\xcb\x7f\xf0\0\0\0\0\0\0", 9 },	       /* inf */
		{ "\xa0", 1 },				       /* "" */
		{ "\xa3\0\xff"
		  "a",
		  4 },
		{ "\xc4\x01x", 3 },		/* binary */
		{ "\x90", 1 },			/* {} */
		{ "\x92\x01\x81\xa1k\xc3", 6 }, /* {1, {k = true}} */
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		check_round_trip(values[i].bytes, values[i].size);
		if (!tap_ok_)
			return;
	}
}

/* --- versions --------------------------------------------------------------- */

/* Verify that a write with a version is done only if it is still so. */
static void test_compare_and_set(void)
{
	uint64_t version;

	fresh();
	CHECK_EQ(put_if("a", 1, 7), KEYS_CONFLICT);
	CHECK_EQ(result.version, 0);
	CHECK_EQ(put_if("a", 1, 0), 0);
	version = result.version;
	CHECK_EQ(put_if("a", 2, 0), KEYS_CONFLICT);
	CHECK_EQ(result.version, version);
	CHECK_EQ(got("a"), 1);
	CHECK_EQ(put_if("a", 2, version), 0);
	CHECK_EQ(put_if("a", 3, version), KEYS_CONFLICT);
	CHECK_EQ(got("a"), 2);
	end();
}

/* Verify that a key made anew does not have a version of its former life. */
static void test_versions_go_up(void)
{
	uint64_t version;

	fresh();
	CHECK_EQ(put("a", 1), 0);
	version = version_of("a");
	CHECK_EQ(removed("a"), 0);
	CHECK_EQ(put("a", 1), 0);
	CHECK(version_of("a") > version);
	version = version_of("a");
	end();
	begin();
	CHECK_EQ(version_of("a"), version);
	CHECK_EQ(put("a", 1), 0);
	CHECK_EQ(version_of("a"), version + 1);
	end();
}

/* Verify that a version that was told is not told again after a crash. */
static void test_no_version_twice(void)
{
	uint64_t version;

	fresh();
	CHECK_EQ(put("a", 1), 0);
	settle();
	keys_flush(&keys);
	settle();
	CHECK_EQ(put("a", 2), 0);
	CHECK_EQ(result.wait, 0); /* answered before it was committed */
	version = version_of("a");
	crash();
	begin();
	CHECK_EQ(got("a"), 1);
	CHECK_EQ(put("a", 3), 0);
	CHECK(version_of("a") > version);
	end();
}

/* --- transactions ----------------------------------------------------------- */

/* Verify that all writes of a transaction are done, or none. */
static void test_transaction_is_whole(void)
{
	uint8_t n = 9;
	struct mp_bytes nine = { (char *)&n, 1 };
	struct keys_write w[] = { { bytes("a"), nine, 0 },
				  { bytes("b"), nine, 0 },
				  { bytes("c"), { 0 }, 0 } };
	struct keys_read reads[2];

	fresh();
	CHECK_EQ(put("a", 1), 0);
	CHECK_EQ(put("c", 3), 0);
	reads[0] = (struct keys_read){ bytes("a"), version_of("a") };
	reads[1] = (struct keys_read){ bytes("b"), 5 };
	CHECK_EQ(keys_transact(&keys, reads, 2, w, 3, false, &result),
		 KEYS_CONFLICT);
	CHECK_EQ(result.conflict, 1);
	CHECK_STR(list(""), "a=1 c=3 ");
	reads[1].version = 0;
	CHECK_EQ(keys_transact(&keys, reads, 2, w, 3, false, &result), 0);
	CHECK_STR(list(""), "a=9 b=9 ");
	end();
}

/* Verify that a transaction that is refused in its middle leaves nothing. */
static void test_refused_transaction(void)
{
	char key[STORAGE_KEY_BYTES + 2];
	uint8_t n = 9;
	struct mp_bytes nine = { (char *)&n, 1 };
	struct keys_write w[] = { { bytes("a"), nine, 0 },
				  { { key, sizeof(key) }, nine, 0 } };

	memset(key, 'k', sizeof(key));
	fresh();
	CHECK_EQ(keys_transact(&keys, NULL, 0, w, 2, false, &result),
		 -ENAMETOOLONG);
	CHECK_EQ(got("a"), -1);
	CHECK_EQ(keys.count, 0);
	end();
}

/* Verify that sums are exact and of numbers alone. */
static void test_increment(void)
{
	static const char most[] = "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff";
	struct keys_value v;

	fresh();
	CHECK_EQ(keys_increment(&keys, bytes("n"),
				(struct mp_bytes){ "\x05", 1 }, false, &v),
		 0);
	CHECK_EQ(got("n"), 5);
	CHECK_EQ(keys_increment(&keys, bytes("n"),
				(struct mp_bytes){ "\xff", 1 }, false, &v),
		 0);
	CHECK_EQ(got("n"), 4);
	CHECK_EQ(put_value("most", most, 9, 0, false), 0);
	CHECK_EQ(keys_increment(&keys, bytes("most"),
				(struct mp_bytes){ "\x01", 1 }, false, &v),
		 -ERANGE);
	CHECK_EQ(put_value("text", "\xa1x", 2, 0, false), 0);
	CHECK_EQ(keys_increment(&keys, bytes("text"),
				(struct mp_bytes){ "\x01", 1 }, false, &v),
		 -EDOM);
	CHECK_EQ(keys_increment(&keys, bytes("n"),
				(struct mp_bytes){ "\xa1x", 2 }, false, &v),
		 -EDOM);
	CHECK_EQ(got("n"), 4);
	end();
}

/* --- listing ---------------------------------------------------------------- */

/* Verify that a listing has what memory knows and the database does not. */
static void test_list_over_memory(void)
{
	fresh();
	CHECK_EQ(put("a/1", 1), 0);
	CHECK_EQ(put("a/3", 3), 0);
	CHECK_EQ(put("b/1", 9), 0);
	end();
	begin();
	CHECK_STR(list("a/"), "a/1=1 a/3=3 ");
	CHECK_EQ(put("a/0", 0), 0);
	CHECK_EQ(put("a/2", 2), 0);
	CHECK_EQ(put("a/3", 4), 0);
	CHECK_EQ(put("a/9", 5), 0);
	CHECK_EQ(removed("a/1"), 0);
	CHECK_STR(list("a/"), "a/0=0 a/2=2 a/3=4 a/9=5 ");
	keys_flush(&keys);
	settle();
	CHECK_STR(list("a/"), "a/0=0 a/2=2 a/3=4 a/9=5 ");
	CHECK_STR(list(""), "a/0=0 a/2=2 a/3=4 a/9=5 b/1=9 ");
	CHECK_STR(list("c"), "");
	end();
}

/* Verify that a listing may end early and go on from there. */
static void test_list_in_pages(void)
{
	fresh();
	for (int i = 1; i <= 5; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(put(key, i), 0);
		if (i == 3) {
			keys_flush(&keys);
			settle();
		}
	}
	CHECK_STR(list_from("k", "", 2), "k1=1 k2=2 ");
	CHECK_STR(list_from("k", "k3", 2), "k3=3 k4=4 ");
	CHECK_STR(list_from("k", "k4x", 2), "k5=5 ");
	CHECK_STR(list_from("k", "l", 2), "");
	end();
}

/* Verify that a prefix of bytes 255 ends where it does. */
static void test_list_of_highest_prefix(void)
{
	fresh();
	CHECK_EQ(put("a\xff", 1), 0);
	CHECK_EQ(put("a\xff\xff", 2), 0);
	CHECK_EQ(put("b", 3), 0);
	CHECK_EQ(put("\xff\xff", 4), 0);
	keys_flush(&keys);
	settle();
	CHECK_STR(list("a\xff"), "a\xff=1 a\xff\xff=2 ");
	CHECK_STR(list("\xff"), "\xff\xff=4 ");
	end();
}

/* --- durability ------------------------------------------------------------- */

static unsigned n_told;
static int told_error;

static void on_told(struct keys_wait *w, int error)
{
	(void)w;
	n_told++;
	told_error = error;
}

/* Verify that a synced write is on the disk when it is told to be. */
static void test_synced_survives(void)
{
	struct keys_wait w = { .fn = on_told };

	fresh();
	n_told = 0;
	CHECK_EQ(put_value("a", "\x01", 1, 0, true), 0);
	CHECK(result.wait > 0);
	w.serial = result.wait;
	keys_wait(&keys, &w);
	CHECK_EQ(n_told, 0);
	settle();
	CHECK_EQ(n_told, 1);
	CHECK_EQ(told_error, 0);
	crash();
	begin();
	CHECK_EQ(got("a"), 1);
	end();
}

static void synced(const char *key, const char *value)
{
	CHECK_EQ(put_value(key, value, strlen(value), 0, true), 0);
	settle();
}

/* Verify that the counts on the disk are right after any commit, also one that
 * leaves them as they were, or undoes what the one before it changed. */
static void test_counts_survive(void)
{
	static const char *const steps[][2] = {
		{ "a", "\x01" }, { "a", "\x02" },	  { "b", "\x03" },
		{ "b", "\x04" }, { "b", "\xcd\x01\x01" }, { "b", "\x05" },
		{ "a", "\x06" },
	};

	fresh();
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		uint64_t count, held;

		synced(steps[i][0], steps[i][1]);
		count = keys.count;
		held = keys.bytes;
		if (i % 2) { /* else the next one is of the same writer */
			crash();
			begin();
			CHECK(got(steps[i][0]) != -1);
			CHECK_EQ(keys.count, count);
			CHECK_EQ(keys.bytes, held);
		}
	}
	crash();
	begin();
	CHECK_EQ(got("a"), 6);
	CHECK_EQ(got("b"), 5);
	CHECK_EQ(keys.count, 2);
	CHECK_EQ(keys.bytes, 2 * (1 + 1 + STORAGE_KEY_OVERHEAD));
	end();
}

/* Verify that nobody is shown a synced write before it is safe. */
static void test_seen_when_safe(void)
{
	struct keys_value v;
	uint64_t wait;

	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 0, true), 0);
	wait = result.wait;
	CHECK_EQ(keys_get(&keys, bytes("a"), &v), 0);
	CHECK_EQ(v.wait, wait);
	CHECK_EQ(put_if("a", 2, 0), KEYS_CONFLICT);
	CHECK_EQ(result.wait, wait);
	CHECK_EQ(n_changed, 0);
	settle();
	CHECK_EQ(n_changed, 1);
	CHECK_EQ(keys_get(&keys, bytes("a"), &v), 0);
	CHECK_EQ(v.wait, 0);
	end();
}

/* Verify that writes of one turn share one batch, also many. */
static void test_group_commit(void)
{
	uint64_t first;

	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 0, true), 0);
	first = result.wait;
	CHECK_EQ(put_value("b", "\x02", 1, 0, true), 0);
	CHECK_EQ(result.wait, first);
	settle();
	CHECK_EQ(put_value("c", "\x03", 1, 0, true), 0);
	CHECK_EQ(result.wait, first + 1);
	end();
}

/* Verify that a write without sync is committed soon without being asked. */
static void test_committed_soon(void)
{
	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 0, true), 0);
	settle();
	CHECK_EQ(put("a", 2), 0);
	CHECK_EQ(result.wait, 0);
	CHECK_EQ(n_changed, 2);
	while (keys.filling)
		ev_run(loop, EVRUN_ONCE);
	settle();
	crash();
	begin();
	CHECK_EQ(got("a"), 2);
	end();
}

/* Verify that who writes faster than the disk waits, and is woken. */
static void test_pressure(void)
{
	char key[16];
	int i, r = 0;

	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 0, true), 0);
	settle();
	for (i = 0; r == 0 && i <= (int)STORAGE_DIRTY_KEYS; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		r = put(key, 1);
	}
	CHECK_EQ(r, -EAGAIN);
	CHECK_EQ(i, STORAGE_DIRTY_KEYS + 1);
	settle();
	CHECK_EQ(n_room, 1);
	CHECK_EQ(put(key, 1), 0);
	end();
}

/* Verify that keys which memory let go are read again. */
static void test_small_cache(void)
{
	char key[16];

	fresh_dir();
	begin_with(4096);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(put(key, i % 100), 0);
	}
	keys_flush(&keys);
	settle();
	CHECK(env.cache.used_bytes <= 4096);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(got(key), i % 100);
	}
	CHECK(env.cache.used_bytes <= 4096 + 1024);
	CHECK_EQ(keys.count, 1000);
	end();
}

/* Verify that what must not leave memory does not, in a tiny cache. */
static void test_unsaved_stay(void)
{
	char key[16];

	fresh_dir();
	begin_with(1);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(put(key, i), 0);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(got(key), i);
	}
	end();
}

/* --- limits ----------------------------------------------------------------- */

/* Verify that the limit holds, that nothing half is left, and that removing
 * makes room. */
static void test_quota(void)
{
	char value[1003] = "\xda\x03\xe8";

	fresh();
	keys.limit_bytes = 2500;
	CHECK_EQ(put_value("a", value, sizeof(value), 0, false), 0);
	CHECK_EQ(put_value("b", value, sizeof(value), 0, false), 0);
	CHECK_EQ(put_value("c", value, sizeof(value), 0, false), -EDQUOT);
	CHECK_EQ(got("c"), -1);
	CHECK_EQ(put_value("b", value, sizeof(value), 0, false), 0);
	CHECK_EQ(removed("a"), 0);
	CHECK_EQ(put_value("c", value, sizeof(value), 0, false), 0);
	CHECK_EQ(keys.bytes, 2 * (1 + 1003 + STORAGE_KEY_OVERHEAD));
	end();
	begin();
	CHECK_EQ(got("c"), -0x26); /* 0xda as a char */
	CHECK_EQ(keys.bytes, 2 * (1 + 1003 + STORAGE_KEY_OVERHEAD));
	end();
}

/* --- expiry ----------------------------------------------------------------- */

/* Verify that a key ends with its time, and that watchers are told. */
static void test_expiry(void)
{
	struct keys_value v;

	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 60000, true), 0);
	settle();
	CHECK_EQ(keys_get(&keys, bytes("a"), &v), 0);
	CHECK(v.ttl_ms > 50000 && v.ttl_ms <= 60000);
	clock_shift(60001, 0);
	CHECK_EQ(got("a"), -1);
	CHECK_STR(list(""), "");
	CHECK_EQ(put_if("a", 2, 0), 0);
	clock_shift(0, 0);
	end();
}

/* Verify that what expires leaves the database without being asked for. */
static void test_expired_are_removed(void)
{
	char key[16];

	fresh();
	for (int i = 0; i < 600; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(put_value(key, "\x01", 1, 1, false), 0);
	}
	while (keys.count > 0)
		ev_run(loop, EVRUN_ONCE);
	CHECK(strstr(last_changed, " gone") != NULL);
	end();
	begin();
	CHECK_EQ(got("k1"), -1);
	CHECK_EQ(keys.count, 0);
	end();
}

/* Verify that setting the wall clock ends no key and keeps none alive. */
static void test_clock_jumps(void)
{
	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 60000, true), 0);
	settle();
	clock_shift(0, 3600 * 1000);
	CHECK_EQ(got("a"), 1);
	CHECK_EQ(put("b", 2), 0); /* a commit that notices */
	end();
	begin();
	CHECK_EQ(got("a"), 1);
	clock_shift(60001, 3600 * 1000 + 60001);
	CHECK_EQ(got("a"), -1);
	clock_shift(0, 0);
	end();
}

/* Verify that a key which was evicted goes by the same clock. */
static void test_clock_jumps_unnoticed(void)
{
	fresh();
	CHECK_EQ(put_value("a", "\x01", 1, 60000, true), 0);
	end();
	clock_shift(0, -3600 * 1000);
	begin();
	CHECK_EQ(got("a"), 1);
	clock_shift(60001, -3600 * 1000);
	CHECK_EQ(got("a"), -1);
	clock_shift(0, 0);
	end();
}

/* --- damage ----------------------------------------------------------------- */

static void scribble(off_t at, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, text, strlen(text), at) < 0)
		abort();
	close(fd);
}

/* Verify that a file that is no database is set aside, and said to be. */
static void test_damaged_head(void)
{
	fresh();
	CHECK_EQ(put("a", 1), 0);
	end();
	scribble(0, "this is no database at all");
	begin();
	CHECK_EQ(got("a"), -EBADMSG);
	settle();
	CHECK_EQ(n_damaged, 1);
	CHECK_EQ(access(aside, F_OK), 0);
	CHECK_EQ(got("a"), -1);
	CHECK_EQ(put("a", 2), 0);
	CHECK_EQ(got("a"), 2);
	end();
	begin();
	CHECK_EQ(got("a"), 2);
	end();
}

/* Verify that damage in the middle is noticed when it is met. */
static void test_damaged_page(void)
{
	char key[16], page[4096];

	fresh();
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "k%04d", i);
		CHECK_EQ(put(key, 1), 0);
	}
	end();
	memset(page, 0x77, sizeof(page));
	page[sizeof(page) - 1] = '\0';
	for (int i = 5; i < 9; i++)
		scribble(i * 4096, page);
	begin();
	CHECK_STR(list("k"), "failed");
	settle();
	CHECK_EQ(n_damaged, 1);
	CHECK_EQ(n_lost, 1);
	CHECK_STR(list("k"), "");
	end();
}

/* Verify that damage met by a commit is told to who waits for it. */
static void test_damage_while_committing(void)
{
	struct keys_wait w = { .fn = on_told };

	fresh();
	CHECK_EQ(put("a", 1), 0);
	end();
	begin();
	CHECK_EQ(got("a"), 1);
	n_told = 0;
	scribble(0, "this is no database at all");
	CHECK_EQ(put_value("a", "\x02", 1, 0, true), 0);
	w.serial = result.wait;
	keys_wait(&keys, &w);
	settle();
	CHECK_EQ(n_told, 1);
	CHECK_EQ(told_error, -EBADMSG);
	CHECK_EQ(n_damaged, 1);
	CHECK_EQ(got("a"), -1);
	end();
}

/* Verify that a database of a later thox is left alone. */
static void test_newer_schema(void)
{
	char command[256];

	fresh();
	CHECK_EQ(put("a", 1), 0);
	end();
	snprintf(command, sizeof(command),
		 "sqlite3 '%s' 'PRAGMA user_version = 99'", path);
	CHECK_EQ(system(command), 0);
	begin();
	CHECK_EQ(got("a"), -EPROTONOSUPPORT);
	settle();
	CHECK_EQ(n_damaged, 0);
	CHECK_EQ(access(path, F_OK), 0);
	end();
}

/* Verify that a commit which fails leaves memory as the disk is. */
static void test_failed_commit(void)
{
	struct keys_wait w = { .fn = on_told };
	char command[256];

	fresh();
	CHECK_EQ(put("a", 1), 0);
	keys_flush(&keys);
	settle();
	/* The record refuses the row: as good as a disk that does. */
	snprintf(command, sizeof(command),
		 "sqlite3 '%s' \"CREATE TRIGGER no BEFORE UPDATE ON keys "
		 "BEGIN SELECT RAISE(ABORT, 'no'); END\"",
		 path);
	CHECK_EQ(system(command), 0);
	n_told = 0;
	CHECK_EQ(put_value("a", "\x02", 1, 0, true), 0);
	w.serial = result.wait;
	keys_wait(&keys, &w);
	settle();
	CHECK_EQ(n_told, 1);
	CHECK_EQ(told_error, -EIO);
	CHECK_EQ(n_lost, 1);
	CHECK_EQ(got("a"), 1);
	end();
}

/* Verify that sqlite3(1) reads it live, in plain columns. */
static void test_readable_live(void)
{
	char command[300], line[64] = "";
	FILE *f;

	fresh();
	CHECK_EQ(put_value("name",
			   "\xa3"
			   "Ada",
			   4, 0, true),
		 0);
	settle();
	snprintf(command, sizeof(command),
		 "sqlite3 '%s' 'SELECT key, value, version FROM keys'", path);
	f = popen(command, "r");
	CHECK(f && fgets(line, sizeof(line), f));
	pclose(f);
	CHECK_STR(line, "name|Ada|1\n");
	end();
}

/* --- many ------------------------------------------------------------------- */

/* Verify that few databases are open however many are used. */
static void test_open_few(void)
{
	static struct keys many[20];
	char where[PATH_MAX];
	uint8_t one = 1;
	struct keys_write w = { bytes("k"), { (char *)&one, 1 }, 0 };
	struct keys_value v;

	fresh();
	env.open_max = 4;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		snprintf(where, sizeof(where), "%s/%zu.db", dir, i);
		CHECK_EQ(keys_init(&many[i], &env, "p", where, &hooks, NULL),
			 0);
		CHECK_EQ(keys_transact(&many[i], NULL, 0, &w, 1, true, &result),
			 0);
		settle();
		CHECK(env.n_open <= 4);
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		keys_forget(&many[i]);
		CHECK_EQ(keys_get(&many[i], w.key, &v), 0);
		CHECK(v.value != NULL);
		settle();
		CHECK(env.n_open <= 4);
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		keys_close(&many[i]);
		settle();
		keys_deinit(&many[i]);
	}
	CHECK_EQ(env.n_open, 0);
	end();
}

/* Verify that a clean end leaves one file alone. */
static void test_one_file(void)
{
	char wal[160];

	fresh();
	CHECK_EQ(put("a", 1), 0);
	end();
	snprintf(wal, sizeof(wal), "%s-wal", path);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK(access(wal, F_OK) < 0);
	begin();
	CHECK_EQ(got("a"), 1);
	end();
	CHECK(access(wal, F_OK) < 0);
}

static off_t wal_size(void)
{
	char wal[160];
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	return stat(wal, &st) == 0 ? st.st_size : -1;
}

/* One synced commit each: 0 to n - 1 for "0", "1" and so on. */
static void put_synced(int n)
{
	char key[16];

	for (int i = 0; i < n; i++) {
		uint8_t b = (uint8_t)(i % 100);

		snprintf(key, sizeof(key), "%d", i);
		CHECK_EQ(put_value(key, &b, 1, 0, true), 0);
		settle();
	}
}

/* Verify that the WAL of a database in use grows in few steps, ahead of what
 * is in it, and that what lies behind its last frame is nothing. */
static void test_wal_grows_ahead(void)
{
	unsigned steps = 0;
	off_t before, now;
	char key[16];

	fresh();
	put_synced(1);
	CHECK(wal_size() < 16 << 10); /* who writes little takes little */
	put_synced(40);
	before = wal_size();
	for (int i = 0; i < 80; i++) {
		CHECK_EQ(put("more", i), 0);
		keys_flush(&keys);
		settle();
		now = wal_size();
		steps += now != before;
		before = now;
	}
	CHECK(steps < 20);
	crash();
	CHECK_EQ(wal_size(), before);
	begin();
	CHECK_EQ(got("more"), 79);
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "%d", i);
		CHECK_EQ(got(key), i);
	}
	put_synced(20); /* it goes on where the frames ended */
	CHECK_EQ(wal_size(), before);
	end();
	CHECK_EQ(wal_size(), -1);
}

/* Verify that a batch is whole whatever order its keys come in. */
static void test_batch_in_any_order(void)
{
	fresh();
	CHECK_EQ(put("b", 1), 0);
	CHECK_EQ(put("aa", 2), 0);
	CHECK_EQ(put("c", 3), 0);
	CHECK_EQ(put("a", 4), 0);
	CHECK_EQ(put("b", 5), 0);
	CHECK_EQ(removed("c"), 0);
	CHECK_EQ(put("ab", 6), 0);
	keys_flush(&keys);
	settle();
	crash();
	begin();
	CHECK_STR(list(""), "a=4 aa=2 ab=6 b=5 ");
	end();
}

/* Verify that what is written while others are waited for, and then changes
 * again, is kept as it was in the end. */
static void test_written_ahead(void)
{
	fresh();
	CHECK_EQ(put("gone", 1), 0);
	keys_flush(&keys);
	settle();
	for (uint8_t n = 1; n <= 50; n++) {
		uint8_t next = n + 1;

		keys.expected = 3; /* as if so many had called */
		keys.took_ns = 1900000;
		CHECK_EQ(put_value("a", &n, 1, 0, true), 0);
		CHECK_EQ(put_value("gone", &n, 1, 0, true), 0);
		ev_run(loop, EVRUN_NOWAIT);
		CHECK_EQ(put_value("b", &n, 1, 0, true), 0);
		CHECK_EQ(put_value("a", &next, 1, 0, true), 0);
		CHECK_EQ(put_value("gone", NULL, 0, 0, true), 0);
		settle();
	}
	CHECK_EQ(n_lost, 0);
	crash();
	begin();
	CHECK_STR(list(""), "a=51 b=50 ");
	end();
}

/* Verify that compaction gives the space of removed keys back. */
static void test_compact(void)
{
	static char value[100003] = "\xc6\0\x01\x86\x9e";
	struct keys_wait w = { .fn = on_told };
	struct stat before, after;

	fresh();
	for (int i = 0; i < 20; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(put_value(key, value, sizeof(value), 0, true), 0);
	}
	end();
	begin();
	CHECK_EQ(stat(path, &before), 0);
	for (int i = 1; i < 20; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		CHECK_EQ(removed(key), 0);
	}
	n_told = 0;
	CHECK_EQ(keys_compact(&keys, &w), 0);
	settle();
	CHECK_EQ(n_told, 1);
	CHECK_EQ(told_error, 0);
	CHECK_EQ(keys.count, 1);
	end();
	CHECK_EQ(stat(path, &after), 0);
	CHECK(after.st_size * 4 < before.st_size);
}

int main(void)
{
	RUN(test_set_get_remove);
	RUN(test_kept_over_an_end);
	RUN(test_binary_keys);
	RUN(test_key_limit);
	RUN(test_every_type);
	RUN(test_compare_and_set);
	RUN(test_versions_go_up);
	RUN(test_no_version_twice);
	RUN(test_transaction_is_whole);
	RUN(test_refused_transaction);
	RUN(test_increment);
	RUN(test_list_over_memory);
	RUN(test_list_in_pages);
	RUN(test_list_of_highest_prefix);
	RUN(test_synced_survives);
	RUN(test_counts_survive);
	RUN(test_seen_when_safe);
	RUN(test_group_commit);
	RUN(test_committed_soon);
	RUN(test_pressure);
	RUN(test_small_cache);
	RUN(test_unsaved_stay);
	RUN(test_quota);
	RUN(test_expiry);
	RUN(test_expired_are_removed);
	RUN(test_clock_jumps);
	RUN(test_clock_jumps_unnoticed);
	RUN(test_damaged_head);
	RUN(test_damaged_page);
	RUN(test_damage_while_committing);
	RUN(test_newer_schema);
	RUN(test_failed_commit);
	RUN(test_readable_live);
	RUN(test_open_few);
	RUN(test_one_file);
	RUN(test_wal_grows_ahead);
	RUN(test_batch_in_any_order);
	RUN(test_written_ahead);
	RUN(test_compact);
	remove_dir();
	return tap_done();
}
