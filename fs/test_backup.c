/* All of a store as of one moment, and a store made of it. */

#include <sys/stat.h>

#include "fs/backup.h"
#include "fs/restore.h"
#include "fs/test_store.h"

static char copy[80];

/* A fresh directory beside the store's. */
static int fresh_copy(void)
{
	char command[128];

	/* that of the test before goes, too */
	snprintf(command, sizeof(command), "rm -rf '%s'", copy);
	if (copy[0] && system(command) != 0)
		abort();
	snprintf(copy, sizeof(copy), "%s-copy", root);
	if (mkdir(copy, 0700) < 0)
		abort();
	return open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_copy(void)
{
	fd_close(fresh_copy());
	rmdir(copy);
}

static int copy_text(struct backup *b, size_t i, struct restore *r)
{
	_cleanup_(fd_closep) int from = -1, to = -1;
	char path[BACKUP_PATH_BYTES], bytes[256];
	struct record rec;
	enum backup_place place = backup_record(b, i, &rec);
	ssize_t n;
	int error;

	if (place == BACKUP_NOWHERE)
		return 0;
	error = backup_open(b, i, &from);
	if (error == -ESTALE)
		backup_leave_out(b, i);
	if (error < 0)
		return error == -ESTALE ? 0 : error;
	backup_path(&rec, place, path);
	error = restore_file(r, path, &to);
	n = fd_read_full(from, bytes, sizeof(bytes));
	return error < 0 ? error : fd_write_all(to, bytes, (size_t)n);
}

/* The whole way; what restore says. */
static int restore_from(struct backup *b)
{
	_cleanup_(fd_closep) int fd = fresh_copy();
	struct restore *r = NULL;
	struct record rec;
	int error = restore_begin(fd, &r);

	for (size_t i = 0; error == 0 && i < backup_count(b); i++)
		error = copy_text(b, i, r);
	for (size_t i = 0; error == 0 && i < backup_count(b); i++) {
		(void)backup_record(b, i, &rec);
		if (!backup_left_out(b, i))
			error = restore_record(r, &rec);
	}
	if (error == 0)
		error = restore_end(r);
	restore_free(r);
	return error;
}

static struct store *open_copy(void)
{
	struct store *s = NULL;

	return store_open(copy, NULL, &s) == 0 ? s : NULL;
}

/* Verify that what happens after the moment is not in the backup, and that
 * what was there has its bytes, wherever they have gone meanwhile. */
static void test_it_is_of_one_moment(void)
{
	struct store *s = fresh(), *c;
	struct backup *b = NULL;

	CHECK_EQ(put(s, "a", "one"), 0);
	CHECK_EQ(put(s, "a", "two"), 0);
	CHECK_EQ(put_as(s, "a", "refused", STORE_REJECTED, NULL), 0);
	CHECK_EQ(put(s, "gone", "gone"), 0);
	CHECK_EQ(rm(s, "gone"), 0);
	CHECK_EQ(backup_begin(s, &b), 0);
	CHECK_EQ(put(s, "a", "three"), 0);
	CHECK_EQ(put(s, "gone", "again"), 0);
	CHECK_EQ(put(s, "new", "new"), 0);
	CHECK_EQ(restore_from(b), 0);
	backup_free(b);
	store_free(s);

	c = open_copy();
	CHECK(c);
	CHECK_STR(get(c, "a"), "two");
	CHECK_STR(get(c, "a@1"), "one");
	CHECK_STR(get(c, "a@rejected"), "refused");
	CHECK_STR(get(c, "gone"), "-ENOENT");
	CHECK_STR(get(c, "gone@1"), "gone");
	CHECK_STR(get(c, "new"), "-ENOENT");
	CHECK_EQ(log_lines(c, "a"), 3);
	CHECK_EQ(log_lines(c, "gone"), 2);
	CHECK_EQ(bad_files(c), 0);
	CHECK_EQ(put(c, "a", "next"), 0);
	CHECK_STR(get(c, "a@3"), "next");
	store_free(c);
}

/* Verify that a text that was thrown away meanwhile is left out, whether its
 * name was purged or newer versions pushed it out, also when the index was
 * written anew. */
static void test_what_is_thrown_away_is_left_out(void)
{
	struct store *s, *c;
	struct backup *b = NULL;
	char text[16];

	store_free(fresh());
	s = open_with(
		(struct store_options){ .flags = STORE_RELAXED, .keep = 2 });
	CHECK_EQ(put(s, "purged", "x"), 0);
	CHECK_EQ(put(s, "many", "first"), 0);
	CHECK_EQ(put(s, "kept", "kept"), 0);
	CHECK_EQ(backup_begin(s, &b), 0);
	CHECK_EQ(store_purge(s, DIR_PROGRAMS, "purged"), 0);
	for (int i = 0; i < 2500; i++) {
		snprintf(text, sizeof(text), "%d", i);
		CHECK_EQ(put(s, "many", text), 0);
	}
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(restore_from(b), 0);
	backup_free(b);
	store_free(s);

	c = open_copy();
	CHECK(c);
	CHECK_STR(get(c, "kept"), "kept");
	CHECK_STR(get(c, "purged"), "-ENOENT");
	CHECK_STR(get(c, "many"), "-ENOENT");
	CHECK_EQ(bad_files(c), 0);
	store_free(c);
}

/* Verify that links come back, the live one and one before it. */
static void test_links_come_back(void)
{
	struct store *s = fresh(), *c;
	struct store_change change = { .dir = DIR_PROGRAMS,
				       .name = "link",
				       .target = "b" };
	struct store_entry e;
	struct backup *b = NULL;

	CHECK_EQ(put(s, "a", "A"), 0);
	CHECK_EQ(put(s, "b", "B"), 0);
	CHECK_EQ(store_commit(s, &change, 1), 0);
	change.target = "a";
	CHECK_EQ(store_commit(s, &change, 1), 0);
	CHECK_EQ(backup_begin(s, &b), 0);
	CHECK_EQ(restore_from(b), 0);
	backup_free(b);
	store_free(s);

	c = open_copy();
	CHECK(c);
	CHECK_STR(get(c, "link"), "A");
	CHECK_STR(get(c, "link@1"), "B");
	CHECK_EQ(store_lookup(c, DIR_PROGRAMS, "link", &e), 0);
	CHECK_STR(e.target, "a");
	CHECK_EQ(e.version, 2);
	store_free(c);
}

/* A text of @bytes, and its record. */
static int with_record(struct record *rec, const char *path, const char *bytes,
		       bool twice)
{
	_cleanup_(fd_closep) int fd = fresh_copy(), file = -1;
	struct restore *r = NULL;
	int error = restore_begin(fd, &r);

	if (error == 0)
		error = restore_file(r, path, &file);
	if (error == 0)
		error = fd_write_all(file, bytes, strlen(bytes));
	if (error == 0)
		error = restore_record(r, rec);
	if (error == 0 && twice)
		error = restore_record(r, rec);
	if (error == 0)
		error = restore_end(r);
	restore_free(r);
	return error;
}

/* Verify that records and files which do not fit together are refused. */
static void test_what_does_not_fit_is_refused(void)
{
	struct store *s = fresh();
	struct backup *b = NULL;
	struct record good, rec;

	CHECK_EQ(put(s, "a", "text"), 0);
	CHECK_EQ(backup_begin(s, &b), 0);
	CHECK_EQ(backup_record(b, 0, &good), BACKUP_LIVE);
	backup_free(b);
	store_free(s);

	rec = good;
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), 0);
	CHECK_EQ(with_record(&rec, "programs/a", "text", true), -EBADMSG);
	CHECK_EQ(with_record(&rec, "programs/a", "TEXT", false), -EBADMSG);
	CHECK_EQ(with_record(&rec, "programs/a", "texts", false), -EBADMSG);
	CHECK_EQ(with_record(&rec, "programs/b", "text", false), -EBADMSG);
	CHECK_EQ(with_record(&rec, "libraries/a", "text", false), -EBADMSG);
	/* What is live has to be at its name. */
	CHECK_EQ(with_record(&rec, ".versions/1", "text", false), -EBADMSG);
	rec.type = RECORD_REMOVED;
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
	rec.type = RECORD_DROPPED;
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
	rec = good;
	rec.dir = DIR_DATA;
	CHECK_EQ(with_record(&rec, "data/a", "text", false), -EBADMSG);
	rec = good;
	rec.id = 0;
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
	rec.id = 1ULL << STORE_ID_BITS;
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
	rec = good;
	strcpy(rec.name, "../a");
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
	rec = good;
	strcpy(rec.target, "../a");
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
	/* A link has no bytes. */
	strcpy(rec.target, "b");
	CHECK_EQ(with_record(&rec, "programs/a", "text", false), -EBADMSG);
}

/* Verify that only what has nothing in it counts as empty, and is cleared. */
static void test_empty(void)
{
	struct store *s = fresh();
	char what[STORE_WHAT_BYTES];

	CHECK_EQ(store_empty(root, what), 0);
	CHECK_EQ(shell("echo x > data/notes"), 0);
	CHECK_EQ(store_empty(root, what), -ENOTEMPTY);
	CHECK_STR(what, "data/notes");
	CHECK_EQ(shell("rm data/notes; mkdir mine"), 0);
	CHECK_EQ(store_empty(root, what), -ENOTEMPTY);
	CHECK_STR(what, "mine");
	CHECK_EQ(shell("rmdir mine"), 0);
	CHECK_EQ(put(s, "a", "x"), 0);
	CHECK_EQ(store_empty(root, what), -ENOTEMPTY);
	CHECK_EQ(store_clear(root), -ENOTEMPTY);
	CHECK_STR(get(s, "a"), "x");
	CHECK_EQ(rm(s, "a"), 0);
	CHECK_EQ(shell("rm -f .versions/*"), 0);
	CHECK_EQ(store_empty(root, what), -ENOTEMPTY); /* its history */
	store_free(s);

	store_free(fresh());
	CHECK_EQ(store_empty(root, what), 0);
	CHECK_EQ(store_clear(root), 0);
	CHECK_EQ(files_in("."), 0);
	CHECK_EQ(store_empty(root, what), 0);
	CHECK_EQ(store_clear(root), 0);
	CHECK_EQ(store_empty("/nonexistent/store", what), 0);
}

int main(void)
{
	RUN(test_it_is_of_one_moment);
	RUN(test_what_is_thrown_away_is_left_out);
	RUN(test_links_come_back);
	RUN(test_what_does_not_fit_is_refused);
	RUN(test_empty);
	remove_copy();
	remove_root();
	return tap_done();
}
