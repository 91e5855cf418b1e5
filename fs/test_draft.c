/* Drafts, batches, plain files: what a writer does, within its limits. */

#include <sys/stat.h>

#include "fs/test_store.h"

/* Verify that a draft that goes on after its publication goes on in a copy,
 * and that its next one takes the version's place. */
static void test_a_draft_goes_on_in_a_copy(void)
{
	struct store *s = fresh();
	struct store_draft *d;
	struct store_text *t;
	struct store_change c = { .dir = DIR_PROGRAMS, .name = "hello" };
	uint64_t id;
	int fd;

	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "hello", 0, &d), 0);
	id = store_draft_id(d);
	CHECK_EQ(store_draft_write(d, "one", 3, 0), 3);
	CHECK(store_draft_dirty(d));
	CHECK_EQ(store_draft_freeze(d, &t), 0);
	CHECK(!store_draft_dirty(d));
	c.text = t;
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, 0);
	store_text_free(t);
	CHECK_EQ(store_draft_version(d), 1);

	struct name_ref ref = { .name = "hello" };
	CHECK_EQ(store_read(s, DIR_PROGRAMS, &ref, NULL, &fd), 0);
	CHECK_EQ(store_draft_write(d, "+two", 4, 3), 4);
	CHECK_STR(get(s, "hello"), "one");
	CHECK_EQ(store_draft_freeze(d, &t), 0);
	c.text = t;
	c.replaces = store_draft_version(d);
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, 0);
	store_text_free(t);
	CHECK_STR(get(s, "hello"), "one+two");
	CHECK_EQ(c.ret_entry.version, 1);
	CHECK_EQ(log_lines(s, "hello"), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 3);
	fd_close(fd);
	store_draft_free(d);
	CHECK_STR(get(s, "hello"), "one+two");
	CHECK_EQ(files_in(".drafts"), 0);
	CHECK_EQ(files_in(".versions"), 0);

	/* The draft's id still finds what was made from it. */
	CHECK_EQ(store_draft_reopen(s, id, &d), 0);
	CHECK_EQ(store_draft_version(d), 1);
	CHECK_EQ(store_draft_write(d, "!", 1, 7), 1);
	CHECK_STR(get(s, "hello"), "one+two");
	store_draft_free(d);
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(s);
}

/* Verify that what is frozen is not changed by a write before its commit. */
static void test_a_frozen_text_does_not_change(void)
{
	struct store *s = fresh();
	struct store_change c = { .dir = DIR_PROGRAMS, .name = "hello" };
	struct store_draft *d;
	struct store_text *t;

	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "hello", 0, &d), 0);
	CHECK_EQ(store_draft_write(d, "good", 4, 0), 4);
	CHECK_EQ(store_draft_freeze(d, &t), 0);
	CHECK_EQ(store_draft_write(d, "evil", 4, 0), 4);
	c.text = t;
	CHECK_EQ(store_commit(s, &c, 1), 0);
	store_text_free(t);
	CHECK_STR(get(s, "hello"), "good");
	CHECK_EQ(store_draft_version(d), 1);
	store_draft_free(d);
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(s);
}

static int note_draft(uint64_t id, enum store_dir dir, const char *name, int fd,
		      void *user)
{
	struct stat st;

	(void)dir;
	(void)name;
	if (fstat(fd, &st) < 0 || st.st_size != 4)
		return -EBADMSG;
	*(uint64_t *)user = id;
	return 0;
}

/* Verify that a draft is found again after its process is gone. */
static void test_a_draft_survives_its_process(void)
{
	struct store *s = fresh();
	struct store_draft *d;
	uint64_t id = 0, found = 0;
	char buf[8] = "";

	CHECK_EQ(store_draft_new(s, DIR_LIBRARIES, "cc.expect", 0, &d), 0);
	id = store_draft_id(d);
	CHECK_EQ(store_draft_write(d, "half", 4, 0), 4);
	CHECK_EQ(store_drafts(s, note_draft, &found), 0);
	CHECK_EQ(found, 0);
	store_draft_leave(d);
	store_free(s);

	s = open_plain();
	CHECK_EQ(store_drafts(s, note_draft, &found), 0);
	CHECK_EQ(found, id);
	CHECK_EQ(store_draft_reopen(s, id, &d), 0);
	CHECK_STR(store_draft_name(d), "cc.expect");
	CHECK_EQ(store_draft_dir(d), DIR_LIBRARIES);
	CHECK_EQ(pread(store_draft_fd(d), buf, 8, 0), 4);
	CHECK_STR(buf, "half");
	store_draft_free(d);
	CHECK_EQ(store_draft_reopen(s, id, &d), -ESTALE);
	CHECK_EQ(store_draft_reopen(s, 1ULL << 60, &d), -ESTALE);
	store_free(s);
}

static struct timespec time_of(const struct store_draft *d)
{
	struct stat st = { 0 };

	(void)store_draft_stat(d, &st);
	return st.st_mtim;
}

static void check_same_time(struct timespec a, struct timespec b)
{
	CHECK_EQ(a.tv_sec, b.tv_sec);
	CHECK_EQ(a.tv_nsec, b.tv_nsec);
}

static int publish(struct store *s, struct store_draft *d, const char *name,
		   struct store_entry *ret)
{
	struct store_change c = { .dir = DIR_PROGRAMS, .name = name };
	int r;

	r = store_draft_freeze(d, &c.text);
	if (r == 0)
		r = store_commit(s, &c, 1);
	store_text_free(c.text);
	*ret = c.ret_entry;
	return r < 0 ? r : c.result;
}

/* Verify that a draft tells the time that its version has, also when its
 * process is gone, its time is set, or the version is touched by its name. */
static void test_a_draft_has_the_time_of_its_version(void)
{
	const struct timespec set = { 1234567890, 5 },
			      later = { 2000000000, 6 };
	struct store *s = fresh();
	struct store_entry e = { 0 };
	struct store_writer writer = { 0 };
	struct timespec before, told;
	struct store_draft *d;
	struct stat st = { 0 };
	uint64_t id = 0;

	clock_gettime(CLOCK_REALTIME, &before);
	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "a", 0, &d), 0);
	CHECK_EQ(store_draft_write(d, "1234", 4, 0), 4);
	told = time_of(d);
	CHECK(told.tv_sec > before.tv_sec ||
	      (told.tv_sec == before.tv_sec && told.tv_nsec >= before.tv_nsec));
	CHECK_EQ(store_draft_stat(d, &st), 0);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(publish(s, d, "a", &e), 0);
	check_same_time(e.mtime, told);
	check_same_time(time_of(d), told);
	CHECK_EQ(store_touch(s, DIR_PROGRAMS, "a", &later), 0);
	check_same_time(time_of(d), later);
	CHECK_EQ(store_rename(s, DIR_PROGRAMS, "a", "c", false, &writer, &e),
		 0);
	check_same_time(e.mtime, later);
	store_draft_free(d);

	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "b", 0, &d), 0);
	id = store_draft_id(d);
	CHECK_EQ(store_draft_write(d, "1234", 4, 0), 4);
	CHECK_EQ(store_draft_utimens(d, &set), 0);
	check_same_time(time_of(d), set);
	store_draft_leave(d);
	CHECK_EQ(store_draft_reopen(s, id, &d), 0);
	check_same_time(time_of(d), set);
	CHECK_EQ(publish(s, d, "b", &e), 0);
	check_same_time(e.mtime, set);
	store_draft_free(d);
	store_free(s);
}

/* Verify that both limits refuse, and what was there stays. */
static void test_limits(void)
{
	struct store_options o = { .file_limit_bytes = 100,
				   .quota_bytes = 250 };
	struct store *s = fresh();
	struct store_draft *d;
	struct store_usage u;
	char text[128];

	store_free(s);
	s = open_with(o);
	memset(text, 'x', sizeof(text));
	text[101] = '\0';
	CHECK_EQ(put(s, "big", text), -EFBIG);
	text[100] = '\0';
	CHECK_EQ(put(s, "a", text), 0);
	CHECK_EQ(put(s, "b", text), 0);
	CHECK_EQ(put(s, "c", text), -ENOSPC);
	CHECK_EQ(store_usage(s, &u), 0);
	CHECK_EQ(u.used_bytes, 200);
	CHECK_EQ(u.free_bytes, 50);
	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "d", 0, &d), 0);
	CHECK_EQ(store_draft_write(d, text, 50, 0), 50);
	CHECK_EQ(store_draft_write(d, text, 1, 50), -ENOSPC);
	CHECK_EQ(store_draft_write(d, text, 50, 60), -EFBIG);
	CHECK_EQ(store_draft_truncate(d, 101), -EFBIG);
	CHECK_EQ(store_draft_truncate(d, 51), -ENOSPC);
	store_draft_free(d);
	CHECK_EQ(store_usage(s, &u), 0);
	CHECK_EQ(u.used_bytes, 200);
	CHECK_EQ(files_in(".drafts"), 0);
	CHECK_STR(get(s, "c"), "-ENOENT");
	store_free(s);
}

/* Verify that streams and scratch files are plain. */
static void test_plain_files(void)
{
	struct store *s = fresh();
	struct stat st;
	int fd;

	CHECK_EQ(store_file_open(s, DIR_DATA, "log", O_RDWR | O_CREAT, &fd), 0);
	CHECK_EQ(store_file_write(s, fd, "abc", 3, 0), 3);
	fd_close(fd);
	CHECK_EQ(store_file_open(s, DIR_DATA, "log", O_RDWR | O_CREAT | O_EXCL,
				 &fd),
		 -EEXIST);
	CHECK_EQ(store_file_stat(s, DIR_DATA, "log", &st), 0);
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(store_file_open(s, DIR_PROGRAMS, ".hello.swp",
				 O_RDWR | O_CREAT, &fd),
		 0);
	fd_close(fd);
	CHECK_EQ(store_file_rename(s, DIR_PROGRAMS, ".hello.swp", "hello~",
				   false),
		 0);
	CHECK_EQ(store_file_rename(s, DIR_PROGRAMS, "hello~", "hello", false),
		 -EINVAL);
	CHECK_EQ(store_file_stat(s, DIR_PROGRAMS, "hello~", &st), 0);
	CHECK_EQ(store_scratch_clear(s), 0);
	CHECK_EQ(store_file_stat(s, DIR_PROGRAMS, "hello~", &st), -ENOENT);
	CHECK_EQ(store_file_remove(s, DIR_DATA, "log"), 0);
	store_free(s);
}

/* Verify that a batch is taken in order, each element with its own result. */
static void test_a_batch(void)
{
	struct store *s = fresh();
	struct store_text *t[3];
	struct store_change c[4] = {
		{ .dir = DIR_PROGRAMS, .name = "a" },
		{ .dir = DIR_PROGRAMS, .name = "a" },
		{ .dir = DIR_PROGRAMS, .name = "none", .event = STORE_REMOVED },
		{ .dir = DIR_PROGRAMS, .name = "b" },
	};

	for (int i = 0; i < 3; i++)
		CHECK_EQ(store_text_from_bytes(s, DIR_PROGRAMS, "a", &"123"[i],
					       1, &t[i]),
			 0);
	c[0].text = t[0];
	c[1].text = t[1];
	c[3].text = t[2];
	CHECK_EQ(store_commit(s, c, 4), 0);
	CHECK_EQ(c[0].result, 0);
	CHECK_EQ(c[1].result, 0);
	CHECK_EQ(c[2].result, -ENOENT);
	CHECK_EQ(c[3].result, 0);
	CHECK_EQ(c[1].ret_entry.version, 2);
	CHECK_STR(get(s, "a"), "2");
	CHECK_STR(get(s, "a@1"), "1");
	CHECK_STR(get(s, "b"), "3");
	for (int i = 0; i < 3; i++)
		store_text_free(t[i]);
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that what one element removed is not there for the next. */
static void test_a_batch_removes_once(void)
{
	struct store *s = fresh();
	struct store_change c[2] = {
		{ .dir = DIR_PROGRAMS, .name = "a", .event = STORE_REMOVED },
		{ .dir = DIR_PROGRAMS, .name = "a", .event = STORE_REMOVED },
	};

	CHECK_EQ(put(s, "a", "1"), 0);
	CHECK_EQ(store_commit(s, c, 2), 0);
	CHECK_EQ(c[0].result, 0);
	CHECK_EQ(c[1].result, -ENOENT);
	store_free(s);
}

int main(void)
{
	RUN(test_a_draft_goes_on_in_a_copy);
	RUN(test_a_frozen_text_does_not_change);
	RUN(test_a_draft_survives_its_process);
	RUN(test_a_draft_has_the_time_of_its_version);
	RUN(test_limits);
	RUN(test_plain_files);
	RUN(test_a_batch);
	RUN(test_a_batch_removes_once);
	remove_root();
	return tap_done();
}
