/* The store: what is published is read, listed, told and looked up. */

#include "fs/test_store.h"

/* Verify that a text is read back, and by every process that opens it. */
static void test_what_is_put_is_read(void)
{
	struct store *s = fresh(), *other = open_plain();

	CHECK(s && other);
	CHECK_EQ(put(s, "hello", "return 1"), 0);
	CHECK_STR(get(s, "hello"), "return 1");
	CHECK_STR(get(other, "hello"), "return 1");
	CHECK_STR(get(s, "hello.lua"), "return 1");
	CHECK_STR(get(s, "hullo"), "-ENOENT");
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(other);
	store_free(s);
	s = open_plain();
	CHECK_STR(get(s, "hello"), "return 1");
	store_free(s);
}

/* Verify that versions count up, are kept to a number, and read back. */
static void test_versions(void)
{
	struct store *s = fresh();
	struct store_entry e;
	char text[16];

	for (int i = 1; i <= 20; i++) {
		snprintf(text, sizeof(text), "v%d", i);
		CHECK_EQ(put_as(s, "hello", text, STORE_PUBLISHED, &e), 0);
		CHECK_EQ(e.version, i);
	}
	CHECK_STR(get(s, "hello"), "v20");
	CHECK_STR(get(s, "hello@20"), "v20");
	CHECK_STR(get(s, "hello@5"), "v5");
	CHECK_STR(get(s, "hello@4"), "-ENOENT");
	CHECK_STR(get(s, "hello@21"), "-ENOENT");
	CHECK_EQ(log_lines(s, "hello"), 16);
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(files_in(".versions"), 15);
	CHECK_EQ(log_lines(s, "hello"), 16);
	CHECK_STR(get(s, "hello@5"), "v5");
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that a reader keeps the bytes it opened. */
static void test_a_reader_keeps_its_version(void)
{
	struct store *s = fresh();
	struct name_ref ref = { .name = "hello" };
	char buf[8] = "";
	int fd;

	CHECK_EQ(put(s, "hello", "old"), 0);
	CHECK_EQ(store_read(s, DIR_PROGRAMS, &ref, NULL, &fd), 0);
	CHECK_EQ(put(s, "hello", "new!"), 0);
	CHECK_EQ(rm(s, "hello"), 0);
	CHECK_EQ(fd_read_full(fd, buf, sizeof(buf)), 3);
	CHECK_STR(buf, "old");
	fd_close(fd);
	store_free(s);
}

/* Verify that a refused text is kept beside the live one. */
static void test_a_refused_text_is_not_lost(void)
{
	struct store *s = fresh();
	struct store_entry e;

	CHECK_EQ(put(s, "hello", "good"), 0);
	CHECK_EQ(put_as(s, "hello", "bad", STORE_REJECTED, &e), 0);
	CHECK_STR(e.reason, "why");
	CHECK_STR(get(s, "hello"), "good");
	CHECK_STR(get(s, "hello@rejected"), "bad");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK(e.rejected_id != 0);
	CHECK_EQ(put_as(s, "hello", "bad2", STORE_REJECTED, NULL), 0);
	CHECK_EQ(store_idle(s), 0);
	CHECK_STR(get(s, "hello@rejected"), "bad2");
	CHECK_EQ(files_in(".rejected"), 1);
	CHECK_EQ(put(s, "hello", "better"), 0);
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK_EQ(e.rejected_id, 0);
	/* A name that only ever was refused does not exist. */
	CHECK_EQ(put_as(s, "never", "bad", STORE_REJECTED, NULL), 0);
	CHECK_STR(get(s, "never"), "-ENOENT");
	CHECK_STR(get(s, "never@rejected"), "bad");
	store_free(s);
}

/* Go back to @text and refuse @refused, if @id is live. */
static void go_back(struct store *s, const char *text, const char *refused,
		    uint64_t id, int expected)
{
	struct store_change c[2] = {
		{ .event = STORE_PUBLISHED, .name = "hello", .only_id = id },
		{ .event = STORE_REJECTED,
		  .name = "hello",
		  .follows = true,
		  .reason = "why" },
	};
	const char *texts[2] = { text, refused };

	for (int i = 0; i < 2; i++) {
		struct store_text *t = NULL;

		CHECK_EQ(store_text_from_bytes(s, DIR_PROGRAMS, "hello",
					       texts[i], strlen(texts[i]), &t),
			 0);
		c[i].text = t;
	}
	CHECK_EQ(store_commit(s, c, 2), 0);
	for (int i = 0; i < 2; i++)
		store_text_free(c[i].text);
	CHECK_EQ(c[0].result, expected);
	CHECK_EQ(c[1].result, expected);
}

static int refuse(struct store *s, const char *text, uint64_t id)
{
	struct store_change c = { .event = STORE_REJECTED,
				  .name = "hello",
				  .only_id = id,
				  .reason = "why" };
	int r = store_text_from_bytes(s, DIR_PROGRAMS, "hello", text,
				      strlen(text), &c.text);

	r = r ? r : store_commit(s, &c, 1);
	store_text_free(c.text);
	return r ? r : c.result;
}

/* Verify that what is published only upon a certain one leaves another alone,
 * and so does what follows it. */
static void test_only_upon_a_certain_one(void)
{
	struct store *s = fresh();
	struct store_entry e, other;

	CHECK_EQ(put(s, "hello", "good"), 0);
	CHECK_EQ(put_as(s, "hello", "bad", STORE_PUBLISHED, &e), 0);
	CHECK_EQ(put_as(s, "hello", "better", STORE_PUBLISHED, &other), 0);
	go_back(s, "good", "bad", e.id, -EAGAIN);
	CHECK_STR(get(s, "hello"), "better");
	CHECK_STR(get(s, "hello@rejected"), "-ENOENT");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK_EQ(e.rejected_id, 0);
	go_back(s, "good", "better", other.id, 0);
	CHECK_STR(get(s, "hello"), "good");
	CHECK_STR(get(s, "hello@4"), "good");
	CHECK_STR(get(s, "hello@rejected"), "better");
	CHECK_EQ(refuse(s, "worse", other.id), -EAGAIN);
	CHECK_STR(get(s, "hello@rejected"), "better");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK_EQ(refuse(s, "worse", e.id), 0);
	CHECK_STR(get(s, "hello@rejected"), "worse");
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(s);
}

/* Verify that a removed name keeps its past, and goes on counting. */
static void test_removal_keeps_the_past(void)
{
	struct store *s = fresh();
	struct store_entry e;

	CHECK_EQ(rm(s, "hello"), -ENOENT);
	CHECK_EQ(put(s, "hello", "one"), 0);
	CHECK_EQ(rm(s, "hello"), 0);
	CHECK_STR(get(s, "hello"), "-ENOENT");
	CHECK_STR(get(s, "hello@1"), "one");
	CHECK_EQ(put_as(s, "hello", "two", STORE_PUBLISHED, &e), 0);
	CHECK_EQ(e.version, 2);
	CHECK_EQ(store_purge(s, DIR_PROGRAMS, "hello"), 0);
	CHECK_STR(get(s, "hello"), "-ENOENT");
	CHECK_STR(get(s, "hello@1"), "-ENOENT");
	CHECK_EQ(log_lines(s, "hello"), -ENOENT);
	CHECK_EQ(files_in(".versions"), 0);
	store_free(s);
	s = open_plain();
	CHECK_STR(get(s, "hello"), "-ENOENT");
	store_free(s);
}

/* Verify that a rename is one step and leaves nothing of a temporary name. */
static void test_rename(void)
{
	struct store *s = fresh();
	struct store_writer w = { .pid = 1, .command = "mv" };
	struct store_entry e;

	CHECK_EQ(put(s, "hello", "one"), 0);
	CHECK_EQ(put(s, "sedXYZ", "two"), 0);
	CHECK_EQ(store_rename(s, DIR_PROGRAMS, "sedXYZ", "hello", true, &w,
			      NULL),
		 -EEXIST);
	CHECK_EQ(
		store_rename(s, DIR_PROGRAMS, "sedXYZ", "hello", false, &w, &e),
		0);
	CHECK_EQ(e.version, 2);
	CHECK_STR(get(s, "hello"), "two");
	CHECK_STR(get(s, "sedXYZ"), "-ENOENT");
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(log_lines(s, "sedXYZ"), -ENOENT);
	CHECK_EQ(
		store_rename(s, DIR_PROGRAMS, "none", "hello", false, &w, NULL),
		-ENOENT);
	CHECK_EQ(
		store_rename(s, DIR_PROGRAMS, "hello", "../x", false, &w, NULL),
		-EINVAL);
	store_free(s);
}

/* Verify that hostile names reach no path. */
static void test_hostile_names(void)
{
	static const char *const bad[] = { "../x", "a/b", ".hidden", "",
					   "a\nb", "..",  "a@1",     "a#b" };
	struct store *s = fresh();
	struct store_draft *d;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(put(s, bad[i], "x"), -EINVAL);
		CHECK_EQ(rm(s, bad[i]), -EINVAL);
		CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, bad[i], 0, &d),
			 -EINVAL);
		CHECK_EQ(store_lookup(s, DIR_PROGRAMS, bad[i], NULL), -EINVAL);
		CHECK_EQ(store_purge(s, DIR_PROGRAMS, bad[i]), -EINVAL);
	}
	CHECK_EQ(store_file_open(s, DIR_DATA, "../x", O_RDWR | O_CREAT, &fd),
		 -EINVAL);
	CHECK_EQ(store_file_open(s, DIR_PROGRAMS, "../x~", O_RDWR | O_CREAT,
				 &fd),
		 -EINVAL);
	CHECK_EQ(store_file_open(s, DIR_PROGRAMS, "hello", O_RDWR | O_CREAT,
				 &fd),
		 -EINVAL);
	store_free(s);
}

/* Verify that links lead to siblings only, and one step. */
static void test_symbolic_links(void)
{
	struct store *s = fresh();
	struct store_change c = { .dir = DIR_PROGRAMS,
				  .name = "cc",
				  .target = "craftos" };
	struct store_entry e;

	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, 0);
	CHECK_STR(get(s, "cc"), "-ENOENT");
	CHECK_EQ(put(s, "craftos", "env"), 0);
	CHECK_STR(get(s, "cc"), "env");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "cc", &e), 0);
	CHECK_STR(e.target, "craftos");
	c.name = "loop";
	c.target = "cc";
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_STR(get(s, "loop"), "-ELOOP");
	c.target = "/etc/passwd";
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, -EPERM);
	CHECK_EQ(put(s, "cc", "text now"), 0);
	CHECK_STR(get(s, "cc"), "text now");
	CHECK_STR(get(s, "cc@1"), "env");
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that the layer below shows through and comes back. */
static void test_two_layers(void)
{
	struct store *s = fresh();
	struct store_options o = { 0 };
	struct store_entry e;
	char below[80], path[128];
	int fd;

	store_free(s);
	snprintf(below, sizeof(below), "%s/below", root);
	snprintf(path, sizeof(path), "%s/programs", below);
	CHECK(mkdir(below, 0755) == 0 && mkdir(path, 0755) == 0);
	strcat(path, "/hello.lua");
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	CHECK(fd >= 0 && write(fd, "built in", 8) == 8);
	fd_close(fd);

	o.builtin_path = below;
	s = open_with(o);
	CHECK_STR(get(s, "hello"), "built in");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello.lua", &e), 0);
	CHECK(e.builtin && e.version == 0);
	CHECK_EQ(rm(s, "hello.lua"), -EPERM);
	CHECK_EQ(put(s, "hello.lua", "mine"), 0);
	CHECK_STR(get(s, "hello"), "mine");
	CHECK_EQ(rm(s, "hello.lua"), 0);
	CHECK_STR(get(s, "hello.lua"), "built in");
	store_free(s);
}

struct names {
	char text[256];
};

static int add_name(const char *name, uint64_t id, bool builtin, bool symlink,
		    void *user)
{
	struct names *n = user;

	(void)builtin;
	(void)symlink;
	if (id == 0)
		return -EINVAL;
	strcat(n->text, name);
	strcat(n->text, " ");
	return 0;
}

/* Verify that a listing is sorted and complete. */
static void test_listing(void)
{
	struct store *s = fresh();
	struct names n = { "" };
	char name[16];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%03d", (i * 7) % 300);
		CHECK_EQ(put(s, name, name), 0);
	}
	for (int i = 3; i < 300; i++) {
		snprintf(name, sizeof(name), "n%03d", i);
		CHECK_EQ(rm(s, name), 0);
	}
	CHECK_EQ(store_names(s, DIR_PROGRAMS, add_name, &n), 0);
	CHECK_STR(n.text, "n000 n001 n002 ");
	store_free(s);
}

static int note_event(enum store_dir dir, const struct store_entry *e,
		      void *user)
{
	struct names *n = user;

	(void)dir;
	strcat(n->text, e->event == STORE_REMOVED    ? "-"
			: e->event == STORE_REJECTED ? "!"
						     : "+");
	strcat(n->text, e->name);
	return 0;
}

/* Verify that another process is told what happened. */
static void test_following(void)
{
	struct store *s = fresh(), *other = open_plain();
	struct names n = { "" };

	CHECK_EQ(put(s, "a", "1"), 0);
	CHECK_EQ(put_as(s, "a", "2", STORE_REJECTED, NULL), 0);
	CHECK_EQ(rm(s, "a"), 0);
	CHECK_EQ(store_follow(other, note_event, &n), 0);
	CHECK_STR(n.text, "+a!a-a");
	n.text[0] = '\0';
	CHECK_EQ(store_follow(other, note_event, &n), 0);
	CHECK_STR(n.text, "");
	store_free(other);
	store_free(s);
}

/* Verify that who asks for it is not told of its own doings, and of all that
 * others do. */
static void test_following_others(void)
{
	struct store *other = fresh();
	struct store *s =
		open_with((struct store_options){ .flags = STORE_OWN_IS_OLD });
	struct names n = { "" };

	CHECK_EQ(put(s, "a", "1"), 0);
	CHECK_EQ(rm(s, "a"), 0);
	CHECK_EQ(store_follow(s, note_event, &n), 0);
	CHECK_STR(n.text, "");

	/* Its own may be told along with another's. */
	CHECK_EQ(put(other, "b", "1"), 0);
	CHECK_EQ(put(s, "c", "1"), 0);
	CHECK_EQ(store_follow(s, note_event, &n), 0);
	CHECK_STR(n.text, "+b+c");

	n.text[0] = '\0';
	CHECK_EQ(put(s, "d", "1"), 0);
	CHECK_EQ(put(other, "e", "1"), 0);
	CHECK_EQ(rm(other, "b"), 0);
	CHECK_EQ(store_follow(s, note_event, &n), 0);
	CHECK_STR(n.text, "+e-b");
	store_free(other);
	store_free(s);
}

/* Verify that ids find names, and gone ones are stale. */
static void test_ids(void)
{
	struct store *s = fresh();
	struct store_entry e, found;
	enum store_dir dir;
	int fd;

	CHECK_EQ(put_as(s, "hello", "one", STORE_PUBLISHED, &e), 0);
	CHECK_EQ(put(s, "hello", "two"), 0);
	CHECK_EQ(store_read_id(s, e.id, &dir, &found, &fd), 0);
	CHECK_STR(found.name, "hello");
	CHECK(!found.live && found.version == 1 && dir == DIR_PROGRAMS);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 3);
	fd_close(fd);
	CHECK_EQ(store_read_id(s, 123456, NULL, NULL, NULL), -ESTALE);
	CHECK_EQ(store_purge(s, DIR_PROGRAMS, "hello"), 0);
	CHECK_EQ(store_read_id(s, e.id, NULL, NULL, &fd), -ESTALE);
	store_free(s);
}

/* Verify that times are kept, and set. */
static void test_times(void)
{
	struct store *s = fresh();
	struct timespec t = { .tv_sec = 1000000000, .tv_nsec = 5 };
	struct store_entry e;

	CHECK_EQ(put(s, "hello", "x"), 0);
	CHECK_EQ(store_touch(s, DIR_PROGRAMS, "hello", &t), 0);
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK_EQ(e.mtime.tv_sec, 1000000000);
	CHECK_EQ(e.version, 1);
	CHECK_EQ(log_lines(s, "hello"), 1);
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that a name is another program after it was away, not after it was
 * replaced, and that a version knows which one it is of. */
static void test_since_when_it_is_the_same(void)
{
	const int64_t hour_ns = 3600 * INT64_C(1000000000);
	uint64_t since = 1, first = 0, second = 0;
	struct store *s = fresh();

	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 1, 0, &since), 0);
	CHECK_EQ(since, 0); /* never was */
	CHECK_EQ(put(s, "a", "1"), 0);
	CHECK_EQ(put(s, "a", "2"), 0);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 2, 0, &since), 0);
	CHECK_EQ(since, 0); /* the first one */
	CHECK_EQ(rm(s, "a"), 0);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", UINT64_MAX, 0, &since), 0);
	CHECK_EQ(since, 0); /* nobody came after it yet */
	CHECK_EQ(put(s, "a", "3"), 0);
	CHECK_EQ(put(s, "a", "4"), 0);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 3, 0, &first), 0);
	CHECK(first > 0);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 4, 0, &since), 0);
	CHECK_EQ(since, first);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 2, 0, &since), 0);
	CHECK_EQ(since, 0);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 4, hour_ns, &since), 0);
	CHECK_EQ(since, 0); /* away for a moment only */
	CHECK_EQ(rm(s, "a"), 0);
	CHECK_EQ(put(s, "a", "5"), 0);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 5, 0, &second), 0);
	CHECK(second > first);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "a", 4, 0, &since), 0);
	CHECK_EQ(since, first);
	CHECK_EQ(store_since(s, DIR_PROGRAMS, "../a", 4, 0, &since), -EINVAL);
	store_free(s);
}

int main(void)
{
	RUN(test_what_is_put_is_read);
	RUN(test_versions);
	RUN(test_a_reader_keeps_its_version);
	RUN(test_a_refused_text_is_not_lost);
	RUN(test_only_upon_a_certain_one);
	RUN(test_removal_keeps_the_past);
	RUN(test_rename);
	RUN(test_hostile_names);
	RUN(test_symbolic_links);
	RUN(test_two_layers);
	RUN(test_listing);
	RUN(test_following);
	RUN(test_following_others);
	RUN(test_ids);
	RUN(test_times);
	RUN(test_since_when_it_is_the_same);
	remove_root();
	return tap_done();
}
